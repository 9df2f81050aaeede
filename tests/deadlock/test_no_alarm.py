"""A wait that something will end is left alone, however long it takes and whatever that is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.deadlock import patient, patient_locks


def start(module: str, name: str, method: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, name, method],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(program: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = program.communicate()
    return program.returncode, out.strip(), err


def check(module: str, expected: dict[str, str], method: str) -> None:
    programs = {name: start(module, name, method) for name in expected}  # most of them sleep
    ends = {name: ended(program) for name, program in programs.items()}
    assert ends == {name: (0, result, "") for name, result in expected.items()}


@pytest.mark.limit(180)
def test_whoever_waits_rightly_gets_what_it_waits_for(start_method: str) -> None:
    check("tests.deadlock.patient", patient.EXPECTED, start_method)


@pytest.mark.limit(180)
def test_what_looks_like_a_circle_of_locks_is_left_alone(start_method: str) -> None:
    check("tests.deadlock.patient_locks", patient_locks.EXPECTED, start_method)
