"""Condition and Event."""

from __future__ import annotations

import sys
import time

from forkful import _native
from forkful.family import Handle
from forkful.synchronize.locks import Lock, RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import BaseContext

    from forkful.statistics import ConditionStatistics, EventStatistics

__all__ = ["Condition", "Event"]


class _Waiters(Handle, _native.Condition):
    """The waiters of a Condition."""

    def __init__(self) -> None:
        self._create()


class _Count:
    """A number that is asked for as a semaphore's is."""

    def __init__(self, value: int) -> None:
        self.value = value

    def get_value(self) -> int:
        return self.value


class Condition(_native.Guard):
    """A condition variable over a Lock or RLock. Waiters are notified in the order they came.

    Args:
        lock: The lock to use; a new RLock if None.

    Raises:
        TypeError: `lock` is something else, such as a lock of `threading`.

    `acquire`, `release` and `recover` are those of its lock.
    """

    __module__ = "forkful.synchronize"

    _lock: Lock | RLock

    def __init__(self, lock: Lock | RLock | None = None, *, ctx: BaseContext | None = None) -> None:
        if lock is None:
            lock = RLock(ctx=ctx)
        elif not isinstance(lock, Lock | RLock):
            raise TypeError(f"a Condition's lock must be forkful's Lock or RLock, not {lock!r}")
        self._lock = lock
        self._waiters = _Waiters()
        self._take_methods()

    def _take_methods(self) -> None:
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        self.recover = self._lock.recover

    def __getstate__(self) -> tuple[Lock | RLock, _Waiters]:
        return self._lock, self._waiters

    def __setstate__(self, state: tuple[Lock | RLock, _Waiters]) -> None:
        self._lock, self._waiters = state
        self._take_methods()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock!r}, {self._waiters._waiters()})>"

    def statistics(self) -> ConditionStatistics:
        """Return how many wait to be notified, and what is so of the lock."""
        from forkful.synchronize import figures

        return figures.of_condition(self._waiters._waiters(), self._lock)

    # The stdlib's three counts, for who looks into a condition. A waiter that is woken is a waiter
    # no more, at that moment: none is ever woken and still counted, and no wake-up lies about.
    @property
    def _sleeping_count(self) -> _Count:
        return _Count(self._waiters._waiters())

    @property
    def _woken_count(self) -> _Count:
        return _Count(0)

    @property
    def _wait_semaphore(self) -> _Count:
        return _Count(0)

    def _is_mine(self) -> bool:
        if isinstance(self._lock, RLock):
            return self._lock._mine()[0]
        return self._lock._owner() == _native.me()

    def wait(self, timeout: float | None = None) -> bool:
        """Free the lock, wait to be notified (at most `timeout` seconds), take the lock again.

        Returns:
            Whether the caller was notified in time.

        Raises:
            LockOwnerDied: Whoever held the lock when it was to be taken again has died; the
                caller does not hold it. A `with` block that this ends leaves the lock as it is.
        """
        assert self._is_mine(), "must acquire() condition before using wait()"
        return self._waiters._wait(self._lock, timeout)

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` of those that wait, the longest waiting first. Dead ones do not count."""
        assert self._is_mine(), "lock is not owned"
        self._waiters._notify(n)

    def notify_all(self) -> None:
        """Wake all that wait."""
        self.notify(sys.maxsize)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until `predicate()` is true, at most `timeout` seconds; return its last value."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result


class Event(Handle, _native.Event):
    """A flag that processes wait for."""

    __module__ = "forkful.synchronize"

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create()

    def statistics(self) -> EventStatistics:
        """Return whether the event is set, how often it was, and how many wait for it."""
        from forkful.synchronize import figures

        return figures.of_event(self)

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"
