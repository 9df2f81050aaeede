"""What goes round the start of a child, whatever its start method."""

from __future__ import annotations

from multiprocessing import process

from forkful import _native, oom
from forkful.launch import bootstrap, collect, sigterm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["begin"]

_stdlib: Any = process


def begin(child: Any) -> None:
    """Start a process object, which knows its start method, and let this process know of the child.

    As little as possible is done here: what this process writes to before the next start was shared with
    the child, and is copied page by page.
    """
    if _stdlib._children:
        collect.collect()
    oom.watch()
    sigterm.prepare()
    bootstrap.prepare()
    number = None
    try:
        _native.hold_sigterm()
        number = child._last_words = _native.reserve_words()
        popen = child._Popen(child)
        popen.last_words = number
        child._popen = popen
        child._sentinel = None  # which is made when asked for; the stdlib's `close` deletes it
        # What the arguments refer to may end before this object does.
        del child._target, child._args, child._kwargs
        _stdlib._children.add(child)
    except BaseException:
        if number is not None and child._popen is None:
            _native.take_words(number, False)
        raise
    finally:
        _native.let_go_sigterm()
        try:
            _native.let_signals_in()  # what a handler raises, it raises here
        finally:
            sigterm.catch_up()
