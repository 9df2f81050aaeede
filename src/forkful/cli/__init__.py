"""The command line: ``forkful map``, and what else speaks with people."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with the arguments of this process, and exit with its status."""
    from forkful.cli.group import (
        run,
    )  # here, so that a worker, which imports this package too, does not load click

    sys.exit(run(sys.argv[1:]))
