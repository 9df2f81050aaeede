"""Whether this process could go on by itself: what each one knows for a family that seems to stand still.

The rest of that question is `deadlock`'s, which is imported when it is asked; this every process is
asked that waits for long.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from forkful import _native, stacks

__all__ = ["ENABLED", "quiet"]

ENABLED = os.environ.get("FORKFUL_DEADLOCK", "on").lower() not in ("off", "0", "no", "false")

# `signal` converts to enumerations. Each of thousands of forked children that wait would copy their pages.
_STACKS = int(stacks.SIGNAL)


def quiet() -> bool:
    """Return whether nothing but another process can rouse this one: no timer, no handler of a signal.

    Of those signals that `deadlock.HARMLESS` leaves out; handlers that only end the process, as SIGINT and
    SIGTERM do by default, are none.
    """
    if _native.has_timer():
        return False
    handler = _signal.getsignal(_STACKS)
    if handler is not _signal.SIG_DFL and handler is not _signal.SIG_IGN:
        return False
    return _only_ends(_signal.SIGINT) and _only_ends(_signal.SIGTERM)


def _only_ends(signum: int) -> bool:
    handler = _signal.getsignal(signum)  # None: one that is not Python's
    return (
        handler is _signal.default_int_handler
        or handler is _signal.SIG_DFL
        or handler is _signal.SIG_IGN
        or getattr(handler, "does_nothing", False)
    )
