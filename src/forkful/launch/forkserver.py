"""The forkserver start method, with a server that is a member of the family.

As a member, the server passes its family on to what it forks: objects that its preloaded modules
made are shared by all its children. It ends when the last process that may use it has ended.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
from importlib import import_module
from multiprocessing import (
    connection,
    forkserver,
    popen_forkserver,
    process,
    reduction,
    spawn,
    util,
)
from multiprocessing.process import BaseProcess
from types import SimpleNamespace

from forkful import _native, ledger
from forkful.launch import collect, fork
from forkful.launch.defaults import defaults
from forkful.launch.inherit import payload, tracker_fd
from forkful.launch.interrupts import interrupts_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

__all__ = ["Popen", "server", "serve"]


class ForkServer(forkserver.ForkServer):
    """The stdlib's client of a fork server; what differs is the program that it starts."""

    _forkserver_address: Any
    _forkserver_alive_fd: Any
    _forkserver_pid: Any

    def __init__(self) -> None:
        super().__init__()
        self._needed: set[str] = set()

    def need(self, module: str) -> None:
        """Let a server that is not started yet import this module of forkful, for its children."""
        self._needed.add(module)

    def ensure_running(self) -> None:
        """Start the server unless it runs. May be called from any process of the family."""
        tracker_fd()  # starts it unless it runs
        self._ensure()

    def _ensure(self) -> None:
        with self._lock:
            if self._forkserver_pid is not None:
                try:
                    pid, _ = os.waitpid(self._forkserver_pid, os.WNOHANG)
                except ChildProcessError:
                    return  # the parent's, which this process was forked from
                if not pid:
                    return
                os.close(self._forkserver_alive_fd)
                self._forkserver_address = None
                self._forkserver_alive_fd = None
                self._forkserver_pid = None
            elif self._forkserver_address is not None and self._forkserver_alive_fd is not None:
                return  # the one that forked this process
            self._start()

    def connect_to_new_process(self, fds: Sequence[int]) -> tuple[int, int]:
        """Ask the server for a process.

        Args:
            fds: What the child is to have, at most 251.

        Returns:
            Where to read the child's pid and in the end its status, and where to write what it is to do.
        """
        tracker = tracker_fd()
        self._ensure()
        if len(fds) + 4 >= forkserver.MAXFDS_TO_SEND:
            raise ValueError(f"too many descriptors for one process: {len(fds)}")
        with socket.socket(socket.AF_UNIX) as client:
            status_r, status_w, data_r, data_w = fork.pipes()
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
                os.close(data_r)
                os.close(status_w)
        return status_r, data_w

    def _start(self) -> None:
        data: dict[str, Any] = {**spawn.get_preparation_data("ignore")}
        main = data.get("init_main_from_path") if "__main__" in self._preload_modules else None
        with socket.socket(socket.AF_UNIX) as listener:
            address = connection.arbitrary_address("AF_UNIX")
            listener.bind(address)
            if not util.is_abstract_socket_namespace(address):
                os.chmod(address, 0o600)
            listener.listen()
            # All that may use the server have the write end; it ends with the last of them.
            alive_r, alive_w = os.pipe()
            try:
                family = _native.fd()
                arrivals = [(f.__module__, f.__qualname__) for f in defaults.arrivals]
                command = (  # the path first: by it, forkful and what is preloaded are found
                    f"import sys; sys.path[:] = {data['sys_path']!r}; "
                    "from forkful.launch.forkserver import serve; "
                    f"serve({family}, {listener.fileno()}, {alive_r}, {arrivals!r}, "
                    f"{[*self._preload_modules, *self._needed]!r}, {main!r})"
                )
                exe = spawn.get_executable()
                args = [exe, *util._args_from_interpreter_flags(), "-c", command]
                with interrupts_held():
                    pid = util.spawnv_passfds(exe, args, [family, listener.fileno(), alive_r])
            except BaseException:
                os.close(alive_w)
                raise
            finally:
                os.close(alive_r)
        self._forkserver_address = address
        self._forkserver_alive_fd = alive_w
        self._forkserver_pid = pid


def serve(
    family: int,
    listener: int,
    alive_r: int,
    arrivals: list[tuple[str, str]],
    preload: list[str],
    main_path: str | None,
) -> None:
    """The server's program: join the family, import what is preloaded, serve as the stdlib's does."""
    os.set_inheritable(family, False)
    _native.join(family, 0)
    _native.set_name("forkserver")
    _serve_once_forked()
    for module, function in arrivals:
        getattr(import_module(module), function)()
    forkserver._serve_one = _closing_at_once(forkserver._serve_one)
    here = {**vars(reduction), "recvfds": _forgiving(reduction.recvfds)}
    forkserver.reduction = SimpleNamespace(**here)
    # What the stdlib's server hands to its children is its own client object; ours must be it.
    forkserver._forkserver = server
    if main_path is not None:
        _preload_main(main_path)
    for name in preload:
        try:
            import_module(name)
        except ImportError:
            pass  # as the stdlib has it: a child that needs it will tell
    util._flush_std_streams()
    # A child's garbage collector shall not write to what the server has made, and so copy its pages.
    gc.collect()
    gc.freeze()
    forkserver.main(listener, alive_r, [])


def _forgiving(recvfds: Callable[..., list[int]]) -> Callable[..., list[int]]:
    """Let the server outlive who is killed between its connecting and its asking: it would end, with EOFError."""

    def receive(sock: socket.socket, size: int) -> list[int]:
        try:
            return recvfds(sock, size)
        except (EOFError, RuntimeError) as e:
            # The one error that the stdlib's server passes over.
            raise ConnectionAbortedError(errno.ECONNABORTED, "no request came") from e

    return receive


def _closing_at_once(serve_one: Callable[..., int]) -> Callable[..., int]:
    """Let a child close what the server holds of its siblings in few calls, however many they are."""

    def closing(child_r: int, fds: list[int], unused: list[int], *rest: Any) -> int:
        # The stdlib gives its own four first.
        for low, high in _runs(sorted(unused[4:])):
            os.closerange(low, high)
        return serve_one(child_r, fds, unused[:4], *rest)

    return closing


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Give each run of adjacent numbers as (first, last + 1)."""
    first = last = None
    for number in numbers:
        if first is not None and last is not None and number != last + 1:
            yield first, last + 1
            first = number
        elif first is None:
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last + 1


def _serve_once_forked() -> None:
    """Say that this process is a fork server as soon as it forks: what it preloads is over then.

    Before that it may be up to anything, and its family's waits may be for what it does.
    """
    server_pid = os.getpid()

    def forked() -> None:
        if os.getpid() == server_pid:  # and not in a child that forks
            _native.set_serves()

    os.register_at_fork(after_in_parent=forked)


def _preload_main(path: str) -> None:
    here: Any = process.current_process()
    here._inheriting = True  # a program without a main guard must not start processes here
    try:
        spawn.import_main_path(path)
    except BaseException:
        pass  # the first child will try for itself, fail, and tell
    finally:
        del here._inheriting


server = ForkServer()


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
        super().__init__(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        """Send `fd` along; the child finds it by its place."""
        self._fds.append(fd)
        return len(self._fds) - 1

    def _launch(self, process_obj: BaseProcess) -> None:
        _native.found()
        data = payload(self, process_obj, 0)
        target = getattr(process_obj, "_target", None)
        module = getattr(target, "__module__", None) or ""
        if module.startswith("forkful."):  # a pool's worker: what it imports would be as much as it
            server.need(module)
        asked = _native.reserve()  # until the child has its slot: so that it counts as being born
        try:
            with collect.watching() as watch:
                self._ask(data)
                watch(self.sentinel, process_obj)
        finally:
            _native.abandon(asked)

    def _ask(self, data: bytes) -> None:
        self.sentinel, w = server.connect_to_new_process(self._fds)
        try:
            tie = os.dup(w)
        except BaseException:
            os.close(self.sentinel)
            os.close(w)
            raise
        self.finalizer = _native.Ends(self.sentinel, tie)
        try:
            with open(w, "wb", closefd=True) as f:
                f.write(data)
        except BrokenPipeError:
            pass  # it died while it started: its exit code will say so
        self.pid = forkserver.read_signed(self.sentinel)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code, or None while the child runs; 255 if the server itself died."""
        if self.returncode is None and flag != os.WNOHANG:
            _native.wait_readable(self.sentinel)
        # The status can be read once: of two threads that ask, the other must find what it was told.
        with fork.status_lock:
            known = self.returncode is not None
            code = popen_forkserver.Popen.poll(self, os.WNOHANG)
            self._note_end(code)
            if ledger.KEPT and code is not None and not known:
                ledger.reaped(self.pid, code)
            if code is not None:
                collect.forget(self.sentinel)
                self._kept = None
        return code
