"""What a run remembers of the items that have gone by: counts, the slowest few, one example of each
kind of failure. Bounded memory.
"""

from __future__ import annotations

import heapq

from forkful.report.summary import FailureGroup, Slow, Summary

_SLOWEST = 5
"""How many slow items a summary names."""

_KINDS = 100
"""How many types of failure are told apart; a program can make types without end."""


class Tally:
    """The counts of a run, updated for each outcome."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.skipped = 0
        self.retried = 0
        self.slow_from = 0.0
        """An item that took longer is among the slowest so far; asked before `saw_slow`, for
        speed."""
        self._slowest: list[tuple[float, int, str]] = []
        self._kinds: dict[str, FailureGroup] = {}

    @property
    def done(self) -> int:
        """Items that have an outcome in this run."""
        return self.succeeded + self.failed

    def saw_slow(self, seconds: float, seq: int, item: str) -> None:
        """Remember one of the slowest items."""
        heapq.heappush(self._slowest, (seconds, -seq, item))
        if len(self._slowest) > _SLOWEST:
            heapq.heappop(self._slowest)
            self.slow_from = self._slowest[0][0]

    def saw_failure(self, kind: str, message: str, seq: int, item: str) -> None:
        """Remember a failure; the first of its type becomes the example."""
        if kind not in self._kinds and len(self._kinds) >= _KINDS:
            kind = "other types"
        group = self._kinds.get(kind)
        if group is None:
            group = FailureGroup(kind, 0, seq, item, message)
        self._kinds[kind] = FailureGroup(
            group.type, group.number + 1, group.seq, group.item, group.message
        )

    def summary(self, elapsed: float, ended: str) -> Summary:
        """Return the counts as they stand.

        Args:
            elapsed: Seconds since the start.
            ended: Why the run ended early; empty if it did not.
        """
        slowest = sorted(self._slowest, reverse=True)
        return Summary(
            succeeded=self.succeeded,
            failed=self.failed,
            skipped=self.skipped,
            retried=self.retried,
            elapsed=elapsed,
            slowest=tuple(Slow(seconds, -seq, item) for seconds, seq, item in slowest),
            failures=tuple(sorted(self._kinds.values(), key=lambda group: -group.number)),
            ended=ended,
        )
