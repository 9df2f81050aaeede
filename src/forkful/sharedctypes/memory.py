"""ctypes objects in the family's shared memory.

The memory has no name and goes with the last process that uses it. Unlike the standard library's
such an object may travel anywhere, as every handle: through a queue, or as the argument of a task.
It arrives as the same memory, and a part of it (an element, a field) as a copy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from multiprocessing import sharedctypes as _stdlib
from multiprocessing.reduction import ForkingPickler
from multiprocessing.sharedctypes import typecode_to_type
from typing import Any

from forkful import _native
from forkful.family import Handle

__all__ = ["Memory", "RawArray", "RawValue", "copy", "typecode_to_type"]


class Memory(Handle, _native.Memory):
    """Bytes that all who have a handle see and change, as a writable buffer.

    Args:
        size: How many; all 0 at first.
    """

    def __init__(self, size: int) -> None:
        self._create(size)

    def create_memoryview(self) -> memoryview:
        """Return a view, as the standard library's `heap.BufferWrapper` does."""
        return memoryview(self)


def _new(kind: Any) -> Any:
    return _over(Memory(ctypes.sizeof(kind)), kind)


def _over(memory: Memory, kind: Any) -> Any:
    """Return an object of that ctypes type in `memory`."""
    ForkingPickler.register(kind, _reduce)
    obj = kind.from_buffer(memory)
    obj._wrapper = memory
    return obj


def _rebuild(memory: Memory, element: Any, lengths: tuple[int, ...]) -> Any:
    for length in lengths:
        element = element * length
    return _over(memory, element)


def _reduce(obj: Any) -> Any:
    memory = getattr(obj, "_wrapper", None)
    if memory is None:  # not shared: an object of its own, or a part of a shared one
        return obj.__reduce_ex__(2)
    if not isinstance(memory, Memory):
        return _stdlib.reduce_ctype(obj)
    element: Any = type(obj)
    lengths: list[int] = []
    while issubclass(element, ctypes.Array):  # types of arrays have no name to travel by
        lengths.append(element._length_)
        element = element._type_
    return _rebuild, (memory, element, tuple(reversed(lengths)))


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """Return a ctypes object in shared memory, without a lock.

    Args:
        typecode_or_type: A ctypes type, or a type code as of the module `array`.
        args: What the type is called with; without any, all is 0.
    """
    obj = _new(typecode_to_type.get(typecode_or_type, typecode_or_type))
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type: Any, size_or_initializer: int | Sequence[Any]) -> Any:
    """Return a ctypes array in shared memory, without a lock.

    Args:
        typecode_or_type: The type of its elements, as of `RawValue`.
        size_or_initializer: How many, all 0; or their values.
    """
    element = typecode_to_type.get(typecode_or_type, typecode_or_type)
    if isinstance(size_or_initializer, int):
        return _new(element * size_or_initializer)
    array = _new(element * len(size_or_initializer))
    array.__init__(*size_or_initializer)
    return array


def copy(obj: Any) -> Any:
    """Return a copy of a ctypes object in shared memory of its own."""
    new = _new(type(obj))
    ctypes.pointer(new)[0] = obj
    return new
