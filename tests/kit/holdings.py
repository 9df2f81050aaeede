"""What this process holds of the system: children, descriptors, threads, files in /dev/shm.

``Holdings.now()`` before and after something, and ``after.beyond(before)`` is what it left behind.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

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
            if key not in past and not any(excuse(key, self) for excuse in EXCUSES)
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


def _is(key: object, pid: int | None, fd: int | None) -> bool:
    """Whether a process or a descriptor, by its key, is the one with that number."""
    if isinstance(key, Fd):
        return key.number == fd
    return isinstance(key, tuple) and key[0] == pid


def _of_resource_tracker(key: object, _: Holdings) -> bool:
    """The stdlib's resource tracker lives as long as the process that first needed it."""
    tracker = resource_tracker._resource_tracker
    return _is(key, tracker._pid, tracker._fd)


def _of_fork_server(key: object, _: Holdings) -> bool:
    """A fork server, the stdlib's or forkful's, lives as long as the process that needed it."""
    ours = sys.modules.get("forkful.launch.forkserver")
    clients = [forkserver._forkserver, *([ours.server] if ours else [])]
    return any(_is(key, c._forkserver_pid, c._forkserver_alive_fd) for c in clients)


def _of_family(key: object, holdings: Holdings) -> bool:
    """A process maps the arena of its family once and keeps it, and one file for its stacks."""
    if not isinstance(key, Fd) or "/memfd:forkful" not in key.target:
        return False
    return [fd for fd in holdings.fds if isinstance(fd, Fd) and fd.target == key.target] == [key]


def _of_other_packages(key: object, _: Holdings) -> bool:
    """On a shared machine others use joblib, which leaves files behind; tests have its files elsewhere.

    loky unlinks its semaphores itself, a moment after the program that made them has ended.
    """
    return isinstance(key, Shm) and key.path.startswith(("/dev/shm/sem.loky-", "/dev/shm/joblib_"))


# What may stay behind, as the docstrings say why.
EXCUSES: list[Callable[[object, Holdings], bool]] = [
    _of_resource_tracker,
    _of_fork_server,
    _of_family,
    _of_other_packages,
]


def _processes() -> Iterator[tuple[object, str]]:
    among = procs.everyone()
    mine = procs.descendants(os.getpid(), among)
    for proc in mine:
        yield proc.identity, f"{'zombie' if proc.state == 'Z' else 'child process'} {proc}"
    known = {proc.pid for proc in mine} | {os.getpid()}
    for proc in among.values():
        if proc.pid not in known and _is_orphan(proc, among):
            yield proc.identity, f"orphaned process {proc}"


def mark_run() -> None:
    """Mark this process, so that what it starts can be told from what others start.

    What is executed has the mark in its environment; what is only forked, from whichever thread
    that starts later, has this process's short name.
    """
    os.environ[RUN_MARK] = str(os.getpid())
    Path("/proc/self/comm").write_text(_short_name())


def _short_name() -> str:
    return f"test-{os.getpid()}"


def _is_orphan(proc: procs.Proc, among: dict[int, procs.Proc]) -> bool:
    """Whether a process that does not descend from this one has come from it nevertheless."""
    if proc.state == "Z" or proc.started < among[os.getpid()].started:
        return False
    with contextlib.suppress(OSError):
        environ = Path(f"/proc/{proc.pid}/environ").read_bytes().split(b"\0")
        if f"{RUN_MARK}={os.getpid()}".encode() in environ:
            return True
        return Path(f"/proc/{proc.pid}/comm").read_text().strip() == _short_name()
    return False


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
