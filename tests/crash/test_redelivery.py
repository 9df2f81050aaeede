"""Consumers of a redelivering queue are killed at random instructions; every item is dealt with."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, running, used
from tests.crash.timer import kill_after

FULL = os.environ.get("FORKFUL_CRASH") == "full"
ITEMS = 3000 if FULL else 400
VICTIMS = 400 if FULL else 60
AT_ONCE = 3

pytestmark = [pytest.mark.limit(900 if FULL else 120), pytest.mark.stress, pytest.mark.slow]


def deal_with(q: Any, dealt_with: Any, life: float | None) -> None:
    if life is not None:
        kill_after(life)
    while True:
        hands = [q.get()]
        if life is not None:
            hands.append(q.get())  # two in hand: both come back
        for number, data in hands:
            assert data == bytes([number % 256]) * len(data)
            dealt_with.put(number)
            q.task_done()


def test_each_item_is_dealt_with_whenever_consumers_are_killed(
    rand: random.Random, deaths: Callable[[int], None]
) -> None:
    ctx = forkful.get_context("fork")
    with ctx.Lock():
        memory = used()
    q, dealt_with = ctx.JoinableQueue(redeliver=VICTIMS), ctx.Queue()
    for i in range(ITEMS):
        q.put((i, bytes([i % 256]) * (i % 5 * 6000)))
    for _ in range(VICTIMS // AT_ONCE):
        with ExitStack() as stack:
            for _ in range(AT_ONCE):
                life = rand.random() * 0.01
                child = stack.enter_context(running(ctx, deal_with, q, dealt_with, life))
        del child
    deaths(VICTIMS // AT_ONCE * AT_ONCE)
    survivor = ctx.Process(target=deal_with, args=(q, dealt_with, None))
    survivor.start()
    try:
        assert q.join(timeout=LONG) is True
    finally:
        os.kill(survivor.pid, signal.SIGKILL)
        survivor.join()
        survivor.close()
    times = Counter(dealt_with.get() for _ in range(dealt_with.qsize()))
    assert sorted(times) == list(range(ITEMS))
    assert q.statistics()[:6] == (0, 0, ITEMS, ITEMS, 0, 0)
    del q, dealt_with
    assert used() <= memory + 64 * 1024, "memory of the dead is not given back"
