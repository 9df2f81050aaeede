"""What a fork server does before its first fork, so that each child has less to do: it rehearses a child's start.

What the interpreter runs for the first time it writes to: it specialises the code, remembers in which class it
has found a name, binds functions of C libraries. A child would do that on pages that it shares with the server and
its siblings until then, and so copy each. So the server goes through the same steps some times itself, with a
process object like that of a child. Then all that the steps have set is set back.
"""

from __future__ import annotations

import _socket
import itertools
import os
import sys
import threading
from contextlib import suppress
from multiprocessing import process, resource_tracker
from multiprocessing.context import set_spawning_popen

from forkful import _native, ledger, wire
from forkful.launch import bootstrap
from forkful.launch.forkserver import server
from forkful.process import ForkServerProcess, bring_bootstrap
from forkful.queues import SimpleQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    _Make = Callable[[_socket.socket, int], Callable[..., Any]]

__all__ = ["rehearse"]

_TIMES = 12
"""Python 3.11 specialises a function when it has run eight times. With many more the child weighs more again."""

_tracker: Any = resource_tracker._resource_tracker
_process: Any = process


def rehearse(as_now: Callable[[], _Make]) -> None:
    """Do what each child will do, and leave this process as it is, save that it prints by lines.

    Nothing is done where there are other threads, which would see it, and where a file tells of each process that
    begins. Nor does it matter if a step fails: each child will do it, and tell.

    Args:
        as_now: Returns what makes, of a socket and a descriptor in the place of the server's, the function by which
            a child closes them and reads whom to be.
    """
    if threading.active_count() > 1 or len(sys._current_frames()) > 1 or ledger.KEPT:
        return
    with suppress(Exception):
        _rehearse(as_now())


def _rehearse(make: _Make) -> None:
    # What threading has registered for each child: with one thread it changes nothing.
    after_fork: Callable[[], Any] = getattr(threading, "_after_fork", int)
    here: Any = process.current_process()
    name, tracker_fd = here._name, _tracker._fd
    # Each by itself: an object that was asked for its `__dict__` is slower, and larger, from then on.
    client = server._forkserver_alive_fd, server._inherited_fds
    restore = bootstrap.restored()
    bring_bootstrap()
    popen = _Popen()
    try:
        sample = _sample(popen)
        for _ in range(_TIMES):
            after_fork()
            bootstrap.begin(_read(make, sample), None, True)
            restore()
    finally:
        restore()
        here._name, _tracker._fd = name, tracker_fd
        server._forkserver_alive_fd, server._inherited_fds = client


class _Popen:
    """In the place of one, for what is pickled: holds what must live until it is unpickled."""

    def __init__(self) -> None:
        self.kept: list[object] = []

    def keep(self, handle: object) -> None:
        self.kept.append(handle)


def _sample(popen: _Popen) -> bytes:
    """Return the pickle of a process object like that of a child, which has the name of this process."""
    _process._process_counter = itertools.count(1)
    child = ForkServerProcess(target=os.getpid, name="forkserver")
    child._report = SimpleQueue()
    set_spawning_popen(popen)
    try:
        return wire.dumps(child)
    finally:
        set_spawning_popen(None)


def _read(make: _Make, sample: bytes) -> Any:
    """Read a process object as a child does."""
    alive_r, alive_w = os.pipe()
    data_r, data_w = os.pipe()
    status_r, status_w = os.pipe()
    try:
        for message in (b"", b"forkserver", sample):
            _native.stream_put(data_w, message)
        return make(_socket.socket(_socket.AF_UNIX), alive_r)(data_r, status_w, -1, -1, -1)
    finally:
        for fd in (alive_w, data_w, status_r):
            os.close(fd)
