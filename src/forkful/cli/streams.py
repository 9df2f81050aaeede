"""The standard streams of a run: results out, items in, and everything else kept off both.

A function may print, and a command may read. In a run, standard output belongs to result lines and
standard input to items, so both are taken away before anything else happens: they live on under
descriptors that no other program inherits, descriptor 1 leads to standard error, and descriptor 0
is empty. This holds in the parent and, by inheritance, in every worker.
"""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Streams:
    """The descriptors that were standard input and output; -1 where one was closed."""

    items: int
    results: int


def say(*lines: str) -> None:
    """Write lines to standard error for people. That nobody reads them is no reason to fail."""
    if sys.stderr is None:  # it was closed when the program began
        return
    with suppress(OSError):
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def take() -> Streams:
    """Take standard input and output for this run.

    Workers that are forked close their copies, so that a reader of the results waits for nobody but
    the parent.
    """
    streams = Streams(_moved(0), _moved(1))
    null = os.open(
        os.devnull, os.O_RDWR
    )  # left open where it fills the place of a closed standard stream
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        os.dup2(null, 1)
        os.dup2(null, 2)
    if null > 2:
        os.close(null)
    os.register_at_fork(after_in_child=lambda: _close(streams))
    return streams


def _moved(descriptor: int) -> int:
    """Return a copy of a standard descriptor above the standard ones that no other program
    inherits; -1 if it is closed.
    """
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        return -1


def _close(streams: Streams) -> None:
    for descriptor in (streams.items, streams.results):
        with suppress(OSError):
            os.close(descriptor)
