"""Those who make, pass on and read what is written once are killed at random instructions."""

from __future__ import annotations

import functools
import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import forkful
from forkful.shared import Broadcast
from tests.contract.children import LONG, running, until, used
from tests.crash.timer import die_in_batches, kill_after
from tests.programs import deeds

FULL = os.environ.get("FORKFUL_CRASH") == "full"
VICTIMS = 300 if FULL else 60
TASKS = 3000 if FULL else 400
SIZES = (10, 10_000, 100_000)  # in the pickle; copied; seen where it lies, or through a view

pytestmark = [pytest.mark.limit(600 if FULL else 120), pytest.mark.stress, pytest.mark.slow]


def make_and_pass_on(q: Any, kept: Broadcast[Any], life: int, seconds: float) -> None:
    """Make one after another, read them and another one's, until killed."""
    kill_after(seconds)
    mine: list[Broadcast[Any]] = []
    for number in itertools.count():
        table = Broadcast((life, np.full(SIZES[number % 3], life), q))
        assert table.value[0] == life
        assert kept.value[-1] == SIZES[-1] - 1
        mine = [*mine[-3:], table]
        q.put((life, table))


def read_all(q: Any, answers: Any) -> None:
    read = 0
    for life, table in q:
        number, array, queue = table.value
        assert number == life
        assert array.min() == array.max() == life
        assert not array.flags.writeable or len(array) == SIZES[0]
        assert queue.qsize() >= 0
        read += 1
    answers.put(read)


def test_survivors_read_whole_what_killed_makers_have_passed_on(
    rand: random.Random, deaths: Callable[[int], None]
) -> None:
    ctx = forkful.get_context("fork")
    with ctx.Lock():
        memory = used()
    q, answers, kept = ctx.Queue(10), ctx.Queue(), Broadcast(np.arange(SIZES[-1]))
    with running(ctx, read_all, q, answers) as survivor:
        calls = [(q, kept, life, rand.random() * 0.02) for life in range(VICTIMS)]
        die_in_batches(ctx, 3, make_and_pass_on, calls)
        deaths(VICTIMS)
        q.shutdown()
        survivor.join(LONG)
        assert survivor.exitcode == 0
    assert answers.get() > VICTIMS, "the storm has hardly begun"
    assert kept.value[7] == 7
    del q, answers, kept, calls, survivor
    # A few may have been killed in the instant in which they took or dropped a block (heap.h).
    until(lambda: used() <= memory + 4 * 2**20)


def use(array: Any, table: Broadcast[Any], task: tuple[int, float | None]) -> int:
    x, seconds = task
    if seconds is not None:
        kill_after(seconds)
    before = int(array[x])
    array[:] = -1  # its own
    return before + int(table.value[x])


def test_each_task_has_its_own_of_what_is_common_whenever_workers_are_killed(
    rand: random.Random, deaths: Callable[[int], None]
) -> None:
    ctx = forkful.get_context("fork")
    tasks = [(x, rand.random() * 0.002 if rand.random() < 0.2 else None) for x in range(TASKS)]
    with ctx.Pool(3) as pool:
        pool.map(deeds.square, range(10), chunksize=1)
        memory = used()
        for size in SIZES[1:]:
            use_it = functools.partial(use, np.arange(size), Broadcast(np.arange(size)))
            results = pool.imap(use_it, tasks)
            for x in range(TASKS):
                try:
                    assert results.next(LONG) == 2 * x
                except forkful.WorkerDied:
                    pass
            with pytest.raises(StopIteration):
                results.next(LONG)
        died = pool.statistics().died
        assert died > 0
        deaths(died)
        del use_it, results
        assert pool.map_async(deeds.square, range(50), 1, retries=3).get(LONG)[-1] == 49**2
        pool.terminate()
        pool.join()
    # At the most the four blocks that all tasks had in common: a worker may have been killed in the instant in
    # which it took or dropped one (heap.h).
    until(lambda: used() <= memory + 2 * (2**17 + 2**20) + 2**18)
