"""What the tests with other people's libraries share."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG

FORKFUL_RUN = ("-m", "forkful", "run")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fork() -> Any:
    """forkful's fork context, where the start method changes nothing."""
    return forkful.get_context("fork")


@pytest.fixture
def run_program(tmp_path: Path) -> Run:
    """``run_program(source, *arguments)`` -> the finished process, which has ended with `status`.

    For libraries that leave something of their own running until the program ends; and, with
    ``start=FORKFUL_RUN``, for programs that import `multiprocessing`.
    """

    def run(
        source: str, *arguments: str, status: int = 0, start: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program.py").write_text(textwrap.dedent(source))
        ended = subprocess.run(
            [sys.executable, *start, "program.py", *arguments],
            cwd=tmp_path,
            env={**os.environ, "JOBLIB_TEMP_FOLDER": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONG,
        )
        assert ended.returncode == status, ended.stderr
        return ended

    return run


@pytest.fixture(scope="session", autouse=True)
def _heap() -> None:
    """The standard library's shared ctypes keep the file they are in: have it before any test."""
    multiprocessing.RawValue("i")
