"""pytest plugin: a test that passes leaves the system as it was.

Children (running, zombies, orphans), descriptors, threads and files in /dev/shm are compared before
and after each test, fixtures included. What is just being closed has a bounded time for it.
``EXCUSES`` in ``tests/kit/holdings.py`` lists the exceptions.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.kit import procs
from tests.kit.holdings import Holdings, mark_run, used_by_strangers

_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("leak_grace", "seconds for what is just being closed", default="5")


def pytest_configure(config: pytest.Config) -> None:
    mark_run()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    before = Holdings.now()
    yield
    # The traceback of a failed test holds its objects, and it has enough to say already.
    failed = request.node.stash.get(_failed, False)
    left = _wait_for_nothing(before, 0 if failed else float(request.config.getini("leak_grace")))
    # So that the next test starts from a clean state.
    keys = (key[0] for key in left if isinstance(key, tuple))
    procs.kill([proc for proc in map(procs.look, keys) if proc])
    if left and not failed:
        pytest.fail("The test left behind:\n  " + "\n  ".join(left.values()), pytrace=False)


def _wait_for_nothing(before: Holdings, grace: float) -> dict[object, str]:
    until = time.monotonic() + grace
    collected = False
    while left := Holdings.now().beyond(before):
        if not collected:
            gc.collect()
            collected = True
        elif time.monotonic() >= until:
            strange = used_by_strangers(left)
            return {key: words for key, words in left.items() if key not in strange}
        else:
            time.sleep(0.01)  # sleep: nothing tells that somebody else has closed a descriptor
    return {}
