"""The fork server: a process that forks at the request of others, and tells them how it ended.

It is prepared as its first client would have its children prepared, main module included, before it forks. So
a child has nothing to do but to unpickle its process object, unless its parent has changed in the meantime.

It speaks with its clients as the standard library's does: a request is a connection on which nothing but
descriptors are sent; the pid, and in the end the exit status, go to the client through the second of them.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import contextlib
import errno
import gc
import os
import select
import signal
import sys
import time
from importlib import import_module
from multiprocessing import process, resource_tracker, spawn, util
from signal import set_wakeup_fd
from struct import calcsize, pack, unpack

from forkful import _native, wire
from forkful.launch import begin as begin  # here once: children may have children
from forkful.launch import bootstrap, inherit, interrupts, lean
from forkful.launch.bootstrap import AT_EXIT
from forkful.launch.forking import fork
from forkful.launch.forkserver import server
from forkful.launch.marks import Marks
from forkful.launch.rehearsal import rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["serve"]


_INT = calcsize("i")
_ROOM = _socket.CMSG_LEN((lean.forkserver.MAXFDS_TO_SEND + 1) * _INT)
_LEAST_FDS = 5  # of a request: see `read`
_REFUSED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def serve(family: int, listener: int, alive_r: int, data_r: int, preload: list[str]) -> None:
    """The server's program. Returns when no client is left.

    Args:
        family: The descriptor of the family's memory.
        listener: A listening socket's.
        alive_r: At its end when no client is left.
        data_r: Where the preparation of its children comes from.
        preload: Modules to import; "__main__" is the main module.
    """
    os.set_inheritable(family, False)
    _native.join(family, 0)
    _native.set_name("forkserver")
    _serve_once_forked()
    data = inherit.board_for_children(_native.stream_take(data_r) or b"")
    path, argv, directory = list(data["sys_path"]), list(data["sys_argv"]), data["dir"]
    left = _prepare(data, "__main__" in preload)
    os.close(data_r)
    # What the stdlib's server hands to its children is its own client object; ours must be it.
    lean.forkserver._forkserver = server
    for name in preload:
        try:
            import_module(name)
        except ImportError:
            pass  # as the stdlib has it: a child that needs it will tell
    sys.path, sys.argv = path, argv  # which these modules may have changed
    bootstrap.read_nothing()
    util._flush_std_streams()
    # A child's garbage collector shall not write to what the server has made, and so copy its pages.
    gc.collect()
    rehearse(_as_now)
    gc.freeze()
    # Not `socket.socket`, in whose place a module that was prepared may have put another one, as gevent does.
    clients = _socket.socket(fileno=listener)
    clients.settimeout(None)  # whatever socket.setdefaulttimeout() a prepared module has called
    try:
        _Server(clients, alive_r, left, directory, inherit.releases_interrupts()).loop()
    finally:
        clients.close()


def _as_now() -> Callable[[_socket.socket, int], Callable[..., Any]]:
    """Return what makes of a socket and a descriptor, in the place of the server's, how a child reads whom to be.

    The child is to have the directory that is set here.
    """
    now = os.getcwd()
    return lambda clients, alive_r: _Server(clients, alive_r, {}, now, False).read


def _prepare(data: dict[str, Any], with_main: bool) -> dict[str, Any]:
    """Do what all children would; return what of it is left to them."""
    main = {key: data.pop(key) for key in list(data) if key.startswith("init_main_from")}
    # The server itself logs nothing: it would tell of its end.
    logs: dict[str, Any] = {
        key: data.pop(key) for key in ("log_to_stderr", "log_level") if key in data
    }
    logs = {key: value for key, value in logs.items() if value}
    spawn.prepare(data)
    if with_main and main:
        here: Any = process.current_process()
        here._inheriting = True  # a program without a main guard must not start processes here
        try:
            spawn.prepare(main)
            return logs
        except BaseException:
            pass  # the first child will try for itself, fail, and tell
        finally:
            del here._inheriting
    return logs | main


def _serve_once_forked() -> None:
    """Say that this process is a fork server as soon as it forks: what it preloads is over then.

    Before that it may be up to anything, and its family's waits may be for what it does.
    """
    server_pid = os.getpid()

    def forked() -> None:
        if os.getpid() == server_pid:  # and not in a child that forks
            _native.set_serves()

    os.register_at_fork(after_in_parent=forked)


class _Server:
    """Its descriptors, and its children.

    Args:
        clients: Where they connect.
        alive_r: At its end when none is left.
        left: What of the preparation is left to the children.
        directory: Theirs, whatever the server's is by then.
        releases_interrupts: Whether Ctrl-C, which is held back here, may come to the children.
    """

    def __init__(
        self,
        clients: _socket.socket,
        alive_r: int,
        left: dict[str, Any],
        directory: str,
        releases_interrupts: bool,
    ) -> None:
        self.clients = clients
        self.alive_r = alive_r
        self.left, self.directory = left, directory
        self.releases_interrupts = releases_interrupts
        self.handlers: tuple[tuple[int, Any], ...] = ()
        self.status_fds: dict[int, int] = {}  # by the child's pid
        self.woken_r, self.woken_w = os.pipe()
        os.set_blocking(self.woken_r, False)
        os.set_blocking(self.woken_w, False)
        self.own = Marks(clients.fileno(), alive_r, self.woken_r, self.woken_w)  # no child's
        self.spare = -1
        self.keep_spare()

    def loop(self) -> None:
        server._forkserver_address = self.clients.getsockname()
        # SIGCHLD so that it comes through the descriptor. Children have what was there before.
        self.handlers = (
            (int(signal.SIGCHLD), _signal.signal(signal.SIGCHLD, _come_by_descriptor)),
            (int(signal.SIGINT), _signal.signal(signal.SIGINT, _signal.SIG_IGN)),
        )
        signal.set_wakeup_fd(self.woken_w)
        events = select.poll()
        for fd in (self.clients.fileno(), self.alive_r, self.woken_r):
            events.register(fd, select.POLLIN)
        while True:
            ready = dict(events.poll())
            if self.alive_r in ready:
                return
            if self.woken_r in ready:
                os.read(self.woken_r, 65536)
                self.collect()
            if self.clients.fileno() in ready:
                self.serve_next()

    def collect(self) -> None:
        """Tell clients of those children that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            fd = self.status_fds.pop(pid, None)
            if fd is not None:  # None: a process that a preloaded module has started
                _tell(fd, os.waitstatus_to_exitcode(status))
                self.own.discard(fd)
                os.close(fd)

    def serve_next(self) -> None:
        """Fork a child. A client that cannot be served learns it from its descriptors being closed."""
        try:
            said, fds = _hear(self.clients._accept()[0])
        except ConnectionError:
            return
        except OSError as e:
            if e.errno not in _REFUSED:
                raise
            self.refuse_next()
            return
        # Nothing: it was killed between its connecting and its asking. Fewer than it says: there is no room for all.
        if len(fds) < _LEAST_FDS or said != bytes([len(fds) % 256]):
            for fd in fds:
                os.close(fd)
            return
        try:
            pid = fork()
        except OSError as e:
            if e.errno not in _REFUSED:
                raise
            pid = None
        if pid == 0:
            _be_child(self, fds)
        child_r, status_w, *rest = fds
        if pid is None:
            os.close(status_w)
        else:
            self.status_fds[pid] = status_w
            self.own.add(status_w)
            owner = _native.last_child()
            if owner:
                _native.set_pid(owner, pid)
            _tell(status_w, pid, owner)
        for fd in (child_r, *rest):
            os.close(fd)

    def refuse_next(self) -> None:
        """There is no descriptor for the next client, which would wait for ever: use the spare one."""
        if self.spare >= 0:
            self.own.discard(self.spare)
            os.close(self.spare)
            with contextlib.suppress(OSError):
                os.close(self.clients._accept()[0])
        else:
            time.sleep(0.05)  # until somebody else closes one
        self.keep_spare()

    def keep_spare(self) -> None:
        """Have a descriptor that is kept for when none is left, if one is left now."""
        try:
            self.spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.spare = -1
        else:
            self.own.add(self.spare)

    def read(
        self, data_r: int, status_w: int, alive_w: int, tracker_w: int, tie: int, *rest: int
    ) -> Any:
        """In a child: leave the server behind, read whom to be; return the process object."""
        set_wakeup_fd(-1)
        # Not `signal`, which converts to enumerations and so touches many pages.
        for signum, handler in self.handlers:
            if handler is not None:
                _signal.signal(signum, handler)
        self.clients.detach()
        self.own.add(status_w)
        self.own.close()
        server._forkserver_alive_fd = alive_w
        server._inherited_fds = list(rest)
        tracker: Any = resource_tracker._resource_tracker
        tracker._fd = tracker_w

        here: Any = process.current_process()
        here._inheriting = True
        try:
            preparation = _native.stream_take(data_r)
            here._name = (_native.stream_take(data_r) or b"").decode("utf-8", "surrogatepass")
            if preparation:
                spawn.prepare(wire.loads(preparation))
            else:
                if self.releases_interrupts:
                    interrupts.release()
                os.chdir(self.directory)  # preloaded modules may have left it
                if self.left:
                    spawn.prepare(self.left)
            return wire.loads(_native.stream_take(data_r) or b"")
        finally:
            del here._inheriting
            os.close(data_r)


def _be_child(serving: _Server, fds: tuple[int, ...]) -> None:
    """In a child; does not return. No method, to look one up for the first time would be pages to be copied."""
    code = 1
    try:
        if AT_EXIT:
            bootstrap.clear_exit_functions()
        code = serving.read(*fds)._bootstrap(fds[4])
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        bootstrap.call_exit_functions()
        os._exit(code)


def _come_by_descriptor(*_: object) -> None:
    """On SIGCHLD. A function that lives on in children, which would touch all that it is made of to free it."""


def _hear(client_fd: int) -> tuple[bytes, tuple[int, ...]]:
    """Return what a client says, and the descriptors that come with it."""
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, client_fd)
    client.settimeout(None)
    fds: tuple[int, ...] = ()
    try:
        said, others, _, _ = client.recvmsg(1, _ROOM)
    finally:
        client.close()
    for level, kind, data in others:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += unpack(f"{len(data) // _INT}i", data[: len(data) // _INT * _INT])
    return said, fds


def _tell(fd: int, *numbers: int) -> None:
    try:
        os.write(fd, pack(f"{len(numbers)}q", *numbers))  # so little is written whole or not at all
    except BrokenPipeError:
        pass  # the client is gone
