"""Locks, semaphores, conditions, events, barriers: `multiprocessing.synchronize` without the hangs.

Each is a handle of an object in the family's shared memory. All may be passed to children, to
tasks and through queues. The stdlib's names, parameters and return values; what differs is what
happens when a process dies:

* the owner of a Lock or RLock: the next `acquire` raises `LockOwnerDied`; `recover()` takes over;
* inside `with semaphore`: the permit returns;
* a waiter of a Condition: no notification is spent on it;
* in a Barrier: a party that had arrived counts as arrived; one that runs the action breaks it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import current_process
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, NamedTuple

from forkful import _native
from forkful.errors import DeadlockError, LockOwnerDied
from forkful.family import Handle, Words
from forkful.stdlib import names_of

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = [
    "SEM_VALUE_MAX",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "LockStatistics",
    "RLock",
    "Semaphore",
    "SemaphoreStatistics",
]

SEM_VALUE_MAX = 2**31 - 1


class LockStatistics(NamedTuple):
    """A lock at one moment. `owner_pid` and `owner_name` are None when it is free."""

    locked: bool
    owner_pid: int | None
    owner_name: str | None
    owner_alive: bool


class SemaphoreStatistics(NamedTuple):
    """A semaphore at one moment: free permits, and how many came back from dead processes."""

    value: int
    returned: int


def _lock_statistics(owner: int) -> LockStatistics:
    if not owner:
        return LockStatistics(False, None, None, False)
    pid, name = _native.describe(owner) or (None, None)
    return LockStatistics(True, pid, name or None, _native.alive(owner))


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

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create()

    def statistics(self) -> LockStatistics:
        """Return who holds the lock."""
        return _lock_statistics(self._owner())

    def __repr__(self) -> str:
        owner = self._owner()
        return f"<{type(self).__name__}(owner={_owner_text(owner, owner == _native.me())})>"


class RLock(Handle, _native.RLock):
    """A re-entrant lock, owned by a thread of a process."""

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create()

    def statistics(self) -> LockStatistics:
        """Return who holds the lock."""
        return _lock_statistics(self._owner())

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

    def __init__(self, value: int = 1, *, ctx: BaseContext | None = None) -> None:
        self._create(value, SEM_VALUE_MAX)

    def statistics(self) -> SemaphoreStatistics:
        """Return the free permits and how many came back from processes that died."""
        return SemaphoreStatistics(self.get_value(), self._returned())

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

    def __init__(self, value: int = 1, *, ctx: BaseContext | None = None) -> None:
        self._create(value, value)
        self._maxvalue = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self._maxvalue})>"


class _Waiters(Handle, _native.Condition):
    """The waiters of a Condition."""

    def __init__(self) -> None:
        self._create()


class _Count(NamedTuple):
    """A number that is asked for as a semaphore's is."""

    value: int

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

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create()

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


# Words of a barrier, all changed under the condition's lock. A generation is one round: it ends
# when its last party has come (TRIPPED), or broken. Those that wait need only see that it ended.
_GENERATION, _ARRIVED, _STATE, _ACTOR = range(4)
_FILLING, _ACTING, _BROKEN = range(3)
_ROUNDS = 64  # how the last rounds ended, by generation modulo this: 1 tripped, 2 broken
_OUTCOME = 4


class Barrier:
    """Lets `parties` processes wait for one another.

    Args:
        parties: How many must call `wait` for all to go on.
        action: Called by one of them each time, before the others go on.
        timeout: Default for `wait`, in seconds.

    If a process is killed while it runs the action, the barrier breaks. One that is killed while
    it waits had arrived, and is counted.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: BaseContext | None = None,
    ) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._parties, self._action, self._timeout = parties, action, timeout
        self._cond = Condition(Lock(ctx=ctx), ctx=ctx)
        self._words = Words(_OUTCOME + _ROUNDS)

    def _enter(self) -> None:
        """Take the lock; what a dead owner left is a broken barrier."""
        try:
            self._cond.acquire()
        except LockOwnerDied:
            if not self._cond._lock.recover():
                return self._enter()
            self._break()

    def _break(self) -> None:
        self._end_round(broken=True)
        self._words.store(_STATE, _BROKEN)

    def _end_round(self, *, broken: bool) -> None:
        w = self._words
        generation = w.load(_GENERATION)
        w.store(_OUTCOME + generation % _ROUNDS, 2 if broken else 1)
        w.store(_ARRIVED, 0)
        w.store(_STATE, _FILLING)
        w.store(_OUTCOME + (generation + 1) % _ROUNDS, 0)
        w.store(_GENERATION, generation + 1)
        self._cond.notify_all()

    def _look_after_actor(self) -> None:
        w = self._words
        if w.load(_STATE) == _ACTING and not _native.alive(w.load(_ACTOR)):
            self._break()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have come, at most `timeout` seconds.

        Returns:
            A number from 0 to parties - 1, another one for each party.

        Raises:
            threading.BrokenBarrierError: The barrier is or was broken: by abort(), a timeout, an
                action that raised, or a process that died in the action.
        """
        if timeout is None:
            timeout = self._timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        self._enter()
        try:
            w = self._words
            self._look_after_actor()
            if w.load(_STATE) == _BROKEN:
                raise BrokenBarrierError
            part = 1
            while w.load(_STATE) == _ACTING:  # the round before has not ended yet
                self._sleep(deadline, part)
                part = 2
                if w.load(_STATE) == _BROKEN:
                    raise BrokenBarrierError
            index = w.add(_ARRIVED, 1) - 1
            if index + 1 == self._parties:
                self._trip()
            else:
                self._wait_for_end(w.load(_GENERATION), deadline)
            return index
        except DeadlockError:
            self._break()  # one party less: the others cannot come through either
            raise
        finally:
            self._cond.release()

    def _trip(self) -> None:
        """The last party: run the action with the lock free, then let all go on."""
        w = self._words
        if self._action is not None:
            w.store(_ACTOR, _native.me())
            w.store(_STATE, _ACTING)
            generation = w.load(_GENERATION)
            self._cond.release()
            try:
                self._action()
            except BaseException:
                self._enter()
                self._break()
                raise
            self._enter()
            if w.load(_GENERATION) != generation:  # abort() or reset() meanwhile
                raise BrokenBarrierError
        self._end_round(broken=False)

    def _sleep(self, deadline: float | None, part: int) -> None:
        """One bounded sleep: who runs the action may die, and then nobody notifies.

        Args:
            deadline: When the whole wait ends; None: never.
            part: 1 for its first sleep, 2 for one that follows.
        """
        left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
        if left <= 0:
            self._break()
            raise BrokenBarrierError
        try:
            if deadline is None:
                self._cond._waiters._wait(self._cond._lock, left, part)
            else:
                self._cond.wait(left)
        except LockOwnerDied:  # it was to be taken again, and is not
            self._enter()
        self._look_after_actor()

    def _wait_for_end(self, generation: int, deadline: float | None) -> None:
        w = self._words
        part = 1
        while w.load(_GENERATION) == generation:
            self._sleep(deadline, part)
            part = 2
        if w.load(_OUTCOME + generation % _ROUNDS) == 2:
            raise BrokenBarrierError

    def reset(self) -> None:
        """Start anew; whoever waits gets BrokenBarrierError."""
        self._enter()
        try:
            if self._words.load(_ARRIVED) or self._words.load(_STATE) == _ACTING:
                self._end_round(broken=True)
            self._words.store(_STATE, _FILLING)
        finally:
            self._cond.release()

    def abort(self) -> None:
        """Break the barrier: whoever waits, and will wait until reset(), gets BrokenBarrierError."""
        self._enter()
        try:
            self._break()
        finally:
            self._cond.release()

    @property
    def parties(self) -> int:
        """How many must come."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many have come and wait."""
        return self._words.load(_ARRIVED) if self._words.load(_STATE) == _FILLING else 0

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        return self._words.load(_STATE) == _BROKEN

    def __repr__(self) -> str:
        cls = self.__class__
        where = f"{cls.__module__}.{cls.__qualname__} at {id(self):#x}"
        if self.broken:
            return f"<{where}: broken>"
        return f"<{where}: waiters={self.n_waiting}/{self.parties}>"


if not TYPE_CHECKING:
    __getattr__ = names_of("synchronize")
