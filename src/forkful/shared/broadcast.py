"""`Broadcast`: an object that is sent once, and read by all."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from forkful import _native
from forkful.family import Handle, pack

__all__ = ["Broadcast"]

_T = TypeVar("_T")
_KEPT = 8
_OWN = frozenset({"_cell", "_made"})


class _Cell:
    """A value, as this process has it. All handles of one object have the same."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: Any) -> None:
        self.value = value


_Key = tuple[int, int, int]
_cells: WeakValueDictionary[_Key, _Cell] = WeakValueDictionary()
# With each task comes a new handle, often of the same object.
_latest: OrderedDict[_Key, _Cell] = OrderedDict()
_lock = threading.RLock()
os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]


class Broadcast(Handle, _native.Packed, Generic[_T]):
    """An object that processes read, such as a table or a model that each task needs.

        table = Broadcast(numpy.arange(10**8))
        pool.map(functools.partial(look_up, table), words)  # look_up(table, word) uses table.value

    It is pickled and written into shared memory when this is made, and not for each task; `value` is made from
    there once in each process. Buffers of 32 KiB and more in it (NumPy arrays, Arrow tables; not `bytes`) are not
    copied: they are the same memory in all processes, and read-only. What else is in it is the
    process's own, as a global variable is: what a process changes there, no other sees.

    A handle may be passed to children, to tasks, and through queues. The memory is given back with the last
    handle and the last value. A process keeps the values of the last 8 whose handles it was sent, as the next task
    may bring the same; and a child by fork keeps what it has inherited, as with every handle.

    Args:
        value: The object.

    Raises:
        PicklingError, AttributeError, TypeError: It cannot be pickled.
        MemoryError: The family's shared memory has no room left.
    """

    _cell: _Cell | None = None
    _made = False  # here

    def __init__(self, value: _T) -> None:
        self._create(*pack(value))
        self._made = True

    @property
    def value(self) -> _T:
        """The object, as this process has it: the same at each look.

        Raises:
            Exception: What making it from its pickle raises.
        """
        cell = self._cell
        if cell is None:
            cell = self._cell = _cell_of(self)
        value: _T = cell.value
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        arrive, (*names, state) = super().__reduce__()
        # In one step: another thread may look at the value for the first time.
        left = {name: v for name, v in list((state or {}).items()) if name not in _OWN}
        return arrive, (*names, left or None)


def _cell_of(handle: Broadcast[Any]) -> _Cell:
    key = handle._identity()
    with _lock:
        cell = _cells.get(key)
    # Not under the lock: that runs code of others'. Of two threads that are at it, one makes it for nothing.
    made = _Cell(handle._load(True)) if cell is None else None
    old = None
    with _lock:
        if made is not None:
            cell = _cells.setdefault(key, made)
        assert cell is not None
        if key in _latest:
            _latest.move_to_end(key)
        elif not handle._made:
            _latest[key] = cell
            if len(_latest) > _KEPT:
                old = _latest.popitem(last=False)
    del old  # not under the lock: its end may run anything
    return cell
