"""What the tests with other people's libraries share."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

import forkful


@pytest.fixture
def fork() -> Any:
    """forkful's fork context, where the start method changes nothing."""
    return forkful.get_context("fork")


@pytest.fixture(scope="session", autouse=True)
def _heap() -> None:
    """The standard library's shared ctypes keep the file they are in: have it before any test."""
    multiprocessing.RawValue("i")
