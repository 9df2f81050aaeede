"""The fork start method."""

from __future__ import annotations

import math
import os
import select
import signal
import threading
import time
import weakref
from multiprocessing import popen_fork
from multiprocessing.process import BaseProcess

from forkful import _native, ledger
from forkful.launch import bootstrap, lastwords
from forkful.launch.forking import fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Popen", "pipes", "readable_within", "status_lock"]

status_lock = threading.RLock()

# Another thread may hold the lock when the process is forked.
os.register_at_fork(after_in_child=status_lock._at_fork_reinit)


def pipes() -> tuple[int, int, int, int]:
    """Return the ends of two pipes, each to read and to write; or make none.

    For who asks a fork server.
    """
    r, w = os.pipe()
    try:
        return (r, w, *os.pipe())
    except BaseException:
        os.close(r)
        os.close(w)
        raise


def readable_within(fd: int, seconds: float) -> bool:
    """Wait until a descriptor can be read from; return False if it cannot in that time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0, math.ceil(seconds * 1000))))


class Popen(popen_fork.Popen):
    """A child made by fork: everything is inherited, nothing is pickled."""

    owner = 0
    finalizer: Any
    _kept: list[Any] | None = None
    last_words: int | None = (
        None  # the number of the stretch that the child writes them to; taken: None
    )
    stack: str | None = None  # what it wrote there
    reason: str | None = None  # what else is known of why it ended
    killed = False  # by this object's `kill`
    status_lost = False  # to SIGCHLD being ignored, or to who has waited for the child elsewhere

    def __init__(self, process_obj: BaseProcess) -> None:
        self._process: weakref.ref[Any] = weakref.ref(process_obj)
        super().__init__(process_obj)

    @property
    def sentinel(self) -> int:  # type: ignore[override]
        """A descriptor that is ready when the child has ended.

        It is made when first asked for, so that who has many children needs none for each.

        Raises:
            OSError: No descriptor is left.
        """
        with status_lock:  # so that the pid is still the child's
            fd: int = self.finalizer.sentinel(self.pid if self.returncode is None else 0)
        return fd

    def keep(self, handle: Any) -> None:
        """Hold `handle` until the child has ended."""
        if self._kept is None:
            self._kept = []
        self._kept.append(handle)

    def _launch(self, process_obj: BaseProcess) -> None:
        self.finalizer = _native.Ends()
        report = getattr(process_obj, "_report", None)  # a program's own kind of process has none
        if report is not None:
            _native.hold_signals()  # in the child until it runs, here until `begin` knows of it
        self._fork(process_obj, self.finalizer)
        self.owner = _native.last_child()
        if self.owner:
            _native.set_pid(self.owner, self.pid)
        if report is not None:
            report._stow()  # it has its own

    def _fork(self, process_obj: BaseProcess, ends: Any) -> None:
        """Return in the parent; be `process_obj` in the child, to its end."""
        code = 1
        childs_end = ends.for_fork()
        try:
            self.pid = fork()
        except BaseException:
            _native.abandon(_native.last_child())
            ends()
            raise
        if self.pid == 0:
            try:
                if bootstrap.AT_EXIT:
                    bootstrap.clear_exit_functions()
                code = process_obj._bootstrap(parent_sentinel=childs_end)
            finally:
                bootstrap.call_exit_functions()
                os._exit(code)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end, at most `timeout` seconds; return the exit code, or None.

        The stdlib's asks `multiprocessing.connection`, which on `forkful run` is forkful's, and would
        put another wait on the board than that for a process.
        """
        if timeout is not None and self.returncode is None and not self._ends_within(timeout):
            return None
        return self.poll(os.WNOHANG if timeout == 0.0 else 0)

    def _ends_within(self, seconds: float) -> bool:
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        except OSError:  # no descriptor is left
            return self._looks_until(time.monotonic() + seconds)
        try:
            return readable_within(pidfd, seconds)
        finally:
            os.close(pidfd)

    def _looks_until(self, deadline: float) -> bool:
        """The same by looking again and again."""
        while time.monotonic() < deadline:
            try:
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    return True
            except ChildProcessError:
                return True
            time.sleep(0.01)
        return False

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code, or None while the child runs."""
        if self.returncode is None and flag != os.WNOHANG:
            _native.wait_child(self.pid)
        # Of two threads that ask, only one gets the status: the other must find what it was told.
        with status_lock:
            if self.returncode is None:
                self._take_status()
            if self.returncode is not None and self.last_words is not None:
                self._note_end(self.last_words, self.returncode)
            if self.returncode is not None and self.owner:
                _native.reap(self.owner)
                self.owner = 0
                self._kept = None
        return self.returncode

    def _send_signal(self, sig: int) -> None:
        if sig == signal.SIGKILL:
            self.killed = True
        super()._send_signal(sig)  # type: ignore[misc]

    def _note_end(self, number: int, code: int) -> None:
        """Once the child has ended: keep what it and the kernel say, besides the exit code."""
        self.last_words = None
        if code >= 0:
            _native.take_words(number, False)
            return
        self.stack = lastwords.take(number, code)
        if code == -signal.SIGKILL and not self.killed:
            from forkful import oom  # on first use

            if oom.watch().explains():
                self.reason = "out of memory"

    def _take_status(self) -> None:
        try:
            if ledger.KEPT:
                pid, status, used = os.wait4(self.pid, os.WNOHANG)
            else:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
        except OSError:
            if self.returncode is None:  # a signal's handler may have asked just now, too
                self._guess_status()
            return
        if pid == self.pid:
            self.status_lost = False  # as such a handler may have thought
            self.returncode = os.waitstatus_to_exitcode(status)
            if ledger.KEPT:
                ledger.reaped(pid, self.returncode, used)

    def _guess_status(self) -> None:
        """The child has ended, and its status is gone: what does its report say?"""
        process = self._process()
        if process is not None and process._parent_pid == os.getpid():  # and not in a forked child
            self.status_lost = True
            self.returncode = process._code_of_report()
            ledger.reaped(self.pid, self.returncode)
