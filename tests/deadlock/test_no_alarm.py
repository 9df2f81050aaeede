"""A wait that something will end is left alone, however long it takes and whatever that is."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.deadlock import patient, patient_locks
from tests.deadlock.programs import ended, start


def check(module: ModuleType, expected: dict[str, str], method: str) -> None:
    programs = {name: start(module, name, method) for name in expected}  # most of them sleep
    ends = {name: ended(program) for name, program in programs.items()}
    assert ends == {name: (0, result, "") for name, result in expected.items()}


@pytest.mark.limit(180)
def test_whoever_waits_rightly_gets_what_it_waits_for(start_method: str) -> None:
    check(patient, patient.EXPECTED, start_method)


@pytest.mark.limit(180)
def test_what_looks_like_a_circle_of_locks_is_left_alone(start_method: str) -> None:
    check(patient_locks, patient_locks.EXPECTED, start_method)
