"""`Server`: workers that are there before the clients come, and whom the parent looks after."""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple

from forkful import errors
from forkful.cpus import usable_cpus
from forkful.family import Words
from forkful.server.base import BaseServer, Member
from forkful.server.births import Births
from forkful.server.service import Handler
from forkful.server.worker import CONNECTIONS, READY, SINCE, WORDS, WorkerConfig, work

__all__ = ["Server", "ServerStatistics", "ServerWorker"]

_LOOK_AT_BIRTHS = 0.05  # seconds: a worker does not tell its parent when it is ready

logger = logging.getLogger("forkful.server")


class ServerWorker(NamedTuple):
    """What a worker does at this moment."""

    pid: int
    name: str
    state: str  # "starting", "idle", "busy"
    seconds: float  # that its connection has lasted; 0.0 if it has none
    connections: int  # served


class ServerStatistics(NamedTuple):
    """What a server does, and has done."""

    workers: tuple[ServerWorker, ...]
    connections: int  # served, by those that have ended too
    died: int  # workers that ended without having been told to


class _Worker(Member):
    def __init__(self, process: Any, words: Words) -> None:
        super().__init__(process)
        self.words = words
        self.old = False  # its successor is on the way
        self.ready = False


class Server(BaseServer[_Worker]):
    """A pre-fork TCP server: each of its workers accepts and serves, one connection at a time.

    A client beyond the workers waits until one is free. A worker that dies costs its own client only and is
    replaced at once; a handler that raises, its own connection only.

    In the main thread `serve_forever` also minds SIGHUP (`reload`), SIGTTIN and SIGTTOU (a worker more, less).

    Args:
        server_address: (host, port); port 0: one that is free, which `server_address` then tells.
        RequestHandlerClass: Called as `handler(client, address)`, in a worker; the connection ends when it
            returns. Or a `socketserver.BaseRequestHandler` class. With spawn and forkserver it must be
            picklable.
        workers: How many; None: as many as this process may use CPUs.
        backlog: How many clients may wait to be accepted.
        timeout: Seconds that a connection may last before its worker is killed and replaced; None: for ever.
        graceful_timeout: Seconds that open connections have to end at a graceful end.
        max_requests: Connections after which a worker is replaced; 0: never.
        max_requests_jitter: Up to so many more, at random: the workers are not to go all at once.
        initializer: Called in each worker with `initargs` before it accepts.
        initargs: Its arguments.
        context: A context, or the name of a start method; None: the default context.

    Attributes:
        socket: The listening socket.
        server_address: Where it listens.
    """

    _called = "ServerWorker"

    def __init__(
        self,
        server_address: tuple[str, int],
        RequestHandlerClass: Handler,
        *,
        workers: int | None = None,
        backlog: int = 2048,
        timeout: float | None = None,
        graceful_timeout: float = 30.0,
        max_requests: int = 0,
        max_requests_jitter: int = 0,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        context: BaseContext | str | None = None,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError("a server needs at least one worker")
        super().__init__(
            server_address,
            RequestHandlerClass,
            backlog=backlog,
            graceful_timeout=graceful_timeout,
            context=context,
        )
        self.timeout = timeout
        self._size = workers or usable_cpus()
        self._max_requests, self._jitter = max_requests, max_requests_jitter
        self._initializer, self._initargs = initializer, tuple(initargs)
        self._births = Births()
        self._reload = False  # asked for, and not begun
        self._served = self._died = 0  # of those that have ended
        self._wishes.means |= {
            signal.SIGHUP: self.reload,
            signal.SIGTTIN: lambda: self._resize(1),
            signal.SIGTTOU: lambda: self._resize(-1),
        }

    def reload(self) -> None:
        """Replace all workers: each ends, after its connection, when as many new ones are ready.

        With spawn and forkserver the new ones import the program anew (not what the fork server preloads).
        """
        self._reload = True
        self._wishes.ask()

    def statistics(self) -> ServerStatistics:
        """Return what the workers do at this moment."""
        now = time.monotonic_ns()
        rows = []
        for worker in tuple(self._members.values()):
            since, words = worker.words.load(SINCE), worker.words
            state = "busy" if since else "idle" if words.load(READY) else "starting"
            seconds = max(0, now - since) / 1e9 if since else 0.0
            served = words.load(CONNECTIONS)
            rows.append(ServerWorker(worker.pid, worker.name, state, seconds, served))
        served = self._served + sum(row.connections for row in rows)
        return ServerStatistics(tuple(rows), served, self._died)

    # -- the parent's loop ---------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        if self._reload:
            self._reload = False
            for worker in self._members.values():
                worker.old = True
        self._note_ready()
        current = [w for w in self._members.values() if not (w.told or w.old)]
        unready = sum(not w.ready for w in current)
        for _ in range(self._births.allowed(self._size - len(current), unready, now)):
            if not self._start_worker():
                break
        self._let_go([w for w in current if w.ready])
        next_look = self._kill_late(now)
        being_born = self._births.failures or any(not w.ready for w in self._members.values())
        self._wait(_LOOK_AT_BIRTHS if being_born else next_look)

    def _start_worker(self) -> bool:
        """Start a worker, unless the system cannot: it may when a process has ended."""
        words = Words(WORDS)
        most = self._max_requests and self._max_requests + random.randint(0, self._jitter)
        config = WorkerConfig(
            self.socket, self._service, words, most, self._initializer, self._initargs
        )
        process = self._context.Process(target=work, args=(config,))
        try:
            self._start(_Worker(process, words))
        except OSError as error:
            pause = self._births.failed(time.monotonic())
            logger.error("cannot start a worker: %s; another is tried in %g s", error, pause)
            if self._births.hopeless and not self._is_ready():
                raise
            return False
        return True

    def _is_ready(self) -> bool:
        """Whether anybody can serve."""
        return any(worker.ready for worker in self._members.values())

    def _note_ready(self) -> None:
        for worker in self._members.values():
            if not worker.ready and worker.words.load(READY):
                worker.ready = True
                self._births.succeeded()

    def _let_go(self, ready: list[_Worker]) -> None:
        """Tell those to end whom new ones have replaced, or who are too many."""
        leave = ready[self._size :]
        if len(ready) >= self._size:
            leave += [w for w in self._members.values() if w.old and not w.told]
        for worker in leave:
            worker.told = True
            worker.process.terminate()

    def _kill_late(self, now: float) -> float:
        """Kill whoever is over its timeout; return the seconds until the next may be."""
        if self.timeout is None:
            return float("inf")
        left = self.timeout
        for worker in self._members.values():
            since = worker.words.load(SINCE)
            if since and not worker.doomed:
                its = since / 1e9 + self.timeout - now
                left = min(left, its)
                if its <= 0:
                    self._kill(worker, f"is over its timeout of {self.timeout:g} s with a client")
        return left

    def _ended(self, worker: _Worker) -> None:
        words = worker.words
        self._served += words.load(CONNECTIONS)
        if worker.told or (worker.process.exitcode == 0 and words.load(READY)):
            logger.info("%s", self._how(worker))
            return
        self._died += 1
        if words.load(READY):
            with_client = " while it served a client" if words.load(SINCE) else ""
            if not worker.doomed:
                logger.error("%s%s: another takes its place", self._how(worker), with_client)
            return
        killed = worker.process.exitcode == -signal.SIGKILL
        pause = self._births.failed(time.monotonic(), killed=killed)
        logger.error("%s before it was ready: another is tried in %g s", self._how(worker), pause)
        if self._births.hopeless and not self._is_ready():
            raise errors.WorkerDied(
                f"the server gives up: its workers end before they are ready, the last one "
                f"{self._how(worker)}. What they wrote to standard error says why",
                pid=worker.pid,
                exitcode=worker.process.exitcode,
                name=worker.name,
            )

    def _stop_all(self) -> None:
        for worker in self._members.values():
            worker.process.terminate()

    def _resize(self, by: int) -> None:
        self._size = max(1, self._size + by)
        self._wishes.ask()
