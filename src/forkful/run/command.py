"""How to start an interpreter that runs a program on forkful.

It is the ordinary interpreter with the ordinary command line, so that arguments, `__main__`, exit status,
signals, streams and tracebacks are those of a plain run. What differs is one folder in front of
PYTHONPATH whose `sitecustomize` calls `install` and then takes all traces of itself away.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import forkful

__all__ = ["VARIABLE", "command"]

VARIABLE = "FORKFUL_RUN"
"""The variable that tells the hook what to restore; gone before the program begins."""

_HOOK = Path(__file__).with_name("hook")


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
    old = environment.get("PYTHONPATH")
    hand_over = {"PYTHONPATH": old, "package": str(Path(forkful.__file__).parents[1])}
    path = str(_HOOK) if not old else f"{_HOOK}{os.pathsep}{old}"
    special = {"PYTHONPATH": path, VARIABLE: json.dumps(hand_over)}
    return [sys.executable, *options, *words], {**environment, **special}
