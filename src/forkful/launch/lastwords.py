"""The Python stack of a child that a fatal signal ends: written by it as it dies, read by its parent.

`faulthandler` writes it in the child's signal handler. The parent has one anonymous file for all its
living children, in which each has a stretch of its own; it is closed with the last of them
(`native/bind/lastwords.c`). A child opens it by way of the parent's /proc, so it has its own position in it, and
nothing need be handed on by the start methods.

A child in which faulthandler is on already (PYTHONFAULTHANDLER, or a program that is forked and has
enabled it) writes where the program wants it.
"""

from __future__ import annotations

import re
import signal
from faulthandler import disable, enable, is_enabled

from forkful import _native
from forkful._native import open_words
from forkful.launch.defaults import defaults

__all__ = ["NOWHERE", "listen", "take"]

NOWHERE = -1
"""In the place of the number of a stretch: no descriptor was left for the file."""

_BEGINNING = "Fatal Python error"

_FATAL = frozenset(
    -signum
    for signum in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
)  # exit codes of those that faulthandler handles

_mine = NOWHERE  # in a child: the descriptor that its faulthandler writes to


def take(number: int, exitcode: int) -> str | None:
    """The child has ended: give its stretch back, and return what it left there."""
    data = _native.take_words(number, exitcode in _FATAL)
    if not data:
        return None
    # Before it there may be that of a process which the child has forked without us.
    _, found, text = data.rstrip(b"\0").decode(errors="replace").rpartition(_BEGINNING)
    return found + re.sub(_machinery(), "", text) if found else None


def _machinery() -> str:
    """A pattern for the frames that are below a process's target and a worker's task."""
    files = "|".join(map(re.escape, defaults.machinery))
    return rf'  File "({files})", line \d+ in .*\n(  (File|\.\.\.).*\n)*'


def listen(place: int | tuple[int, ...] | None) -> None:
    """In a child, as it begins: let the stack of a fatal signal be written to its stretch.

    Where there is none, let it be written nowhere, also where its parent's is.
    """
    global _mine
    if is_enabled():
        if _mine == NOWHERE:
            return  # the program's own
        disable()
        _native.close_words()
    _mine = NOWHERE if place is None else open_words(place)
    if _mine != NOWHERE:
        enable(_mine)
