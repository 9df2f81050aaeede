"""How a process tells its Python stacks to `forkful why --stacks`, without having been prepared for it.

`faulthandler` writes them, in its signal handler, which takes no lock and allocates nothing: whatever the process
hangs in, it answers. The signal is SIGURG: one that is ignored where nobody handles it, so that a process which
has called `exec` in the meantime takes no harm. Where the program has its own handler it keeps that, and
tells no stacks. The answer goes into a memfd that nobody but its reader opens.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import signal

from forkful import _native, descriptors

__all__ = ["NAME", "SIGNAL", "is_listening", "listen"]

SIGNAL = signal.SIGURG
NAME = "forkful stacks"

_fd = -1
_identity = 0, 0  # of its file


def _new_file() -> int:
    fd = descriptors.memfd(NAME)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDWR | os.O_APPEND)  # its reader empties it
    return fd


def listen() -> None:
    """Answer from now on, unless the program has a use for the signal itself."""
    global _fd, _identity
    if _fd >= 0 or signal.getsignal(SIGNAL) is not signal.SIG_DFL:
        return
    fd = _new_file()
    faulthandler.register(SIGNAL, file=fd, all_threads=True, chain=False)
    _fd, _identity = fd, _native.file_identity(fd)


def is_listening() -> bool:
    """Return whether the signal runs `faulthandler`, and no code of the program."""
    return _fd >= 0 and signal.getsignal(SIGNAL) is signal.SIG_DFL


def _listen_apart() -> None:
    """In a forked child: a file of its own in the place of the parent's."""
    global _identity
    if _fd >= 0:
        # None: somebody has closed it, or it cannot be had: this process tells no stacks.
        _identity = _native.renew_memfd(_fd, _identity, NAME) or _identity


os.register_at_fork(after_in_child=_listen_apart)
