"""Thousands of processes are killed at random instructions; those that survive lose nothing.

Each of the doomed does one deed after the other - put, get, lock, wait, change shared words - until a timer
of the kernel's strikes. `make crash` kills more than ten thousand, a common test run about a thousand. The
seed decides on deeds and times; the scheduler is not replayed.

What is known exactly: of each dead one at most the deed under way is uncertain, as its ledger tells.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, until, used
from tests.crash import lives
from tests.crash.ledger import Ledger
from tests.crash.timer import die_in_batches

FULL = os.environ.get("FORKFUL_CRASH") == "full"
BATCH = 4
SURVIVORS = 6
ROUNDS = {"fork": 56 if FULL else 5, "forkserver": 6 if FULL else 1, "spawn": 1}
LIVES = {"fork": 160, "forkserver": 160 if FULL else 60, "spawn": 160 if FULL else 20}  # of a round
LIFE = 0.006  # seconds at most

pytestmark = [pytest.mark.limit(1800 if FULL else 300), pytest.mark.stress, pytest.mark.slow]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_survivors_of_killed_neighbours_lose_nothing(
    method: str, rand: random.Random, tmp_path: Path, deaths: Callable[[int], None]
) -> None:
    ctx = forkful.get_context(method)
    with ctx.Lock():  # the first object: with it the family's memory is there
        first = ctx.Process(target=os.getpid)  # and with this, what a fork server holds
        first.start()
        first.join()
        first.close()
        memory = used()
    world = lives.World.of(ctx)
    size = LIVES[method]
    for n in range(ROUNDS[method]):
        ledger = Ledger(tmp_path / f"ledger-{n}", size + SURVIVORS, len(world.queues))
        try:
            with survivors(ctx, world, ledger, size):
                calls = (
                    (world, ledger, life, rand.getrandbits(32), rand.random() * LIFE)
                    for life in range(size)
                )
                die_in_batches(ctx, BATCH, lives.doomed, calls)
                deaths(size)
            check_items(ledger, size)
            check_counts(world, ledger)
        finally:
            ledger.close()
        works(world)
    del world
    assert used() <= memory, "memory of the dead is not given back"


@contextmanager
def survivors(ctx: Any, w: lives.World, ledger: Ledger, first: int) -> Iterator[None]:
    """Six that must not notice; at the end each ends by itself."""
    keeper, *waiters, free, bounded = (
        ctx.Process(target=target, args=(w, ledger, first + i, *more))
        for i, (target, *more) in enumerate(
            [
                (lives.keeper,),
                (lives.waiter, lives.wait_for_event),
                (lives.waiter, lives.wait_for_notice),
                (lives.waiter, lives.meet_and_mend),
                (lives.consumer, lives.FREE),
                (lives.consumer, lives.BOUNDED),
            ]
        )
    )
    everybody = [keeper, *waiters, free, bounded]
    for process in everybody:
        process.start()
    try:
        yield
        ledger.stop = True
        ended(keeper)
        w.event.set()
        lives.own(w.condition)
        w.condition.notify_all()
        w.condition.release()
        w.barrier.abort()
        for process in waiters:
            ended(process)
        for q, process in zip(w.queues, (free, bounded), strict=True):
            until(q.empty)
            q.put(None)
            ended(process)
    finally:
        for process in everybody:
            if process.exitcode is None:
                process.kill()
                process.join()
            process.close()


def ended(survivor: Any) -> None:
    survivor.join(LONG)
    assert survivor.exitcode == 0, f"{survivor} hangs or has failed"


def check_items(ledger: Ledger, doomed: int) -> None:
    for q in (lives.FREE, lives.BOUNDED):
        lost = 0
        for life in range(ledger.lives):
            begun, done = ledger.begun(life, lives.PUT + q), ledger.done(life, lives.PUT + q)
            assert begun - done <= (life < doomed), "a survivor's put has not ended"
            for number, times in enumerate(ledger.taken(q, life)):
                assert times <= (number < begun), f"item {number} of {life} came {times} times"
                lost += number < done and not times
        kind = lives.GET + q
        in_hand = sum(ledger.begun(x, kind) - ledger.done(x, kind) for x in range(doomed))
        assert lost <= in_hand, f"{lost} items lost, {in_hand} were being taken by the dead"
        puts, gets = ledger.sums(lives.PUT + q)[0], ledger.sums(kind)[0]
        assert min(puts, gets) > doomed, "the storm has hardly begun"


def check_counts(w: lives.World, ledger: Ledger) -> None:
    for n, words in enumerate(w.words):
        lock = w.locks[n]
        if lives.own(lock):
            words[lives.SECOND] = words[lives.FIRST]
        done, begun = ledger.sums(lives.COUNT + n)
        assert words[lives.OVERLAPS] == 0, "two processes held the lock at once"
        assert words[lives.FIRST] == words[lives.SECOND]
        assert done <= words[lives.FIRST] <= begun
        words[lives.FIRST] = words[lives.SECOND] = 0
        lock.release()
    for life in range(ledger.lives - SURVIVORS + 1, ledger.lives - 2):
        assert ledger.done(life, lives.PASS) > 0, "one that waits has never gone on"


def works(w: lives.World) -> None:
    """Each structure is whole: what is fresh can be done, and nothing is left of the dead."""
    for q in w.queues:
        assert q.empty()
        q.put("works")
        assert (q.get(timeout=LONG), q.qsize()) == ("works", 0)
    for lock in w.locks:
        assert not lock.statistics().locked
        with lock:
            assert lock.statistics().owner_pid == os.getpid()
    taken = [w.semaphore.acquire(True, LONG) for _ in range(lives.PERMITS)]
    assert [*taken, w.semaphore.acquire(False)] == [True] * lives.PERMITS + [False]
    for _ in taken:
        w.semaphore.release()
    lives.own(w.condition)
    assert w.condition.wait(0.001) is False
    w.condition.release()
    w.event.clear()
    assert w.event.wait(0.001) is False
    w.barrier.reset()
    assert (w.barrier.n_waiting, w.barrier.broken) == (0, False)
