"""pytest plugin: no phase of a test (set-up, call, tear-down) outlives its limit.

The limit is 60 s, or ``@pytest.mark.limit(seconds)``. On expiry the test's processes are examined
(threads, stacks, what forkful's wait board says) and killed, and the test fails with that report;
the run goes on. A run that cannot even do that is ended from outside (``tests/kit/watchdog.py``).
"""

from __future__ import annotations

import os
import pprint
import signal
import sys
import time
from collections.abc import Generator
from multiprocessing import resource_tracker
from typing import Any

import pytest

from tests.kit import autopsy, procs, watchdog


class Limit:
    """Tells the watchdog when a phase begins and ends, and fails the test when it calls."""

    def __init__(self, seconds: float, grace: float) -> None:
        self.seconds = seconds
        self.grace = grace
        self.owner = os.getpid()
        self.stacks = autopsy.open_stacks()
        self.watchdog = watchdog.start(self.stacks, stderr=2)  # not captured: this is configuration
        self.running = ""  # the phase under way
        self.verdict = ""
        self.begun = 0  # clock ticks since boot, as in Proc.started
        signal.signal(watchdog.EXPIRED_SIGNAL, self.expire)

    def phase(self, item: pytest.Item, name: str) -> Generator[None, Any, Any]:
        """Wrap one phase of a test."""
        marker = item.get_closest_marker("limit")
        seconds = marker.args[0] if marker else self.seconds
        self.verdict = ""
        self.running = f"{item.nodeid} ({name}) had {seconds:g} s"
        if name == "set-up":
            self.begun = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
        self.tell(f"arm {time.monotonic() + seconds} {self.grace} {self.running}")
        try:
            result = yield
        finally:
            self.tell("disarm")
            self.running = ""
        if self.verdict:  # something under test has swallowed the failure
            pytest.fail(self.verdict, pytrace=False)
        return result

    def tell(self, command: str) -> None:
        self.watchdog.write(command.encode() + b"\n")

    def expire(self, signum: int, frame: object) -> None:
        """The watchdog's signal: examine, kill, fail."""
        if os.getpid() != self.owner or not self.running:
            return
        self.verdict = (
            f"Over its limit: {self.running}.\n"
            f"{autopsy.report(self.owner, self.stacks)}\n{who_waits_for_what()}"
        )
        autopsy.end([proc for proc in procs.descendants(self.owner) if self.is_of_test(proc)])
        raise pytest.fail.Exception(self.verdict, pytrace=False)

    def is_of_test(self, proc: procs.Proc) -> bool:
        """Whether a test has started it; the resource tracker complains if it is ended."""
        return proc.started >= self.begun and proc.pid != resource_tracker._resource_tracker._pid


def who_waits_for_what() -> str:
    """What forkful's wait board says, where this process has one."""
    snapshot = getattr(sys.modules.get("forkful._native"), "board_snapshot", None)
    if snapshot is None:
        return "== no wait board in this process"
    try:
        return f"== wait board\n{pprint.pformat(snapshot())}"
    except Exception as exc:  # a broken board must not hide the rest
        return f"== the wait board cannot be read: {exc!r}"


_limit = pytest.StashKey[Limit]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("limit", "seconds that a phase of a test may take", default="60")
    parser.addini("limit_grace", "seconds for a test to fail by itself after that", default="15")


def pytest_configure(config: pytest.Config) -> None:
    seconds, grace = float(config.getini("limit")), float(config.getini("limit_grace"))
    config.stash[_limit] = Limit(seconds, grace)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from item.config.stash[_limit].phase(item, "set-up"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from item.config.stash[_limit].phase(item, "call"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from item.config.stash[_limit].phase(item, "tear-down"))
