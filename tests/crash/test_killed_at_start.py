"""Children that are killed while they start, or right after it, leave the family whole."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.children import LONG, running

FULL = os.environ.get("FORKFUL_CRASH") == "full"
ROUNDS, BATCH = (50 if FULL else 10), 4
PAUSE = {"fork": 0.001, "spawn": 0.05, "forkserver": 0.012}  # seconds at most between two deaths

pytestmark = [pytest.mark.limit(300), pytest.mark.stress, pytest.mark.slow]


def put_some(q: Any, me: int, n: int) -> None:
    for number in range(n):
        q.put((me, number))


def test_children_killed_while_they_start_leave_the_family_whole(
    ctx: Any, start_method: str, rand: random.Random, deaths: Callable[[int], None]
) -> None:
    q = ctx.Queue()
    for n in range(ROUNDS):
        children = [ctx.Process(target=put_some, args=(q, n, 1 << 60)) for _ in range(BATCH)]
        for child in children:
            child.start()
        for child in children:
            time.sleep(rand.random() * PAUSE[start_method])  # sleep: it is about random moments
            os.kill(child.pid, signal.SIGKILL)
            deaths(1)
        for child in children:
            child.join(LONG)
            assert child.exitcode == -signal.SIGKILL
            child.close()
        while not q.empty():
            assert q.get()[0] == n
    with running(ctx, put_some, q, -1, 1):
        assert q.get(timeout=LONG) == (-1, 0)
