"""The tasks that are under way: sent to the workers and not answered yet, or waiting to be sent once more.

Everything here is called under the engine's lock, and nothing else sends to the workers' queue. So
a task's number is its place in that queue, and what the queue still holds nobody has begun.
"""

from __future__ import annotations

import heapq
import itertools
import operator
import time
from collections.abc import Iterator
from typing import Any

from forkful.pool import messages as m
from forkful.pool.state import Job, Task
from forkful.queues import SimpleQueue

__all__ = ["UnderWay"]

_AT_ONCE = 256


class UnderWay:
    """Of one pool."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.tasks: dict[int, Task] = {}  # by number
        self._sent = 0  # the next number
        self._later: list[tuple[float, int, Task]] = []  # a heap, by the time that each is due
        self._counter = itertools.count()
        self._back: list[tuple[int, int, m.Message]] = []  # messages taken back from the workers

    def __iter__(self) -> Iterator[Task]:
        return itertools.chain(self.tasks.values(), (task for _, _, task in self._later))

    @property
    def timed(self) -> bool:
        """Whether something will be due though nobody answers: a retry, the end of a timeout."""
        return bool(self._later) or any(t.timeout is not None for t in self.tasks.values())

    def send(self, task: Task) -> None:
        """Put a task into the workers' queue."""
        seq = self.queue._put_bytes(task.data, task.kind)
        self.tasks[seq] = task
        self._sent = seq + 1
        if task.items is None and not task.retry.retries:
            task.data = b""

    def send_all(self, tasks: list[Task], messages: list[m.Message]) -> None:
        """The same for several tasks of one kind, waking the workers once."""
        if not tasks:
            return
        first = self.queue._put_many(messages, tasks[0].kind)
        self.tasks.update(zip(range(first, first + len(tasks)), tasks, strict=True))
        self._sent = first + len(tasks)

    def send_later(self, task: Task, delay: float) -> None:
        """The same after `delay` seconds."""
        if delay <= 0:
            self.send(task)
        else:
            when = time.monotonic() + delay
            heapq.heappush(self._later, (when, next(self._counter), task))

    def send_due(self, now: float) -> None:
        """Send those whose time has come."""
        while self._later and self._later[0][0] <= now:
            self.send(heapq.heappop(self._later)[2])

    def stop(self, workers: int) -> None:
        """Tell so many workers to end, once they have done what was sent before."""
        for _ in range(workers):
            self.queue._put_bytes(b"", m.STOP)

    def taken(self, seq: int) -> Task | None:
        """Return a task that a worker claims, unless it is answered, or not really taken.

        A claim is written just before the take: a worker may have died in between.
        """
        task = self.tasks.get(seq)
        return None if task is None or seq >= self._sent - self.queue.qsize() else task

    def take_back(self) -> None:
        """Take back what nobody has begun. Until it is put back, the workers' claims do not change."""
        while self.queue._take_bytes(self._back, _AT_ONCE, 0):
            pass

    def put_back(self) -> None:
        """Let the workers have what was taken back, save what was dropped meanwhile."""
        back = self._back
        while back:
            kind, group = next(itertools.groupby(back, key=operator.itemgetter(1)))
            run = list(group)
            # Should Ctrl-C come in between, the recount finds these missing.
            found = [(self.tasks.pop(seq, None), data) for seq, _, data in run]
            del back[: len(run)]
            if kind == m.STOP:
                self.stop(len(run))
                continue
            kept = [(task, data) for task, data in found if task is not None]
            self.send_all([task for task, _ in kept], [data for _, data in kept])

    def drop(self, job: Job) -> None:
        """Forget a job's tasks; what workers answer of them is ignored."""
        self.tasks = {seq: task for seq, task in self.tasks.items() if task.job is not job}
        self._later = [entry for entry in self._later if entry[2].job is not job]
        heapq.heapify(self._later)

    def clear(self) -> None:
        """Forget all."""
        self.tasks.clear()
        self._later.clear()
        self._back.clear()
