"""Finds the deadlock of a whole family: every thread of every process waits, and nobody can end it.

`examine` is called by a thread that has waited for a second without a deadline, once the wait board shows a
standstill. It asks the kernel for what the board cannot know and answers when two looks, a second
apart, have found the same. Why that raises no false alarm: docs/design/deadlock.md.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Literal

from forkful import _native
from forkful.deadlock import circle
from forkful.deadlock.evidence import (
    Waiter,
    advice,
    is_asleep,
    named,
    pools_own,
    same_namespace,
    status,
    threads,
)
from forkful.errors import DeadlockError

__all__ = ["examine"]

_APART = 0.9  # seconds between the two looks, at least; the native side allows one a second
_DEFERS = 4  # looks for which a circle of locks is left to the thread that closed it
_SHOWN = 20  # waiters that the message names

# What _native.standstill() tells of a thread; see its docstring.
_Row = tuple[int, int, str, int, int, int, int, str, int, str | None, str, int]
_Finding = tuple[object, ...]


class _Suspicion:
    """What the look before this one has found, and when."""

    finding: _Finding | None = None
    since = 0.0
    deferred = 0


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
        _Suspicion.finding, _Suspicion.since, _Suspicion.deferred = finding, now, 0
        return None
    if now - _Suspicion.since < _APART:
        return None
    if _Suspicion.deferred < _DEFERS and circle.is_anothers():
        _Suspicion.deferred += 1
        return None
    _Suspicion.finding = None
    # Under load the look for a circle, which comes first, may have found a thread awake.
    return circle.of_this_thread() or _error(rows)


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
    waiting: dict[int, dict[int, int]] = {}
    for _, pid, _, tid, _, _, op, *_ in rows:
        waiting.setdefault(pid, {})[tid] = op
    try:
        if not same_namespace():
            return None
        for pid, ops in waiting.items():
            if threads(pid) != ops.keys():
                return None  # a thread that is not on the board
            if not all(is_asleep(pid, tid, op) for tid, op in ops.items()):
                return None
        return tuple((pid, _idle_server(pid)) for pid in servers)
    except (OSError, LookupError, ValueError):
        return None  # it has ended, or /proc does not tell: no deadlock that we could prove


def _idle_server(pid: int) -> str:
    """Return how often a fork server has slept: if it stays the same, it is asleep all the time."""
    (tid,) = os.listdir(f"/proc/{pid}/task")  # ValueError: preloaded modules have threads
    of = status(f"/proc/{pid}/task/{tid}/status")
    if not of["State"].startswith("S"):
        raise LookupError("the server is at work")
    return of["voluntary_ctxt_switches"] + " " + of["nonvoluntary_ctxt_switches"]


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
    return DeadlockError("\n".join([text, *shown, advice(rows[0][7])]), waiters=waiters)


def _waiter(row: _Row, now: int) -> Waiter:
    owner, pid, name, tid, _, since, _, operation, holder, taken, file, line = row
    del owner
    where = f"{os.path.basename(file)}:{line}" if file else ""
    own = pools_own(operation, file)
    if own is not None:
        operation, where = own, ""
    return Waiter(
        name or "MainProcess",
        pid,
        tid,
        operation,
        where,
        (now - since) / 1e9,
        named(holder),
        taken,
    )
