"""Runs tests one after the other, each in a process of its own: ``python -m tests.conformance.host``.

The host has imported what tests need and made nothing: it is copied by fork for each test, which costs
little and leaves a test what an interpreter of its own would have. It reads orders from standard input
and writes answers to standard output. All that a test starts is found again, since who loses its
parent becomes the host's child: nothing outlives the order. Nor does it outlive the runner: when
nobody can give orders any more, the host ends all and itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable

from tests.conformance import hook
from tests.conformance.orders import Answer, Order, read_answer, read_order, to_line
from tests.conformance.run_one import run_one
from tests.kit import autopsy, procs

_PR_SET_CHILD_SUBREAPER = 36
_LONGEST = 20_000  # bytes of what a test prints

_IMPORTED = [
    *("concurrent.futures.process", "ctypes", "hashlib", "logging", "shutil", "socket"),
    *("multiprocessing.dummy", "multiprocessing.forkserver", "multiprocessing.heap"),
    *("multiprocessing.managers", "multiprocessing.pool", "multiprocessing.queues"),
    *("multiprocessing.resource_tracker", "multiprocessing.shared_memory"),
    *("multiprocessing.sharedctypes", "multiprocessing.synchronize", "unittest.mock"),
    *("test.support", "test.support.hashlib_helper", "test.support.script_helper"),
]


class _NobodyThere(Exception):
    """The runner is gone."""


class _Children:
    """The host's own children and those that were left to it; tells how each has ended."""

    def __init__(self) -> None:
        self.ended: dict[int, int] = {}  # exit codes
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._news, self._tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(self._news, select.POLLIN)
        self._poll.register(0, 0)  # of standard input, only that its other end is closed

    def disown(self) -> None:
        """In the process of a test: be as if this had never been."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._news)
        os.close(self._tell)

    def any_left(self) -> bool:
        """Take the exit codes that there are; whether there is somebody still."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                self.ended[pid] = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            return False

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Wait until `done()` says so, at most so long; return what it says."""
        deadline = time.monotonic() + seconds
        while not done() and (left := deadline - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(left * 1000):
                if fd == 0:
                    raise _NobodyThere
                os.read(self._news, 4096)
        return done()

    def end_all(self) -> int:
        """End whoever descends from here; return how many that were."""
        victims = 0
        while self.any_left():
            found = [p for p in procs.descendants(os.getpid()) if p.state != "Z"]
            victims += len(found)
            autopsy.end(found)
        return victims


class Host:
    """Obeys."""

    def __init__(self) -> None:
        self._answers = os.dup(1)
        os.dup2(2, 1)  # what is printed by chance is no answer
        self._pending = b""
        self._stacks = autopsy.open_stacks()
        self._children = _Children()

    def serve(self) -> None:
        """Take orders until the runner is gone. Returns in the process of a test, too."""
        with contextlib.suppress(_NobodyThere):
            while (order := self._next()) is not None:
                said = self._obey(order)
                if said is None:
                    return
                os.write(self._answers, to_line(said))

    def _next(self) -> Order | None:
        while b"\n" not in self._pending:
            more = os.read(0, 65536)
            if not more:
                return None
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return read_order(line)

    def _obey(self, order: Order) -> Answer | None:
        """Run a test and end all that it has started. Returns None in the process of the test."""
        children = self._children
        children.ended.clear()  # a pid may come again
        with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as said:
            test = os.fork()
            if test == 0:
                self._leave(log.fileno())
                said.write(to_line(run_one(order)))
                said.flush()
                return None
            try:
                in_time = children.wait(
                    lambda: not children.any_left() or test in children.ended, order.seconds
                )
                stacks = "" if in_time else autopsy.report(test, self._stacks)
                if in_time:
                    children.wait(lambda: not children.any_left(), order.grace)
            finally:
                left = children.end_all()
            printed = stacks + os.pread(log.fileno(), _LONGEST, 0).decode(errors="replace")
            line = os.pread(said.fileno(), 1 << 24, 0)
        own = read_answer(line) if line.endswith(b"\n") else None
        if not in_time:
            return hung(order, own, printed)
        return closed(own, children.ended.pop(test), printed, left)

    def _leave(self, log: int) -> None:
        """In the process of a test: keep nothing of the host's."""
        os.setsid()
        # What a shell starts in the background ignores SIGINT, and so would all that descends from it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(self._answers)
        self._children.disown()
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)


def hung(order: Order, own: Answer | None, printed: str) -> Answer:
    """The answer for a test that was not over in time."""
    places = re.findall(r'File "[^"]*/tests?/(?:.*/)?([^"/]+)", line (\d+),? in (\w+)', printed)
    places = [place for place in places if place[0] not in ("host.py", "run_one.py")]
    where = "stood at {}:{} in {}".format(*places[0]) if places else "see its stacks"
    what = "at its end" if own else "in the test"
    return Answer("hang", f"not over after {order.seconds:g} s, {what}; {where}", printed)


def closed(own: Answer | None, code: int, printed: str, left: int) -> Answer:
    """The answer for a test whose process has ended."""
    end = (
        f"its process was ended by signal {-code}"
        if code < 0
        else f"its process exited with {code}"
    )
    if own is None:
        return Answer("fail", f"{end} in the test", printed, left)
    if code and own.status in ("ok", "skip"):
        return Answer("fail", f"{end} after the test", printed, left)
    return own._replace(detail=own.detail + printed, left=left)


def main() -> None:
    if hook.installed() != os.environ[hook.SUBJECT]:
        sys.exit(
            f"conformance: {os.environ[hook.SUBJECT]} is to be judged, and is not in its place"
        )
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Tests crash processes, and so does who ends them: no core files.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    Host().serve()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
