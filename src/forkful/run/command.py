"""How to start an interpreter that runs a program on forkful.

It is the ordinary interpreter with the ordinary command line, so that arguments, `__main__`, exit status,
signals, streams and tracebacks are those of a plain run. What differs is one folder in front of
PYTHONPATH whose `sitecustomize` calls `install` and then takes all traces of itself away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from os.path import dirname, join

__all__ = ["command"]

_HERE = dirname(__file__)
_HOOK = join(_HERE, "hook")
_PACKAGE = dirname(dirname(_HERE))


def command(
    words: list[str], options: list[str], environment: Mapping[str, str] = os.environ
) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment of a run.

    Args:
        words: The program and its arguments, as after `python`: `["script.py", "x"]`,
            `["-m", "module"]`.
        options: Options for the interpreter itself, such as `-O`.
        environment: What the program is to see.
    """
    # For the hook, which takes them away: where forkful is, and what PYTHONPATH was.
    special = {"FORKFUL_RUN": _PACKAGE, "PYTHONPATH": _HOOK}
    old = environment.get("PYTHONPATH")
    if old is not None:
        special["FORKFUL_RUN_PYTHONPATH"] = old
        if old:  # an empty part of it would mean the current folder
            special["PYTHONPATH"] += os.pathsep + old
    return [sys.executable, *options, *words], {**environment, **special}
