"""What a pool decides, without doing it: no clock, no process, no file descriptor.

The engine tells what happened and when; these answer what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from forkful.pool.messages import Message

__all__ = [
    "ChunkSizer",
    "EXCEPTION",
    "NO_RETRY",
    "POISON_DEATHS",
    "Doom",
    "Job",
    "LossPlan",
    "Retry",
    "RetryOn",
    "Roster",
    "Task",
    "WorkerRecord",
    "plan_loss",
    "retrying",
    "seconds",
]


class Job(Protocol):
    """What a task belongs to: a call of the pool's user."""

    callbacks: bool  # somebody is to be called when it is done
    called_off: bool  # it was cancelled; done once nobody works at it any more

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def feed(self) -> None:
        """Send more of the inputs, as far as there is room."""

    def abandon(self, error: BaseException) -> None:
        """It has failed: nothing more will come."""

    def cut_off(self, error: BaseException) -> None:
        """The pool was terminated before this was done; who waits for it gets `error`."""

    def call_off(self) -> bool:
        """It is to be cancelled. Return False if it has ended already."""

    def wanted(self) -> str | None:
        """Name it, unless it is as good as done, or nobody wants what comes of it."""

    def has_lost(self, tasks: list[Task]) -> bool:
        """Whether an answer is missing, when these are the tasks that are not answered yet."""

    def result(self, task: Task, data: Message) -> None:
        """The task returned `data`."""

    def timed_result(self, task: Task, data: Message) -> None:
        """The chunk returned `data`."""

    def item(
        self, task: Task, index: int, seconds: float, making: float, pid: int, data: Message
    ) -> None:
        """Item `index` of the batch returned `data`."""

    def failed(
        self, task: Task, item: int | None, error: BaseException, seconds: float, pid: int | None
    ) -> None:
        """The task, or one item of the batch, is given up."""

    def send_again(self, task: Task, items: list[Any], delay: float, attempts: int) -> None:
        """Send these items of the batch once more, after `delay` seconds, as that attempt."""

    def cancelled(self) -> None:
        """It was called off, and nobody works at it any more."""

    def describe(self, task: Task, item: int | None) -> str:
        """Name the task for an error message."""


RetryOn = type[BaseException] | tuple[type[BaseException], ...]

EXCEPTION: tuple[type[BaseException], ...] = (Exception,)
"""What is tried again if nothing else is said."""

POISON_DEATHS = 3  # workers that a task may kill; then it is not tried again, whatever it may
_LONGEST_BACKOFF = 60.0  # seconds, unless the first one is longer
_JITTER = 0.25


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after how long, something that failed is tried again.

    Args:
        retries: Extra attempts.
        retry_on: Only after errors of these classes.
        backoff: Seconds before the first extra attempt; twice as long before each further one, up
            to a minute.
    """

    retries: int = 0
    retry_on: RetryOn = EXCEPTION
    backoff: float = 0.0

    def delay(self, attempts: int, error: BaseException, luck: float = 0.0) -> float | None:
        """Return the seconds to wait before the next attempt; None: there is none.

        Args:
            attempts: How many there were.
            error: What the last one ended with.
            luck: By how much of the possible extra time to wait longer, 0 to 1, so that what
                failed together does not come back together.
        """
        if attempts > self.retries or not isinstance(error, self.retry_on):
            return None
        longest = max(_LONGEST_BACKOFF, self.backoff)
        return min(self.backoff * 2.0 ** min(attempts - 1, 64), longest) * (1 + _JITTER * luck)


NO_RETRY = Retry()


def seconds(timeout: Any) -> float | None:
    """Return a call's `timeout`, if it is one.

    Raises:
        TypeError: It is neither None nor a number.
        ValueError: It is no time that a task could take.
    """
    if timeout is None:
        return None
    if isinstance(timeout, (str, bytes)):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
    number = float(timeout)
    if not number > 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {timeout!r}")
    return number


def retrying(retries: int, retry_on: RetryOn, backoff: float) -> Retry:
    """Return what a call's arguments of these names mean.

    Raises:
        TypeError: `retry_on` is neither an exception class nor a tuple of them.
        ValueError: A negative number.
    """
    if retries == 0 and retry_on is EXCEPTION and backoff == 0:
        return NO_RETRY
    classes = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if not all(isinstance(c, type) and issubclass(c, BaseException) for c in classes):
        raise TypeError(f"retry_on must be an exception class or a tuple of them, not {retry_on!r}")
    if retries < 0 or backoff < 0:
        raise ValueError("retries and backoff must not be negative")
    return Retry(retries, classes, backoff) if retries else NO_RETRY


class Task:
    """One message to the workers. A batch has items, which are answered one by one.

    Most tasks need little of this, and there may be a million: what is not set is the class's.
    """

    size: int = 1  # inputs in it
    timeout: float | None = None
    retry: Retry = NO_RETRY
    attempts: int = 1
    deaths: int = 0  # workers that died with it
    cost: int = 0  # bytes of the arguments
    items: list[Any] | None = None  # of a batch: what the job needs to know each by
    next: int = 0  # of a batch: the first item not answered yet
    held: Sequence[Any] = ()  # handles in the arguments, kept until the answer

    def __init__(self, job: Job, kind: int, data: Message, index: int = 0) -> None:
        self.job = job
        self.kind = kind
        self.data = data  # the whole message; b"" once it is not needed again
        self.index = index  # in its job


@dataclass(slots=True)
class Doom:
    """Why the pool is killing a worker."""

    task: int  # the number of the task that it runs
    seconds: float | None = None  # the timeout that this has passed
    job: Job | None = None  # the job that was cancelled


@dataclass(slots=True, eq=False)
class WorkerRecord:
    """What the pool knows of a worker."""

    number: int
    place: int  # its claim begins at this word
    process: Any
    since: float  # when it was started, or went idle
    ready: bool = False
    retired: bool = False
    doom: Doom | None = None


@dataclass(slots=True)
class LossPlan:
    """What becomes of the task that a dead worker had. Items are of a batch; None: the task."""

    blame: bool  # the task, or the item `item`, has this death counted as its failed attempt
    item: int | None = None
    again: list[int] = field(default_factory=list)  # items that go back together
    alone: list[int] = field(default_factory=list)  # items that go back one by one


def plan_loss(task: Task, begun: bool) -> LossPlan:
    """Say what follows when a worker dies that had taken `task`.

    Args:
        task: The task, with `next` telling which of its items have been answered.
        begun: Whether the worker was at that item; it may also have died between two.

    An item that was not begun has not failed. But if a worker died before it began any, reading the
    batch may be what kills: then its items are sent alone, and one that is alone is to blame.
    """
    if task.items is None:
        return LossPlan(blame=True)
    rest = list(range(task.next, len(task.items)))
    if not rest:
        return LossPlan(blame=False)
    if begun or (len(task.items) == 1 and task.deaths > 0):
        return LossPlan(blame=True, item=rest[0], again=rest[1:])
    if task.next == 0:
        return LossPlan(blame=False, alone=rest)
    return LossPlan(blame=False, again=rest)


class Roster:
    """The workers, by number; how many there shall be; and when to stop replacing them.

    Args:
        size: How many workers there shall be.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.workers: dict[int, WorkerRecord] = {}
        self.died = 0
        self.retired = 0
        self._next_number = 0
        self._deaths_at_start = 0
        self._free_places = list(range(2 * size))[::-1]

    @property
    def places(self) -> int:
        """How many claims are needed: a retiring worker and its successor overlap."""
        return 2 * self.size

    def missing(self) -> int:
        """Return how many workers to start now."""
        active = sum(not w.retired for w in self.workers.values())
        return min(self.size - active, len(self._free_places))

    def place(self) -> tuple[int, int]:
        """Return number and place for a new worker."""
        self._next_number += 1
        return self._next_number, self._free_places.pop()

    def give_back(self, place: int) -> None:
        """A place is free again."""
        self._free_places.append(place)

    def ready(self, number: int) -> None:
        """A worker has been initialised."""
        self._deaths_at_start = 0
        if number in self.workers:
            self.workers[number].ready = True

    def ended(self, worker: WorkerRecord) -> bool:
        """A worker has ended. Return False if it is pointless to start further ones."""
        del self.workers[worker.number]
        self.give_back(worker.place)
        if worker.retired:
            self.retired += 1
            return True
        self.died += 1
        if worker.ready:
            return True
        self._deaths_at_start += 1
        return self._deaths_at_start < max(3, self.size)


_MANY = 10  # times as long as it takes to make the function


class ChunkSizer:
    """How many inputs to send in one message, from how long they take.

    Small at first, so that the first answers tell soon how long an input takes; then as many as
    take `target` seconds: far more than a message costs, far less than the tail of uneven work
    that it may cause. Where a function takes long to make, which is done for each message (a
    `functools.partial` with much data in it), so many that this is a small part of all.

    Args:
        workers: How many workers share the inputs.
        target: Seconds that a message's inputs should take together.
        most: The largest size.
    """

    def __init__(self, workers: int, target: float, most: int) -> None:
        self._workers = workers
        self._target = target
        self._most = most
        self._making = math.inf
        self.size = 1

    def took(self, inputs: int, seconds: float, making: float = 0.0) -> None:
        """`inputs` inputs took `seconds` in a worker, besides `making` seconds for the function."""
        each = max(seconds / inputs, 1e-9)
        # The same function each time: what one took longer was the machine's doing.
        self._making = min(self._making, making)
        wanted = int(max(self._target, _MANY * self._making) / each)
        self.size = max(1, min(wanted, 4 * self.size, self._most))

    def chunk(self, left: int | None) -> int:
        """Return the next size, when `left` inputs are left (None: not known)."""
        if left is None:
            return self.size
        # Towards the end in smaller pieces, so that all workers finish together.
        return max(1, min(self.size, -(-left // (2 * self._workers))))


def describe_call(func: Callable[..., Any] | str, args: tuple[Any, ...]) -> str:
    """Return `f(7)` for an error message; never raises, never long."""
    name = func if isinstance(func, str) else getattr(func, "__qualname__", type(func).__name__)
    try:
        text = ", ".join(repr(a)[:60] for a in args[:4])
    except Exception:
        text = "..."
    return f"{name}({text})"
