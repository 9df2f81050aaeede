"""Locks, semaphores, conditions, events, barriers: `multiprocessing.synchronize` without the hangs.

Each is a handle of an object in the family's shared memory. All may be passed to children, to
tasks and through queues. The stdlib's names, parameters and return values; what differs is what
happens when a process dies:

* the owner of a Lock or RLock: the next `acquire` raises `LockOwnerDied`; `recover()` takes over;
* inside `with semaphore`: the permit returns;
* a waiter of a Condition: no notification is spent on it;
* in a Barrier: a party that had arrived counts as arrived; one that runs the action breaks it.

A process that was forked inside a `with` block leaves what the block holds to its parent, also as it comes out of it.

`statistics()` of each tells what is true at the moment, without slowing anything down.
"""

from __future__ import annotations

from forkful.stdlib import names_of
from forkful.synchronize.barrier import Barrier
from forkful.synchronize.conditions import Condition, Event
from forkful.synchronize.locks import SEM_VALUE_MAX, BoundedSemaphore, Lock, RLock, Semaphore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from forkful.statistics import (
        BarrierStatistics,
        ConditionStatistics,
        EventStatistics,
        LockStatistics,
        SemaphoreStatistics,
    )

__all__ = [
    "SEM_VALUE_MAX",
    "Barrier",
    "BarrierStatistics",
    "BoundedSemaphore",
    "Condition",
    "ConditionStatistics",
    "Event",
    "EventStatistics",
    "Lock",
    "LockStatistics",
    "RLock",
    "Semaphore",
    "SemaphoreStatistics",
]

if not TYPE_CHECKING:
    __getattr__ = names_of(
        "synchronize",
        **{name: "forkful.statistics" for name in __all__ if name.endswith("Statistics")},
    )
