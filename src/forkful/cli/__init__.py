"""The command line: ``forkful map``, and what else speaks with people."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line with the arguments of this process, and exit with its status."""
    if sys.argv[1:2] == ["map"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from forkful.cli.group import run  # here: a worker imports this package, and needs no click

    sys.exit(run(sys.argv[1:]))


def _leave(signum: int, frame: object) -> None:
    """End at once on Ctrl-C while the program is still being loaded.

    A KeyboardInterrupt can come out of an import as any other exception. Nothing has been begun yet
    that would have to be ended; from then on `cli.interrupts` takes over.
    """
    os.write(2, b"forkful map: interrupted\n")
    os._exit(128 + signum)
