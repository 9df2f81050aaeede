"""What a search for deadlocks needs beside the board: what the kernel knows, and words for people."""

from __future__ import annotations

import os
import signal
import threading
from typing import NamedTuple

from forkful import _native, stacks

__all__ = [
    "ADVICE",
    "HARMLESS",
    "Waiter",
    "advice",
    "is_asleep",
    "named",
    "pools_own",
    "same_namespace",
    "status",
    "threads",
]

# Signals whose handlers run no Python: the fatal ones (faulthandler), forkful's and glibc's own. Of SIGINT,
# SIGTERM and the one that asks for stacks each process tells by `quiet`.
HARMLESS = sum(
    1 << (s - 1)
    for s in (
        signal.SIGINT,
        signal.SIGTERM,
        _native.ORPHANED,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        stacks.SIGNAL,
        32,
        33,
    )
)


class Waiter(NamedTuple):
    """A blocked thread, as `DeadlockError.waiters` has it."""

    process: str
    pid: int
    thread: int
    operation: str
    where: str
    seconds: float
    holder: str | None
    taken: str | None = None

    def __str__(self) -> str:
        who = f"{self.process} (pid {self.pid}" + (
            ")" if self.thread == self.pid else f", thread {self.thread})"
        )
        where = f" at {self.where}" if self.where else ""
        held = "of" if self.operation == "Process.join" else "held by"
        taken = f" (taken at {self.taken})" if self.taken else ""
        holder = f", {held} {self.holder}{taken}" if self.holder else ""
        return f"{who}: {self.operation}{where}{holder}, for {self.seconds:.1f} s"


def same_namespace() -> bool:
    """Return whether `/proc` tells of the processes that have the pids known here."""
    return os.readlink("/proc/self") == str(os.getpid())


def threads(pid: int) -> set[int]:
    """Return the ids of a process's threads."""
    return {int(name) for name in os.listdir(f"/proc/{pid}/task")}


def is_asleep(pid: int, tid: int, op: int) -> bool:
    """Return whether a thread that is on the board as waiting sleeps, and no signal can make it do more.

    Args:
        pid: Its process.
        tid: Its id.
        op: What it waits in, as `_native.OP_PROCESS`.

    Raises:
        OSError: It has ended.
    """
    of = status(f"/proc/{pid}/task/{tid}/status")
    # R: just now its slice is over. Who joins a process has no slices, and has been woken.
    as_it_should = "S" if op == _native.OP_PROCESS else "SR"
    me = pid == os.getpid() and tid == threading.get_native_id()
    if not me and of["State"][0] not in as_it_should:
        return False
    return of["TracerPid"] == "0" and not int(of["SigCgt"], 16) & ~HARMLESS


def status(path: str) -> dict[str, str]:
    """Read a `status` file."""
    with open(path, encoding="ascii", errors="replace") as f:
        lines = (line.partition(":") for line in f)
        return {key: value.strip() for key, _, value in lines}


def named(owner: int) -> str | None:
    """Name a process by its owner word: `Process-1 (pid 17)`."""
    known = _native.describe(owner) if owner else None
    return f"{known[1] or 'MainProcess'} (pid {known[0]})" if known else None


def pools_own(operation: str, file: str) -> str | None:
    """Name what waits, if that is no line of the program's but of a pool's own."""
    if operation == "Pool task":
        return "an idle pool worker"
    begun_as_thread = os.path.basename(file) == "threading.py"  # below it there is only forkful
    if operation == "Pool thread" or (operation == "Pool results" and begun_as_thread):
        return "a thread of a pool"
    return None


ADVICE = {
    "Queue.get": "let whoever puts say when nothing more comes: put a last item for each consumer, or "
    "call the queue's shutdown()",
    "Queue.put": "the queue is full and nobody is left to get: end its producers first, or give it room",
    "Queue.join": "some items were taken and never reported: call task_done() for each",
    "Lock.acquire": "take locks in the same order everywhere, by `with`, and wait for nothing else "
    "while holding one",
    "Event.wait": "nobody is left who could set() the event",
    "Condition.wait": "nobody is left who could notify, or come to the barrier",
    "Semaphore.acquire": "nobody is left who could release()",
}
ADVICE["RLock.acquire"] = ADVICE["Lock.acquire"]


def advice(operation: str) -> str:
    """Say what to do about a wait that nobody ends."""
    return (
        f"What to do: {ADVICE[operation]}; or wait with a timeout. FORKFUL_DEADLOCK=off lets it "
        "wait for ever."
    )
