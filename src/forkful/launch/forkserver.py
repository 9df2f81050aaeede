"""The forkserver start method: the client's side.

The server (`serving.py`) is a member of the family, and passes it on to what it forks: objects that its
preloaded modules made are shared by all its children. It ends when the last process that may use it has ended.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from multiprocessing import (
    connection,
    forkserver,
    popen_forkserver,
    reduction,
    spawn,
    util,
)

from forkful import _native, ledger
from forkful.launch import collect, fork, inherit
from forkful.launch.interrupts import interrupts_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.process import BaseProcess
    from typing import Any

__all__ = ["ForkServer", "Popen", "server"]


class ForkServer(forkserver.ForkServer):
    """The stdlib's client of a fork server; what differs is the program that it starts."""

    _forkserver_address: Any
    _forkserver_alive_fd: Any
    _forkserver_pid: Any

    def __init__(self) -> None:
        super().__init__()
        self._needed: set[str] = set()
        self._preparation = b""

    def need(self, module: str) -> None:
        """Let a server that is not started yet import this module of forkful, for its children."""
        self._needed.add(module)

    def ensure_running(self) -> None:
        """Start the server unless it runs. May be called from any process of the family."""
        inherit.tracker_fd()  # starts it unless it runs
        self._ensure()

    def _ensure(self) -> None:
        with self._lock:
            if self._forkserver_address is not None and self._forkserver_alive_fd is not None:
                if not self._has_ended():
                    return
                alive_w = self._forkserver_alive_fd
                # First: another thread may fork now, and its child shall find a server or none.
                self._forkserver_address = self._forkserver_alive_fd = None
                self._forkserver_pid = None
                os.close(alive_w)
            self._start()

    def _has_ended(self) -> bool:
        """Return whether the server is dead, whoever has started it."""
        if self._forkserver_pid is not None:
            try:
                return os.waitpid(self._forkserver_pid, os.WNOHANG)[0] != 0
            except ChildProcessError:
                pass  # the parent's, which this process was forked from
        # Its parent's, or the one that forked this process. Nobody else has the other end of this pipe.
        end = select.poll()
        end.register(self._forkserver_alive_fd, 0)
        return any(what & select.POLLERR for _, what in end.poll(0))

    def lacks(self, preparation: bytes) -> bytes:
        """Return what a child must be sent of this: nothing if the server was prepared so, and has started."""
        return b"" if preparation == self._preparation else preparation

    def connect_to_new_process(self, fds: Sequence[int]) -> tuple[int, int]:
        """Ask the server for a process.

        Args:
            fds: What the child is to have, its end of the tie first; at most 251.

        Returns:
            Where to read the child's pid and in the end its status, and where to write what it is to do.
        """
        tracker = inherit.tracker_fd()
        self._ensure()
        if len(fds) + 4 >= forkserver.MAXFDS_TO_SEND:
            raise ValueError(f"too many descriptors for one process: {len(fds)}")
        with socket.socket(socket.AF_UNIX) as client:
            status_r, status_w, data_r, data_w = fork.pipes()
            # Whoever is forked by another thread meanwhile must not keep them: their ends would never come.
            childs = _native.Ends(data_r), _native.Ends(status_w)
            try:
                client.connect(self._forkserver_address)
                reduction.sendfds(
                    client, [data_r, status_w, self._forkserver_alive_fd, tracker, *fds]
                )
            except BaseException:
                os.close(status_r)
                os.close(data_w)
                raise
            finally:
                for end in childs:
                    end()
        return status_r, data_w

    def _start(self) -> None:
        preparation = inherit.preparation(_Nothing, 0)
        with socket.socket(socket.AF_UNIX) as listener:
            address = connection.arbitrary_address("AF_UNIX")
            listener.bind(address)
            if not util.is_abstract_socket_namespace(address):
                os.chmod(address, 0o600)
            listener.listen()
            # All that may use the server have the write end of the first; it ends with the last of them.
            alive_r, alive_w, data_r, data_w = fork.pipes()
            servers = alive_r, data_r, listener.detach()
        ends = [_native.Ends(fd) for fd in servers]  # not of who is forked by another thread now
        try:
            family = _native.fd()
            command = (  # the path first: by it, forkful and what is preloaded are found
                f"import sys; sys.path[:] = {sys.path!r}; "
                "from forkful.launch.serving import serve; "
                f"serve({family}, {servers[2]}, {alive_r}, {data_r}, "
                f"{[*self._preload_modules, *self._needed]!r})"
            )
            exe = spawn.get_executable()
            args = [exe, *util._args_from_interpreter_flags(), "-c", command]
            with interrupts_held():
                pid = util.spawnv_passfds(exe, args, [family, *servers])
        except BaseException:
            os.close(alive_w)
            os.close(data_w)
            raise
        finally:
            for end in ends:
                end()
        self._forkserver_address = address
        self._forkserver_alive_fd = alive_w
        self._forkserver_pid = pid
        self._preparation = preparation
        _send(data_w, preparation)


class _Nothing:
    """In the place of a Popen, for what is pickled for no child in particular."""


def _send(fd: int, *messages: bytes) -> None:
    """Send messages and close."""
    end = _native.Ends(fd)
    try:
        for message in messages:
            _native.stream_put(fd, message)
    except BrokenPipeError:
        pass  # it died while it started: its exit code will say so
    finally:
        end()


server = ForkServer()

# Another thread may hold the lock when the process is forked.
os.register_at_fork(after_in_child=server._lock._at_fork_reinit)


class _DupFd:
    """A descriptor on its way through the server."""

    def __init__(self, index: int) -> None:
        self.index = index

    def detach(self) -> int:
        """In the child: the descriptor."""
        fds = server.get_inherited_fds()
        assert fds is not None, "not a child of the fork server"
        return fds[self.index]


class Popen(fork.Popen):
    """A child forked by the server. Its exit status comes from the server, by a pipe."""

    method = "forkserver"
    DupFd = _DupFd

    def __init__(self, process_obj: BaseProcess) -> None:
        self._fds: list[int] = []
        self._client = os.getpid()
        super().__init__(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        """Send `fd` along; the child finds it by its place."""
        self._fds.append(fd)
        return len(self._fds) - 1

    def _launch(self, process_obj: BaseProcess) -> None:
        _native.found()
        preparation = inherit.preparation(self, 0)
        passenger = inherit.passenger(self, process_obj)
        target = getattr(process_obj, "_target", None)
        module = getattr(target, "__module__", None) or ""
        if module.startswith("forkful."):  # a pool's worker: what it imports would be as much as it
            server.need(module)
        asked = _native.reserve()  # until the child has its slot: so that it counts as being born
        try:
            with collect.watching() as watch:
                self._ask(preparation, process_obj.name.encode("utf-8", "surrogatepass"), passenger)
                watch(self.sentinel, process_obj)
        finally:
            _native.abandon(asked)

    def _ask(self, preparation: bytes, name: bytes, passenger: bytes) -> None:
        # The child's end of the tie is the one that all children of this process have.
        ends = _native.Ends()
        sentinel, w = server.connect_to_new_process([ends.childs(), *self._fds])
        self.finalizer = _native.Ends(-1, sentinel)
        _send(w, server.lacks(preparation), name, passenger)
        try:
            self.pid = forkserver.read_signed(sentinel)
            self.owner = forkserver.read_signed(sentinel)
        except EOFError:
            raise EOFError(
                "the fork server has made no process: it was killed, or has no descriptor or memory left (each of "
                "its children needs a descriptor there: see `ulimit -n`)"
            ) from None

    def _ends_within(self, seconds: float) -> bool:
        return fork.readable_within(self.sentinel, seconds)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code, or None while the child runs; 255 if the server itself died.

        In a process that was forked from the one which has started the child: None, as with any other start
        method. The status can be read once, and is that one's.
        """
        if self._client != os.getpid():
            return self.returncode
        if self.returncode is None and flag != os.WNOHANG:
            _native.wait_readable(self.sentinel)
        # The status can be read once: of two threads that ask, the other must find what it was told.
        with fork.status_lock:
            known = self.returncode is not None
            code = popen_forkserver.Popen.poll(self, os.WNOHANG)
            if code is not None and self.last_words is not None:
                self._note_end(self.last_words, code)
            if ledger.KEPT and code is not None and not known:
                ledger.reaped(self.pid, code)
            if code is not None:
                collect.forget(self.sentinel)
                if self.owner:
                    _native.reap(self.owner)
                    self.owner = 0
                self._kept = None
        return code
