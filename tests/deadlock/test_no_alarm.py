"""A wait that something will end is left alone, however long it takes and whatever that is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.deadlock.patient import EXPECTED


def start(name: str, method: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.deadlock.patient", name, method],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(program: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = program.communicate()
    return program.returncode, out.strip(), err


@pytest.mark.limit(180)
def test_whoever_waits_rightly_gets_what_it_waits_for(start_method: str) -> None:
    programs = {name: start(name, start_method) for name in EXPECTED}  # most of them sleep
    ends = {name: ended(program) for name, program in programs.items()}
    assert ends == {name: (0, result, "") for name, result in EXPECTED.items()}
