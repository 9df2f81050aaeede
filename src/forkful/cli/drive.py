"""The run itself: items into the pool, outcomes out of it, into lines, the journal and the tally.

Everything here happens in one thread, which is what a run with trivial work waits for. So nothing
is done here for each item: items come in lots (`feed`), workers make whole lines and put them
where they can be taken many at once (`trays`), and lines are joined and written in batches. A batch
is never kept longer than `Screen.linger`, and a line that comes alone is written at once.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from time import monotonic
from typing import Any

import forkful
from forkful.cli import worker
from forkful.cli.errors import CommandError
from forkful.cli.feed import Feed, Lot, Nothing
from forkful.cli.inputs import Source
from forkful.cli.interrupts import Interrupts
from forkful.cli.journal import Journal
from forkful.cli.landing import Landing
from forkful.cli.lines import shown
from forkful.cli.output import Output
from forkful.cli.plan import Halt, Plan
from forkful.cli.screen import Screen
from forkful.cli.tally import Tally
from forkful.cli.trays import Trays
from forkful.pool import LATER, Outcome, Pool
from forkful.remote.anatomy import text_of
from forkful.report.progress import Progress, WorkerView

_TRAYS_PER_WORKER = 4
"""Blocks of several items on their way for each worker: one that it is at, and some that it finds at
once while the parent is busy."""

_AHEAD = 4096
"""Items beyond the one whose line comes next that may have been sent, where lines are in order."""

_LONGEST = 0.05
"""Seconds between two looks at workers that give no sign."""


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
        trays = Trays.make(_TRAYS_PER_WORKER * plan.jobs) if plan.takes_lots else None
        self._trays = trays
        self._feed = Feed(
            source,
            journal,
            [] if trays is None else trays.views(),
            self.tally,
            lambda: bool(self._flights or self._landing.lines or self._stopping),
        )
        self._landing = Landing(plan, self.tally, journal)
        self._output = output
        self._journal = journal
        self._screen = screen
        self._interrupts = interrupts
        self._flights: dict[int, tuple[Lot, int]] = {}
        self._fed = 0
        self._stopping = False
        self._halted: Any = None
        self._must_feed = False
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
                self._messages(),
                timeout=None if plan.timeout is None else plan.timeout + plan.longest_lot,
                retries=plan.retries,
                retry_on=plan.retry_on,
                backoff=plan.backoff,
                inline=True,
            )
            try:
                self._loop(pool, outcomes)
            finally:
                self._interrupts.busy = True
                self._look()
                if self._stopping:
                    self._landing.ordering.skip()
                self._flush(monotonic())
                if self._journal is not None:
                    self._output.sync()
        # What came while the last lines were written has come before the end, and is told.
        self._interrupts.check()
        if self._feed.bad_input is not None:
            raise self._feed.bad_input
        return f"--halt {plan.halt.value}, at the first failure" if self._stopping else ""

    def _pool(self) -> Pool:
        plan = self._plan
        context = forkful.get_context(plan.start_method)
        if plan.halt is Halt.SOON:
            # Keeps the workers from what they have been sent and not begun.
            self._halted = context.Event()
        duty = worker.Duty(
            plan.work,
            self._trays,
            plan.longest_lot,
            self._journal is not None,
            self._halted,
            not plan.retries,
        )
        try:
            pool: Pool = context.Pool(
                plan.jobs,
                worker.begin,
                (duty,),
                plan.max_tasks,
                max_memory_per_child=plan.max_memory,
            )
            return pool
        except OSError as error:
            raise CommandError(f"the workers cannot start: {error}") from error

    def _messages(self) -> Iterator[Any]:
        """Give the pool its lots, as it asks for them."""
        feed, landing, ordered = self._feed, self._landing, self._plan.ordered
        while not self._stopping:
            self._must_feed = False
            is_far_ahead = ordered and feed.numbered - landing.ordering.next > _AHEAD
            flight = feed.next(is_far_ahead)
            if flight is Nothing.ANY_MORE and not self._flights:
                return
            if isinstance(flight, Nothing):
                yield LATER
                continue
            self._flights[self._fed] = flight
            self._fed += 1
            lot, index = flight
            yield lot.message(index)

    def _loop(self, pool: Pool, outcomes: Any) -> None:
        interrupts, screen, linger = self._interrupts, self._screen, self._screen.linger
        patience = linger
        while True:
            interrupts.busy = False
            interrupts.check()
            try:
                outcome = outcomes.next(self._longest_wait(patience))
            except StopIteration:
                return
            except multiprocessing.TimeoutError:
                interrupts.busy = True
                patience = min(2 * patience, _LONGEST)
            except Exception as error:
                raise CommandError(f"the workers cannot start: {text_of(error)}") from error
            else:
                interrupts.busy = True
                patience = linger
                self._take(outcome)
                if self._stopping and self._plan.halt is Halt.NOW:
                    return
                if monotonic() - self._written < linger:
                    continue
            self._look()
            self._flush(monotonic())
            if screen.is_due(monotonic()):
                screen.show(self.progress(pool))

    def _longest_wait(self, patience: float) -> float | None:
        """Return the seconds to wait for an outcome."""
        if self._must_feed:
            self._must_feed = False  # the pool reads its input when it is asked without a wait
            return 0.0
        if self._landing.lines:
            return self._screen.linger
        if self._trays is not None and self._flights:
            return patience
        return self._screen.interval

    def _look(self) -> None:
        """Take the lines that have been finished in lots under way: an item may take long, and those
        before it in its lot do not wait for it.
        """
        for lot, _ in self._flights.values():
            if lot.tray is not None and lot.tray.pid:
                self._landing.finished(lot, lot.tray)

    def _take(self, outcome: Outcome) -> None:
        """Take in the outcome of a lot, and send again what it left undone."""
        lot, done = self._flights.pop(outcome.seq)
        feed, tray, seconds = self._feed, lot.tray, outcome.seconds
        is_begun, end = True, done + 1
        if tray is not None:
            end = len(lot)
            done, is_begun = self._landing.finished(lot, tray)
            spent = sum(tray.seconds(0, done))
            seconds = max(0.0, seconds - spent)
            feed.took(done, spent)
            feed.free(tray)
        rest = done
        if outcome.value is worker.NOT_BEGUN:
            rest = end
        elif isinstance(outcome.value, tuple) or (is_begun and not outcome.ok):
            rest = done + 1
            # The next one may fail as well, and each that does costs a lot.
            feed.took(1, seconds if outcome.ok else _LONGEST)
            self._landing.ended(lot, done, seconds, outcome)
        if rest < end:
            left = lot.part(rest, end)
            # A worker that died before the first item may have died of the lot.
            left.alone = not (outcome.ok or is_begun or done)
            feed.send_again(left)
        self._must_feed = rest < end or not self._flights
        if self.tally.failed and self._plan.halt is not Halt.NEVER:
            self._stopping = True
            if self._halted is not None:
                self._halted.set()

    def _flush(self, now: float) -> None:
        """Write the lines and then record them: what the journal says was done is in the output."""
        self._written = now
        lines = b"".join(self._landing.lines)
        if not lines:
            return
        self._landing.lines.clear()
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
                    each.pid,
                    shown(flight[0].current(flight[1])) if flight else "",
                    each.seconds if flight else 0.0,
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
