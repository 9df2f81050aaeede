"""What `forkful run --report` tells of: how each process of a program began and ended.

Whoever asks for it names a file in the environment (`FORKFUL_LEDGER`). Processes append a line of JSON
each time there is something to tell: the child that it began, what failed in it, and what it had used
when it ended; the parent how its child ended, which a killed child cannot tell. Without the variable
nothing is written and nothing is slower.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from typing import Any

__all__ = ["KEPT", "VARIABLE", "began", "ended", "failed", "keep_of_main", "reaped"]

VARIABLE = "FORKFUL_LEDGER"

_path = os.environ.get(VARIABLE)

KEPT = _path is not None
"""Whether somebody asks: where many processes start, who has something to tell looks here first."""

_MOST_TEXT = 200
"""So many characters of an error are kept."""


def _write(event: str, pid: int, **facts: Any) -> None:
    import json  # here: without a ledger nobody needs it

    assert _path is not None
    line = json.dumps({"event": event, "pid": pid, "time": time.time(), **facts}) + "\n"
    try:
        fd = os.open(_path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return  # who asked has gone
    try:
        os.write(fd, line.encode())  # in one piece: many processes append to this file
    finally:
        os.close(fd)


def began(name: str, parent: int | None, method: str | None) -> None:
    """This process has begun, under that name, started by `parent` through a start method."""
    if _path is not None:
        _write("began", os.getpid(), name=name, parent=parent, method=method)


def failed(error: BaseException) -> None:
    """An exception has ended this process or one of its tasks."""
    if _path is not None:
        text = f"{type(error).__qualname__}: {error}" if str(error) else type(error).__qualname__
        _write("failed", os.getpid(), text=text[:_MOST_TEXT])


def ended() -> None:
    """This process is about to end by itself."""
    if _path is not None:
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _write("ended", os.getpid(), cpu=used.ru_utime + used.ru_stime, peak=_peak())


def reaped(pid: int, exitcode: int, used: resource.struct_rusage | None = None) -> None:
    """A child of this process has ended so, and has used so much where that is known."""
    if _path is None:
        return
    facts: dict[str, Any] = {"exitcode": exitcode}
    if used is not None:
        facts |= {"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss << 10}
    _write("reaped", pid, **facts)


def keep_of_main() -> None:
    """This is the program's first process: keep account of it from here to its end."""
    if _path is None:
        return
    began("MainProcess", None, None)
    main = os.getpid()

    def end() -> None:
        if os.getpid() != main:
            return
        error = getattr(sys, "last_value", None)
        if error is not None:
            failed(error)
        ended()

    atexit.register(end)


def _peak() -> int | None:
    """Most bytes of memory that this process held. Unlike ru_maxrss it counts nothing that was
    there before an exec.
    """
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return None
