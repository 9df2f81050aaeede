"""What `statistics()` returns: of queues, of locks and the like, of pools.

Only the types, which anything may import. Who fills them in: `queues`, `synchronize.figures`, `pool.engine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "BarrierStatistics",
    "ConditionStatistics",
    "EventStatistics",
    "LockStatistics",
    "PoolStatistics",
    "QueueStatistics",
    "SemaphoreStatistics",
    "WorkerStatistics",
]


class QueueStatistics(NamedTuple):
    """A queue at one moment.

    Attributes:
        items: How many are inside.
        maxsize: How many there is room for; 0: any number.
        put: How many were ever put.
        taken: How many have left it: by `get`, or dropped by `shutdown(immediate=True)`.
        unfinished: Of a `JoinableQueue`: how many `join` waits for.
        lost: Of these, how many nobody will ever finish; the next `join` reports them.
        getting: How many threads wait in `get`, in all processes.
        putting: The same for `put`,
        joining: and for `join`.
        shut_down: None; "shutdown"; "immediate".
    """

    items: int
    maxsize: int
    put: int
    taken: int
    unfinished: int
    lost: int
    getting: int
    putting: int
    joining: int
    shut_down: str | None


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


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """One worker at one moment. `seconds`: how long it has been in that state.

    `task` is the number of the input (of `outcomes`) or task that it works at, or None.
    """

    pid: int | None
    name: str
    state: Literal["starting", "idle", "busy"]
    task: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment. `waiting`: tasks sent to the workers and not begun."""

    workers: tuple[WorkerStatistics, ...]
    waiting: int
    died: int
    retired: int
