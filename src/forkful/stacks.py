"""How a process tells its Python stacks to `forkful why --stacks`, without having been prepared for it.

`faulthandler` writes them, in its signal handler, which takes no lock and allocates nothing: whatever the process
hangs in, it answers. The signal is SIGURG: one that is ignored where nobody handles it, so that a process which
has called `exec` in the meantime takes no harm. Where the program has its own handler it keeps that, and
tells no stacks. The answer goes into a memfd that nobody but its reader opens.
"""

from __future__ import annotations

import faulthandler
import signal

from forkful import _native

__all__ = ["NAME", "SIGNAL", "is_listening", "listen"]

SIGNAL = signal.SIGURG
NAME = "forkful stacks"

_fd = -1


def listen() -> None:
    """Answer from now on, also in forked children, unless the program has a use for the signal itself."""
    global _fd
    if _fd >= 0 or signal.getsignal(SIGNAL) is not signal.SIG_DFL:
        return
    _fd = _native.own_file(NAME)
    faulthandler.register(SIGNAL, file=_fd, all_threads=True, chain=False)


def is_listening() -> bool:
    """Return whether the signal runs `faulthandler`, and no code of the program."""
    return _fd >= 0 and signal.getsignal(SIGNAL) is signal.SIG_DFL
