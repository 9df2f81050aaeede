"""Runs programs twice, as they are and by `forkful run`, as people do: as programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_S = 50.0
FORKFUL_RUN = (sys.executable, "-m", "forkful", "run")


@dataclass(frozen=True)
class Ran:
    """What a run of a program left."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Write a program to an empty folder; returns its name there."""

    def write(text: str, name: str = "script.py") -> str:
        (tmp_path / name).write_text(textwrap.dedent(text))
        return name

    return write


def _run(start: tuple[str, ...], folder: Path, words: tuple[str, ...], env: dict[str, str]) -> Ran:
    # Nothing of the machine's own is to hide what the run itself does.
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONUNBUFFERED")}
    done = subprocess.run(
        [*start, *words],
        cwd=folder,
        env=inherited | env,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def plain(tmp_path: Path) -> Run:
    """Run by the interpreter alone."""

    def run(*words: str, **env: str) -> Ran:
        return _run((sys.executable,), tmp_path, words, env)

    return run


@pytest.fixture
def forkful_run(tmp_path: Path) -> Run:
    """Run by `forkful run`."""

    def run(*words: str, **env: str) -> Ran:
        return _run(FORKFUL_RUN, tmp_path, words, env)

    return run
