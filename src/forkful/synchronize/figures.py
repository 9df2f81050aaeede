"""Looks at locks, semaphores, conditions, events and barriers, for their `statistics()`.

Read without a lock, each figure by itself: of an object in use they may be of different moments. What
it costs is paid by who asks, and nothing by who uses the object.
"""

from __future__ import annotations

from forkful import _native
from forkful.statistics import (
    BarrierStatistics,
    ConditionStatistics,
    EventStatistics,
    LockStatistics,
    SemaphoreStatistics,
)

__all__ = ["of_barrier", "of_condition", "of_event", "of_lock", "of_semaphore"]


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
