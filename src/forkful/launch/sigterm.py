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
from typing import Any

from forkful import _native, ledger
from forkful.launch.defaults import defaults
from forkful.launch.stop import stop

__all__ = ["GRACE", "begun", "forget_parents", "hold", "let_go", "prepare"]


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
    """Of this process."""

    since = 0.0  # when SIGTERM came; 0: it has not
    held = 0  # starts of children under way in the main thread: no exception must cut one in two
    waiting = False  # the main thread has been asked to set the handler


def begun() -> bool:
    """Return whether this process is ending because of SIGTERM."""
    return bool(_State.since)


def hold() -> None:
    """Before a child is started: see to SIGTERM, and let none interrupt until `let_go`."""
    prepare()
    if _is_main_thread():
        _State.held += 1


def let_go() -> None:
    """The child is started, and known."""
    if _is_main_thread():
        _State.held -= 1
        if _State.since and not _State.held:
            _pass_on()
            _leave()


def prepare() -> None:
    """Set the handler if SIGTERM would end this process at once."""
    if GRACE <= 0 or not _native.sigterm_is_default():
        return
    if _is_main_thread():
        _State.waiting = False
        _set_handler()
    elif not _State.waiting:
        _State.waiting = True
        _native.call_in_main(prepare)


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _set_handler() -> None:
    signal.signal(signal.SIGTERM, _on_sigterm)
    parent = process.parent_process()
    _native.guard_sigterm(int(GRACE * 1e9), (parent.pid or 0) if parent else 0)


def _forget() -> None:
    """In a forked child: it has no children yet."""
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _State.since, _State.held, _State.waiting = 0.0, 0, False


# At once, and not with the handler: a start that is under way has a fork in it, whoever handles SIGTERM.
os.register_at_fork(after_in_child=_forget)


def forget_parents() -> None:
    """In a pool's worker: how the parent handles SIGTERM is not how a worker does."""
    if callable(signal.getsignal(signal.SIGTERM)):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_sigterm(signum: int, frame: object) -> None:
    _State.since = time.monotonic()
    _pass_on()
    if not _State.held:
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
