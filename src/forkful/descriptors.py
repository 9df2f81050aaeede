"""Descriptors that forkful keeps open: never 0 to 2.

Where a program's standard stream is closed, the kernel gives its number to whatever is opened next. It
has to look closed: else what the program prints, or a library written in C, goes into that file.
The native code has the same (`fk_above_streams`).
"""

from __future__ import annotations

import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select

__all__ = ["epoll"]

_LAST_STREAM = 2


def epoll() -> select.epoll:
    """Return an epoll object."""
    import select  # here: every program imports this module, few need that one

    made = select.epoll()
    if made.fileno() > _LAST_STREAM:
        return made
    with made:
        return select.epoll.fromfd(_above(made.fileno()))


def _above(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LAST_STREAM + 1)
