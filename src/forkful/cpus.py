"""How many processors this process may use: what the machine has is rarely what it was given.

A container is limited in one of two ways: to certain processors (the affinity mask), or to so much
processor time per period (a control group's quota). A quota counts wherever it stands on the way
from the process's group up to the root, so nested slices are all looked at.

Where the formats are documented:

* ``cpu.max``: the kernel's Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files".
* ``cpu.cfs_quota_us``, ``cpu.cfs_period_us``: Documentation/scheduler/sched-bwc.rst.
* ``PYTHON_CPU_COUNT``: Python 3.13, "Environment variables".
* ``LOKY_MAX_CPU_COUNT``: loky, ``cpu_count()``.
"""

from __future__ import annotations

import os

from forkful import cgroups

__all__ = ["quota_cpus", "usable_cpus"]

_QUOTA_FILES = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}
"""By version: where the time and its period stand, in microseconds."""


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
    quotas = [
        quota
        for version, directory in cgroups.directories("cpu", proc, root)
        if (quota := _quota(directory, version)) is not None
    ]
    return min(quotas, default=None)


def _quota(directory: str, version: int) -> int | None:
    words = [
        word
        for name in _QUOTA_FILES[version]
        for word in cgroups.read(f"{directory}/{name}").split()
    ]
    try:
        time, period = (int(word) for word in words)  # "max" is no number, -1 means none
    except ValueError:
        return None
    return -(-time // period) if time > 0 and period > 0 else None


def _setting(name: str) -> int | None:
    try:
        value = int(os.environ.get(name, ""))
    except ValueError:
        return None
    return value if value > 0 else None
