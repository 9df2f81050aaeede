"""Whether this process could go on by itself: what each one knows for a family that seems to stand still.

The rest of that question is `deadlock`'s, which is imported when it is asked; this every process is
asked that waits for long.
"""

from __future__ import annotations

import os
import signal

from forkful import stacks

__all__ = ["ENABLED", "quiet"]

ENABLED = os.environ.get("FORKFUL_DEADLOCK", "on").lower() not in ("off", "0", "no", "false")

_NO_HANDLERS = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN)


def quiet() -> bool:
    """Return whether nothing but another process can rouse this one: no timer, no handler of a signal.

    Of those signals that `deadlock.HARMLESS` leaves out; handlers that only end the process, as SIGINT and
    SIGTERM do by default, are none.
    """
    if signal.getsignal(stacks.SIGNAL) not in (signal.SIG_DFL, signal.SIG_IGN):
        return False
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        if signal.getitimer(timer)[0]:
            return False
    for signum in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(signum)  # None: one that is not Python's
        if not any(handler is h for h in _NO_HANDLERS) and not getattr(
            handler, "does_nothing", False
        ):
            return False
    try:
        with open("/proc/self/timers", "rb") as f:
            return not f.read(1)
    except OSError:
        return True  # a kernel without the file. Python makes no such timers
