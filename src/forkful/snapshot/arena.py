"""The arena of a family that one is no member of, mapped read-only through `/proc/PID/fd`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from forkful import _native
from forkful.snapshot import kernel

_ARENA = "/memfd:forkful (deleted)"

OF_PIPES = {
    "Connection.recv",
    "Connection.send",
    "Connection.poll",
    "Listener.accept",
    "connection.wait",
}
"""Waits for whoever has the other end of a pipe or socket, who need not be of the family."""


class Unseen(Exception):
    """There is no family to be seen at that pid; the text says why, and what to do."""


Key = tuple[int, int, int]


class Row(NamedTuple):
    """What _native.peek tells of a member."""

    owner: int
    pid: int
    parent: int
    name: str
    running: bool
    serves: bool
    alive: bool
    space: int


class Entry(NamedTuple):
    """What _native.peek tells of a wait."""

    owner: int
    thread: int
    number: int
    since_ns: int
    deadline_ns: int
    operation: str
    object: int
    file: str
    line: int
    blocked: bool
    holder: int
    taken: str | None
    size: int
    bound: int

    @property
    def key(self) -> Key:
        """Which wait it is, of all that ever were."""
        return self.owner, self.thread, self.number


def open_arena(pid: int) -> int:
    """Open the arena of a process's family for reading.

    Returns:
        The descriptor, to be closed by the caller.

    Raises:
        Unseen: There is no such process, it is not to be looked at, or it is in no family.
    """
    folder = f"/proc/{pid}/fd"
    try:
        if os.stat(f"/proc/{pid}/ns/pid").st_ino != os.stat("/proc/self/ns/pid").st_ino:
            raise Unseen(
                f"process {pid} is in another PID namespace (a container): ask from inside of it"
            )
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):
                if os.readlink(f"{folder}/{name}") == _ARENA:
                    return os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        if kernel.letter(pid) in "ZX":
            raise ProcessLookupError
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as f:
            mapped = any(line.rstrip().endswith(_ARENA) for line in f)
    except (FileNotFoundError, ProcessLookupError):
        raise Unseen(_gone(pid)) from None
    except PermissionError:
        if kernel.letter(pid) in "ZX":
            raise Unseen(_gone(pid)) from None
        raise Unseen(
            f"process {pid} may not be looked at: it belongs to another user, or has been protected; "
            "ask as its user, or as root"
        ) from None
    if mapped:
        raise Unseen(
            f"process {pid} has closed the descriptor of its family's shared memory: ask about another "
            "process of the family"
        )
    raise Unseen(
        f"process {pid} is no forkful program, or has not used forkful so far: it has none of its shared "
        "memory. A program written for multiprocessing gets it by `forkful run`"
    )


def _gone(pid: int) -> str:
    if kernel.letter(pid) == "Z":
        return f"process {pid} has ended (its parent has not taken its exit status)"
    return f"there is no process {pid}"


def peek(pid: int, fd: int) -> tuple[list[Row], list[Entry]]:
    """Read who is in the family and who waits, without changing anything.

    Raises:
        Unseen: The descriptor leads to no arena of this version.
    """
    try:
        _, rows, entries = _native.peek(fd)
    except RuntimeError:
        raise Unseen(
            f"process {pid} runs another version of forkful: use the command of its environment"
        ) from None
    return [Row(*row) for row in rows], [_entry(Entry(*entry)) for entry in entries]


def _entry(entry: Entry) -> Entry:
    """Whether something has come through a pipe the arena does not tell: who waits for it would be awake."""
    return entry._replace(blocked=True) if entry.operation in OF_PIPES else entry
