"""Pipes: the stdlib's connections, with what a reader expects at the end.

A connection is a socket or pipe, so it has a `fileno` and may be waited for. What is sent is pickled by
forkful's `wire`: handles may be sent, and an error says which part of an object cannot be. A reader looks for
some microseconds before it sleeps, as long as that helps: two that answer each other then need no wake-ups.
Who sleeps here is on the wait board.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterable
from multiprocessing import connection as _stdlib
from multiprocessing import reduction
from multiprocessing.connection import Client, answer_challenge, deliver_challenge

# Bound now: on `forkful run` the name of the module is this module's later on.
from multiprocessing.connection import wait as _wait
from typing import TYPE_CHECKING, Any

from forkful import _native, wire
from forkful.stdlib import names_of

__all__ = [
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "answer_challenge",
    "deliver_challenge",
    "wait",
]


class Connection(_stdlib.Connection):
    """One end of a pipe.

    Raises where the stdlib's raises, save that the other end's going away is always `EOFError` for
    a reader and `BrokenPipeError` for a writer: the stdlib's gives ConnectionResetError if that end
    had not read all it was sent.
    """

    def send(self, obj: Any) -> None:
        """Send an object; may wait until the other end reads if it is large.

        Takes what pickle takes, unlike a queue: at the other end may be any Python. What another thread writes to
        a large array meanwhile may be what arrives.
        """
        if self._handle is None or not self._writable:
            self._check_closed()
            self._check_writable()
        if _native.stream_send(self._handle, obj):
            return
        data = _native.pickle_plain(obj)
        _native.stream_put(self._handle, wire.dumps_parts(obj) if data is None else data)

    def recv(self) -> Any:
        """Receive an object; wait for one.

        Raises:
            EOFError: Nothing left, and the other end is closed or its process gone.
        """
        if self._handle is None or not self._readable:
            self._check_closed()
            self._check_readable()
        try:
            return _native.stream_recv(self._handle)
        except (AttributeError, ImportError) as error:
            wire.advise(error)
            raise

    def _recv_bytes(self, maxsize: int | None = None) -> io.BytesIO:
        data = None
        if maxsize is None:
            data = _native.stream_take(self._handle)
        else:
            _native.stream_wait(self._handle)
        if data is None:
            return super()._recv_bytes(maxsize)  # type: ignore[misc, no-any-return]
        buf = io.BytesIO(data)
        buf.seek(0, io.SEEK_END)  # as if just written
        return buf

    def _send_bytes(self, buf: Any) -> None:
        _native.stream_put(self._handle, buf)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Return whether `recv` would find something, or the end; wait for it up to `timeout` seconds."""
        self._check_closed()
        self._check_readable()
        if timeout is not None and timeout <= 0:
            return super().poll(timeout)
        _native.board_enter(_native.OP_POLL, self._handle, timeout)
        try:
            return super().poll(timeout)
        finally:
            _native.board_leave()

    def _recv(self, size: int, read: Any = os.read) -> Any:
        try:
            return super()._recv(size, read)  # type: ignore[misc]
        except ConnectionResetError:
            raise EOFError from None

    def __reduce__(self) -> tuple[Any, ...]:
        # A method, and not registered as the stdlib's: picklers of others (loky's) know no registry.
        return _rebuild, (reduction.DupFd(self.fileno()), self.readable, self.writable)


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Return those of the connections, sockets and sentinels that are ready; wait for the first.

    Args:
        object_list: What has a `fileno`, or is one.
        timeout: Seconds; None: for ever.
    """
    if timeout is not None and timeout <= 0:
        return _wait(object_list, timeout)
    _native.board_enter(_native.OP_WAIT, 0, timeout)
    try:
        return _wait(object_list, timeout)
    finally:
        _native.board_leave()


class Listener(_stdlib.Listener):
    """Where clients come in; the stdlib's, whose `accept` is on the wait board."""

    def accept(self) -> _stdlib.Connection:
        """Wait for a client, and see that it knows the key; return the connection to it.

        Raises:
            AuthenticationError: It does not.
            EOFError, ConnectionError: It has gone before that was known; the next call serves the next.
        """
        server = getattr(self._listener, "_socket", None)
        _native.board_enter(_native.OP_ACCEPT, server.fileno() if server else 0, None)
        try:
            return super().accept()
        finally:
            _native.board_leave()


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Return two connected ends; the first only receives and the second only sends if not duplex."""
    if duplex:
        s1, s2 = socket.socketpair()
        s1.setblocking(True)
        s2.setblocking(True)
        return Connection(s1.detach()), Connection(s2.detach())
    r, w = os.pipe()
    return Connection(r, writable=False), Connection(w, readable=False)


def _rebuild(fd: Any, readable: bool, writable: bool) -> Connection:
    return Connection(fd.detach(), readable, writable)


if not TYPE_CHECKING:
    __getattr__ = names_of("connection")
