"""The run itself: items into the pool, outcomes out of it, into lines, the journal and the tally.

Everything here happens in one thread. The path of an item through it is kept to a few microseconds,
because it is what a run with trivial work waits for: a worker has made the text of the result, and
lines are joined and written in batches. A batch is never kept longer than `Screen.linger`, and a
line that comes alone is written at once.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from time import monotonic
from typing import Any

import forkful
from forkful.cli import worker
from forkful.cli.errors import CommandError
from forkful.cli.inputs import NOT_YET, Source
from forkful.cli.interrupts import Interrupts
from forkful.cli.journal import Journal, Place
from forkful.cli.lines import Failure, shown, success
from forkful.cli.output import Output
from forkful.cli.plan import Halt, Plan
from forkful.cli.screen import Screen
from forkful.cli.tally import Tally
from forkful.pool import LATER, Pool
from forkful.remote.anatomy import text_of
from forkful.report.progress import Progress, WorkerView

_END = object()

_SKIPS = 4096
"""Items to skip before the pool is asked whether an outcome has come meanwhile."""


class Drive:
    """One run.

    Args:
        plan: How.
        source: The items, checked as far as the first.
        output: Where lines go.
        journal: What remembers the outcomes, if anything does.
        screen: Who shows the progress.
        interrupts: Who raises the signals that end a run.
    """

    def __init__(
        self,
        plan: Plan,
        source: Source,
        output: Output,
        journal: Journal | None,
        screen: Screen,
        interrupts: Interrupts,
    ) -> None:
        self.tally = Tally()
        self._plan = plan
        self._source = source
        self._output = output
        self._journal = journal
        self._screen = screen
        self._interrupts = interrupts
        self._flights: dict[int, tuple[int, Any, Place | None]] = {}
        self._lines: list[bytes] = []
        self._stopping = False
        self._bad_input: CommandError | None = None
        self._halted: Any = None
        self._started = monotonic()
        self._written = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._started

    def run(self) -> str:
        """Run until the input is used up or a failure halts it. What has its outcome when an
        exception leaves is written and recorded.

        Returns:
            Why the run ended early; empty if it did not.

        Raises:
            Interrupted: A signal came.
            CommandError: The input is bad at some place, after everything before it was done; or
                the output or the journal cannot be written; or no worker can be started.
            ReaderGone: Nobody reads standard output.
        """
        plan = self._plan
        self._interrupts.busy = True  # until the pool stands; the loop looks for what has come
        with self._pool() as pool:
            outcomes = pool.outcomes(
                worker.run,
                self._feed(),
                timeout=plan.timeout,
                retries=plan.retries,
                retry_on=plan.retry_on,
                backoff=plan.backoff,
                ordered=plan.ordered,
                inline=True,
            )
            try:
                self._loop(pool, outcomes)
            finally:
                self._interrupts.busy = True
                self._flush(monotonic())
                if self._journal is not None:
                    self._output.sync()
        # What came while the last lines were written has come before the end, and is told.
        self._interrupts.check()
        if self._bad_input is not None:
            raise self._bad_input
        return f"--halt {plan.halt.value}, at the first failure" if self._stopping else ""

    def _pool(self) -> Pool:
        plan = self._plan
        context = forkful.get_context(plan.start_method)
        if plan.halt is Halt.SOON:
            # Keeps the workers from what they have been sent and not begun.
            self._halted = context.Event()
        try:
            pool: Pool = context.Pool(
                plan.jobs,
                worker.begin,
                (plan.work, self._halted, not plan.retries),
                plan.max_tasks,
                max_memory_per_child=plan.max_memory,
            )
            return pool
        except OSError as error:
            raise CommandError(f"the workers cannot start: {error}") from error

    def _feed(self) -> Iterator[Any]:
        """Give the pool its inputs, as it asks for them."""
        self._source.impatient = lambda: bool(self._flights or self._lines or self._stopping)
        fed = seq = 0
        items = self._items()
        while not self._stopping and (item := next(items, _END)) is not _END:
            if item is NOT_YET:
                yield LATER
                continue
            place = None
            if self._journal is not None:
                place = self._journal.place(seq, item)
                if place is None:
                    self.tally.skipped += 1
                    seq += 1
                    if seq % _SKIPS == 0 and self._flights:
                        yield LATER
                    continue
            self._flights[fed] = (seq if place is None else place.seq, item, place)
            fed += 1
            seq += 1
            yield item

    def _items(self) -> Iterator[Any]:
        """Yield the items up to the first bad one, of which `run` tells when everything before it
        is done.
        """
        try:
            yield from self._source.items
        except CommandError as error:
            self._bad_input = error

    def _loop(self, pool: Pool, outcomes: Any) -> None:
        interrupts, screen, linger = self._interrupts, self._screen, self._screen.linger
        while True:
            interrupts.busy = False
            interrupts.check()
            try:
                outcome = outcomes.next(linger if self._lines else screen.interval)
            except StopIteration:
                return
            except multiprocessing.TimeoutError:
                interrupts.busy = True
                self._flush(monotonic())
            except Exception as error:
                raise CommandError(f"the workers cannot start: {text_of(error)}") from error
            else:
                interrupts.busy = True
                self._take(outcome)
                if self._stopping and self._plan.halt is Halt.NOW:
                    return
                now = monotonic()
                if now - self._written < linger:
                    continue
                self._flush(now)
            if screen.is_due(monotonic()):
                screen.show(self.progress(pool))

    def _take(self, outcome: Any) -> None:
        """Turn one outcome into a line, a row and a count."""
        seq, item, place = self._flights.pop(outcome.seq)
        if outcome.ok and outcome.value is worker.NOT_BEGUN:
            return
        tally = self.tally
        seconds: float = outcome.seconds
        if outcome.ok:
            tally.succeeded += 1
            self._lines.append(success(seq, outcome))
            if place is not None and self._journal is not None:
                self._journal.record(
                    place, seconds=seconds, attempts=outcome.attempts, pid=outcome.pid
                )
        else:
            self._take_failure(outcome, seq, item, place)
        if outcome.attempts > 1:
            tally.retried += outcome.attempts - 1
        if seconds > tally.slow_from:
            tally.saw_slow(seconds, seq, shown(item))

    def _take_failure(self, outcome: Any, seq: int, item: Any, place: Place | None) -> None:
        failure = Failure.of(outcome.error)
        self.tally.failed += 1
        self.tally.saw_failure(failure.type, failure.message, seq, shown(item))
        self._lines.append(failure.line(seq, item, outcome))
        if place is not None and self._journal is not None:
            self._journal.record(
                place,
                seconds=outcome.seconds,
                attempts=outcome.attempts,
                pid=outcome.pid,
                failure=(item, failure.type, failure.message),
            )
        if self._plan.halt is not Halt.NEVER:
            self._stopping = True
            if self._halted is not None:
                self._halted.set()

    def _flush(self, now: float) -> None:
        """Write the lines and then record them: what the journal says was done is in the output."""
        self._written = now
        if not self._lines:
            return
        lines = b"".join(self._lines)
        self._lines.clear()
        with self._screen.set_aside():
            self._output.write(lines)
        if self._journal is not None:
            self._journal.commit(self._output.size)

    def progress(self, pool: Pool | None = None) -> Progress:
        """Take a snapshot of the run and its workers."""
        workers = []
        for each in pool.statistics().workers if pool is not None else ():
            flight = self._flights.get(each.task) if each.task is not None else None
            workers.append(
                WorkerView(
                    each.pid, shown(flight[1]) if flight else "", each.seconds if flight else 0.0
                )
            )
        tally = self.tally
        return Progress(
            tally.done,
            tally.failed,
            tally.skipped,
            self._source.total,
            self.elapsed,
            tuple(workers),
        )
