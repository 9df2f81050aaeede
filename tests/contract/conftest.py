"""Contexts that contract tests run on."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

import forkful
from tests.contract.children import two_workers
from tests.contract.oracle import ORACLE

_STDLIB = ["stdlib"] if ORACLE else []


@pytest.fixture(params=["fork", "spawn", "forkserver", *_STDLIB])
def either(request: pytest.FixtureRequest) -> Any:
    """forkful's context of each start method, and the standard library's as the oracle."""
    if request.param == "stdlib":
        return multiprocessing.get_context("fork")
    return forkful.get_context(request.param)


@pytest.fixture
def fork() -> Any:
    """forkful's fork context, where the start method changes nothing."""
    return forkful.get_context("fork")


@pytest.fixture
def pool(fork: Any) -> Iterator[Any]:
    """A pool of two workers, which has ended when the test has."""
    with two_workers(fork) as pool:
        yield pool


@pytest.fixture(params=["forkful", *_STDLIB])
def module(request: pytest.FixtureRequest) -> Any:
    """Forking contexts of both, for what is done in one process."""
    if request.param == "stdlib":
        return multiprocessing.get_context("fork")
    return forkful.get_context("fork")


@pytest.fixture(scope="session", autouse=True)
def _heap() -> None:
    """The standard library's shared ctypes keep the file they are in: have it before any test."""
    multiprocessing.RawValue("i")
