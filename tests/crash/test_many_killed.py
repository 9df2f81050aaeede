"""Those who put and get many objects at once are killed at random instructions."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, running, used
from tests.crash.timer import die_in_batches, kill_after

FULL = os.environ.get("FORKFUL_CRASH") == "full"
VICTIMS = 400 if FULL else 60
AT_ONCE = 3
BATCH = 7
MOST = 9
# Bytes that may stay: whoever is killed in the instant in which it takes or drops a block costs it (heap.h).
LOST = 4 * 32768

pytestmark = [pytest.mark.limit(600 if FULL else 120), pytest.mark.stress, pytest.mark.slow]


def payload(number: int) -> bytes:
    """Some have a block of their own."""
    return bytes([number % 256]) * (number % 5 * 6000)


def put_until_killed(q: Any, life: int, seconds: float) -> None:
    kill_after(seconds)
    for first in itertools.count(step=BATCH):
        q.put_many([(life, n, payload(n)) for n in range(first, first + BATCH)])


def pass_on(q: Any, taken: Any, seconds: float | None) -> None:
    """Until the queue is shut down, or this process is killed."""
    if seconds is not None:
        kill_after(seconds)
    while True:
        try:
            items = q.get_many(MOST)
        except forkful.ShutDown:
            return
        assert 0 < len(items) <= MOST
        assert all(data == payload(n) for _, n, data in items)
        taken.put_many([(life, n) for life, n, _ in items])


def test_of_killed_producers_each_object_that_was_put_arrives_once_and_in_order(
    rand: random.Random, deaths: Callable[[int], None]
) -> None:
    ctx = forkful.get_context("fork")
    with ctx.Lock():
        memory = used()
    q, taken = ctx.Queue(20), ctx.Queue()
    with running(ctx, pass_on, q, taken, None) as survivor:
        calls = [(q, life, rand.random() * 0.01) for life in range(VICTIMS)]
        die_in_batches(ctx, AT_ONCE, put_until_killed, calls)
        deaths(VICTIMS)
        q.put_many([(VICTIMS, n, payload(n)) for n in range(100)], timeout=LONG)
        q.shutdown()
        survivor.join(LONG)
        assert survivor.exitcode == 0
    del survivor
    of_each: dict[int, list[int]] = {}
    for life, number in taken.get_many():
        of_each.setdefault(life, []).append(number)
    assert of_each.pop(VICTIMS) == [*range(100)]
    assert sum(map(len, of_each.values())) > VICTIMS, "the storm has hardly begun"
    for numbers in of_each.values():
        assert numbers == [*range(len(numbers))]
    del q, taken, calls
    assert used() <= memory + LOST, "memory of the dead is not given back"


def feeding(
    q: Any, taken: Any, numbers: Iterator[int], rand: random.Random
) -> Iterator[tuple[Any, ...]]:
    """Arguments for each victim; each batch of them finds enough inside."""
    for life in range(VICTIMS):
        if life % AT_ONCE == 0:
            more = itertools.islice(numbers, 2000 - q.qsize())
            q.put_many([(0, n, payload(n)) for n in more])
        yield q, taken, rand.random() * 0.01


def test_with_a_killed_consumer_goes_what_it_had_in_hand_and_no_more(
    rand: random.Random, deaths: Callable[[int], None]
) -> None:
    ctx = forkful.get_context("fork")
    with ctx.Lock():
        memory = used()
    q, taken = ctx.Queue(), ctx.Queue()
    numbers = itertools.count()
    die_in_batches(ctx, AT_ONCE, pass_on, feeding(q, taken, numbers, rand))
    deaths(VICTIMS)
    by_the_dead = taken.qsize()
    assert by_the_dead > VICTIMS, "the storm has hardly begun"
    q.shutdown()
    with running(ctx, pass_on, q, taken, None) as survivor:
        survivor.join(LONG)
        assert survivor.exitcode == 0
    del survivor
    arrived = [n for _, n in taken.get_many()]
    put = next(numbers)
    assert len(set(arrived)) == len(arrived), "one was taken twice"
    assert set(arrived) <= set(range(put))
    assert put - len(arrived) <= VICTIMS * MOST
    assert arrived[by_the_dead:] == sorted(arrived[by_the_dead:])
    del q, taken
    assert used() <= memory + LOST, "memory of the dead is not given back"
