"""``WorkerDied``: the one exception whose base is dear to import (see the package)."""

from __future__ import annotations

import multiprocessing
import signal as signals
from concurrent.futures.process import BrokenProcessPool

from forkful.errors.kinds import ForkfulError, named

_CRASHES = {
    signals.SIGSEGV,
    signals.SIGBUS,
    signals.SIGILL,
    signals.SIGFPE,
    signals.SIGABRT,
    signals.SIGSYS,
}


class WorkerDied(ForkfulError, BrokenProcessPool, multiprocessing.ProcessError):
    """A worker process ended while it still had something to do. Only its own task is lost.

    Attributes:
        pid: The dead process.
        exitcode: As of a ``Process``: N for ``sys.exit(N)``, -N for signal N; ``None`` if
            nobody knows.
        signal: The signal that killed it, if one did and it has a name.
        task: Names the task that it ran, such as ``task 12: f(7)``; ``None`` if it ran none.
        name: Its process name.
        stack: The Python stack that it wrote at a fatal signal. The message ends with it.
        reason: Why, where more is known than the exit code says, such as ``out of memory``.
    """

    __module__ = "forkful"

    def __init__(
        self,
        message: str | None = None,
        *,
        pid: int | None = None,
        exitcode: int | None = None,
        task: str | None = None,
        name: str | None = None,
        stack: str | None = None,
        reason: str | None = None,
    ) -> None:
        if message is None:
            message = named("worker", name, pid) + " " + _ending(exitcode)
            message += f" ({reason})" if reason else ""
            message += f" while it ran {task}" if task else ""
            message += "; " + _advice(exitcode, reason, stack)
        if stack:
            message += f"\nits last stack:\n{stack.rstrip()}"
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.task = task
        self.name = name
        self.stack = stack
        self.reason = reason

    @property
    def signal(self) -> signals.Signals | None:
        """The signal that killed it; ``None`` if none did, or if it has no name."""
        return _signal(self.exitcode)


def _signal(exitcode: int | None) -> signals.Signals | None:
    if exitcode is None or exitcode >= 0:
        return None
    try:
        return signals.Signals(-exitcode)
    except ValueError:
        return None


def _ending(exitcode: int | None) -> str:
    if exitcode is None:
        return "ended, and its exit code was taken by somebody else"
    if exitcode >= 0:
        return f"exited with code {exitcode}"
    signal = _signal(exitcode)
    return f"was killed by {signal.name if signal else f'signal {-exitcode}'}"


def _advice(exitcode: int | None, reason: str | None, stack: str | None) -> str:
    """Say what to do next."""
    if reason == "out of memory":
        return "run fewer processes, give each less to hold, or raise the memory limit"
    signal = _signal(exitcode)
    if signal in _CRASHES:
        where = "" if stack else ": run with PYTHONFAULTHANDLER=1 to see where"
        return f"native code crashed{where}"
    if signal is signals.SIGKILL:
        return "somebody sent that signal, or the kernel was out of memory (dmesg tells)"
    if exitcode is not None and exitcode < 0:
        return "look for who sent that signal"
    if exitcode is None:
        return "look for who else calls os.wait() or ignores SIGCHLD in the parent"
    return "end a task by returning or raising: sys.exit() and os._exit() end its worker"
