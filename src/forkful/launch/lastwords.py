"""The Python stack of a child that a fatal signal ends: written by it as it dies, read by its parent.

`faulthandler` writes it in the child's signal handler. The parent has one anonymous file for all its
living children, in which each has a stretch of its own; it is closed with the last of them. A
child opens it by way of the parent's /proc, so it has its own position in it, and nothing
need be handed on by the start methods.

A child in which faulthandler is on already (PYTHONFAULTHANDLER, or a program that is forked and has
enabled it) writes where the program wants it.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import threading

from forkful import _native, descriptors
from forkful.launch.defaults import defaults

__all__ = ["Place", "listen_nowhere", "reserve", "take"]

_STRETCH = 16 << 20  # bytes of the file that each has; what is not written takes no memory
_SHOWN = 64 << 10  # bytes of it that are read
_LEAST_FD = 250  # of the child's descriptor: a program that closes all it does not know opens files with lower numbers
_BEGINNING = "Fatal Python error"

_FATAL = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
)  # those that faulthandler handles


class Place:
    """Where a child writes: a stretch of a file of its parent's."""

    __slots__ = "fd", "file", "number", "pid"

    def __init__(self, file: _File, number: int) -> None:
        self.pid = os.getpid()  # the parent
        self.fd = file.fd  # its descriptor of the file,
        self.file = file.identity  # by which it is known again: the program may close it
        self.number = number  # of the stretch

    def listen(self) -> None:
        """In the child, as it begins: let the stack of a fatal signal be written here."""
        _listen(self)


class _File:
    """The file, in the parent."""

    def __init__(self) -> None:
        self.fd = descriptors.memfd("lastwords-forkful")
        self.identity = _native.file_identity(self.fd)
        self.free: list[int] = []
        self.used: set[int] = set()


_lock = threading.Lock()
_file: _File | None = None
_mine: int | None = None  # in a child: the descriptor that its faulthandler writes to


def _begin_anew() -> None:
    """In a forked child: the file is its parent's."""
    global _lock, _file
    _lock = threading.Lock()
    file, _file = _file, None
    if file is not None:
        _native.close_file(file.fd, file.identity)


os.register_at_fork(after_in_child=_begin_anew)


def reserve() -> Place | None:
    """Return a place for a child that is about to start; None if no descriptor is left for it."""
    global _file
    with _lock:
        try:
            file = _file = _file or _File()
        except OSError:
            return None
        number = file.free.pop() if file.free else len(file.used)
        file.used.add(number)
        return Place(file, number)


def take(place: Place | None, exitcode: int | None) -> str | None:
    """The child has ended, or was not started: give its place back, and return what it left there."""
    global _file
    with _lock:
        file = _file
        if (
            file is None
            or place is None
            or file.identity != place.file
            or place.number not in file.used
        ):
            return None
        text = _read(file, place.number) if exitcode is not None and -exitcode in _FATAL else None
        file.used.remove(place.number)
        file.free.append(place.number)
        if not file.used:
            _file = None
            _native.close_file(file.fd, file.identity)
        return text


def _read(file: _File, number: int) -> str | None:
    """Read a stretch, and make it empty for the next."""
    try:
        if _native.file_identity(file.fd) != file.identity:
            return None
        data = os.pread(file.fd, _SHOWN, number * _STRETCH)
        os.pwrite(file.fd, bytes(len(data)), number * _STRETCH)
    except OSError:
        return None
    # Before it there may be that of a process which the child has forked without us.
    _, found, text = data.rstrip(b"\0").decode(errors="replace").rpartition(_BEGINNING)
    return found + re.sub(_machinery(), "", text) if found else None


def _machinery() -> str:
    """A pattern for the frames that are below a process's target and a worker's task."""
    files = "|".join(map(re.escape, defaults.machinery))
    return rf'  File "({files})", line \d+ in .*\n(  (File|\.\.\.).*\n)*'


def listen_nowhere() -> None:
    """In a child for which there is no place: write nothing, also where its parent does."""
    _listen(None)


def _listen(place: Place | None) -> None:
    global _mine
    if faulthandler.is_enabled():
        if _mine is None:
            return  # the program's own
        faulthandler.disable()
    inherited, _mine = _mine, None if place is None else _open(place)
    if inherited is not None:
        os.close(inherited)
    if _mine is not None:
        faulthandler.enable(file=_mine)


def _open(place: Place) -> int | None:
    at = place.number * _STRETCH
    fd = _native.reopen_file(place.pid, place.fd, place.file, at, _LEAST_FD)
    return fd if fd >= 0 else None
