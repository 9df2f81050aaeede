"""How many processors this process may use: what the machine has is rarely what it was given.

A container is limited in one of two ways: to certain processors (the affinity mask), or to so much
processor time per period (a control group's quota). A quota counts wherever it stands on the way
from the process's group up to the root, so nested slices are all looked at.

Where the formats are documented:

* ``/proc/self/cgroup``: cgroups(7), "/proc files".
* ``/proc/self/mountinfo``: proc_pid_mountinfo(5).
* ``cpu.max``: the kernel's Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files".
* ``cpu.cfs_quota_us``, ``cpu.cfs_period_us``: Documentation/scheduler/sched-bwc.rst.
* ``PYTHON_CPU_COUNT``: Python 3.13, "Environment variables".
* ``LOKY_MAX_CPU_COUNT``: loky, ``cpu_count()``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["quota_cpus", "usable_cpus"]

_QUOTA_FILES = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}
"""By version: where the time and its period stand, in microseconds."""


class _Mount(NamedTuple):
    """A control group file system, as mountinfo tells it."""

    group: str  # the group that the mount point shows
    point: str
    version: int
    controllers: set[str]


def usable_cpus() -> int:
    """Return how many processes can run at once here, at least 1. Looks anew at each call.

    ``PYTHON_CPU_COUNT`` overrides what is found; ``LOKY_MAX_CPU_COUNT`` is an upper bound in any
    case. Values that are no positive numbers are ignored. Otherwise it is the number of processors
    in the affinity mask, or the quota of processor time if that is less; a part of a processor
    counts as one. Never raises: what cannot be read limits nothing.
    """
    count = _setting("PYTHON_CPU_COUNT")
    if count is None:
        quota = quota_cpus()
        count = len(os.sched_getaffinity(0))
        count = count if quota is None else min(count, quota)
    bound = _setting("LOKY_MAX_CPU_COUNT")
    return max(1, count if bound is None else min(count, bound))


def quota_cpus(proc: str = "/proc/self", root: str = "/") -> int | None:
    """Return the least quota of this process's control groups, in whole processors rounded up.

    Args:
        proc: The directory with the files ``cgroup`` and ``mountinfo``.
        root: The directory that mount points are under.

    Returns:
        At least 1; ``None`` if nothing limits the time.
    """
    groups = list(_groups(_read(f"{proc}/cgroup")))
    quotas = [
        quota
        for mount in _mounts(_read(f"{proc}/mountinfo"))
        for controllers, group in groups
        if (controllers == {""} if mount.version == 2 else "cpu" in controllers & mount.controllers)
        for directory in _way_up(root, mount, group)
        if (quota := _quota(directory, mount.version)) is not None
    ]
    return min(quotas, default=None)


def _groups(text: str) -> Iterator[tuple[set[str], str]]:
    """Yield each hierarchy's controllers (for version 2: one empty name) and our group in it."""
    for line in text.splitlines():
        _, controllers, group = (*line.split(":", 2), "", "")[:3]
        if group:
            yield set(controllers.split(",")), group


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if kind[0] == "cgroup2" else 1
        yield _Mount(_plain(fields[3]), _plain(fields[4]), version, set(kind[2].split(",")))


def _way_up(root: str, mount: _Mount, group: str) -> Iterator[str]:
    """Yield the directories from our group up to the mount point.

    A container may see only its own group, mounted at its root; and the name of our group is told
    as from the root of its namespace. If the two do not match, all there is to look at is the mount
    point.
    """
    top = os.path.normpath(root + mount.point)
    below = os.path.relpath(group, mount.group)
    steps = [] if below.startswith("..") else [step for step in below.split("/") if step != "."]
    for length in range(len(steps), -1, -1):
        yield os.path.join(top, *steps[:length])


def _quota(directory: str, version: int) -> int | None:
    words = [
        word for name in _QUOTA_FILES[version] for word in _read(f"{directory}/{name}").split()
    ]
    try:
        time, period = (int(word) for word in words)  # "max" is no number, -1 means none
    except ValueError:
        return None
    return -(-time // period) if time > 0 and period > 0 else None


def _plain(escaped: str) -> str:
    """Undo the escapes of mountinfo: a space is written as backslash 040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _setting(name: str) -> int | None:
    try:
        value = int(os.environ.get(name, ""))
    except ValueError:
        return None
    return value if value > 0 else None
