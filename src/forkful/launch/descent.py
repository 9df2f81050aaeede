"""Who was started by whom, also through a fork server.

The kernel calls the fork server the parent of what it forks. Whose child that is the tie tells: one
process has the write end of the pipe of which the other has the read end.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Collection, Iterator
from multiprocessing import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import psutil

__all__ = ["children_of_stopped", "descendants", "forked_for", "send"]

_PIPE = re.compile(r"pipe:\[(\d+)\]")


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes that descend from `pid`, a living child of this process; parents first."""
    found: list[psutil.Process] = []
    layer = [pid]
    while layer:
        below = [child for one in layer for child in _children(one)]
        known = {one.pid for one in found + below} | {pid, os.getpid()}
        below += [child for child in forked_for(layer) if child.pid not in known]
        found += below
        layer = [one.pid for one in below]
    return found


def forked_for(parents: Collection[int]) -> list[psutil.Process]:
    """Return those among the fork server's children that belong to one of `parents`, and are none of them."""
    server = _fork_server()
    if server is None:
        return []
    ties = {pipe for parent in parents for pipe in _pipes(parent, os.O_WRONLY)}
    return [
        child
        for child in _children(server)
        if child.pid not in parents and not ties.isdisjoint(_pipes(child.pid, os.O_RDONLY))
    ]


def children_of_stopped(pid: int) -> list[int]:
    """Return whom the kernel calls the children of a process: quickly, by the kernel's lists.

    A list is sure only while its process and those on it do not end: stop them first, and look until
    nobody is new.
    """
    found = ""
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/children") as file:
                found += file.read()
    except OSError:  # it has ended, or the kernel has no such lists
        return [child.pid for child in _children(pid)]
    return [int(child) for child in found.split()]


def send(processes: list[psutil.Process], signum: signal.Signals) -> None:
    """Send a signal to each, the last one first."""
    import psutil  # here, as below: few programs need it, and it brings much

    for one in reversed(processes):
        try:
            one.send_signal(signum)
        except psutil.Error:
            pass  # it has ended, or is another user's


def _fork_server() -> int | None:
    module = sys.modules.get("forkful.launch.forkserver")
    server: int | None = module.server._forkserver_pid if module else None
    if server is None and getattr(process.current_process(), "_start_method", None) == "forkserver":
        server = os.getppid()
    return server


def _children(pid: int) -> list[psutil.Process]:
    import psutil

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
