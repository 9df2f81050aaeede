"""What has come back from the workers: into lines, rows of the journal and counts, in the order in
which lines are to come.
"""

from __future__ import annotations

from typing import Any

from forkful.cli.feed import Lot
from forkful.cli.journal import Journal
from forkful.cli.lines import Failure, shown
from forkful.cli.ordering import Ordering
from forkful.cli.plan import Plan
from forkful.cli.success import line
from forkful.cli.tally import Tally
from forkful.cli.trays import Tray
from forkful.pool import Outcome


class Landing:
    """Takes in what became of items.

    Args:
        plan: How the run is made.
        tally: Counts them.
        journal: Records them, if it does.

    Attributes:
        lines: Lines to be written.
        ordering: Holds back what has come before its turn.
    """

    def __init__(self, plan: Plan, tally: Tally, journal: Journal | None) -> None:
        self.lines: list[bytes] = []
        self.ordering = Ordering(plan.ordered)
        self._ordered = plan.ordered
        self._timeout = plan.timeout
        self._tally = tally
        self._journal = journal

    def finished(self, lot: Lot, tray: Tray) -> tuple[int, bool]:
        """Take in what a worker has finished in a lot and has not been taken.

        Returns:
            How many of its items are finished in all, and whether the next is begun.
        """
        done, is_begun, size = tray.read()
        first, begin = lot.taken, lot.size
        if done > first:
            lot.taken, lot.size = done, size
            keys = tray.keys(first, done) if self._journal is not None else b""
            lines, seconds = tray.lines(begin, size), tray.seconds(first, done)
            what = lot, first, done, lines, seconds, keys, tray.pid
            self.ordering.take(lot.first + first, done - first, self._together, *what)
        return done, is_begun

    def ended(self, lot: Lot, index: int, seconds: float, outcome: Outcome) -> None:
        """Take in the outcome of one item of a lot."""
        handle = self._success if outcome.ok else self._failure
        if self._ordered:
            self.ordering.take(lot.first + index, 1, handle, lot, index, seconds, outcome)
        else:
            handle(lot, index, seconds, outcome)

    def _together(
        self,
        lot: Lot,
        first: int,
        last: int,
        lines: bytes,
        seconds: list[float],
        keys: bytes,
        pid: int,
    ) -> None:
        """Successes whose lines a worker has made."""
        tally = self._tally
        tally.succeeded += last - first
        self.lines.append(lines)
        if self._journal is not None and lot.ids is not None:
            ids, seqs = lot.ids[first:last], lot.seqs[first:last]
            self._journal.record_successes(ids, seqs, keys, seconds, pid)
        if max(seconds) > tally.slow_from:
            for index, each in enumerate(seconds, first):
                if each > tally.slow_from:
                    tally.saw_slow(each, lot.seqs[index], shown(lot.items[index]))

    def _success(self, lot: Lot, index: int, seconds: float, outcome: Outcome) -> None:
        """A success for whose line the worker has sent what only it can say."""
        self._tally.succeeded += 1
        seq, item = lot.seqs[index], lot.items[index]
        attempts, pid = outcome.attempts, outcome.pid or 0
        said, result = outcome.value
        self.lines.append(line(seq, said, result, seconds, attempts, pid))
        if self._journal is not None and (place := lot.place(index)) is not None:
            self._journal.record(place, item, seconds=seconds, attempts=attempts, pid=pid)
        if attempts > 1 or seconds > self._tally.slow_from:
            self._count(seq, item, seconds, attempts)

    def _failure(self, lot: Lot, index: int, seconds: float, outcome: Outcome) -> None:
        assert outcome.error is not None
        failure = Failure.of(outcome.error, self._timeout)
        seq, item, place = lot.seqs[index], lot.items[index], lot.place(index)
        attempts, pid = outcome.attempts, outcome.pid
        self._tally.failed += 1
        self._tally.saw_failure(failure.type, failure.message, seq, shown(item))
        self.lines.append(failure.line(seq, item, seconds, attempts, pid))
        if place is not None and self._journal is not None:
            told = failure.type, failure.message
            self._journal.record(
                place, item, seconds=seconds, attempts=attempts, pid=pid, failure=told
            )
        self._count(seq, item, seconds, attempts)

    def _count(self, seq: int, item: Any, seconds: float, attempts: int) -> None:
        tally = self._tally
        tally.retried += attempts - 1
        if seconds > tally.slow_from:
            tally.saw_slow(seconds, seq, shown(item))
