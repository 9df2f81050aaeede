"""SIGTERM to a process that has children: the whole tree ends, and in order.

A process that starts a child, and whose SIGTERM nobody handles or ignores, gets the handler here. On
SIGTERM it passes the signal on to its children, which do the same, and leaves what it does by
`SystemExit`: `finally` blocks, exit functions and finalizers run. Children that are still there near the end
of the grace are killed with all that descends from them. The exit status is that of death by SIGTERM.
Whatever hinders this (native code, a `finally` that waits, a swallowed `SystemExit`), after the
grace the process ends at once: `native/bind/ending.c`. `Process.terminate()` is told from all this by who sends it, and
keeps its meaning. More in `docs/design/ending.md`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from multiprocessing import process, util

from forkful import _native, ledger
from forkful.launch.defaults import defaults
from forkful.launch.stop import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["GRACE", "begun", "catch_up", "forget_parents", "prepare"]


def _grace() -> float:
    try:
        return float(os.environ.get("FORKFUL_GRACE", "5"))
    except ValueError:
        return 5.0


GRACE = _grace()
"""Seconds from SIGTERM to the end; 0: at once, out of order, as plain Python."""

_KILL_AFTER = 0.8  # of the grace: then children that still run are killed
_LAST = -(10**9)  # of a finalizer: when nothing else is left to be done


class _State:
    """Of this process; what a fork has left here is the parent's."""

    pid = 0  # of the process that SIGTERM has come to
    since = 0.0  # when it came
    asked = 0  # the process whose main thread has been asked to set the handler


def begun() -> bool:
    """Return whether this process is ending because of SIGTERM."""
    return _State.pid != 0 and _State.pid == os.getpid()


def prepare() -> None:
    """Before a child is started: set the handler if SIGTERM would end this process at once."""
    if not _native.sigterm_is_default() or GRACE <= 0:
        return
    if _is_main_thread():
        _State.asked = 0
        _set_handler()
    elif _State.asked != os.getpid():
        _State.asked = os.getpid()
        _native.call_in_main(prepare)


def catch_up() -> None:
    """After a start of a child, in which no exception must come between: do what SIGTERM has asked for."""
    if begun() and _is_main_thread() and not _native.sigterm_held():
        _pass_on()
        _leave()


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _set_handler() -> None:
    signal.signal(signal.SIGTERM, _on_sigterm)
    parent = process.parent_process()
    _native.guard_sigterm(int(GRACE * 1e9), (parent.pid or 0) if parent else 0)


def forget_parents() -> None:
    """In a pool's worker: how the parent handles SIGTERM is not how a worker does."""
    if callable(signal.getsignal(signal.SIGTERM)):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_sigterm(signum: int, frame: object) -> None:
    _State.pid, _State.since = os.getpid(), time.monotonic()
    _pass_on()
    if not _native.sigterm_held():
        _leave()


_on_sigterm.does_nothing = True  # for those that wait: see quiet.py


def _children() -> list[Any]:
    everybody: set[Any] = process._children
    return [child for child in tuple(everybody) if child._popen is not None]


def _pass_on() -> None:
    """Send SIGTERM to the children, save to servers: what is done at the end may need them."""
    pidfds = []
    for child in _children():
        if child._popen.returncode is None:
            try:
                pidfds.append(os.pidfd_open(child._popen.pid))
            except OSError:
                pass  # gone, or too many descriptors
            if not getattr(child, "ends_last", False):
                _native.pass_on_sigterm(child._popen.pid)
    _native.end_by_sigterm(pidfds)


def _leave() -> None:
    """End what the main thread does, wherever it is."""
    method = getattr(process.current_process(), "_start_method", None)
    forked = method in ("fork", "forkserver")  # such a process ends without the interpreter's end
    exiting = util._exiting
    if forked:
        util.Finalize(None, die, exitpriority=_LAST)
    if exiting:
        end_children()
        if forked and not threading.main_thread().is_alive():
            die()
        return  # nothing is left that an exception would end
    for depart in defaults.departures:
        with contextlib.suppress(Exception):
            depart()
    util.Finalize(None, end_children, exitpriority=0)
    if threading.main_thread().is_alive():
        raise SystemExit(128 + signal.SIGTERM)
    atexit._run_exitfuncs()  # the program is over, but waits for a thread
    die()


def end_children() -> None:
    """Wait for the children, and kill those that are there when the grace is nearly over."""
    stop(
        _children(),
        lambda child: _native.pass_on_sigterm(child._popen.pid),
        _kill_with_descendants,
        _State.since + GRACE * _KILL_AFTER,
    )


def _kill_with_descendants(child: Any) -> None:
    from forkful.launch import descent  # on first use: few programs do

    below = descent.descendants(child.pid)
    child._popen.kill()
    descent.send(below, signal.SIGKILL)


def die() -> None:
    """End this process as SIGTERM does, now that all else is done."""
    ledger.ended()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # none, closed, or nobody reads it
    _native.die_by_sigterm()
