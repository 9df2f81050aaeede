"""Whether the kernel has killed a process of ours because memory was short.

It counts such kills in each control group: ``oom_kill`` of version 2's ``memory.events`` and of version
1's ``memory.oom_control`` (the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
It does not tell whom it has killed. So one kill explains one death by a SIGKILL that is not ours.
"""

from __future__ import annotations

import os

from forkful import cgroups

__all__ = ["Watch", "watch"]

_FILES = {1: "memory.oom_control", 2: "memory.events"}


class Watch:
    """Compares the kernel's count of kills with those that have been explained by it.

    Args:
        proc: The directory with the files ``cgroup`` and ``mountinfo``.
        root: The directory that mount points are under.
    """

    def __init__(self, proc: str = "/proc/self", root: str = "/") -> None:
        self.pid = os.getpid()
        self._path = next(
            (
                path
                for version, directory in cgroups.directories("memory", proc, root)
                if _count(path := f"{directory}/{_FILES[version]}") is not None
            ),
            None,
        )
        self._explained = self._kills()

    def explains(self) -> bool:
        """Whether there was a kill since this began that has explained no death yet; if so, it has now."""
        if self._kills() <= self._explained:
            return False
        self._explained += 1
        return True

    def _kills(self) -> int:
        return 0 if self._path is None else _count(self._path) or 0


def _count(path: str) -> int | None:
    for line in cgroups.read(path).splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.isdecimal():
            return int(number)
    return None


_watch: Watch | None = None


def watch() -> Watch:
    """Return this process's own, begun by its first call: before a child is started that may die."""
    global _watch
    if _watch is None or _watch.pid != os.getpid():
        _watch = Watch()
    return _watch
