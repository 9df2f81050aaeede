"""A run under way, in words: counts, rate, time left, and what each worker is doing."""

from __future__ import annotations

from dataclasses import dataclass

from forkful.report.text import clock, rate


@dataclass(frozen=True)
class WorkerView:
    """What one worker does now.

    Attributes:
        pid: Its process.
        doing: The item it works on; empty while it waits for one.
        seconds: For how long.
    """

    pid: int | None
    doing: str
    seconds: float


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Items that have their outcome, failures among them.
        failed: Failures.
        skipped: Items that a journal had recorded before.
        total: How many items there are, if that is known.
        elapsed: Seconds since the start.
        workers: The workers, in the order in which they were started.
    """

    done: int
    failed: int
    skipped: int
    total: int | None
    elapsed: float
    workers: tuple[WorkerView, ...] = ()

    @property
    def rate(self) -> float:
        """Items a second since the start."""
        return self.done / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the last item, at this rate; None where that cannot be known."""
        if self.total is None or not self.done:
            return None
        return max(0, self.total - self.skipped - self.done) / self.rate

    @property
    def fraction(self) -> float | None:
        """The share of the items that is settled, from 0 to 1."""
        return min(1.0, (self.done + self.skipped) / self.total) if self.total else None


def line(progress: Progress) -> str:
    """Return the state as one line: ``1,200 of 5,000 done, 3 failed, 52/s, 1:13 left``."""
    of = "" if progress.total is None else f" of {progress.total - progress.skipped:,}"
    parts = [f"{progress.done:,}{of} done", f"{progress.failed:,} failed"]
    if progress.skipped:
        parts.append(f"{progress.skipped:,} skipped")
    parts.append(rate(progress.rate))
    parts.append(
        f"{clock(progress.elapsed)} gone"
        if progress.left is None
        else f"{clock(progress.left)} left"
    )
    return ", ".join(parts)
