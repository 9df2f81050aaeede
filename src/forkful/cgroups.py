"""The control groups that this process is in, as directories.

Where the formats are documented:

* ``/proc/self/cgroup``: cgroups(7), "/proc files".
* ``/proc/self/mountinfo``: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

__all__ = ["directories", "read"]


class _Mount:
    """A control group file system, as mountinfo tells it.

    Attributes:
        group: The group that the mount point shows.
        point: The mount point.
        version: 1 or 2.
        controllers: Those that it has; version 2's are not told.
    """

    __slots__ = "controllers", "group", "point", "version"

    def __init__(self, group: str, point: str, version: int, controllers: set[str]) -> None:
        self.group, self.point = group, point
        self.version, self.controllers = version, controllers


def directories(
    controller: str, proc: str = "/proc/self", root: str = "/"
) -> Iterator[tuple[int, str]]:
    """Yield (version, directory) of each group that we are in, from our own one up to the root's.

    Args:
        controller: Which of version 1's hierarchies count; version 2 has one for all.
        proc: The directory with the files ``cgroup`` and ``mountinfo``.
        root: The directory that mount points are under.
    """
    groups = list(_groups(read(f"{proc}/cgroup")))
    for mount in _mounts(read(f"{proc}/mountinfo")):
        for controllers, group in groups:
            if (
                controllers == {""}
                if mount.version == 2
                else controller in controllers & mount.controllers
            ):
                for directory in _way_up(root, mount, group):
                    yield mount.version, directory


def read(path: str) -> str:
    """Return a file's text; what cannot be read is empty."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


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


def _plain(escaped: str) -> str:
    """Undo the escapes of mountinfo: a space is written as backslash 040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)
