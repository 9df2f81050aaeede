"""Descriptors that forkful keeps open: never 0 to 2.

Where a program's standard stream is closed, the kernel gives its number to whatever is opened next. It
has to look closed: else what the program prints, or a library written in C, goes into that file.
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select

__all__ = ["epoll", "memfd"]

_LAST_STREAM = 2


def memfd(name: str) -> int:
    """Return an anonymous file, which no child gets."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    if fd > _LAST_STREAM:
        return fd
    try:
        return _above(fd)
    finally:
        os.close(fd)


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
