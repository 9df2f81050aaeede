"""The fork start method."""

from __future__ import annotations

import atexit
import math
import os
import select
import signal
import threading
import weakref
from multiprocessing import popen_fork, util
from multiprocessing.process import BaseProcess

from forkful import _native, ledger
from forkful.launch import lastwords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Popen", "pipes", "status_lock"]

status_lock = threading.RLock()

_AT_EXIT = "_exit_function" not in BaseProcess._bootstrap.__code__.co_names
"""Whether a child's end is made by `atexit`, the program's own functions included (Python 3.13), or by the
stdlib's bootstrap."""


# Another thread may hold the lock when the process is forked.
os.register_at_fork(after_in_child=status_lock._at_fork_reinit)


def pipes() -> tuple[int, int, int, int]:
    """Return the ends of two pipes, each to read and to write; or make none."""
    r, w = os.pipe()
    try:
        return (r, w, *os.pipe())
    except BaseException:
        os.close(r)
        os.close(w)
        raise


class Popen(popen_fork.Popen):
    """A child made by fork: everything is inherited, nothing is pickled."""

    owner = 0
    finalizer: Any
    _kept: list[Any] | None = None
    last_words: lastwords.Place | None = None  # where the child writes them
    stack: str | None = None  # what it wrote there
    reason: str | None = None  # what else is known of why it ended
    killed = False  # by this object's `kill`
    status_lost = False  # to SIGCHLD being ignored, or to who has waited for the child elsewhere

    def __init__(self, process_obj: BaseProcess) -> None:
        self._process: weakref.ref[Any] = weakref.ref(process_obj)
        super().__init__(process_obj)

    def keep(self, handle: Any) -> None:
        """Hold `handle` until the child has ended."""
        if self._kept is None:
            self._kept = []
        self._kept.append(handle)

    def _launch(self, process_obj: BaseProcess) -> None:
        code = 1
        parent_r, child_w, child_r, parent_w = pipes()
        # Both belong to the parent alone: the first tells it of the child's end, the second tells
        # the child of its own.
        self.finalizer = _native.Ends(parent_r, parent_w)
        try:
            self.pid = os.fork()
        except BaseException:
            _native.abandon(_native.last_child())
            self.finalizer()
            os.close(child_w)
            os.close(child_r)
            raise
        if self.pid == 0:
            try:
                if _AT_EXIT:
                    atexit._clear()
                    atexit.register(util._exit_function)
                os.close(parent_r)
                code = process_obj._bootstrap(parent_sentinel=child_r)
            finally:
                if _AT_EXIT:
                    atexit._run_exitfuncs()
                os._exit(code)
        self.owner = _native.last_child()
        if self.owner:
            _native.set_pid(self.owner, self.pid)
        os.close(child_w)
        os.close(child_r)
        self.sentinel = parent_r

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end, at most `timeout` seconds; return the exit code, or None.

        The stdlib's asks `multiprocessing.connection`, which on `forkful run` is forkful's, and would
        put another wait on the board than that for a process.
        """
        if timeout is not None and self.returncode is None and not self._ends_within(timeout):
            return None
        return self.poll(os.WNOHANG if timeout == 0.0 else 0)

    def _ends_within(self, seconds: float) -> bool:
        ends = select.poll()
        ends.register(self.sentinel, select.POLLIN)
        return bool(ends.poll(max(0, math.ceil(seconds * 1000))))

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code, or None while the child runs."""
        if self.returncode is None and flag != os.WNOHANG:
            _native.wait_child(self.pid)
        # Of two threads that ask, only one gets the status: the other must find what it was told.
        with status_lock:
            code = self._take_status()
            self._note_end(code)
            if code is not None and self.owner:
                _native.reap(self.owner)
                self.owner = 0
                self._kept = None
        return code

    def _send_signal(self, sig: int) -> None:
        if sig == signal.SIGKILL:
            self.killed = True
        super()._send_signal(sig)  # type: ignore[misc]

    def _note_end(self, code: int | None) -> None:
        """Once the child has ended: keep what it and the kernel say, besides the exit code."""
        place = self.last_words
        if code is None or place is None:
            return
        self.last_words = None
        self.stack = lastwords.take(place, code)
        if code == -signal.SIGKILL and not self.killed:
            from forkful import oom  # on first use

            if oom.watch().explains():
                self.reason = "out of memory"

    def _take_status(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status, used = os.wait4(self.pid, os.WNOHANG)
            except OSError:
                return self._guess_status()
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                if ledger.KEPT:
                    ledger.reaped(pid, self.returncode, used)
        return self.returncode

    def _guess_status(self) -> int | None:
        """The child has ended, and its status is gone: what does its report say?"""
        process = self._process()
        if process is not None and process._parent_pid == os.getpid():  # and not in a forked child
            self.status_lost = True
            self.returncode = process._code_of_report()
            ledger.reaped(self.pid, self.returncode)
        return self.returncode
