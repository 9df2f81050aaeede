"""Progress on standard error: a picture that is painted over itself on a terminal, plain lines
elsewhere, or nothing.

rich is imported by the class that paints, as it costs more to load than a short run takes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from time import monotonic
from typing import TextIO

from forkful.cli.streams import say
from forkful.report.progress import Progress, line
from forkful.report.text import clock, duration, shortened


class Screen:
    """Shows nothing. The base of those that show something.

    Attributes:
        interval: Seconds between two pictures; None shows none.
        linger: Seconds that a result line may wait for others to be written with it. A commit of
            the journal costs 0.1 ms, so this bounds its share at a few percent.
    """

    interval: float | None = None
    linger = 0.004

    def __init__(self) -> None:
        self._next = monotonic() + (self.interval or 0.0)

    def is_due(self, now: float) -> bool:
        """Tell whether it is time for the next picture."""
        return self.interval is not None and now >= self._next

    def show(self, progress: Progress) -> None:
        """Show the state of the run."""
        if self.interval is not None:
            self._next = monotonic() + self.interval
            with suppress(OSError):  # a terminal that has gone away is no reason to stop
                self._draw(progress)

    def _draw(self, progress: Progress) -> None:
        """Draw it; overridden."""

    def set_aside(self) -> AbstractContextManager[None]:
        """Take the picture off the terminal while something else is written there."""
        return nullcontext()

    def close(self, progress: Progress) -> None:
        """Show the last state, and leave the terminal as it was."""


class PlainScreen(Screen):
    """A line now and then, for a log."""

    interval = 2.0

    def _draw(self, progress: Progress) -> None:
        say(f"forkful map: {line(progress)}")

    def close(self, progress: Progress) -> None:
        """Show the last state."""
        self._draw(progress)


_BAR = 24
"""Characters of the bar."""


class LiveScreen(Screen):
    """Counts, a bar, and what each worker is doing, painted over itself.

    Args:
        stream: A terminal.
        shares_terminal: Whether result lines go to the same terminal, so that the picture must make
            room for them.
    """

    interval = 0.2

    def __init__(self, stream: TextIO, shares_terminal: bool) -> None:
        super().__init__()
        from rich.console import Console  # imported here: see the head of this module
        from rich.live import Live

        self._shares = shares_terminal
        if shares_terminal:
            self.linger = 0.1  # each batch of lines costs a picture
        self._console = Console(file=stream)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _draw(self, progress: Progress) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        head = Table.grid(padding=(0, 2))
        said = Text(line(progress), no_wrap=True, overflow="ellipsis")
        if progress.fraction is None:
            head.add_row(said)
        else:
            head.add_row(ProgressBar(total=1.0, completed=progress.fraction, width=_BAR), said)
        table = Table.grid(padding=(0, 2))
        room = max(1, self._console.height - 3)
        for worker in progress.workers[:room]:
            doing = shortened(worker.doing, max(10, self._console.width - 24), keep_end=True)
            taken = duration(worker.seconds) if worker.seconds < 10 else clock(worker.seconds)
            table.add_row(
                Text(str(worker.pid), style="dim"),
                Text(taken if doing else "idle", justify="right"),
                Text(doing, no_wrap=True),
            )
        if len(progress.workers) > room:
            table.add_row("", "", Text(f"and {len(progress.workers) - room} more", style="dim"))
        self._live.update(Group(head, table), refresh=True)

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Take the picture off the terminal; the next one comes when it is due."""
        if not self._shares:
            yield
            return
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def close(self, progress: Progress) -> None:
        """Take the picture off the terminal for good."""
        self._live.stop()


def choose(when: str, shares_terminal: bool) -> Screen:
    """Return the screen for ``--progress``.

    Args:
        when: ``auto`` (on a terminal only), ``always`` or ``never``.
        shares_terminal: Whether standard output is a terminal that receives the result lines.
    """
    stream = sys.stderr
    if when == "never" or stream is None:
        return Screen()
    if stream.isatty() and os.environ.get("TERM", "") != "dumb":
        return LiveScreen(stream, shares_terminal)
    return PlainScreen() if when == "always" else Screen()
