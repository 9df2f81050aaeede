"""Finds the deadlock of a whole family: every thread of every process waits, and nobody can end it.

`examine` is called by a thread that has waited for a second without a deadline, once the wait board shows a
standstill. It asks the kernel for what the board cannot know and answers when two looks, a second
apart, have found the same. Why that raises no false alarm: docs/design/deadlock.md.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Literal, NamedTuple

from forkful import _native, stacks
from forkful.errors import DeadlockError

__all__ = ["ADVICE", "ENABLED", "HARMLESS", "Waiter", "examine", "quiet"]

ENABLED = os.environ.get("FORKFUL_DEADLOCK", "on").lower() not in ("off", "0", "no", "false")

_APART = 0.9  # seconds between the two looks, at least; the native side allows one a second
_SHOWN = 20  # waiters that the message names

# Signals whose handlers run no Python: the fatal ones (faulthandler) and glibc's own two. Of SIGINT
# and of the one that asks for stacks each process tells by `quiet`.
HARMLESS = sum(
    1 << (s - 1)
    for s in (
        signal.SIGINT,
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


_NO_HANDLERS = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN)


class Waiter(NamedTuple):
    """A blocked thread, as `DeadlockError.waiters` has it."""

    process: str
    pid: int
    thread: int
    operation: str
    where: str
    seconds: float
    holder: str | None

    def __str__(self) -> str:
        held = f", held by {self.holder}" if self.holder else ""
        where = f" at {self.where}" if self.where else ""
        return f"{self.process} (pid {self.pid}): {self.operation}{where}{held}, for {self.seconds:.1f} s"


# What _native.standstill() tells of a thread; see its docstring.
_Row = tuple[int, int, str, int, int, int, int, str, int, str, int]
_Finding = tuple[object, ...]


class _Suspicion:
    """What the look before this one has found, and when."""

    finding: _Finding | None = None
    since = 0.0


def quiet() -> bool:
    """Return whether nothing but another process can rouse this one: no timer, no handler of its own of those
    signals that `HARMLESS` leaves out.
    """
    if signal.getsignal(stacks.SIGNAL) not in (signal.SIG_DFL, signal.SIG_IGN):
        return False
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        if signal.getitimer(timer)[0]:
            return False
    handler = signal.getsignal(signal.SIGINT)  # None: one that is not Python's
    if not any(handler is h for h in _NO_HANDLERS) and not getattr(handler, "does_nothing", False):
        return False
    try:
        with open("/proc/self/timers", "rb") as f:
            return not f.read(1)
    except OSError:
        return True  # a kernel without the file. Python makes no such timers


def examine() -> DeadlockError | Literal[False] | None:
    """Look at the whole family.

    Returns:
        The error to raise; None: perhaps, look again in a second; False: no deadlock.
    """
    found = _look()
    if found is None:
        _Suspicion.finding = None
        return False
    rows, evidence = found
    finding = (_waits(rows), evidence)
    now = time.monotonic()
    if finding != _Suspicion.finding:
        _Suspicion.finding, _Suspicion.since = finding, now
        return None
    if now - _Suspicion.since < _APART:
        return None
    _Suspicion.finding = None
    return _error(rows)


def _look() -> tuple[list[_Row], _Finding] | None:
    """Look once: at the board, at the kernel, and whether the board still shows the same waits."""
    seen = _native.standstill()
    evidence = _ask_kernel(*seen) if seen else None
    again = _native.standstill() if evidence is not None else None
    if seen is None or evidence is None or again is None:
        return None
    same = _waits(seen[0]) == _waits(again[0]) and seen[1] == again[1]
    return (seen[0], evidence) if same else None


def _waits(rows: list[_Row]) -> frozenset[tuple[int, ...]]:
    """Which waits they are: of which process, which thread, which of its waits, since when."""
    return frozenset((owner, tid, wait, since) for owner, _, _, tid, wait, since, *_ in rows)


# -- what the kernel knows ---------------------------------------------------------------------------


def _ask_kernel(rows: list[_Row], servers: list[int]) -> _Finding | None:
    """Return what must be the same at the next look; None if some process may go on by itself."""
    threads: dict[int, dict[int, int]] = {}
    for _, pid, _, tid, _, _, op, *_ in rows:
        threads.setdefault(pid, {})[tid] = op
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None  # the /proc of another PID namespace
        for pid, ops in threads.items():
            if not _is_stuck(pid, ops):
                return None
        return tuple((pid, _idle_server(pid)) for pid in servers)
    except (OSError, LookupError, ValueError):
        return None  # it has ended, or /proc does not tell: no deadlock that we could prove


def _is_stuck(pid: int, ops: dict[int, int]) -> bool:
    if {int(name) for name in os.listdir(f"/proc/{pid}/task")} != ops.keys():
        return False  # a thread that is not on the board
    me = threading.get_native_id() if pid == os.getpid() else 0
    for tid, op in ops.items():
        status = _status(f"/proc/{pid}/task/{tid}/status")
        # R: just now its slice is over. Who joins a process has no slices, and has been woken.
        as_it_should = "S" if op == _native.OP_PROCESS else "SR"
        if tid != me and status["State"][0] not in as_it_should:
            return False
        if status["TracerPid"] != "0" or int(status["SigCgt"], 16) & ~HARMLESS:
            return False
    return True


def _idle_server(pid: int) -> str:
    """Return how often a fork server has slept: if it stays the same, it is asleep all the time."""
    (tid,) = os.listdir(f"/proc/{pid}/task")  # ValueError: preloaded modules have threads
    status = _status(f"/proc/{pid}/task/{tid}/status")
    if not status["State"].startswith("S"):
        raise LookupError("the server is at work")
    return status["voluntary_ctxt_switches"] + " " + status["nonvoluntary_ctxt_switches"]


def _status(path: str) -> dict[str, str]:
    with open(path, encoding="ascii", errors="replace") as f:
        lines = (line.partition(":") for line in f)
        return {key: value.strip() for key, _, value in lines}


# -- what people are told -----------------------------------------------------------------------------


def _error(rows: list[_Row]) -> DeadlockError:
    now = time.monotonic_ns()
    me = _native.me(), threading.get_native_id()
    rows = sorted(rows, key=lambda row: ((row[0], row[3]) != me, row[5]))  # who raises comes first
    waiters = tuple(_waiter(row, now) for row in rows)
    shown = [f"  {waiter}" for waiter in waiters[:_SHOWN]]
    if len(waiters) > _SHOWN:
        shown.append(f"  and {len(waiters) - _SHOWN} more")
    processes = len({row[0] for row in rows})
    who = (
        "the family has only this process, which waits for ever"
        if processes == 1
        else f"all {processes} processes of the family wait for ever"
    )
    text = f"deadlock: nobody is left who could end this wait: {who}"
    return DeadlockError("\n".join([text, *shown, _advice(rows[0][7])]), waiters=waiters)


def _waiter(row: _Row, now: int) -> Waiter:
    owner, pid, name, tid, _, since, _, operation, holder, file, line = row
    del owner
    where = f"{os.path.basename(file)}:{line}" if file else ""
    if operation == "Pool task":
        operation, where = "an idle pool worker", ""
    held = _native.describe(holder) if holder else None
    return Waiter(
        name or "MainProcess",
        pid,
        tid,
        operation,
        where,
        (now - since) / 1e9,
        f"{held[1] or 'MainProcess'} (pid {held[0]})" if held else None,
    )


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


def _advice(operation: str) -> str:
    return (
        f"What to do: {ADVICE[operation]}; or wait with a timeout. FORKFUL_DEADLOCK=off lets it "
        "wait for ever."
    )
