"""Tells how many were killed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

import pytest

_deaths = pytest.StashKey[int]()


@pytest.fixture
def deaths(pytestconfig: pytest.Config) -> Callable[[int], None]:
    """Call it with the number of processes that a test has killed."""

    def add(number: int) -> None:
        pytestconfig.stash[_deaths] = pytestconfig.stash.get(_deaths, 0) + number

    return add


@pytest.fixture(scope="session", autouse=True)
def _heap() -> None:
    """The standard library's shared ctypes keep the file they are in: have it before any test."""
    multiprocessing.RawValue("i")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    number = terminalreporter.config.stash.get(_deaths, 0)
    if number:
        terminalreporter.write_line(f"{number:,} processes were killed at random")
