"""Consumers of a redelivering queue are killed at random instructions; every item is dealt with."""

from __future__ import annotations

import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, used
from tests.crash.timer import die_in_batches, kill_after

FULL = os.environ.get("FORKFUL_CRASH") == "full"
VICTIMS = 399 if FULL else 60
INSIDE = 2000  # items, as each batch begins: more than one deals with
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


def storm(ctx: Any, q: Any, dealt_with: Any, rand: random.Random) -> tuple[int, int]:
    """Kill consumers; gives how many items there were, and how many of them were in hand at a death."""
    numbers, in_hand = itertools.count(), 0

    def calls() -> Iterator[tuple[Any, ...]]:
        nonlocal in_hand
        for life in range(VICTIMS):
            if life % AT_ONCE == 0:
                in_hand += q.statistics().unfinished - q.qsize()
                for i in itertools.islice(numbers, INSIDE - q.qsize()):
                    q.put((i, bytes([i % 256]) * (i % 5 * 6000)))
            yield q, dealt_with, rand.random() * 0.01

    die_in_batches(ctx, AT_ONCE, deal_with, calls())
    return next(numbers), in_hand


def test_each_item_is_dealt_with_whenever_consumers_are_killed(
    rand: random.Random, deaths: Callable[[int], None]
) -> None:
    ctx = forkful.get_context("fork")
    with ctx.Lock():
        memory = used()
    q, dealt_with = ctx.JoinableQueue(redeliver=VICTIMS), ctx.Queue()
    items, in_hand = storm(ctx, q, dealt_with, rand)
    deaths(VICTIMS)
    assert dealt_with.qsize() > VICTIMS, "the storm has hardly begun"
    assert in_hand > 0, "none has died between get and task_done"
    survivor = ctx.Process(target=deal_with, args=(q, dealt_with, None))
    survivor.start()
    try:
        assert q.join(timeout=LONG) is True
    finally:
        os.kill(survivor.pid, signal.SIGKILL)
        survivor.join()
        survivor.close()
    times = Counter(dealt_with.get() for _ in range(dealt_with.qsize()))
    assert sorted(times) == list(range(items))
    assert q.statistics()[:6] == (0, 0, items, items, 0, 0)
    del q, dealt_with
    assert used() <= memory + 64 * 1024, "memory of the dead is not given back"
