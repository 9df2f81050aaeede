"""What this process holds of the system: children, descriptors, threads, files in /dev/shm.

``Holdings.now()`` before and after something, and ``after.beyond(before)`` is what it left behind.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

from tests.kit import procs

RUN_MARK = "FORKFUL_TEST_RUN"  # in the environment of whatever a test starts: orphans have it too


@dataclass(frozen=True)
class Holdings:
    """Each field maps what identifies a thing to the words that describe it."""

    processes: dict[object, str]
    fds: dict[object, str]
    threads: dict[object, str]
    shm: dict[object, str]

    @classmethod
    def now(cls) -> Holdings:
        threads: dict[object, str] = {t: f"thread {t.name!r}" for t in threading.enumerate()}
        return cls(dict(_processes()), dict(_fds()), threads, dict(_shm()))

    def beyond(self, before: Holdings) -> dict[object, str]:
        """What is in these holdings and was not in those, nor is excused."""
        return {
            key: words
            for mine, past in (
                (self.processes, before.processes),
                (self.fds, before.fds),
                (self.threads, before.threads),
                (self.shm, before.shm),
            )
            for key, words in mine.items()
            if key not in past and not any(excuse(key, self) for excuse in EXCUSES.values())
        }


# What a process makes once and keeps for good, and why that is no leak.
EXCUSES: dict[str, Callable[[Any, Holdings], bool]] = {
    "the stdlib's resource tracker lives as long as the process that first needed it": (
        lambda key, _: _is_singleton(
            key, resource_tracker._resource_tracker._pid, [resource_tracker._resource_tracker._fd]
        )
    ),
    "the stdlib's fork server lives as long as the process that first needed it": (
        lambda key, _: _is_singleton(
            key,
            forkserver._forkserver._forkserver_pid,
            [forkserver._forkserver._forkserver_alive_fd],
        )
    ),
    "a process maps the arena of its family once and keeps it": (
        lambda key, all_: (
            isinstance(key, Fd)
            and _is_arena(key)
            and sum(isinstance(k, Fd) and _is_arena(k) for k in all_.fds) == 1
        )
    ),
}


@dataclass(frozen=True)
class Fd:
    """A descriptor is the same while its number and what it refers to are."""

    number: int
    target: str


@dataclass(frozen=True)
class Shm:
    """A file in /dev/shm."""

    path: str


def _is_singleton(key: object, pid: int | None, fds: list[int | None]) -> bool:
    if isinstance(key, Fd):
        return key.number in fds
    return isinstance(key, tuple) and pid is not None and key[0] == pid


def _is_arena(fd: Fd) -> bool:
    return fd.target.startswith("/memfd:forkful")


def _processes() -> Iterator[tuple[object, str]]:
    among = procs.everyone()
    mine = procs.descendants(os.getpid(), among)
    for proc in mine:
        yield proc.identity, f"{'zombie' if proc.state == 'Z' else 'child process'} {proc}"
    known = {proc.pid for proc in mine} | {os.getpid()}
    for proc in among.values():
        if proc.pid not in known and _is_orphan(proc, among):
            yield proc.identity, f"orphaned process {proc}"


def _is_orphan(proc: procs.Proc, among: dict[int, procs.Proc]) -> bool:
    """Whether a process that does not descend from this one has come from it nevertheless.

    What was executed has the mark of the run in its environment. What was only forked has this
    process's command line and session, and a parent that has not.
    """
    me, parent = among[os.getpid()], among.get(proc.parent)
    if proc.state == "Z" or proc.started < me.started:
        return False
    with contextlib.suppress(OSError):
        environ = Path(f"/proc/{proc.pid}/environ").read_bytes().split(b"\0")
        if f"{RUN_MARK}={os.getpid()}".encode() in environ:
            return True
    command = procs.command(me.pid)
    return (
        proc.session == me.session
        and procs.command(proc.pid) == command
        and (parent is None or procs.command(parent.pid) != command)
        and proc.pid not in _ancestors(me, among)
    )


def _ancestors(proc: procs.Proc, among: dict[int, procs.Proc]) -> Iterator[int]:
    while proc.parent in among:
        yield proc.parent
        proc = among[proc.parent]


def _fds() -> Iterator[tuple[Fd, str]]:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists this directory
            target = os.readlink(f"/proc/self/fd/{name}").removesuffix(" (deleted)")
            yield Fd(int(name), target), f"descriptor {name} -> {target}"


def _shm() -> Iterator[tuple[Shm, str]]:
    for name in os.listdir("/dev/shm"):
        yield Shm(f"/dev/shm/{name}"), f"shared memory /dev/shm/{name}"


def used_by_strangers(keys: Iterable[object]) -> set[object]:
    """Those files in /dev/shm that a process outside this tree has in use: they are not ours."""
    files = [key for key in keys if isinstance(key, Shm)]
    used: set[object] = set()
    if files:
        ours = {proc.pid for proc in procs.descendants(os.getpid())} | {os.getpid()}
        for pid in set(procs.everyone()) - ours:
            with contextlib.suppress(OSError):
                maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
                links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
                used |= {file for file in files if file.path in maps or file.path in links}
    return used
