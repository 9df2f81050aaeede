"""Imported at the start of every interpreter of a run, also of those that a test starts itself.

Where forkful is the subject, `multiprocessing` is made forkful's as `forkful run` makes it. Interpreters
that `multiprocessing` or forkful starts are left alone: how forkful comes into these is under test.
"""

from __future__ import annotations

import os
import re
import sys

SUBJECT = "FORKFUL_CONFORMANCE_SUBJECT"
FORKFUL, STDLIB = "forkful", "multiprocessing"

_STARTERS = re.compile(
    r"from multiprocessing\.(spawn|resource_tracker|forkserver) import (spawn_)?main; ?(spawn_)?main\(.*\)"
    r"|import sys; sys\.path\[:\] = .*; from forkful\.launch\.\w+ import \w+; \w+\(.*\)"
)


def is_a_child(command: list[str]) -> bool:
    """Whether this command line is one that a start method makes."""
    return "-c" in command and bool(_STARTERS.fullmatch(command[command.index("-c") + 1]))


def install() -> None:
    """Put the subject in its place; if that fails, end: nobody must take the one for the other."""
    if os.environ.get(SUBJECT) == FORKFUL and not is_a_child(sys.orig_argv):
        try:
            from forkful.run.install import install

            install()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            os._exit(70)


def installed() -> str:
    """Which subject this process has."""
    import multiprocessing

    ours = type(multiprocessing.get_context("spawn")).__module__.startswith("forkful.")
    return FORKFUL if ours else STDLIB


install()
