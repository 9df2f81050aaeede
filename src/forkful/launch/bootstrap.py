"""What a child does round its `run`: the work of the stdlib's `BaseProcess._bootstrap`.

Written anew, as a start is paid for in pages: each object of the parent's that a newborn touches is on a page
that must be copied, and the stdlib's touches many in order to find that there is nothing to do. The order of
steps is the stdlib's.

So what a child takes from another module is a name of this one, or a member of that one's `vars()`. An attribute of a
module is looked up in the class of modules first; that it is not there the interpreter notes, with its name, in a table
of its own: two pages more each.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import sys
import threading
from functools import partial
from io import BytesIO, TextIOWrapper
from itertools import count
from multiprocessing import context, process, util
from signal import set_wakeup_fd

from forkful import _native, ledger
from forkful._native import open_null_at, set_name, settle
from forkful.launch import imports, parent
from forkful.launch.defaults import defaults
from forkful.launch.lastwords import listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "AT_EXIT",
    "begin",
    "call_exit_functions",
    "clear_exit_functions",
    "forget_parent",
    "live",
    "prepare",
    "read_nothing",
    "restored",
]

_process: Any = process
_util: Any = util
_threading: Any = threading
_ParentProcess: Any = _process._ParentProcess
_of_process: dict[str, Any] = vars(process)
_of_context: dict[str, Any] = vars(context)
_of_util: dict[str, Any] = vars(util)
_of_sys: dict[str, Any] = vars(sys)
_KEPT = ledger.KEPT

AT_EXIT = "_exit_function" not in process.BaseProcess._bootstrap.__code__.co_names
"""Whether a child's end is made by `atexit`, the program's own functions included (Python 3.13), or by its
bootstrap."""

# Each forked child has neither its parent's children nor its other threads. The standard library leaves the children
# to one by plain `os.fork()`, which as it exits terminates those that are daemonic: its parent's workers.
_native.disown(vars(process), imports.locks, imports.forget_others)

# A stdin that is at its end, made by the parent, whose descriptor the child opens; and that which it is to replace.
_no_input: Any = None
_no_input_fd = -1
_input: Any = None
_rehearsed = False
_LEAST_FD = 240  # of it: see lastwords.c

_MISSING = object()
_BECOMES = "_process_counter", "_current_process", "_parent_process"

_of_base = vars(process.BaseProcess)
_bootstrap: Any = process.BaseProcess._bootstrap
_OF_STDLIB = _bootstrap if _bootstrap.__module__ == "multiprocessing.process" else None
"""The stdlib's `BaseProcess._bootstrap`. Another one is what a tool has put in its place."""


def clear_exit_functions() -> None:
    """In a forked child, first of all, if it is `AT_EXIT`: its end is its own."""
    atexit._clear()
    atexit.register(util._exit_function)


def call_exit_functions() -> None:
    """Last of all."""
    if AT_EXIT:
        atexit._run_exitfuncs()


def prepare() -> None:
    """Make what children will need; before a fork."""
    global _no_input, _no_input_fd, _input, _rehearsed
    if not _rehearsed:
        _rehearsed = True
        _rehearse()
    stdin = sys.stdin
    if stdin is _input or stdin is _no_input:
        return
    _input = None
    if stdin is sys.__stdin__ and type(stdin) is TextIOWrapper:
        try:
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fd = fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, _LEAST_FD)
            _no_input, _no_input_fd, _input = open(fd, encoding="utf-8", closefd=False), fd, stdin  # noqa: SIM115
            os.close(fd)
        except OSError:
            pass  # no descriptor is left
        finally:
            os.close(null)


def _rehearse() -> None:
    """Do what a child does and its parent does not, where that leaves no trace: the names are in the table then."""
    _print_by_lines(TextIOWrapper(BytesIO()))
    _ParentProcess("", 0, None)


def read_nothing() -> None:
    """In a process whose children shall be spared what `prepare` prepares: have no input either."""
    global _no_input
    _util._close_stdin()
    _no_input = sys.stdin


def live(child: Any, parent_sentinel: int | None) -> int:
    """Be that process: run it and all that belongs to its end; return the exit code.

    Args:
        child: The process object.
        parent_sentinel: This process's end of the tie between it and its parent.
    """
    settle()
    if _of_base["_bootstrap"] is not _OF_STDLIB:
        begin(child, parent_sentinel, False)
        child.run = partial(child._run_and_report, child.run)
        code: int = process.BaseProcess._bootstrap(child, parent_sentinel)
        return code
    code = 1
    try:
        before = begin(child, parent_sentinel, True)
        try:
            child._after_fork()
        finally:
            del before  # not earlier: what registered itself for a fork may belong to it
        if _of_util["_logger"] is not None:
            util.info("child process calling self.run()")
        try:
            child._run_and_report(child.run)
            code = 0
        finally:
            if not AT_EXIT:
                if (
                    _of_util["_finalizer_registry"]
                    or _of_process["_children"]
                    or _of_util["_logger"] is not None
                ):
                    _util._exit_function()
                else:
                    _of_util["_exiting"] = True
    except SystemExit as e:
        if e.code is None:
            code = 0
        elif isinstance(e.code, int):
            code = e.code
        else:
            sys.stderr.write(f"{e.code}\n")
            code = 1
    except BaseException:
        code = 1
        import traceback  # on first use: few processes fail

        sys.stderr.write(f"Process {child.name}:\n")
        traceback.print_exc()
    finally:
        _threading._shutdown()
        if _of_util["_logger"] is not None:
            util.info("process exiting with exitcode %d" % code)  # noqa: UP031 (as the stdlib has it)
        _util._flush_std_streams()
    if _KEPT:
        ledger.ended()
    return code


def begin(child: Any, parent_sentinel: int | None, become: bool) -> Any:
    """Do what is the same for each child before it runs: a fork server rehearses that.

    Args:
        child: As in `live`.
        parent_sentinel: As in `live`.
        become: Whether to put it in the place of the process object that was the parent's.

    Returns:
        The one that was there.
    """
    set_name(child._name)
    set_wakeup_fd(-1)  # the parent's event loop's: it would take our signals for its own
    if _KEPT:
        ledger.began(child.name, child._parent_pid, child._start_method)
    _print_by_lines(_of_sys["stdout"])
    _print_by_lines(_of_sys["stderr"])
    listen(child._last_words)
    if parent_sentinel is not None and child._config.get("daemon"):
        parent.die_with_parent(parent_sentinel, child._parent_pid)
    if not become:
        return None
    method = child._start_method
    if method is not None:
        defaults.start_method = method
        _of_context["_default_context"]._actual_context = _of_context["_concrete_contexts"][method]
    _of_process["_process_counter"] = count(1)
    _let_nobody_read()
    before = _of_process["_current_process"]
    _of_process["_current_process"] = child
    _of_process["_parent_process"] = _ParentProcess(
        child._parent_name, child._parent_pid, parent_sentinel
    )
    if _threading._HAVE_THREAD_NATIVE_ID:
        _threading.main_thread()._set_native_id()
    return before


def restored() -> Callable[[], None]:
    """Return what makes this process as it is now again, after `begin`."""
    as_before = [
        (owner, name, getattr(owner, name, _MISSING))
        for owner, names in (
            (defaults, ("start_method",)),
            (
                _of_context["_default_context"],
                ("_actual_context",),
            ),  # which a context of forkful's lacks
            (_process, _BECOMES),
        )
        for name in names
    ]

    def restore() -> None:
        for owner, name, value in as_before:
            if value is not _MISSING:
                setattr(owner, name, value)
            elif hasattr(owner, name):
                delattr(owner, name)

    return restore


def forget_parent() -> None:
    """What a child calls as `_after_fork`: drop the parent's finalizers, call what was registered for this."""
    if _of_util["_finalizer_registry"]:
        _util._finalizer_registry.clear()
    if _of_util["_afterfork_registry"].data:
        _util._run_after_forkers()


def _let_nobody_read() -> None:
    """Input is the parent's."""
    global _input
    stdin = _of_sys["stdin"]
    if stdin is None or stdin is _no_input:
        return
    if stdin is _input and open_null_at(_no_input_fd):
        _of_sys["stdin"] = _no_input
        _input = None
    else:
        _util._close_stdin()


def _print_by_lines(stream: Any) -> None:
    """Let each printed line leave this process at once, as at a terminal.

    A child may be terminated or killed at any moment. A SIGTERM handler that flushes would not run
    in a child that is busy in native code, and so keep it from ending; lines need no handler.
    """
    if isinstance(stream, TextIOWrapper) and not stream.line_buffering:
        try:
            stream.reconfigure(line_buffering=True)
        except (OSError, ValueError):
            pass  # closed, or nobody reads it
