"""Imported at the start of every interpreter of a run, also of those that a test starts itself.

Where forkful is the subject, `multiprocessing` is made forkful's as `forkful run` makes it. Interpreters
that `multiprocessing` or forkful starts are left alone: how forkful comes into these is under test.
"""

from __future__ import annotations

import os
import sys

SUBJECT = "FORKFUL_CONFORMANCE_SUBJECT"
FORKFUL, STDLIB = "forkful", "multiprocessing"

_STARTERS = ("from multiprocessing.", "from forkful.", "import sys; sys.path[:] = ")


def is_a_child(command: list[str]) -> bool:
    """Whether this command line is one that a start method makes."""
    if "-c" not in command:
        return False
    code = command[command.index("-c") + 1]
    return code.startswith(_STARTERS) and code.endswith(")")


def install() -> None:
    """Put the subject in its place."""
    if os.environ.get(SUBJECT) == FORKFUL and not is_a_child(sys.orig_argv):
        from forkful.run import install

        install()


install()
