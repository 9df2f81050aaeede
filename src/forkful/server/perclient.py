"""`ProcessServer`: each client has a process of its own, which ends with its connection."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from multiprocessing.context import BaseContext
from typing import Any

from forkful.server.base import BaseServer, Member
from forkful.server.service import Handler, hang_up, name_of, serve_one

__all__ = ["ProcessServer"]

logger = logging.getLogger("forkful.server")


class _Clerk(Member):
    """The process of a client."""

    def __init__(self, process: Any, address: Any) -> None:
        super().__init__(process)
        self.address = address
        self.since = time.monotonic()

    @property
    def client(self) -> str:
        return name_of(self.address)


class ProcessServer(BaseServer[_Clerk]):
    """A TCP server that starts a process for each client: nothing that one does touches another.

    A start takes a thousand times longer than an accept, so this is for connections that last, or that
    are not trusted with each other's memory; for many short ones there is `Server`.

    Args:
        server_address: (host, port); port 0: one that is free, which `server_address` then tells.
        RequestHandlerClass: Called as `handler(client, address)`, in a process of its own; the connection ends
            when it returns. Or a `socketserver.BaseRequestHandler` class. With spawn and forkserver it must
            be picklable.
        max_children: How many clients are served at once; others wait.
        backlog: How many clients may wait to be accepted.
        timeout: Seconds that a connection may last before its process is killed; None: for ever.
        graceful_timeout: Seconds that open connections have to end at a graceful end.
        context: A context, or the name of a start method; None: the default context.

    Attributes:
        socket: The listening socket.
        server_address: Where it listens.
    """

    _called = "ServerProcess"

    def __init__(
        self,
        server_address: tuple[str, int],
        RequestHandlerClass: Handler,
        *,
        max_children: int = 40,
        backlog: int = 2048,
        timeout: float | None = None,
        graceful_timeout: float = 30.0,
        context: BaseContext | str | None = None,
    ) -> None:
        if max_children < 1:
            raise ValueError("a server needs at least one process")
        super().__init__(
            server_address,
            RequestHandlerClass,
            backlog=backlog,
            graceful_timeout=graceful_timeout,
            context=context,
        )
        self.max_children = max_children
        self.timeout = timeout
        self.socket.setblocking(False)
        self._listening = False

    def _turn(self) -> None:
        is_open = self.socket.fileno() >= 0  # the program may close it
        self._listen(is_open and len(self._members) < self.max_children)
        self._wait(self._kill_late())
        while is_open and len(self._members) < self.max_children and not self._wishes.ending:
            try:
                client, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                logger.error("cannot accept: %s", error)
                return self._wait_for_an_end()
            self._serve(client, address)

    def _serve(self, client: socket.socket, address: Any) -> None:
        process = self._context.Process(target=serve_one, args=(self._service, client, address))
        try:
            self._start(_Clerk(process, address))
        except OSError as error:
            logger.error("cannot start a process for client %s: %s", name_of(address), error)
            hang_up(client)
            self._wait_for_an_end()
        finally:
            client.close()  # the process has its own

    def _wait_for_an_end(self) -> None:
        """Something is short: room comes when a process ends, or with time."""
        self._listen(False)
        self._wait(0.1)

    def _listen(self, wanted: bool) -> None:
        if wanted == self._listening:
            return
        self._listening = wanted
        if wanted:
            with contextlib.suppress(ValueError):  # the program has closed it just now
                self._waiting.register(self.socket, select.EPOLLIN)
            return
        # Also before it is closed: it stays registered as long as a child has it.
        with contextlib.suppress(OSError, ValueError):  # the program has closed it
            self._waiting.unregister(self.socket)

    def _kill_late(self) -> float:
        """Kill whoever is over its timeout; return the seconds until the next may be."""
        if self.timeout is None:
            return float("inf")
        left, now = self.timeout, time.monotonic()
        for clerk in self._members.values():
            if not clerk.doomed:
                its = clerk.since + self.timeout - now
                left = min(left, its)
                if its <= 0:
                    why = f"is over its timeout of {self.timeout:g} s with client {clerk.client}"
                    self._kill(clerk, why)
        return left

    def _ended(self, clerk: _Clerk) -> None:
        if clerk.process.exitcode and not (clerk.told or clerk.doomed):
            logger.error("%s while it served client %s", self._how(clerk), clerk.client)
