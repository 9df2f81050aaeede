"""What both servers share: the listening socket, the parent's loop, its signals, and the end.

The parent never serves. It waits for the ends of its processes (and, with a process for each client, for
clients) in one selector, and looks round at least once a second.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from forkful.launch.defaults import defaults
from forkful.process import NESTS, describe_exit
from forkful.server.service import ORDERS, Handler, Service
from forkful.server.wishes import GRACEFUL, QUICK, Wishes

__all__ = ["BaseServer", "Interrupted", "Member", "hold_orders"]

_LOOK_EVERY = 1.0  # seconds
_GRACE = 1.0  # seconds that processes have to end at SIGQUIT, before SIGKILL

logger = logging.getLogger("forkful.server")


class Interrupted(SystemExit, KeyboardInterrupt):
    """Ctrl-C has ended `serve_forever`, and the server's processes with it.

    Whoever does not catch it, as KeyboardInterrupt, exits with status 130 and without a traceback.
    """

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGINT)


class Member:
    """A process of a server.

    Attributes:
        process: The Process object.
        pid, name: Its own, which it no longer tells once it is closed.
        doomed: Why it was killed, if it was; then its end is no news.
        told: It was told to stop; then its end is no news either.
    """

    def __init__(self, process: Any) -> None:
        self.process = process
        self.pid, self.name = 0, ""
        self.doomed = ""
        self.told = False

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


_M = TypeVar("_M", bound=Member)


class BaseServer(Generic[_M]):
    """The common part; see `Server` and `ProcessServer`."""

    _called: str  # the first part of its processes' names

    def __init__(
        self,
        server_address: tuple[str, int],
        RequestHandlerClass: Handler,
        *,
        backlog: int = 2048,
        graceful_timeout: float = 30.0,
        context: BaseContext | str | None = None,
    ) -> None:
        if context is None or isinstance(context, str):
            context = defaults.context.get_context(context)
        self._context: Any = context.get_context()
        family = socket.AF_INET6 if ":" in server_address[0] else socket.AF_INET
        self.socket = socket.create_server(server_address, family=family, backlog=backlog)
        self.server_address = self.socket.getsockname()
        self.graceful_timeout = graceful_timeout
        self._service = Service(RequestHandlerClass, self.server_address)
        self._members: dict[int, _M] = {}  # by sentinel
        self._wishes = Wishes()
        self._wake = -1  # readable after each wish
        self._pid = os.getpid()
        self._thread: int | None = None  # that serves
        self._over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server_close()

    def server_close(self) -> None:
        """Close the listening socket, if `serve_forever` has not done it."""
        self.socket.close()

    def serve_forever(self) -> None:
        """Serve until `shutdown()` or a signal, once. The port is closed when this returns.

        In the main thread it minds signals as long as it runs: SIGTERM ends gracefully, as `shutdown()`;
        SIGINT (Ctrl-C) and SIGQUIT end at once, also in the midst of a graceful end. No process is left when it
        returns or raises. If this process is killed, its processes are, too.

        Raises:
            Interrupted: SIGINT came.
            RuntimeError: It has served already.
            Exception: What starting a process has raised, such as a handler's PicklingError under spawn.
        """
        if self._thread is not None:
            raise RuntimeError("a server serves once: make another one")
        self._thread = threading.get_ident()
        self._pid = os.getpid()  # it may have been made in a parent
        try:
            with select.epoll() as self._waiting, self._wishes.heard() as self._wake:
                self._waiting.register(self._wake, select.EPOLLIN)
                self._loop()
        finally:
            self._over.set()
        if self._wishes.interrupted:
            raise Interrupted

    def shutdown(self) -> None:
        """Accept no more connections, let open ones end, for `graceful_timeout` seconds at most.

        From another thread than that of `serve_forever`, which it waits for.

        Raises:
            RuntimeError: Called in another process, a handler's for example.
        """
        if os.getpid() != self._pid:
            raise RuntimeError(
                f"only process {self._pid}, which serves, can shut it down; from others, send it "
                "SIGTERM"
            )
        self._wishes.ask(GRACEFUL)
        if self._thread not in (None, threading.get_ident()):
            self._over.wait()

    # -- what the two do in their own way --------------------------------------------------------

    def _turn(self) -> None:
        """Wait for what comes next, and do what is due."""
        raise NotImplementedError

    def _ended(self, member: _M) -> None:
        """A process has ended."""
        raise NotImplementedError

    def _listen(self, wanted: bool) -> None:
        """Let the loop wake for connections, or not."""

    def _stop_all(self) -> None:
        """Tell processes that have no connection to end. The socket is shut already."""

    # -- the loop ------------------------------------------------------------------------------------

    def _loop(self) -> None:
        logger.info("serving on %s, pid %d", self.server_address, self._pid)
        try:
            while not self._wishes.ending:
                self._turn()
        except BaseException:
            self._wishes.ask(QUICK)
            raise
        finally:
            self._end()

    # -- processes -----------------------------------------------------------------------------------

    def _start(self, member: _M) -> None:
        process = member.process
        process.name = self._called + process.name.partition("Process")[2]
        process.daemon = True
        process._config[NESTS] = True  # a handler may use processes and pools of its own
        before = hold_orders(process)
        try:
            process.start()
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        member.pid, member.name = process.pid, process.name
        sentinel = process.sentinel
        self._members[sentinel] = member
        self._waiting.register(sentinel, select.EPOLLIN)

    def _wait(self, seconds: float) -> None:
        """Wait for the end of a process, or a wish, and take note of it."""
        ready = {fd for fd, _ in self._waiting.poll(max(0.0, min(seconds, _LOOK_EVERY)))}
        if self._wake in ready:
            os.eventfd_read(self._wake)
        # Who is killed but has left a child of its own does not show: look at all if nobody does.
        for sentinel in ready & self._members.keys() if ready else tuple(self._members):
            member = self._members[sentinel]
            if member.process.exitcode is not None:
                self._waiting.unregister(sentinel)
                del self._members[sentinel]
                try:
                    self._ended(member)
                finally:
                    member.process.close()

    def _kill(self, member: _M, why: str) -> None:
        member.doomed = why
        logger.error("%s %s: it is killed", member, why)
        member.process.kill()

    def _end(self) -> None:
        """Stop accepting; wait for open connections, as long as they are given; end the rest."""
        self._listen(False)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # in all processes that have it
        self.socket.close()
        logger.info("ending: %d processes are to end", len(self._members))
        for member in self._members.values():
            member.told = True
        self._stop_all()
        deadline = time.monotonic() + self.graceful_timeout
        while self._members and self._wishes.ending < QUICK and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())
        if self._members and self._wishes.ending < QUICK:
            names = ", ".join(map(str, self._members.values()))
            logger.warning(
                "not through after %g s (graceful_timeout): ending %s", self.graceful_timeout, names
            )
        for member in self._members.values():
            member.process._popen._send_signal(signal.SIGQUIT)
        deadline = time.monotonic() + _GRACE
        while self._members and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())
        for member in self._members.values():
            member.process.kill()
        for sentinel, member in self._members.items():
            self._waiting.unregister(sentinel)
            member.process.join()
            member.process.close()
        self._members = {}

    def _how(self, member: _M) -> str:
        return f"{member} {describe_exit(member.process.exitcode)}"


def hold_orders(process: Any) -> set[int]:
    """Let signals wait while a process is forked: it lets them through when it can obey them.

    Others than forked ones begin with what may take long, the main module's import, which a signal must
    be able to end.

    Returns:
        The signals that waited before.
    """
    held = ORDERS if getattr(process, "_start_method", None) == "fork" else ()
    before: set[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, held)
    return before
