"""This process in its family: round a fork, and handles on their way to another process.

Imports only mechanism. One invariant: `_native` is configured before any handle exists.
"""

from __future__ import annotations

import os
from multiprocessing import process
from multiprocessing.context import get_spawning_popen, set_spawning_popen

from forkful import _native, errors, quiet, stacks, wire
from forkful.errors import ForkfulError, LockOwnerDied, ShutDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, TypeVar

    _H = TypeVar("_H", bound="Handle")

__all__ = ["Handle", "Words", "pack"]


def _owner_died(handle: Any, pid: int, name: str, where: str | None) -> LockOwnerDied:
    who = f"{name} (pid {pid})" if name else f"process {pid}" if pid else "a process"
    taken = f"; it has taken it at {where}" if where else ""
    return LockOwnerDied(
        f"{type(handle).__name__} is held by {who}, which has ended{taken}. What the lock guards may "
        "be half changed: check it, then take the lock over with recover() and release() it",
        pid=pid or None,
        name=name or None,
        where=where,
    )


def _items_lost(handle: Any, items: int) -> Exception:
    what = "1 item" if items == 1 else f"{items} items"
    if times := handle._redelivers():
        return errors.WorkerDied(
            f"{what} of {type(handle).__name__} will never be done: each process that took "
            f"{'it' if items == 1 else 'one of them'} ended before task_done(), and no other is given "
            f"{'it' if items == 1 else 'them'} any more (redeliver={times}, or the queue was shut down). "
            "Look at what such an item does to its process; the queue counts as joined now"
        )
    return errors.WorkerDied(
        f"{what} of {type(handle).__name__} will never be done: the process that took "
        f"{'it' if items == 1 else 'them'} ended before task_done(). Put the work in again, or go "
        "on: the queue counts as joined now"
    )


def pack(obj: Any) -> tuple[bytes, Sequence[Any], list[object]]:
    """Pickle for a block of shared memory: the bytes, the large buffers that stand beside them, and the
    handles inside, which go with the block.
    """
    popen = get_spawning_popen()
    if popen is not None:  # what is pickled for a child that is being started, this is not
        set_spawning_popen(None)
    try:
        with wire.collecting() as handles:
            data, buffers = wire.dumps_oob(obj)
    finally:
        if popen is not None:
            set_spawning_popen(popen)
    return data, buffers, handles


def _examine() -> errors.DeadlockError | Literal[False] | None:
    from forkful import deadlock  # on first use: few families ever stand still

    return deadlock.examine()


def _examine_circle() -> errors.DeadlockError | None:
    from forkful import deadlock

    return deadlock.examine_circle()


_native.configure(
    pack,
    _owner_died,
    ShutDown,
    _items_lost,
    quiet.quiet if quiet.ENABLED else None,
    _examine if quiet.ENABLED else None,
    _examine_circle if quiet.ENABLED else None,
    tuple(os.path.join(os.path.dirname(f), "") for f in (__file__, process.__file__)),
)
os.register_at_fork(
    before=_native.before_fork,
    after_in_parent=_native.after_fork_parent,
    after_in_child=_native.after_fork_child,
)


stacks.listen()


def _arrive(
    cls: type[_H], family: bytes, ident: tuple[int, int, int], state: dict[str, Any] | None
) -> _H:
    if _native.identity() != family:
        raise ForkfulError(
            f"this {cls.__name__} belongs to another family of processes: it can be used by the "
            "process that made it and by processes started from it through forkful"
        )
    self = cls.__new__(cls)
    self._attach(*ident)
    if state:
        self.__dict__.update(state)
    return self


class Handle:
    """What all shared objects have in common: how they travel.

    A handle may be pickled anywhere: as an argument of a process or a task, or into a queue.
    The object it stands for lives as long as any process holds a handle of it, or a pickled copy
    is under way.
    """

    # Of the native base class that each subclass has beside this one.
    _let_go: Callable[[], None]
    _attach: Callable[..., None]
    _identity: Callable[[], tuple[int, int, int]]
    _embark: Callable[[], tuple[int, int, int]]
    _depart: Callable[[], tuple[int, int, int]]

    def __reduce__(self) -> tuple[Any, ...]:
        # Whoever pickles for a child that is being started, or for a task, keeps this handle until
        # the other side has it. Otherwise the pickled copy itself keeps the object alive.
        popen = get_spawning_popen()
        keep = getattr(popen, "keep", None)
        if keep is not None:
            keep(self)
            ident = self._identity()
        elif wire.note_handle(self):
            ident = self._embark()
        else:
            ident = self._depart()
        state = self.__dict__
        if "__orig_class__" in state:  # of Queue[int](): for who checks types
            # In one step: another thread may change it.
            state = {name: v for name, v in list(state.items()) if name != "__orig_class__"}
        return _arrive, (type(self), _native.identity(), ident, state or None)


class Words(Handle, _native.Words):
    """A shared array of unsigned 64-bit words, each read and changed at once.

    Args:
        n: How many; all 0 at first.
    """

    def __init__(self, n: int) -> None:
        self._create(n)
