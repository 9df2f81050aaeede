"""A pool's workers as processes: started, told apart, seen to end, forgotten.

Everything here is called under the engine's lock. What follows from a worker's end is decided by
`state.py` and done by the engine.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any

from forkful.family import Words
from forkful.launch.interrupts import interrupts_held
from forkful.pool import messages as m
from forkful.pool.state import Roster, WorkerRecord
from forkful.pool.worker import WorkerConfig, work
from forkful.process import NESTS, Process
from forkful.queues import SimpleQueue

__all__ = ["Crew"]


class Crew:
    """The workers of one pool.

    Args:
        size: How many there shall be.
        make_process: Makes a process object from `target` and `args`.
        tasks: Where they take tasks.
        answers: Where they put answers.
        initializer: Called in each before its first task.
        initargs: Its arguments.
        max_tasks: How many tasks each does at most.
        max_memory: How many resident bytes each may hold after a task.
    """

    def __init__(
        self,
        size: int,
        make_process: Callable[..., Any],
        tasks: SimpleQueue[Any],
        answers: SimpleQueue[Any],
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        max_memory: int | None,
    ) -> None:
        self.roster = Roster(size)
        self.max_tasks = max_tasks
        self._make_process = make_process
        self._tasks, self._answers = tasks, answers
        self._initializer, self._initargs = initializer, initargs
        self._max_memory = max_memory
        self._claims = Words(self.roster.places * m.CLAIM_WORDS)

    def __iter__(self) -> Iterator[WorkerRecord]:
        return iter(self.roster.workers.values())

    def processes(self) -> list[Any]:
        """Return the workers' process objects."""
        return [worker.process for worker in self]

    def start_missing(self) -> None:
        """Start as many as are missing."""
        for _ in range(self.roster.missing()):
            number, place = self.roster.place()
            for word in range(m.CLAIM_WORDS):
                self._claims.store(place * m.CLAIM_WORDS + word, 0)
            config = WorkerConfig(
                number,
                place * m.CLAIM_WORDS,
                self._tasks,
                self._answers,
                self._claims,
                self._initializer,
                self._initargs,
                self.max_tasks,
                self._max_memory,
            )
            process = self._make_process(target=work, args=(config,))
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            if isinstance(process, BaseProcess):  # and not a program's own kind of process
                process._config[NESTS] = True  # type: ignore[attr-defined]
            # Ctrl-C waits until the worker ignores it; one of a program's own kind never might.
            ours = isinstance(process, Process)
            with interrupts_held() if ours else contextlib.nullcontext():
                try:
                    process.start()
                except BaseException:
                    self.roster.give_back(place)
                    raise
                record = WorkerRecord(number, place, process, time.monotonic())
                self.roster.workers[number] = record

    def is_ready(self, number: int) -> None:
        """A worker has been initialised."""
        self.roster.ready(number)
        worker = self.roster.workers.get(number)
        if worker is not None:
            worker.since = time.monotonic()

    def claim(self, worker: WorkerRecord) -> tuple[int, int]:
        """Return the number of the task that a worker is about to take or has taken, and since when.

        Without a task the number is that of its last one, or -1; not begun, or done, since 0.
        """
        at = worker.place * m.CLAIM_WORDS
        return self._claims.load(at + m.CLAIM_SEQ) - 1, self._claims.load(at + m.CLAIM_SINCE)

    def dead(self) -> list[WorkerRecord]:
        """Return those that have ended."""
        return [worker for worker in self if worker.process.exitcode is not None]

    def forget(self) -> None:
        """Who has ended is forgotten: a pool that is over keeps no descriptor."""
        self.roster.workers.clear()
