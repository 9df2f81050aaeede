"""Shared ctypes with a lock: the standard library's wrappers round forkful's locks and memory."""

from __future__ import annotations

import ctypes
import weakref
from multiprocessing import sharedctypes as _stdlib
from typing import TYPE_CHECKING, Any

from forkful import _native
from forkful.sharedctypes.memory import RawArray, RawValue
from forkful.synchronize import RLock

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = [
    "Array",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "synchronized",
]


class SynchronizedBase(_native.Guarded, _stdlib.SynchronizedBase):  # type: ignore[type-arg]
    """A ctypes object with a lock: `with` takes the lock, `get_obj()` gives the object.

    If the process that holds the lock dies, the next one that wants it gets `LockOwnerDied`.
    """

    def __init__(self, obj: Any, lock: Any = None, ctx: BaseContext | None = None) -> None:
        super().__init__(obj, lock or RLock(ctx=ctx))

    def __reduce__(self) -> tuple[Any, ...]:
        return synchronized, (self._obj, self._lock)


class Synchronized(SynchronizedBase, _stdlib.Synchronized):  # type: ignore[type-arg]
    """A simple ctypes object with a lock; reading or setting `value` takes it."""

    value: Any = _native.GuardedAttribute("value")


class SynchronizedArray(SynchronizedBase, _native.GuardedItems, _stdlib.SynchronizedArray):  # type: ignore[type-arg]
    """An array with a lock, which each access takes."""


class SynchronizedString(SynchronizedArray, _stdlib.SynchronizedString):
    """An array of characters with a lock, and the attributes `value` and `raw`."""

    value: Any = _native.GuardedAttribute("value")
    raw: Any = _native.GuardedAttribute("raw")


_classes: weakref.WeakKeyDictionary[type, type] = weakref.WeakKeyDictionary()


def _class_for(kind: type) -> type:
    """The wrapper's class for a structure: with its fields as attributes."""
    found = _classes.get(kind)
    if found is None:
        names = [field[0] for field in kind._fields_]
        fields = {name: _native.GuardedAttribute(name) for name in names}
        found = _classes[kind] = type(f"Synchronized{kind.__name__}", (SynchronizedBase,), fields)
    return found


def synchronized(obj: Any, lock: Any = None, ctx: BaseContext | None = None) -> Any:
    """Return a wrapper that guards a ctypes object with `lock`; with a new RLock if None."""
    assert not isinstance(obj, _stdlib.SynchronizedBase), "object already synchronized"
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        if obj._type_ is ctypes.c_char:
            return SynchronizedString(obj, lock, ctx)
        return SynchronizedArray(obj, lock, ctx)
    return _class_for(type(obj))(obj, lock, ctx)


def _guarded(obj: Any, lock: Any, ctx: BaseContext | None) -> Any:
    if lock is False:
        return obj
    if lock in (True, None):
        lock = None
    elif not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return synchronized(obj, lock, ctx)


def Value(
    typecode_or_type: Any, *args: Any, lock: Any = True, ctx: BaseContext | None = None
) -> Any:
    """Return a ctypes object in shared memory.

    Args:
        typecode_or_type: A ctypes type, or a type code as of the module `array`.
        args: What the type is called with.
        lock: True: with a new RLock; a lock: with that one; False: without.
        ctx: For the likeness with the standard library: a lock is the same in each context.
    """
    return _guarded(RawValue(typecode_or_type, *args), lock, ctx)


def Array(
    typecode_or_type: Any,
    size_or_initializer: Any,
    *,
    lock: Any = True,
    ctx: BaseContext | None = None,
) -> Any:
    """Return a ctypes array in shared memory. Arguments as of `RawArray` and `Value`."""
    return _guarded(RawArray(typecode_or_type, size_or_initializer), lock, ctx)
