"""The tie between a child and its parent: each must learn when the other is gone.

The child's end of the tie is `sentinel`, the read end of a pipe whose write end only the parent
has. That must be literally so: other children must not have it. So every write end is closed in
each child that is forked (`_native.Ends`).

`die_with_parent` asks the kernel for a signal when the pipe's last writer goes. Unlike
PR_SET_PDEATHSIG it is about the process and not about the thread that forked, works under a
fork server, and has no gap: what was closed before we asked is seen by the look afterwards.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

__all__ = ["die_with_parent", "parent_is_gone"]

F_SETSIG = getattr(fcntl, "F_SETSIG", 10)  # <asm-generic/fcntl.h>


def parent_is_gone(sentinel: int) -> bool:
    """Return whether the parent has ended."""
    return bool(select.select([sentinel], [], [], 0)[0])


def die_with_parent(sentinel: int, signum: signal.Signals) -> None:
    """Let the kernel send this process `signum` when its parent ends, or has ended already."""
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sentinel, F_SETSIG, signum)
    flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
    fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if parent_is_gone(sentinel):
        os.kill(os.getpid(), signum)
