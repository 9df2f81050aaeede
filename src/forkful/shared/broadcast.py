"""`Broadcast`: an object that is sent once, and read by all."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar, cast

from forkful import _native
from forkful.family import Handle, pack

__all__ = ["Broadcast"]

_T = TypeVar("_T")
_KEPT = 8

# Of handles that came by pickle. With each task comes a new one, often of the same object.
_latest: OrderedDict[tuple[int, int, int], Any] = OrderedDict()


class Broadcast(Handle, _native.Packed, Generic[_T]):
    """An object that processes read, such as a table or a model that each task needs.

        table = Broadcast(numpy.arange(10**8))
        pool.map(functools.partial(look_up, table), words)  # look_up(table, word) uses table.value

    It is pickled and written into shared memory when this is made, and not for each task; `value` is made from
    there once in each process. Large buffers in it (NumPy arrays, Arrow tables; not `bytes`) are not
    copied: they are the same memory in all processes, and read-only. What else is in it is the
    process's own, as a global variable is: what a process changes there, no other sees.

    A handle may be passed to children, to tasks, and through queues. The memory is given back with the last
    handle and the last value. A process keeps the values of the last 8 whose handles
    it was sent, as the next task may bring the same.

    Args:
        value: The object.

    Raises:
        PicklingError, AttributeError, TypeError: It cannot be pickled.
        MemoryError: The family's shared memory has no room left.
    """

    # No attributes in the `__dict__`, which travels.
    __slots__ = ("_made", "_value")
    _value: _T

    def __init__(self, value: _T) -> None:
        self._create(*pack(value))
        self._made = True

    @property
    def value(self) -> _T:
        """The object, as this process has it: the same at each look.

        Raises:
            Exception: What making it from its pickle raises.
        """
        try:
            return self._value
        except AttributeError:
            pass
        if hasattr(self, "_made"):
            value = self._load(True)
        else:
            value = _of_latest(self)
        self._value = value
        return cast(_T, value)


def _of_latest(handle: Broadcast[Any]) -> Any:
    key = handle._identity()
    try:
        value = _latest[key]
    except KeyError:
        value = _latest.setdefault(key, handle._load(True))
    try:
        _latest.move_to_end(key)
        if len(_latest) > _KEPT:
            _latest.popitem(last=False)
    except KeyError:
        pass  # another thread was quicker
    return value
