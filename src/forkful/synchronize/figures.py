"""What `statistics()` of locks, semaphores, conditions, events and barriers returns.

Read without a lock, each figure by itself: of an object in use they may be of different moments. What
it costs is paid by who asks, and nothing by who uses the object.
"""

from __future__ import annotations

from dataclasses import dataclass

from forkful import _native

__all__ = [
    "BarrierStatistics",
    "ConditionStatistics",
    "EventStatistics",
    "LockStatistics",
    "SemaphoreStatistics",
    "of_barrier",
    "of_condition",
    "of_event",
    "of_lock",
    "of_semaphore",
]


@dataclass(frozen=True, slots=True)
class LockStatistics:
    """A Lock or RLock at one moment.

    Attributes:
        locked: Somebody holds it, or has died while it held it.
        owner_pid: Who; None: nobody, or it is not known any more.
        owner_name: Its process name.
        owner_alive: It lives.
        taken: Where the owner has taken the lock, such as `main.py:12 in transfer`; None: not known.
        depth: How often the owner holds it: 0 or 1, of an RLock also more.
        waiters: How many threads wait for it.
    """

    __module__ = "forkful.synchronize"

    locked: bool
    owner_pid: int | None = None
    owner_name: str | None = None
    owner_alive: bool = False
    taken: str | None = None
    depth: int = 0
    waiters: int = 0


@dataclass(frozen=True, slots=True)
class SemaphoreStatistics:
    """A semaphore at one moment.

    Attributes:
        value: Free permits.
        maximum: As many as it can have; None: any number.
        held: Permits that were taken by `with` and are not back yet.
        returned: Permits that came back from processes that died, in all its life.
        waiters: How many threads wait for a permit.
    """

    __module__ = "forkful.synchronize"

    value: int
    maximum: int | None = None
    held: int = 0
    returned: int = 0
    waiters: int = 0


@dataclass(frozen=True, slots=True)
class ConditionStatistics:
    """A condition at one moment.

    Attributes:
        waiters: How many threads of living processes wait to be notified.
        lock: Its lock.
    """

    __module__ = "forkful.synchronize"

    waiters: int
    lock: LockStatistics


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """An event at one moment.

    Attributes:
        is_set: Whether it is set.
        times_set: How often it has changed from unset to set, modulo 2**30.
        waiters: How many threads wait for it.
    """

    __module__ = "forkful.synchronize"

    is_set: bool
    times_set: int = 0
    waiters: int = 0


@dataclass(frozen=True, slots=True)
class BarrierStatistics:
    """A barrier at one moment.

    Attributes:
        parties: How many must come.
        waiting: How many have come and wait.
        generation: How many rounds have ended, broken ones included.
        broken: Whether it is broken.
        actor_pid: Who runs the action just now; None: nobody.
        actor_name: Its process name.
    """

    __module__ = "forkful.synchronize"

    parties: int
    waiting: int = 0
    generation: int = 0
    broken: bool = False
    actor_pid: int | None = None
    actor_name: str | None = None


def _known(owner: int) -> tuple[int | None, str | None]:
    pid, name = (_native.describe(owner) if owner else None) or (None, None)
    return pid, name or None


def of_lock(lock: _native.Lock | _native.RLock) -> LockStatistics:
    """Look at a lock."""
    owner, taken = lock._owner(), lock._taken()
    waiters = _native.waiters(lock._identity()[0])
    if not owner:
        return LockStatistics(False, waiters=waiters)
    return LockStatistics(
        True, *_known(owner), _native.alive(owner), taken, max(1, lock._depth()), waiters
    )


def of_semaphore(semaphore: _native.Semaphore) -> SemaphoreStatistics:
    """Look at a semaphore."""
    off = semaphore._identity()[0]
    maximum = getattr(semaphore, "_maxvalue", None)
    return SemaphoreStatistics(
        semaphore.get_value(),
        maximum,
        _native.held(off),
        semaphore._returned(),
        _native.waiters(off),
    )


def of_condition(waiters: int, lock: _native.Lock | _native.RLock) -> ConditionStatistics:
    """Look at a condition's lock."""
    return ConditionStatistics(waiters, of_lock(lock))


def of_event(event: _native.Event) -> EventStatistics:
    """Look at an event."""
    return EventStatistics(
        event.is_set(), event._times_set(), _native.waiters(event._identity()[0])
    )


def of_barrier(
    parties: int, waiting: int, generation: int, broken: bool, actor: int
) -> BarrierStatistics:
    """Name the process that runs a barrier's action."""
    return BarrierStatistics(parties, waiting, generation, broken, *_known(actor))
