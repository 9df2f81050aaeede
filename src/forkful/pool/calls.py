"""Calls as messages to the workers: the function's part, then the arguments' (see `messages`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any
from weakref import WeakSet

from forkful import _native, wire
from forkful.family import Handle, pack
from forkful.pool.messages import FUNCTION_SIZE, KEPT, Message

__all__ = ["dump", "dump_to_keep", "function_part"]


def dump(obj: Any, function: bytes) -> tuple[Message, list[Any]]:
    """Return the message of a function's part and arguments; and the handles among these, to be held until
    the answer.

    Large buffers stand beside the bytes and are the caller's memory: to be sent at once.

    Args:
        obj: A list of inputs, or `(args, kwargs)`.
        function: The function's part.
    """
    message = _native.dumps_plain(obj, function)
    if message is not None:
        return message, []
    if type(obj) is list:
        aside: Any = wire.aside(obj)
    else:
        aside = tuple(wire.aside(obj[0])), obj[1]
    with wire.collecting() as held:
        data, buffers = wire.dumps_oob(aside)
    return (function + data, buffers) if buffers else function + data, held


def dump_to_keep(obj: Any, function: bytes) -> tuple[bytes, list[Any]]:
    """The same for arguments that may have to be sent again: nothing stands beside the bytes."""
    message = _native.dumps_plain(obj, function)
    if message is not None:
        return message, []
    with wire.collecting() as held:
        return function + wire.dumps(obj), held


_by_name: dict[tuple[str, str], tuple[bytes, list[Any]]] = {}
"""Messages' parts for functions that travel by name: the same each time."""


def function_part(func: Callable[..., Any]) -> tuple[bytes, list[Any]]:
    """Return the function's part of a message; and the handles in it, to be held until all is answered.

    What is large in it (an argument of a `functools.partial`, what a closure has) is common to all calls, so it is
    written into shared memory once, and not for each. A partial is made from there for each message, so its
    arguments are that message's own; a function that travels by value is made once in a worker, as any is.
    """
    if type(func) is FunctionType or type(func) is BuiltinFunctionType:
        module = sys.modules.get(func.__module__)
        name = func.__qualname__
        if module is not None and module.__dict__.get(name) is func:
            part = _by_name.get((func.__module__, name))
            if part is None:
                part = _by_name[func.__module__, name] = _framed(wire.dumps(func)), []
            return part
    data, buffers, held = pack(func)
    if not buffers and len(data) < wire.LARGE:
        return _framed(data), held
    kept = Kept()
    kept._create(data, buffers, held)
    _kept.add(kept)
    with wire.collecting() as held:
        data = wire.dumps(kept)
    return _framed(data, KEPT), held


def _framed(data: bytes, kept: int = 0) -> bytes:
    return FUNCTION_SIZE.pack(len(data) | kept) + data


class Kept(Handle, _native.Packed):
    """A function's part that is in shared memory: the worker loads it from there."""


_kept: WeakSet[Kept] = WeakSet()


def _forget_kept() -> None:
    """In a forked child: a pool's calls are its parent's, and what they keep, too."""
    for kept in _kept:
        kept._let_go()
    _kept.clear()


os.register_at_fork(after_in_child=_forget_kept)
