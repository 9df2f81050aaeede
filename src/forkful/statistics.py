"""What `statistics()` of the shared objects returns."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LockStatistics", "SemaphoreStatistics"]


class LockStatistics(NamedTuple):
    """A lock at one moment. `owner_pid` and `owner_name` are None when it is free."""

    locked: bool
    owner_pid: int | None
    owner_name: str | None
    owner_alive: bool


class SemaphoreStatistics(NamedTuple):
    """A semaphore at one moment: free permits, and how many came back from dead processes."""

    value: int
    returned: int
