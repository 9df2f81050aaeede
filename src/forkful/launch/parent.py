"""The tie between a child and its parent: each must learn when the other is gone.

The child's end of the tie is `sentinel`, the read end of a pipe whose write end only the parent
has. That must be literally so: other children must not have it. So every write end is closed in
each child that is forked (`native/bind/ties.c`).

`die_with_parent` asks the kernel for a signal when the pipe's last writer goes. Unlike
PR_SET_PDEATHSIG it is about the process and not about the thread that forked, works under a
fork server, and has no gap: what was closed before we asked is seen by the look afterwards.
The signal is one of our own, whose handler is native code: it sends SIGTERM, and SIGKILL a second later,
so a program that handles or ignores SIGTERM has time to end and no way to stay.
"""

from __future__ import annotations

from forkful import _native

__all__ = ["die_with_parent"]

GRACE = 1.0  # seconds between SIGTERM and SIGKILL, for whom the parent has left alone


def die_with_parent(sentinel: int, parent: int) -> None:
    """Let the kernel end this process when its parent ends, or has ended already.

    Args:
        sentinel: This process's end of the tie.
        parent: The parent's pid.
    """
    _native.die_with_parent(sentinel, parent, int(GRACE * 1e9))
