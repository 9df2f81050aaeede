"""Who was started by whom, also through a fork server.

The kernel calls the fork server the parent of what it forks. Whose child that is the tie tells: one
process has the write end of the pipe of which the other has the read end.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from multiprocessing import process

import psutil

from forkful.launch import forkserver

__all__ = ["descendants", "send"]

_PIPE = re.compile(r"pipe:\[(\d+)\]")


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes that descend from `pid`, a living child of this process; parents first."""
    server = forkserver.server._forkserver_pid
    if not server and getattr(process.current_process(), "_start_method", None) == "forkserver":
        server = os.getppid()
    forked = _children(server) if server is not None else []
    found: list[psutil.Process] = []
    layer = [pid]
    while layer:
        below = [child for one in layer for child in _children(one)]
        ties = {pipe for one in layer for pipe in _pipes(one, os.O_WRONLY)}
        known = {one.pid for one in found + below} | {pid, os.getpid()}
        below += [
            one
            for one in forked
            if one.pid not in known and not ties.isdisjoint(_pipes(one.pid, os.O_RDONLY))
        ]
        found += below
        layer = [one.pid for one in below]
    return found


def send(processes: list[psutil.Process], signum: signal.Signals) -> None:
    """Send a signal to each, the last one first."""
    for one in reversed(processes):
        try:
            one.send_signal(signum)
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
