"""The tie between a child and its parent: each must learn when the other is gone.

The child's end of the tie is `sentinel`, the read end of a pipe whose write end only the parent
has. That must be literally so: other children must not have it. So every write end is closed in
each child that is forked (`_native.Ends`).

`die_with_parent` asks the kernel for a signal when the pipe's last writer goes. Unlike
PR_SET_PDEATHSIG it is about the process and not about the thread that forked, works under a
fork server, and has no gap: what was closed before we asked is seen by the look afterwards.
The signal is one of our own, whose handler is native code: it sends SIGTERM, and SIGKILL a second later,
so a program that handles or ignores SIGTERM has time to end and no way to stay.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

from forkful import _native

__all__ = ["die_with_parent", "parent_is_gone"]

F_SETSIG = getattr(fcntl, "F_SETSIG", 10)  # <asm-generic/fcntl.h>
GRACE = 1.0  # seconds between SIGTERM and SIGKILL, for whom the parent has left alone


def parent_is_gone(sentinel: int) -> bool:
    """Return whether the parent has ended."""
    return bool(select.select([sentinel], [], [], 0)[0])


def die_with_parent(sentinel: int) -> None:
    """Let the kernel end this process when its parent ends, or has ended already."""
    _native.arm_orphaned(int(GRACE * 1e9))
    _signal_at_end(sentinel, _native.ORPHANED)
    try:
        # One that is stopped runs no handlers until it is continued. A signal belongs to an opening of
        # the pipe: this is another one.
        _signal_at_end(os.open(f"/proc/self/fd/{sentinel}", os.O_RDONLY), signal.SIGCONT)
    except OSError:
        pass  # no /proc, or no descriptor left
    if parent_is_gone(sentinel):
        os.kill(os.getpid(), _native.ORPHANED)


def _signal_at_end(pipe: int, signum: int) -> None:
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, F_SETSIG, signum)
    flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
