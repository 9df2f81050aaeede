"""What a server's process does with one connection, and how it obeys its parent.

The parent gives orders by signals, which a program's own tools can give too: SIGTERM, end after this
connection; SIGQUIT, end now: the connection is cut, and an exception lets the handler's `finally` blocks run. SIGINT
comes from a terminal to everybody: the parent decides. When the parent is dead the kernel kills.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import logging
import os
import signal
import socket
import socketserver
from collections.abc import Callable
from typing import Any

from forkful import ledger

__all__ = ["ORDERS", "Handler", "Orders", "Service", "hang_up", "name_of", "serve_one"]

Handler = Callable[[socket.socket, Any], object] | type[socketserver.BaseRequestHandler]

# `signal` converts to enumerations: pages to be copied, in each process that a server forks.

ORDERS = tuple(map(int, (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)))

logger = logging.getLogger("forkful.server")


class Orders:
    """What this process has been told by its parent. To be made first, in the main thread.

    Attributes:
        stopping: It shall end when it is through with its connection.
        quitting: It shall end now.
        wake: An eventfd that is readable as soon as it is to stop.
        client: The connection that is being served.
    """

    def __init__(self) -> None:
        self.client: socket.socket | None = None
        self.stopping = self.quitting = False
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        _signal.signal(_signal.SIGINT, _ignore)
        _signal.signal(_signal.SIGTERM, self._stop)
        _signal.signal(_signal.SIGQUIT, self._quit)
        os.register_at_fork(after_in_child=_obey_nobody)  # what a handler forks has another parent
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, ORDERS)  # see base.hold_orders

    def _stop(self, *_: object) -> None:
        self.stopping = True
        os.eventfd_write(self.wake, 1)

    def _quit(self, *_: object) -> None:
        self.stopping = self.quitting = True
        if self.client is not None:
            # The exception may come just when a line is sent: a buffer that is then flushed by a `finally`
            # would send it twice.
            _cut(self.client, socket.SHUT_RDWR)
        raise SystemExit(0)


def _ignore(signum: int, frame: object) -> None:
    """On SIGINT. A function and not SIG_IGN, which the programs that a handler runs would inherit."""


def _obey_nobody() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class Service:
    """A handler, and how it is called. Travels to the processes that serve.

    A `BaseRequestHandler` finds it as its `server`.

    Attributes:
        server_address: Where the server listens.
        RequestHandlerClass: The handler, class or function.
    """

    def __init__(self, handler: Handler, server_address: Any) -> None:
        self.RequestHandlerClass = handler
        self.server_address = server_address
        is_class = isinstance(handler, type) and issubclass(
            handler, socketserver.BaseRequestHandler
        )
        self._handle: Callable[[socket.socket, Any], object] = (
            self._construct if is_class else handler
        )

    def _construct(self, client: socket.socket, address: Any) -> None:
        handler: Any = self.RequestHandlerClass
        handler(client, address, self)

    def serve(self, client: socket.socket, address: Any, orders: Orders) -> None:
        """Let the handler do its work, and end the connection.

        What it raises ends the connection only, be it SystemExit: the log has its traceback.

        A process that the handler has forked ends where it comes out of the handler, with what it raised: it is
        not to serve other clients, and the connection is not its own.
        """
        here = os.getpid()
        orders.client = client
        try:
            self._handle(client, address)
        except BaseException as error:
            if os.getpid() != here:
                raise
            if orders.quitting:
                raise SystemExit(0) from None  # and not what it made of it, such as a broken pipe
            ledger.failed(error)
            logger.exception("the handler of client %s has failed", name_of(address))
        finally:
            orders.client = None
            if os.getpid() == here:
                hang_up(client)
        if os.getpid() != here:
            raise SystemExit(0)


def hang_up(client: socket.socket) -> None:
    """End a connection, also for those who have copies of the socket."""
    if client.fileno() >= 0:
        _cut(client, socket.SHUT_WR)
        client.close()


def _cut(client: socket.socket, how: int) -> None:
    try:
        client.shutdown(how)
    except OSError:
        pass  # the handler has closed it, or the client has ended it


def name_of(address: Any) -> str:
    """Return a client's address for people: `127.0.0.1:51324`, `[::1]:51324`."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve_one(service: Service, client: socket.socket, address: Any) -> None:
    """Be the process of one client."""
    orders = Orders()
    with client:
        service.serve(client, address, orders)
