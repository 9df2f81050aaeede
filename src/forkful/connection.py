"""Pipes: the stdlib's connections, with what a reader expects at the end.

A connection is a socket or pipe, so it has a `fileno` and may be waited for. What is sent is pickled by
forkful's `wire`: handles may be sent, and an error says which part of an object cannot be.
"""

from __future__ import annotations

import os
import socket
from multiprocessing import connection as _stdlib
from multiprocessing import reduction
from multiprocessing.connection import Client, Listener, answer_challenge, deliver_challenge, wait
from typing import TYPE_CHECKING, Any

from forkful import wire
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
    a reader: the stdlib's gives ConnectionResetError if that end had not read all it was sent.
    """

    def send(self, obj: Any) -> None:
        """Send an object; may wait until the other end reads if it is large.

        Takes what pickle takes, unlike a queue: at the other end may be any Python.
        """
        self._check_closed()
        self._check_writable()
        self._send_bytes(wire.dumps(obj, by_value=False))

    def recv(self) -> Any:
        """Receive an object; wait for one.

        Raises:
            EOFError: Nothing left, and the other end is closed or its process gone.
        """
        self._check_closed()
        self._check_readable()
        return wire.loads(self._recv_bytes().getbuffer())

    def _recv(self, size: int, read: Any = os.read) -> Any:
        try:
            return super()._recv(size, read)  # type: ignore[misc]
        except ConnectionResetError:
            raise EOFError from None


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


def _reduce(conn: Connection) -> tuple[Any, ...]:
    return _rebuild, (reduction.DupFd(conn.fileno()), conn.readable, conn.writable)


reduction.register(Connection, _reduce)


if not TYPE_CHECKING:
    __getattr__ = names_of("connection")
