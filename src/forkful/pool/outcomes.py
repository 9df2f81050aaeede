"""What `Pool.outcomes` iterates over: one `Outcome` for each input."""

from __future__ import annotations

import threading
from typing import Any, Final

from forkful.pool.messages import BATCH, ITEM, Message
from forkful.pool.outcome import Outcome
from forkful.pool.results import load
from forkful.pool.state import ChunkSizer, Task, describe_call
from forkful.pool.stream import AHEAD, Stream

__all__ = ["LATER", "OutcomeJob", "Outcomes"]

LATER: Final = object()
"""What inputs of `Pool.outcomes(..., inline=True)` may yield: nothing to be had at the moment."""


class OutcomeJob(Stream):
    """The job of `outcomes`. A unit is an input; each has its own outcome.

    Inputs travel in batches when they take so little time that a message each would cost more.
    """

    def __init__(self, *args: Any, inline: bool) -> None:
        super().__init__(*args)
        # A worker that ends after so many tasks counts messages: each input is one then.
        most = 256 if self._engine.crew.max_tasks is None else 1
        self._sizer = ChunkSizer(self._engine.size, target=0.002, most=most)
        self._later = False
        # Inputs that are read inline are read by the consumer's thread only, not by whoever drives.
        self._reader = threading.get_ident() if inline else None
        self._inline = self._inline or inline

    def feed(self) -> None:
        """Read inputs and send them, as far as there is room."""
        if self._reader is None or self._reader == threading.get_ident():
            self._later = False
            super().feed()

    def _wants(self) -> bool:
        return not self._later and super()._wants()

    def _ahead(self) -> int:
        return (AHEAD + 4 * self._sizer.size) * self._engine.size

    def _send_next(self) -> None:
        room = max(1, self._ahead() - (self._read - self._given))
        size = min(self._sizer.size, room)
        batch = []
        error: BaseException | None = None
        ended = False
        try:
            for _ in range(size):
                x = next(self._inputs)
                if x is LATER:
                    self._later = True
                    break
                batch.append(x)
        except StopIteration:
            ended = True
        except BaseException as e:
            if not self._is_landed(e):
                raise
            error = e
        with self._engine.lock, self._engine.books:
            if self._done:
                return
            first = self._read
            self._read += len(batch)
            if batch:
                self._send(list(enumerate(batch, first)), 0.0, 1)
            if ended or error is not None:
                self._end_of_inputs(error)

    def _send(
        self, items: list[tuple[int, Any]], delay: float, attempts: int, deaths: int = 0
    ) -> None:
        """Send a batch; inputs that cannot be pickled fail by themselves."""
        try:
            message, held = self._dump([x for _, x in items], self._function)
        except BaseException as e:
            if not self._is_landed(e):
                raise
            if len(items) == 1:
                seq, x = items[0]
                self._give(Outcome(seq, x, False, None, e, 0.0, attempts, None))
            else:
                for item in items:
                    self._send([item], delay, attempts, deaths)
            return
        task = Task(self, BATCH, message, items[0][0])
        task.size = len(items)
        task.timeout, task.retry, task.held = self._timeout, self._retry, held
        task.items, task.attempts, task.deaths = items, attempts, deaths
        self._engine.send_later(task, delay)

    def send_again(self, task: Task, items: list[Any], delay: float, attempts: int) -> None:
        """Send some items once more."""
        self._send(items, delay, attempts, task.deaths)

    def item(
        self, task: Task, index: int, seconds: float, making: float, pid: int, data: Message
    ) -> None:
        """An input has its result."""
        assert task.items is not None
        seq, x = task.items[index]
        ok, value = load(data, ITEM.size)
        if self._timeout is None:
            self._sizer.took(1, seconds + 2e-5, making)
        if ok:
            self._give(Outcome(seq, x, True, value, None, seconds, task.attempts, pid))
        else:
            self._give(Outcome(seq, x, False, None, value, seconds, task.attempts, pid))

    def failed(
        self, task: Task, item: int | None, error: BaseException, seconds: float, pid: int | None
    ) -> None:
        """An input failed for good."""
        assert task.items is not None
        seq, x = task.items[item or 0]
        self._give(Outcome(seq, x, False, None, error, seconds, task.attempts, pid))

    def describe(self, task: Task, item: int | None) -> str:
        """Name the input for an error message."""
        assert task.items is not None
        seq, x = task.items[item or 0]
        return f"task {seq}: {describe_call(self._func, (x,))}"

    def _give(self, outcome: Outcome) -> None:
        self._land(outcome.seq, True, outcome)


class Outcomes:
    """The iterator of `outcomes`."""

    def __init__(self, job: OutcomeJob) -> None:
        self._job = job

    def __iter__(self) -> Outcomes:
        return self

    def next(self, timeout: float | None = None) -> Outcome:
        """Return the next outcome.

        Raises:
            StopIteration: There is none.
            multiprocessing.TimeoutError: Not there after `timeout` seconds.
            Exception: What reading the inputs raised.
        """
        ok, value = self._job._take(timeout)
        if not ok:
            self.close()
            raise value
        outcome: Outcome = value
        return outcome

    __next__ = next

    def close(self) -> None:
        """Read no more inputs. What a worker has begun is finished, and nobody hears of it."""
        self._job.stop()

    def __del__(self) -> None:
        self._job.stop()
