"""The forkserver start method, with a server that is a member of the family.

As a member, the server passes its family on to what it forks: objects that its preloaded modules
made are shared by all its children. It ends when the last process that may use it has ended.
"""

from __future__ import annotations

import io
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
from multiprocessing.context import set_spawning_popen
from multiprocessing.process import BaseProcess
from typing import Any

from forkful import _native, ledger
from forkful.launch import fork
from forkful.launch.defaults import defaults
from forkful.launch.inherit import preparation_data, tracker_fd
from forkful.launch.interrupts import interrupts_held
from forkful.launch.parent import add_tie

__all__ = ["Popen", "server", "serve"]


class ForkServer(forkserver.ForkServer):
    """The stdlib's client of a fork server; what differs is the program that it starts."""

    _forkserver_address: Any
    _forkserver_alive_fd: Any
    _forkserver_pid: Any

    def ensure_running(self) -> None:
        """Start the server unless it runs. May be called from any process of the family."""
        with self._lock:
            tracker_fd()  # starts it unless it runs
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
                    f"{self._preload_modules!r}, {main!r})"
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
    # What the stdlib's server hands to its children is its own client object; ours must be it.
    forkserver._forkserver = server
    if main_path is not None:
        _preload_main(main_path)
    forkserver.main(listener, alive_r, preload)


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
        server.ensure_running()
        buffer = io.BytesIO()
        set_spawning_popen(self)
        try:
            # The server reserves the child's slot as it forks.
            reduction.dump(preparation_data(process_obj.name, 0), buffer)
            reduction.dump(process_obj, buffer)
        finally:
            set_spawning_popen(None)
        asked = _native.reserve()  # until the child has its slot: so that it counts as being born
        try:
            self.sentinel, w = server.connect_to_new_process(self._fds)
            tie = os.dup(w)
            add_tie(tie)
            self.finalizer = util.Finalize(self, fork.close_ties, ((tie, self.sentinel),))
            try:
                with open(w, "wb", closefd=True) as f:
                    f.write(buffer.getbuffer())
            except BrokenPipeError:
                pass  # it died while it started: its exit code will say so
            self.pid = forkserver.read_signed(self.sentinel)
        finally:
            _native.abandon(asked)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code, or None while the child runs; 255 if the server itself died."""
        known = self.returncode is not None
        if not known and flag != os.WNOHANG:
            _native.wait_readable(self.sentinel)
        code = popen_forkserver.Popen.poll(self, os.WNOHANG)
        self._note_end(code)
        if code is not None and not known:
            ledger.reaped(self.pid, code)
        if code is not None and self._kept:
            self._kept.clear()
        return code
