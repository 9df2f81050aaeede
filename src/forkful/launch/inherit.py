"""What a child started by spawn or forkserver must have before its main module is imported.

The stdlib sends a child two pickles: preparation data, then the process object. `Ticket` travels
in the first one; unpickling it joins the family. So module-level locks and queues of the main
module are made in the family that the child belongs to. Before it goes the parent's `sys.path`, which
the stdlib sets only after the first pickle: forkful itself may have been found by a path that the
program has added, or by one that `python -S` leaves out.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import reduction, resource_tracker, spawn
from typing import Any

from forkful import _native
from forkful.launch import interrupts
from forkful.launch.defaults import defaults

__all__ = ["Ticket", "preparation_data"]


def _board(
    fd: Any,
    family: bytes,
    owner: int,
    start_method: str | None,
    arrivals: tuple[Callable[[], None], ...],
    held: bool,
) -> None:
    """In the child: join the family, and do what its children do first."""
    if not held:
        interrupts.release()  # which the fork server holds back
    _join(fd, family, owner)
    for arrive in arrivals:
        arrive()
    defaults.start_method = start_method


def _join(fd: Any, family: bytes, owner: int) -> None:
    descriptor = fd.detach()
    if _native.identity() == family:  # forked from a fork server that is a member
        os.close(descriptor)
        _native.abandon(owner)
        return
    os.set_inheritable(descriptor, False)
    _native.join(descriptor, owner)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Takes the child that unpickles it into this process's family."""

    owner: int

    def __reduce__(self) -> tuple[Any, ...]:
        fd = reduction.DupFd(_native.fd())
        arrivals = tuple(defaults.arrivals)
        held = interrupts.are_held()
        return _board, (fd, _native.identity(), self.owner, defaults.start_method, arrivals, held)


@dataclass(frozen=True, slots=True)
class _SearchPath:
    """Sets `sys.path` where it is unpickled; of the standard library, it needs nothing of forkful."""

    path: list[str]

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (_Sys(), "path", self.path)


class _Sys:
    """The module `sys` where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("sys",)


def preparation_data(name: str, owner: int) -> dict[str, Any]:
    """Return the stdlib's preparation data behind what must come first: path, then ticket."""
    data: dict[str, Any] = {**spawn.get_preparation_data(name)}
    return {"forkful path": _SearchPath(data["sys_path"]), "forkful": Ticket(owner), **data}


def tracker_fd() -> int:
    """Return the resource tracker's descriptor, for what the stdlib makes in the child."""
    with interrupts.interrupts_held():  # to start it lets through what this thread holds back
        fd = resource_tracker.getfd()
    assert fd is not None
    return fd
