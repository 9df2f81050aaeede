"""Who was started by whom, also through a fork server.

The kernel calls the fork server the parent of what it forks. Whose child that is the tie tells: one
process has the write end of the pipe of which the other has the read end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import psutil

from forkful.launch import forkserver

__all__ = ["descendants", "terminate"]

_PIPE = re.compile(r"pipe:\[(\d+)\]")


def descendants(pid: int, server: int | None) -> list[psutil.Process]:
    """Return the processes that descend from `pid`, parents first.

    Args:
        pid: A living child of this process.
        server: The fork server that this process itself comes from, if any.
    """
    server = forkserver.server._forkserver_pid or server
    forked = _children(server) if server is not None else []
    found: list[psutil.Process] = []
    layer = [pid]
    while layer:
        below = [child for one in layer for child in _children(one)]
        ties = {pipe for one in layer for pipe in _pipes(one, os.O_WRONLY)}
        known = {process.pid for process in found + below} | {pid, os.getpid()}
        below += [
            process
            for process in forked
            if process.pid not in known and not ties.isdisjoint(_pipes(process.pid, os.O_RDONLY))
        ]
        found += below
        layer = [process.pid for process in below]
    return found


def terminate(processes: list[psutil.Process]) -> None:
    """Send SIGTERM to each, the last one first."""
    for process in reversed(processes):
        try:
            process.terminate()
        except psutil.Error:
            pass  # it has ended, or is another user's


def _children(pid: int) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(pid).children()
    except psutil.Error:
        return []
    return children


def _pipes(pid: int, mode: int) -> Iterator[str]:
    """Give the pipes of which a process has the end with that access mode."""
    folder = f"/proc/{pid}"
    try:
        for fd in os.listdir(f"{folder}/fd"):
            match = _PIPE.fullmatch(os.readlink(f"{folder}/fd/{fd}"))
            if match:
                with open(f"{folder}/fdinfo/{fd}") as info:
                    flags = next(line for line in info if line.startswith("flags:"))
                if int(flags.split()[1], 8) & os.O_ACCMODE == mode:
                    yield match[1]
    except OSError:
        pass  # it has ended
