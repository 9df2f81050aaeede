"""A manager's `Array` at hand: an `array.array`, in strips of a shared list.

A strip has the length of the whole array, so that whoever reads one knows that, and room for as many items as go
into `_ROOM` bytes. Only the last strip may have fewer; an empty array has one strip without any. Place 0 is not
one of them: it has the writers' lock.

Each change is one call of the list: so whoever dies leaves the array whole. An item is set by putting its bytes
into the strip's, if that still has the length that this process knows of. Any other change is one of what was
read before, and is done only if nobody has changed that meanwhile; if not, it is tried again. For that not to
go on for ever there is the lock: who makes such a change holds it, or takes it after the first attempt, and
nobody begins to change anything while another has it. Nothing else depends on it: what a dead
owner leaves needs no mending, and in one thread a signal handler may change what is being changed.
"""

from __future__ import annotations

import operator
import struct
from array import array
from collections.abc import Callable, Iterator
from multiprocessing import managers as _stdlib
from typing import Any, TypeVar

from forkful import wire
from forkful.errors import LockOwnerDied
from forkful.managers.athand import Above
from forkful.managers.containers import SharedList
from forkful.shared.own import count_own
from forkful.synchronize import RLock

_ArrayProxy: Any = _stdlib.ArrayProxy

_T = TypeVar("_T")

_HEAD = 8
_ROOM = 896  # bytes of items in a strip: with all that goes with it, it fills a block of 1024
_sample = b"x" * (_HEAD + _ROOM)
_BEFORE = wire.dumps(_sample).partition(_sample)[0]
"""What the pickle of a strip begins with. (Were another one's not so, it would be set the slow way.)"""
_AT = len(_BEFORE) + _HEAD  # where items are in it
_length_of: Callable[[bytes], tuple[int]] = struct.Struct("q").unpack_from
_RANGE = "array index out of range"
_SET_RANGE = "array assignment index out of range"


def _strips(items: array[Any], length: int) -> Iterator[bytes]:
    head, data = struct.pack("q", length), items.tobytes()
    for at in range(0, len(data) or 1, _ROOM):
        yield (head + data[at : at + _ROOM]).ljust(_HEAD + _ROOM, b"\0")


class SharedArray(Above, _ArrayProxy):  # type: ignore[misc]
    """What `manager.Array()` is. Each method is one step for all processes, also with a slice."""

    _kind, _typeid = "ArrayProxy", "Array"

    def __init__(self, shared: Any, typecode: str) -> None:
        super().__init__(shared, typecode)
        self._typecode = typecode
        self._size = size = array(typecode).itemsize
        self._fit = _ROOM // size
        self._read, self._write = _codec(typecode, size)
        self._lock: RLock | None = None
        # The length when an item was last set, and how the strips' pickles began.
        self._known = (0, b"")

    @classmethod
    def of_manager(
        cls, manager: Any, /, typecode: str, sequence: Any, lock: object = True
    ) -> SharedArray:
        """Return a new array of that manager. `lock` means nothing."""
        items: array[Any] = array(typecode, sequence)
        strips = [RLock(), *_strips(items, len(items))]
        shared: SharedList[Any] = SharedList.of_manager(manager, strips)
        shared._noun = "Array"
        return cls(shared, typecode)

    def __len__(self) -> int:
        return _length_of(self._shared[1])[0]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._get_slice(key)
        _, _, strip, at = self._find(_index(key), _RANGE)
        return self._read(strip, at)[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            self._set_slice(key, value)
            return
        i = _index(key)
        try:
            new = self._bytes_of(value)
        except Exception:
            self._find(i, _SET_RANGE)  # is told first
            raise
        length, start = self._known
        j = i if i >= 0 else i + length
        if 0 <= j < length and self._lock is not None and not self._lock.locked():
            at = _AT + j % self._fit * self._size
            if self._shared._patch(1 + j // self._fit, start, at, new):
                return
        self._set_item(i, new)

    def apply(self, index: int, func: Callable[[Any], Any], /) -> Any:
        """Set the item at an index to `func(it)`, as one step for all processes, and return that.

        No lock is held while `func` runs. If another process has changed the item meanwhile, `func` is
        called again with what is there then: let it have no other effects. If it raises, or its process
        dies, nothing has changed.

        Raises:
            IndexError: Nothing is there.
            RuntimeError: `func` sets that item itself, whenever it is called.
        """
        i = _index(index)
        own = 0
        while True:
            place, tag, strip, at = self._find(i, _RANGE)
            old = strip[at : at + self._size]
            new = self._bytes_of(func(self._read(strip, at)[0]))
            if self._set_item(i, new, old):
                return self._read(new, 0)[0]
            # Changes nothing, for the tag is an old one: it tells who came in between.
            own = count_own(own, self._shared._swap(place, tag, strip), func)

    def _getvalue(self) -> array[Any]:
        """Return a plain copy."""
        return self._get_slice(slice(None))

    def _bytes_of(self, value: Any) -> bytes:
        try:
            return self._write(value)  # type: ignore[no-any-return]
        except Exception:  # it may be right all the same; if not, let the array tell
            return array(self._typecode, (value,)).tobytes()

    def _find(self, i: int, out_of_range: str) -> tuple[int, int, bytes, int]:
        """Return the place of the strip with an index, its tag, the strip, and where the item is in that.

        Raises:
            IndexError: There is no such item.
        """
        while True:
            length = len(self) if i < 0 else None
            j = i if length is None else i + length
            if j < 0:
                raise IndexError(out_of_range)
            place = 1 + j // self._fit
            try:
                tag, strip = self._shared._peek(place)
                (now,) = _length_of(strip)
            except IndexError:
                tag, strip, now = 0, b"", len(self)
            if length is not None and now != length:
                continue
            if j >= now:
                raise IndexError(out_of_range)
            if strip:  # or it has come this instant
                return place, tag, strip, _HEAD + j % self._fit * self._size

    def _set_item(self, i: int, new: bytes, old: bytes | None = None) -> bool:
        """Set an item; with `old`, only if it is that. Return whether it is set."""
        lock = self._lock or self._the_lock()
        in_turn = lock.locked()
        while True:
            try:
                if in_turn:
                    with lock:
                        done = self._try_item(i, new, old)
                else:
                    done = self._try_item(i, new, old)
                if done is not None:
                    return done
                in_turn = True
            except LockOwnerDied:
                _take_over(lock)

    def _try_item(self, i: int, new: bytes, old: bytes | None) -> bool | None:
        """As `_set_item`; None if something has changed meanwhile."""
        place, tag, strip, at = self._find(i, _SET_RANGE)
        end = at + self._size
        if old is not None and strip[at:end] != old:
            return False
        if not self._shared._swap(place, tag, strip[:at] + new + strip[end:]):
            return None
        head = strip[:_HEAD]
        self._known = _length_of(head)[0], _BEFORE + head
        return True

    def _part(self, first: int, last: int) -> tuple[int, int, array[Any]]:
        """Return a version, the array's length then (-1: it has no such strip), and the items of these strips."""
        version, strips = self._shared._snapshot(1 + first, 1 + last)
        length = _length_of(strips[0])[0] if strips else -1
        items: array[Any] = array(self._typecode)
        for strip in strips:
            items.frombytes(strip[_HEAD:])
        del items[max(length - first * self._fit, 0) :]
        return version, length, items

    def _within(self, span: range) -> tuple[int, int, slice]:
        """Return the strips that have the items of a span, which is not empty, and where these are in them."""
        low, high = min(span[0], span[-1]), max(span[0], span[-1])
        first, last = low // self._fit, high // self._fit + 1
        base = first * self._fit
        stop = span.stop - base
        return first, last, slice(span.start - base, stop if stop >= 0 else None, span.step)

    def _get_slice(self, key: slice) -> array[Any]:
        while True:
            length = len(self)
            span = range(length)[key]
            if not span:
                return array(self._typecode)
            first, last, inside = self._within(span)
            _, now, items = self._part(first, last)
            if now == length:
                return items[inside]

    def _set_slice(self, key: slice, value: Any) -> None:
        lock = self._lock or self._the_lock()
        while True:
            try:
                with lock:
                    if self._try_slice(key, value):
                        return
            except LockOwnerDied:
                _take_over(lock)

    def _try_slice(self, key: slice, value: Any) -> bool:
        """Set a slice, and return True; False if something has changed meanwhile."""
        version, length, _ = self._part(0, 1)
        span = range(length)[key]
        first, last, inside = 0, length // self._fit + 1, key
        stays = (
            isinstance(value, array)
            and value.typecode == self._typecode
            and len(value) == len(span) > 0
        )
        if stays:
            first, last, inside = self._within(span)
        now, _, items = self._part(first, last)
        if now != version:
            return False
        items[inside] = value  # raises what an array raises
        strips = list(_strips(items, length if stays else len(items)))
        return self._shared._splice(version, 1 + first, 1 + last, strips)  # type: ignore[no-any-return]

    def _the_lock(self) -> RLock:
        lock: RLock = self._shared[0]
        self._lock = lock
        return lock


def _codec(typecode: str, size: int) -> tuple[Any, Any]:
    """Return what reads an item at a place in bytes, as a tuple of one, and what makes bytes of an item."""
    try:
        item = struct.Struct(typecode)
        return item.unpack_from, item.pack
    except struct.error:  # characters
        return (
            lambda strip, at: (array(typecode, strip[at : at + size])[0],),
            lambda value: array(typecode, (value,)).tobytes(),
        )


def _take_over(lock: RLock) -> None:
    if lock.recover():
        lock.release()


def _index(key: Any) -> int:
    try:
        return operator.index(key)
    except TypeError:
        raise TypeError("array indices must be integers") from None
