"""Finds a circle of locks while others run: each waits for a lock that the next one holds.

`examine` is called by a thread that has waited for a lock for a second without a deadline, when the board
shows that it may be waiting for itself. Who can end which wait, and why nobody else can:
docs/design/deadlock.md.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from forkful import _native
from forkful.deadlock.evidence import Waiter, advice, is_asleep, named, same_namespace
from forkful.deadlock.evidence import threads as threads_of
from forkful.errors import DeadlockError

__all__ = ["examine", "is_anothers", "of_this_thread"]

_APART = 0.9  # seconds between the two looks, at least

_Thread = tuple[int, int]  # owner word, thread id


class _Wait(NamedTuple):
    """What `_native.lock_waits()` tells of a thread; see its docstring."""

    owner: int
    pid: int
    name: str
    tid: int
    number: int
    since: int
    op: int
    operation: str
    object: int
    holder: int
    holders_thread: int
    still: bool
    taken: str | None
    file: str
    line: int

    @property
    def thread(self) -> _Thread:
        return self.owner, self.tid

    @property
    def identity(self) -> tuple[int, ...]:
        """Which wait it is of all that ever were, and who can end it."""
        return (
            *self.thread,
            self.number,
            self.since,
            self.object,
            self.holder,
            self.holders_thread,
        )


class _Stuck:
    """The threads that wait for one another and for nobody else, and what each waits for.

    Args:
        waits: All that wait for locks and for processes.
    """

    def __init__(self, waits: Iterable[_Wait]) -> None:
        self.waits = {wait.thread: wait for wait in waits if wait.still}
        self._pids = {wait.owner: wait.pid for wait in self.waits.values()}
        self._users: dict[int, list[int] | None] = {}
        self._threads: dict[int, set[int]] = {}
        while loose := [t for t, wait in self.waits.items() if self.needs(wait) is None]:
            for thread in loose:
                del self.waits[thread]

    def needs(self, wait: _Wait) -> list[_Thread] | None:
        """Return all threads that could end a wait; None: there are others, which run or may run."""
        if wait.op == _native.OP_RLOCK:  # only the thread that holds it can release it
            thread = (wait.holder, wait.holders_thread)
            return [thread] if thread in self.waits else None
        if wait.op == _native.OP_PROCESS:  # it ends with the process
            return self._all_of([wait.holder])
        users = self._users.setdefault(wait.object, _native.users(wait.object))
        return self._all_of(users) if users and wait.holder in users else None

    def next(self, wait: _Wait) -> list[_Thread]:
        """Return the threads that a wait leads to: those of whoever holds the lock."""
        if wait.op == _native.OP_RLOCK:
            return [(wait.holder, wait.holders_thread)]
        return [thread for thread in self.waits if thread[0] == wait.holder]

    def circle(self, thread: _Thread) -> list[_Wait]:
        """Return the shortest way from a thread back to itself; empty: there is none."""
        way = _reach(thread, lambda t: self.next(self.waits[t]) if t in self.waits else [])
        if thread not in way:
            return []
        steps = [thread]
        while (before := way[steps[-1]]) != thread:
            steps.append(before)
        return [self.waits[t] for t in (thread, *reversed(steps[1:]))]

    def all_behind(self, thread: _Thread) -> list[_Wait]:
        """Return the waits by which it is known that a thread waits for ever; its own is one of them."""
        way = _reach(thread, lambda t: self.needs(self.waits[t]) or [])
        return [self.waits[t] for t in {thread, *way}]

    def _all_of(self, owners: list[int]) -> list[_Thread] | None:
        """Return the threads of some processes, if each of them waits."""
        found: list[_Thread] = []
        for owner in owners:
            if owner not in self._pids:
                return None
            if owner not in self._threads:
                self._threads[owner] = _threads(self._pids[owner])
            mine = [(owner, tid) for tid in self._threads[owner]]
            if not mine or not all(thread in self.waits for thread in mine):
                return None
            found += mine
        return found


def _reach(start: _Thread, steps: Callable[[_Thread], Iterable[_Thread]]) -> dict[_Thread, _Thread]:
    """Return each thread that can be reached, with the one that it was reached from."""
    way: dict[_Thread, _Thread] = {}
    todo = [start]
    for at in todo:
        for to in steps(at):
            if to not in way:
                way[to] = at
                todo.append(to)
    return way


def _threads(pid: int) -> set[int]:
    try:
        return threads_of(pid)
    except OSError:
        return set()  # it has ended


def _here() -> _Thread:
    return _native.me(), threading.get_native_id()


def _look() -> _Stuck:
    return _Stuck(_Wait(*row) for row in _native.lock_waits())


def _raiser(circle: list[_Wait]) -> _Thread:
    """Which of a circle is told: the last to come, who closed it, of those that wait for a lock."""
    locks = [wait for wait in circle if wait.op != _native.OP_PROCESS]
    return max(locks, key=lambda wait: (wait.since, wait.thread)).thread if locks else (0, 0)


def is_anothers() -> bool:
    """Return whether there is a circle in which another thread than this one is told."""
    stuck, here = _look(), _here()
    raisers = (_raiser(circle) for t in stuck.waits if (circle := stuck.circle(t)))
    return any(raiser not in (here, (0, 0)) for raiser in raisers)


def of_this_thread() -> DeadlockError | None:
    """Return the error for the circle in which this thread is told; None: there is none.

    For who knows that the waits do not end, having looked at the whole family.
    """
    circle = _told(_look(), _here())
    return _error(circle) if circle else None


def _told(stuck: _Stuck, here: _Thread) -> list[_Wait]:
    """Return the circle in which this thread is told; empty: there is none."""
    circle = stuck.circle(here) if here in stuck.waits else []
    return circle if circle and _raiser(circle) == here else []


_Finding = frozenset[tuple[int, ...]]
_suspicions: dict[int, tuple[_Finding, float]] = {}
"""What each thread has found at its look before this one, and when."""


def examine() -> DeadlockError | None:
    """Look whether this thread waits for itself.

    Returns:
        The error to raise; None: it does not, or another one of the circle is told, or look again in a
        second.
    """
    here = _here()
    found = _find(here)
    before, since = _suspicions.pop(here[1], (None, 0.0))
    if found is None:
        return None
    circle, finding = found
    now = time.monotonic()
    if finding != before:
        _suspicions[here[1]] = finding, now
        return None
    if now - since < _APART:
        _suspicions[here[1]] = finding, since
        return None
    return _error(circle)


def _find(here: _Thread) -> tuple[list[_Wait], _Finding] | None:
    """Look at the board, at the kernel, and whether the board still shows the same."""
    stuck = _look()
    circle = _told(stuck, here)
    if not circle:
        return None
    behind = stuck.all_behind(here)
    try:
        if not same_namespace() or not all(is_asleep(w.pid, w.tid, w.op) for w in behind):
            return None
    except (OSError, LookupError, ValueError):
        return None  # it has ended, or /proc does not tell: nothing that we could prove
    again = _look().waits
    same = all(again.get(w.thread, w).identity == w.identity and w.thread in again for w in behind)
    return (circle, frozenset(w.identity for w in behind)) if same else None


def _error(circle: list[_Wait]) -> DeadlockError:
    now = time.monotonic_ns()
    waiters = tuple(_waiter(wait, now) for wait in circle)
    text = f"deadlock: {_who(circle)}, and nobody else can end that"
    lines = [text, *(f"  {waiter}" for waiter in waiters), advice(circle[0].operation)]
    return DeadlockError("\n".join(lines), waiters=waiters)


def _who(circle: list[_Wait]) -> str:
    apart = len({wait.owner for wait in circle}) == len(circle)
    kind = "processes" if apart else "threads"
    locks = all(wait.op != _native.OP_PROCESS for wait in circle)
    if len(circle) == 1:
        return "this process waits for a lock that it holds itself"
    if len(circle) == 2:
        return f"two {kind} wait for each other" + ("'s locks" if locks else "")
    return f"{len(circle)} {kind} wait in a circle, each for " + (
        "a lock of the next" if locks else "the next"
    )


def _waiter(wait: _Wait, now: int) -> Waiter:
    return Waiter(
        wait.name or "MainProcess",
        wait.pid,
        wait.tid,
        wait.operation,
        f"{os.path.basename(wait.file)}:{wait.line}" if wait.file else "",
        (now - wait.since) / 1e9,
        named(wait.holder),
        wait.taken,
    )
