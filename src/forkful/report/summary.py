"""The last words of a run: how many, how fast, which were slow, what failed and why."""

from __future__ import annotations

from dataclasses import dataclass

from forkful.report.text import count, duration, rate, shortened

_ITEM, _MESSAGE = 80, 160
"""How many characters of an item and of a message a summary shows."""


@dataclass(frozen=True)
class Slow:
    """An item and how long it took."""

    seconds: float
    seq: int
    item: str


@dataclass(frozen=True)
class FailureGroup:
    """The failures of one type, told by the first of them."""

    type: str
    number: int
    seq: int
    item: str
    message: str


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        succeeded: Items whose function returned.
        failed: Items that failed for good.
        skipped: Items that a journal had recorded before.
        retried: Tries beyond the first, over all items.
        elapsed: Seconds from the first item to the last.
        slowest: The slowest items, slowest first.
        failures: One group a type of error, the largest first.
        ended: Why the run ended before its input did, if it did.
    """

    succeeded: int
    failed: int
    skipped: int
    retried: int
    elapsed: float
    slowest: tuple[Slow, ...]
    failures: tuple[FailureGroup, ...]
    ended: str = ""


def lines(summary: Summary) -> list[str]:
    """Return the summary as lines without line ends."""
    return [*_counts(summary), *_slowest(summary.slowest), *_failures(summary.failures)]


def _counts(summary: Summary) -> list[str]:
    done = summary.succeeded + summary.failed
    parts = [f"{summary.succeeded:,} succeeded", f"{summary.failed:,} failed"]
    if summary.retried:
        parts.append("1 retry" if summary.retried == 1 else f"{summary.retried:,} retries")
    if summary.skipped:
        parts.append(f"{summary.skipped:,} skipped by the journal")
    speed = f" ({rate(done / summary.elapsed)})" if done and summary.elapsed > 0 else ""
    first = f"{count(done, 'item')} in {duration(summary.elapsed)}{speed}: {', '.join(parts)}"
    return [first, f"ended early: {summary.ended}"] if summary.ended else [first]


def _slowest(slowest: tuple[Slow, ...]) -> list[str]:
    if not slowest:
        return []
    times = [duration(slow.seconds) for slow in slowest]
    width = max(map(len, times))
    return [
        "slowest:",
        *(
            f"  {t:>{width}}  #{s.seq} {shortened(s.item, _ITEM, keep_end=True)}"
            for t, s in zip(times, slowest, strict=True)
        ),
    ]


def _failures(groups: tuple[FailureGroup, ...]) -> list[str]:
    said = ["failures:"] if groups else []
    for group in groups:
        said.append(
            f"  {group.number:,} x {group.type}, first #{group.seq} "
            f"{shortened(group.item, _ITEM, keep_end=True)}"
        )
        if group.message:
            said.append(f"      {shortened(group.message, _MESSAGE)}")
    return said
