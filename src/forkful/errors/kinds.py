"""The exceptions whose bases cost nothing to import."""

from __future__ import annotations

import builtins
import multiprocessing
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if sys.version_info >= (3, 13):
    import queue

    class _Ended(queue.ShutDown, EOFError): ...
else:

    class _Ended(EOFError): ...


class ForkfulError(Exception):
    """Root of what forkful itself raises and the standard library has no name for."""

    __module__ = "forkful"


class TaskTimeout(ForkfulError, multiprocessing.TimeoutError, builtins.TimeoutError):
    """A task took longer than its ``timeout``; its worker was ended and replaced.

    Attributes:
        seconds: The limit, in seconds.
        task: Names the task, such as ``task 12: f(7)``.
        pid: The process that ran it.
    """

    __module__ = "forkful"

    def __init__(
        self,
        message: str | None = None,
        *,
        seconds: float | None = None,
        task: str | None = None,
        pid: int | None = None,
    ) -> None:
        if message is None:
            limit = "its timeout" if seconds is None else f"its timeout of {seconds:g} s"
            where = "" if pid is None else f" in process {pid}, which was ended"
            message = f"{task or 'a task'} took longer than {limit}{where}"
            message += "; give it more time or less to do"
        super().__init__(message)
        self.seconds = seconds
        self.task = task
        self.pid = pid


class PoisonTask(ForkfulError):
    """A task that killed its worker time and again; it is not tried again.

    Attributes:
        attempts: How often it was tried.
        deaths: How many workers it has killed; by default one for each attempt.
        last: How the last attempt ended, usually a ``WorkerDied``.
    """

    __module__ = "forkful"

    def __init__(
        self,
        message: str | None = None,
        *,
        attempts: int = 1,
        deaths: int | None = None,
        last: BaseException | None = None,
    ) -> None:
        deaths = attempts if deaths is None else deaths
        if message is None:
            task = getattr(last, "task", None) or "a task"
            times = f"each of its {attempts} attempts" if attempts > 1 else "its only attempt"
            if deaths < attempts:
                times = f"{deaths} of its {attempts} attempts"
            message = f"{task} killed its worker on {times} and is given up"
            if last is not None:
                message += f"; the last time: {last}"
        super().__init__(message)
        self.attempts = attempts
        self.deaths = deaths
        self.last = last


class RemoteError(ForkfulError):
    """Stands for an exception of another process whose class cannot be found in this one.

    Attributes:
        type_name: The full name of its class, such as ``package.module.Class``.
        text: What ``str()`` of it gave.
        traceback_text: Its traceback as it would have been printed there.
    """

    __module__ = "forkful"

    def __init__(self, type_name: str, text: str = "", traceback_text: str = "") -> None:
        super().__init__(type_name, text)
        self.type_name = type_name
        self.text = text
        self.traceback_text = traceback_text

    def __str__(self) -> str:
        return f"{self.type_name}: {self.text}" if self.text else self.type_name


class LockOwnerDied(ForkfulError, multiprocessing.ProcessError):
    """The process that held a lock died with it, so what the lock protects may be half changed.

    Attributes:
        pid: The dead owner.
        name: Its process name.
        where: The line that took the lock, such as ``main.py:12 in transfer``; ``None`` if that is not known.
    """

    __module__ = "forkful"

    def __init__(
        self,
        message: str | None = None,
        *,
        pid: int | None = None,
        name: str | None = None,
        where: str | None = None,
    ) -> None:
        if message is None:
            owner = named("process", name, pid) if name or pid is not None else "its owner"
            taken = f" (taken at {where})" if where else ""
            message = (
                f"the lock is lost: {owner} died while it held it{taken}; "
                f"check what the lock protects, then call its recover()"
            )
        super().__init__(message)
        self.pid = pid
        self.name = name
        self.where = where


class DeadlockError(ForkfulError):
    """Processes wait for each other in a circle, or for what nobody is left to do.

    The message names each process, what it waits for, and on which line.

    Attributes:
        waiters: All that wait, whoever raised this first: named tuples of process, pid, thread,
            operation, where, seconds, holder (of a lock), taken (where it took the lock).
    """

    __module__ = "forkful"

    def __init__(self, message: str = "", *, waiters: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.waiters = waiters


class ManagerEnded(ForkfulError, ConnectionRefusedError):
    """What a manager made was used after the manager's end: its `shutdown()`, or its server's death.

    Attributes:
        pid: The server that has ended.
    """

    __module__ = "forkful"

    def __init__(self, message: str | None = None, *, pid: int | None = None) -> None:
        if message is None:
            message = (
                f"the {named('manager', None, pid)} has ended, and what it made with it; let it live until "
                "all who use that are done"
            )
        super().__init__(message)
        self.pid = pid


class ShutDown(ForkfulError, _Ended):
    """The queue was shut down: nothing can be put, or nothing more will come.

    It is a ``queue.ShutDown`` where Python has that (3.13), and an ``EOFError`` everywhere.
    """

    __module__ = "forkful"


def named(kind: str, name: str | None, pid: int | None) -> str:
    """Name a process: ``worker ForkPoolWorker-3 (pid 4711)``, or what of it is known."""
    if name and pid is not None:
        return f"{kind} {name} (pid {pid})"
    if name:
        return f"{kind} {name}"
    return f"a {kind}" if pid is None else f"{kind} {pid}"
