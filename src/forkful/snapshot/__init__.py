"""A look at a family from outside: who is in it, what each thread waits for, what the kernel says.

The looker is no member and changes nothing: it opens the family's arena through `/proc/PID/fd`, maps it
read-only, and reads `/proc`. So a family can be looked at that hangs, is stopped, or has lost its parent.
It looks twice, a moment apart: what is in the same wait, at rest, both times has done nothing in between.
"""

from __future__ import annotations

import os
import time
from collections.abc import Set
from dataclasses import dataclass, replace

from forkful.snapshot import kernel, pipes
from forkful.snapshot.arena import OF_PIPES, Entry, Key, Row, Unseen, open_arena, peek
from forkful.snapshot.stacks import Frame, Stack, ask

__all__ = ["OF_PIPES", "Frame", "Member", "Stack", "Unseen", "Wait", "take", "with_stacks"]

_APART = 0.25  # seconds between the two looks
_GLANCES = 4  # a standing wait is off the board for moments: so often it is looked for,
_GLANCE = 0.01  # after so many seconds each
_NEVER = 2**64 - 1
_OF_QUEUES = {"Queue.get", "Queue.put", "Queue.join", "Pool task", "Pool results"}


@dataclass(frozen=True)
class Wait:
    """A thread on the family's board.

    Attributes:
        thread: Its id.
        operation: What it is in: `Queue.get`, `Lock.acquire`, `Pool task` (an idle worker), ...
        file: From where, as far as the board has room for the path; empty where that is not known.
        line: The line there.
        seconds: For how long it has waited.
        left: Seconds until it gives up; None: it waits for ever.
        at_rest: It was in this very wait at both looks, and what it waits for has not come.
        holder: Pid of who holds the lock that it waits for.
        taken: Where the holder has taken that lock, such as `main.py:12 in transfer`; None: not known.
        joins: Pid of the process whose end it waits for.
        size: Items in its queue; for `Queue.join` those that are not done.
        bound: How many the queue has room for; 0: any number.
        others: Pids of all that have the other end of the pipe open that it waits for; None: not known.
    """

    thread: int
    operation: str
    file: str
    line: int
    seconds: float
    left: float | None
    at_rest: bool
    holder: int | None = None
    joins: int | None = None
    size: int | None = None
    bound: int | None = None
    taken: str | None = None
    others: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Member:
    """A process of the family.

    Attributes:
        pid: Its pid; 0: it is being started and has none yet. (It counts as active.)
        name: Its name.
        parent: The pid of its parent, if that is a member and lives.
        orphan: Its parent was a member and is dead.
        state: The kernel's letter for it: R, S, D, T (stopped), t (by a debugger). X: it is dead. "?": it
            is not to be seen from here (another PID namespace).
        cpu: The share of one processor that it used between the looks.
        active: One of its threads ran, or was seen in two different waits.
        unlisted: Threads that are not on the board: they run, or wait for something outside forkful.
        kernel: Where in the kernel the first of these sleeps, if the kernel tells.
        handlers: It handles signals other than Ctrl-C.
        server: It is a fork server.
        waits: Its threads on the board.
        stacks: Of each thread that runs Python, if they were asked for.
        mute: Why there are none, if they were.
    """

    pid: int
    name: str
    parent: int | None = None
    orphan: bool = False
    state: str = "S"
    cpu: float = 0.0
    active: bool = False
    unlisted: int = 0
    kernel: str = ""
    handlers: bool = False
    server: bool = False
    waits: tuple[Wait, ...] = ()
    stacks: tuple[Stack, ...] = ()
    mute: str = ""


@dataclass
class _Look:
    """The family at one moment."""

    at: float
    rows: dict[int, Row]  # by owner word
    waits: dict[int, list[Entry]]  # by owner word
    threads: dict[int, dict[int, kernel.Thread]]  # by owner word, by thread id


def take(pid: int) -> tuple[Member, ...]:
    """Look at the family of a process, for a quarter of a second.

    Args:
        pid: Any process of it.

    Returns:
        Its processes, in the order of their slots. Dead ones are among them until they are reaped.

    Raises:
        Unseen: There is no such process, it is not to be looked at, or it is in no family.
    """
    fd = open_arena(pid)
    try:
        first = _look(pid, fd)
        entries = [entry for waits in first.waits.values() for entry in waits]
        for _ in range(_GLANCES):
            time.sleep(_GLANCE)
            entries += peek(pid, fd)[1]
        first.waits = _by_owner(entries)
        resting = {entry.key for entry in entries if entry.blocked}
        time.sleep(_APART)
        second = _look(pid, fd, resting)
    finally:
        os.close(fd)
    return _with_pipes(
        tuple(_member(row, first, second, resting) for row in second.rows.values()), second
    )


def _look(pid: int, fd: int, awaited: Set[Key] = frozenset()) -> _Look:
    """Look once, or some times more if not all of the awaited waits are to be seen."""
    rows, entries = peek(pid, fd)
    for _ in range(_GLANCES):
        if awaited <= {entry.key for entry in entries}:
            break
        time.sleep(_GLANCE)
        rows, entries = peek(pid, fd)
    here = os.stat("/proc/self/ns/pid").st_ino
    seen = (row for row in rows if row.alive and row.space in (0, here))
    threads = {row.owner: kernel.threads(row.pid) for row in seen}
    return _Look(time.monotonic(), {row.owner: row for row in rows}, _by_owner(entries), threads)


def _with_pipes(family: tuple[Member, ...], look: _Look) -> tuple[Member, ...]:
    """The same, with who has the other ends of pipes."""
    ends = {
        (entry.thread, entry.number): (look.rows[entry.owner].pid, entry.object)
        for entries in look.waits.values()
        for entry in entries
        if entry.operation in OF_PIPES and entry.object and entry.owner in look.rows
    }
    others = pipes.other_ends(set(ends.values()))
    by_thread = {thread: others[end] for (thread, _), end in ends.items() if end in others}
    return tuple(
        replace(
            member, waits=tuple(replace(w, others=by_thread.get(w.thread)) for w in member.waits)
        )
        for member in family
    )


def with_stacks(family: tuple[Member, ...]) -> tuple[Member, ...]:
    """Return the same with the Python stacks of each process that can tell them.

    This is the one look that a process takes part in: a thread of it runs a signal handler for a moment.
    """
    return tuple(_asked(member) for member in family)


def _asked(member: Member) -> Member:
    if member.state in "X?" or not member.pid:
        return member
    told, why_not = ask(member.pid, [wait.thread for wait in member.waits])
    return replace(member, stacks=told, mute=why_not)


def _by_owner(entries: list[Entry]) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.owner, []).append(entry)
    return found


def _member(row: Row, first: _Look, second: _Look, resting: Set[Key]) -> Member:
    parent = second.rows.get(row.parent)
    family = Member(
        row.pid,
        row.name or ("fork server" if row.serves else "MainProcess"),
        parent.pid if parent and parent.alive else None,
        orphan=bool(row.parent) and not (parent and parent.alive),
        server=row.serves,
    )
    if not row.alive:
        return replace(family, state="X")
    if not row.pid:
        return replace(family, state="R", active=True, unlisted=1)
    entries = second.waits.get(row.owner, [])
    waits = tuple(_wait(entry, entry.key in resting, second.rows) for entry in entries)
    now, before = second.threads.get(row.owner), first.threads.get(row.owner, {})
    if not now:
        return replace(family, state="?" if now is None else "X", waits=waits)
    listed = {entry.thread for entry in entries}
    others = sorted(now.keys() - listed)
    used = sum(t.ticks - before[tid].ticks for tid, t in now.items() if tid in before)
    ran = any(now[tid].state == "R" or before.get(tid, now[tid]).state == "R" for tid in others)
    seen_before = {e.thread: e.number for e in first.waits.get(row.owner, [])}
    moved = any(seen_before.get(e.thread, e.number) != e.number for e in entries) or any(
        tid in seen_before for tid in others
    )
    return replace(
        family,
        state=now.get(row.pid, next(iter(now.values()))).state,
        cpu=used / os.sysconf("SC_CLK_TCK") / (second.at - first.at),
        active=ran or moved or (bool(others) and used > 1),
        unlisted=len(others),
        kernel=kernel.sleeps_in(row.pid, others[0]) if others else "",
        handlers=kernel.handles_signals(row.pid),
        waits=waits,
    )


def _wait(entry: Entry, at_rest: bool, rows: dict[int, Row]) -> Wait:
    now = time.monotonic_ns()
    holder = rows.get(entry.holder)
    joins = rows.get(entry.object) if entry.operation == "Process.join" else None
    in_queue = entry.operation in _OF_QUEUES and entry.size >= 0
    return Wait(
        entry.thread,
        entry.operation,
        entry.file,
        entry.line,
        max(0.0, (now - entry.since_ns) / 1e9),
        None if entry.deadline_ns == _NEVER else max(0.0, (entry.deadline_ns - now) / 1e9),
        at_rest and entry.blocked,
        holder.pid if holder else None,
        joins.pid if joins else None,
        entry.size if in_queue else None,
        entry.bound if in_queue else None,
        entry.taken if holder else None,
    )
