"""Runs the programs of this folder: none is a member of the tests' family, in which somebody is awake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import ModuleType
from typing import Any

from tests.kit import procs


def start(
    module: ModuleType, name: str, method: str = "fork", **environment: str
) -> subprocess.Popen[str]:
    """A program of a module, by a start method."""
    return subprocess.Popen(
        [sys.executable, "-m", module.__name__, name, method],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def ended(program: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its status and what it has said, when it has ended."""
    out, err = program.communicate()
    return program.returncode, out.strip(), err


def end(program: subprocess.Popen[str]) -> Any:
    """What it tells as JSON; it must have ended well."""
    status, out, err = ended(program)
    assert status == 0, err
    return json.loads(out)


def check_silent(module: ModuleType, name: str, children: int) -> None:
    """Where it is switched off, the program waits on, with so many children, and says nothing."""
    program = start(module, name, FORKFUL_DEADLOCK="off")
    try:
        time.sleep(6)  # sleep: twice as long as it takes to find a deadlock
        assert program.poll() is None
        assert len(procs.descendants(program.pid)) == children
    finally:
        procs.kill(procs.descendants(program.pid))
        program.kill()
        out, err = program.communicate()
    assert (out, err) == ("", "")
