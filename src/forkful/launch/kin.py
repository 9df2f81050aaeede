"""Whom a stopped process has started: told quickly, by the kernel's lists.

A list is sure only while its process and those on it do not end: stop them first, and look until
nobody is new. `descent` tells the same of running ones, more slowly.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.process import current_process

__all__ = ["children", "forked_for"]


def children(pid: int) -> list[int]:
    """Return whom the kernel calls the children of a process."""
    found = ""
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/children") as file:
                found += file.read()
    except OSError:  # it has ended, or the kernel has no such lists
        from forkful.launch import descent  # on first use: it needs psutil

        return [child.pid for child in descent._children(pid)]
    return [int(child) for child in found.split()]


def forked_for(parents: list[int]) -> list[int]:
    """Return those among the fork server's children that belong to one of `parents`."""
    module = sys.modules.get("forkful.launch.forkserver")
    server = module.server._forkserver_pid if module else None
    if server is None and getattr(current_process(), "_start_method", None) == "forkserver":
        server = os.getppid()
    if server is None:
        return []
    from forkful.launch import descent

    ties = {pipe for parent in parents for pipe in descent._pipes(parent, os.O_WRONLY)}
    return [
        child
        for child in children(server)
        if child not in parents and not ties.isdisjoint(descent._pipes(child, os.O_RDONLY))
    ]
