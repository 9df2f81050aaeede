"""The standard library's ProcessPoolExecutor on forkful's contexts."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from tests.contract.children import LONG


def double(x: int) -> int:
    return 2 * x


def fail(text: str) -> None:
    raise ValueError(text)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def add(q: Any, x: int) -> None:
    q.put(x)


def test_it_maps_and_tells_errors(ctx: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        assert list(executor.map(double, range(50))) == [2 * x for x in range(50)]
        with pytest.raises(ValueError, match="on purpose"):
            executor.submit(fail, "on purpose").result(LONG)


def test_a_killed_worker_breaks_it_and_nothing_hangs(ctx: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(die).result(LONG)


def test_a_queue_may_be_an_argument_of_a_task(ctx: Any) -> None:
    """The standard library's may not."""
    q = ctx.Queue()
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        for future in [executor.submit(add, q, n) for n in range(5)]:
            future.result(LONG)
    assert sorted(q.get(timeout=LONG) for _ in range(5)) == [0, 1, 2, 3, 4]


def test_outside_the_executor_a_simple_queue_is_forkfuls(ctx: Any) -> None:
    assert type(ctx.SimpleQueue()).__module__.startswith("forkful")
