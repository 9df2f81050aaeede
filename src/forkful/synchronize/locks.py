"""Lock, RLock, Semaphore, BoundedSemaphore."""

from __future__ import annotations

import threading
from multiprocessing.process import current_process

from forkful import _native
from forkful.family import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from forkful.statistics import LockStatistics, SemaphoreStatistics

__all__ = ["SEM_VALUE_MAX", "BoundedSemaphore", "Lock", "RLock", "Semaphore"]

SEM_VALUE_MAX = 2**31 - 1


def _owner_text(owner: int, mine: bool) -> str:
    """As the stdlib words it, plus the pid where it is another process."""
    if not owner:
        return "None"
    if mine:
        name = current_process().name
        thread = threading.current_thread().name
        return name if thread == "MainThread" else f"{name}|{thread}"
    if owner == _native.me():
        return "SomeOtherThread"
    return "SomeOtherProcess"


class Lock(Handle, _native.Lock):
    """A lock that knows its owner. Any process may release it, as with the stdlib's."""

    __module__ = "forkful.synchronize"

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create()

    def statistics(self) -> LockStatistics:
        """Return who holds the lock, since which line, and how many wait for it."""
        from forkful.synchronize import figures

        return figures.of_lock(self)

    def __repr__(self) -> str:
        owner = self._owner()
        return f"<{type(self).__name__}(owner={_owner_text(owner, owner == _native.me())})>"


class RLock(Handle, _native.RLock):
    """A re-entrant lock, owned by a thread of a process."""

    __module__ = "forkful.synchronize"

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create()

    def statistics(self) -> LockStatistics:
        """Return who holds the lock, since which line, and how many wait for it."""
        from forkful.synchronize import figures

        return figures.of_lock(self)

    def __repr__(self) -> str:
        mine, count = self._mine()
        owner = self._owner()
        times: object = count if mine or not owner else "nonzero"
        return f"<{type(self).__name__}({_owner_text(owner, mine)}, {times})>"


class Semaphore(Handle, _native.Semaphore):
    """A counting semaphore. A permit taken by `with` returns if its process dies.

    Args:
        value: Free permits at first, 0 or more.
    """

    __module__ = "forkful.synchronize"

    def __init__(self, value: int = 1, *, ctx: BaseContext | None = None) -> None:
        self._create(value, SEM_VALUE_MAX)

    def statistics(self) -> SemaphoreStatistics:
        """Return how many permits are free, are held, came back from the dead, and are waited for."""
        from forkful.synchronize import figures

        return figures.of_semaphore(self)

    def locked(self) -> bool:
        """Return whether no permit is free."""
        return self.get_value() == 0

    # The stdlib's Queue, which ProcessPoolExecutor makes by itself, asks its semaphore so.
    @property
    def _semlock(self) -> Semaphore:
        return self

    def _is_zero(self) -> bool:
        return self.get_value() == 0

    def _get_value(self) -> int:
        return self.get_value()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()})>"


class BoundedSemaphore(Semaphore):
    """A semaphore that refuses (ValueError) to be released above its first value."""

    __module__ = "forkful.synchronize"

    def __init__(self, value: int = 1, *, ctx: BaseContext | None = None) -> None:
        self._create(value, value)
        self._maxvalue = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self._maxvalue})>"
