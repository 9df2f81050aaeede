"""`List`: a list in shared memory."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, MutableSequence
from typing import Any, TypeVar

from forkful import _native
from forkful.family import Handle
from forkful.shared.own import count_own
from forkful.shared.showing import show

_T = TypeVar("_T")
_END = 2**62  # behind the last place of any list


class List(Handle, _native.List[_T], MutableSequence[_T]):
    """A list that processes share. Methods mean what they mean for a list.

    Args:
        values: What is in it at first.

    Values are copies: `l[0].append(1)` changes a copy and nothing else; `l.apply` changes the value. Each
    method is one step for all processes. An index, `append` and `pop()` take the same time however long
    the list is; `pop(0)`, `insert` and slices copy 16 bytes for each value of the list. Iteration goes by
    index, as a list's does.

    Killed in the middle of a method, a process has done all of it or nothing, and nobody waits for it. A
    list that holds itself, also by way of others, is freed with the family.

    Raises:
        IndexError, ValueError, TypeError: As of a list.
        MemoryError: The family's shared memory has no room left; nothing has changed.
        PicklingError, AttributeError, TypeError: A value cannot be pickled.
    """

    def __init__(self, values: Iterable[_T] = (), /) -> None:
        self._create()
        self.extend(values)

    def apply(self, index: int, func: Callable[[_T], _T], /) -> _T:
        """Set the value at an index to `func(it)`, as one step for all processes, and return that.

        No lock is held while `func` runs. If another process has changed that place meanwhile, `func` is
        called again with what is there then: let it have no other effects. If it raises, or its process
        dies, nothing has changed.

        Raises:
            IndexError: Nothing is there.
            RuntimeError: `func` sets that place itself, whenever it is called.
        """
        own = 0
        while True:
            tag, old = self._peek(index)
            new = func(old)
            done = self._swap(index, tag, new)
            if done:
                return new
            own = count_own(own, done, func)

    def insert(self, index: int, value: _T, /) -> None:
        """Put a value before the one at an index."""
        self._splice(None, index, index, [value])

    def extend(self, values: Iterable[_T], /) -> None:
        """Add values at the end, in one step."""
        self._splice(None, _END, _END, values[:] if isinstance(values, List) else list(values))

    def remove(self, value: _T, /) -> None:
        """Take the first value that is equal out of the list; raise ValueError if there is none."""
        while True:
            version, values = self._snapshot()
            try:
                i = values.index(value)
            except ValueError:
                raise ValueError("list.remove(x): x not in list") from None
            if self._splice(version, i, i + 1, []):
                return

    def reverse(self) -> None:
        """Turn the list round."""
        while True:
            version, n = self._version()
            if self._select(version, list(range(n))[::-1]):
                return

    def sort(self, *, key: Callable[[_T], Any] | None = None, reverse: bool = False) -> None:
        """Sort the list; anew if it has changed before that was done."""
        while True:
            version, values = self._snapshot()
            by: list[Any] = values if key is None else [key(value) for value in values]
            order = sorted(range(len(values)), key=by.__getitem__, reverse=reverse)
            if self._select(version, order):
                return

    def index(self, value: Any, start: int = 0, stop: int = _END, /) -> int:
        """Return where the first value is that is equal; raise ValueError if there is none."""
        return self.copy().index(value, start, stop)

    def count(self, value: Any, /) -> int:
        """Return how many values are equal."""
        return self.copy().count(value)

    def copy(self) -> list[_T]:
        """Return a plain list of the values as they are now."""
        return self._snapshot()[1]

    def __contains__(self, value: object) -> bool:
        return value in self.copy()

    def __add__(self, other: Any) -> list[Any]:
        return self.copy() + _plain(other)

    def __radd__(self, other: Any) -> list[Any]:
        return _plain(other) + self.copy()

    def __mul__(self, times: int) -> list[_T]:
        return self.copy() * times

    __rmul__ = __mul__

    def __iadd__(self, values: Iterable[_T]) -> List[_T]:  # type: ignore[misc]
        self.extend(values)
        return self

    def __imul__(self, times: int) -> List[_T]:
        while True:
            version, values = self._snapshot()
            n = len(values)
            if times > 0:
                done = self._splice(version, n, n, values * (times - 1))
            else:
                done = self._splice(version, 0, n, [])
            if done:
                return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (List, list)):
            return NotImplemented
        return self.copy() == _plain(other)

    def __lt__(self, other: Any) -> bool:
        return self.copy() < _plain(other)

    def __le__(self, other: Any) -> bool:
        return self.copy() <= _plain(other)

    def __gt__(self, other: Any) -> bool:
        return self.copy() > _plain(other)

    def __ge__(self, other: Any) -> bool:
        return self.copy() >= _plain(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return show(self, lambda: f"List({self.copy()!r})")

    # What the native side leaves to this one:

    def _get_slice(self, part: slice) -> list[_T]:
        part.indices(0)  # raises what a list's slice raises
        start, stop, step = _whole(part.start, 0), _whole(part.stop, _END), _whole(part.step, 1)
        if step == 1 and start >= 0 and stop >= 0:
            return self._snapshot(min(start, _END), min(max(start, stop), _END))[1]
        return self.copy()[part]

    def _set_slice(self, part: slice, values: Iterable[_T]) -> None:
        new = values[:] if isinstance(values, List) else list(values)
        while True:
            version, n = self._version()
            start, stop, step = part.indices(n)
            if step == 1:
                done = self._splice(version, start, max(start, stop), new)
            else:
                at = range(start, stop, step)
                if len(at) != len(new):
                    raise ValueError(
                        f"attempt to assign sequence of size {len(new)} to extended slice of size {len(at)}"
                    )
                version, all_of_it = self._snapshot()
                if len(all_of_it) != n:
                    continue
                all_of_it[part] = new
                done = self._splice(version, 0, n, all_of_it)
            if done:
                return

    def _delete_slice(self, part: slice) -> None:
        while True:
            version, n = self._version()
            left = list(range(n))
            del left[part]
            if len(left) == n or self._select(version, left):
                return

    def _keep_proxies(self, data: bytes, buffers: Any) -> None:
        from forkful.shared.proxies import keep

        keep(data, buffers)


def _whole(bound: Any, default: int) -> int:
    return default if bound is None else operator.index(bound)


def _plain(values: Any) -> list[Any]:
    return values.copy() if isinstance(values, List) else values
