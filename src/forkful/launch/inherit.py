"""What a child started by spawn or forkserver must have before its main module is imported.

The stdlib sends a child two pickles: preparation data, then the process object. `Ticket` travels
in the first one; unpickling it joins the family. So module-level locks and queues of the main
module are made in the family that the child belongs to. Before it goes the parent's `sys.path`, which
the stdlib sets only after the first pickle: forkful itself may have been found by a path that the
program has added, or by one that `python -S` leaves out.

Both are pickled as what goes through a queue is: a target that pickle refuses, such as a lambda, goes by
value.
"""

from __future__ import annotations

import importlib
import os
from multiprocessing import reduction, resource_tracker, spawn
from multiprocessing.context import set_spawning_popen

from forkful import _native, wire
from forkful.errors import ForkfulError
from forkful.launch import interrupts
from forkful.launch.defaults import defaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["board_for_children", "passenger", "preparation", "releases_interrupts", "tracker_fd"]

# Another thread may hold the tracker's lock when the process is forked: the child could start none by spawn.
os.register_at_fork(after_in_child=resource_tracker._resource_tracker._lock._at_fork_reinit)


class _Boarding:
    """How this process, a fork server, was prepared for its children, so that they need not be."""

    serves = False
    releases_interrupts = False


def _board(
    fd: Any,
    family: bytes,
    owner: int,
    start_method: str | None,
    arrivals: tuple[Callable[[], None], ...],
    held: bool,
) -> None:
    """In the child: join the family, and do what its children do first."""
    if _Boarding.serves:
        _Boarding.releases_interrupts = not held
    elif not held:
        interrupts.release()  # which the fork server holds back
    _join(fd, family, owner)
    for arrive in arrivals:
        arrive()
    defaults.start_method = start_method


def board_for_children(preparation: bytes) -> dict[str, Any]:
    """In a fork server: unpickle what its children would; return the stdlib's preparation data."""
    _Boarding.serves = True
    try:
        data: dict[str, Any] = wire.loads(preparation)
    finally:
        _Boarding.serves = False
    return data


def releases_interrupts() -> bool:
    """In a fork server: return whether those of its children that are to be as it was prepared let Ctrl-C come."""
    return _Boarding.releases_interrupts


def _join(fd: Any, family: bytes, owner: int) -> None:
    if fd is None:  # forked from a fork server that is a member
        if _native.identity() != family:
            raise ForkfulError("this fork server belongs to another family of processes")
        return
    descriptor = fd.detach()
    os.set_inheritable(descriptor, False)
    _native.join(descriptor, owner)


class _Ticket:
    """Takes the child that unpickles it into this process's family; one of a fork server is in it."""

    def __init__(self, owner: int) -> None:
        self.owner = owner

    def __reduce__(self) -> tuple[Any, ...]:
        fd = reduction.DupFd(_native.fd()) if self.owner else None
        arrivals = tuple(defaults.arrivals)
        held = interrupts.are_held()
        return _board, (fd, _native.identity(), self.owner, defaults.start_method, arrivals, held)


class _SearchPath:
    """Sets `sys.path` where it is unpickled; of the standard library, it needs nothing of forkful."""

    def __init__(self, path: list[str]) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (_Sys(), "path", self.path)


class DupFd:
    """A descriptor that a child by spawn inherits under its number."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def detach(self) -> int:
        """In the child: the descriptor."""
        return self.fd


class _Sys:
    """The module `sys` where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("sys",)


def preparation(popen: Any, owner: int, **names: str) -> bytes:
    """Return the first pickle that a child reads: the stdlib's preparation data, with path and ticket in front.

    Args:
        popen: Is asked to keep what the child needs.
        owner: The slot that is reserved for it; 0: its fork server reserves one.
        names: The child's, as `name`; without, the data fit all of a fork server's children.
    """
    set_spawning_popen(popen)
    try:
        data: dict[str, Any] = {**spawn.get_preparation_data("")}
        del data["name"]
        first = {"forkful path": _SearchPath(data["sys_path"]), "forkful": _Ticket(owner)}
        return wire.dumps(first | data | names)
    finally:
        set_spawning_popen(None)


def passenger(popen: Any, process_obj: Any) -> bytes:
    """Return the second pickle that a child reads: the process object.

    Raises:
        PicklingError, AttributeError, TypeError: It cannot be pickled; the message says which part.
    """
    number = getattr(process_obj, "_last_words", None)  # a program's own kind of process has none
    if number is not None:
        process_obj._last_words = _native.place_of_words(number)
    set_spawning_popen(popen)
    try:
        return wire.dumps(process_obj, "process")
    finally:
        set_spawning_popen(None)


def tracker_fd() -> int:
    """Return the resource tracker's descriptor, for what the stdlib makes in the child."""
    with interrupts.interrupts_held():  # to start it lets through what this thread holds back
        fd = resource_tracker.getfd()
    assert fd is not None
    return fd
