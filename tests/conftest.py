"""What every test gets: limits, leak checks and shards (the kit), start methods, and a seed to replay."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

pytest_plugins = ["tests.kit.limit", "tests.kit.leaks", "tests.kit.shard"]


def pytest_configure(config: pytest.Config) -> None:
    # Tests crash processes on purpose: no core files.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # Who runs us in the background (a shell, nohup) may ignore signals, and so would our programs. Tests send them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(params=multiprocessing.get_all_start_methods())
def start_method(request: pytest.FixtureRequest) -> str:
    """Each start method: fork, spawn, forkserver."""
    return str(request.param)


@pytest.fixture
def ctx(start_method: str) -> BaseContext:
    """forkful's context of each start method."""
    import forkful  # here, so that tests of the kit and of single modules run without it

    return forkful.get_context(start_method)


@pytest.fixture
def rand(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers; a failing test tells the seed, and FORKFUL_SEED=n replays it."""
    seed = int(os.environ.get("FORKFUL_SEED") or random.SystemRandom().getrandbits(32))
    request.node.add_report_section("setup", "seed", f"replay with FORKFUL_SEED={seed}")
    return random.Random(seed)
