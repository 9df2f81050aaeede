"""A thousand processes are killed at random moments; those that survive lose nothing.

What can be known exactly: a producer writes into its own record the number of each item before it puts
it, so at most its last item is uncertain if it is killed. A consumer writes down what it took right
after the `get`, so at most one item of each killed consumer is taken and not written down.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, kill, running, until

PAUSE = 0.012  # seconds at most that a child lives
BATCH = 4
QUEUE_ROUNDS, LOCK_ROUNDS = 90, 36  # each is blown twice: (90 + 36) * 2 * 4 = 1,008 deaths

pytestmark = [pytest.mark.limit(300), pytest.mark.stress, pytest.mark.slow]


def put_for_ever(q: Any, me: int, record: str) -> None:
    fd = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = 0
    while True:
        os.write(fd, b".")
        q.put((me, number, bytes(number % 3 * 9000)))
        number += 1


def put_some(q: Any, me: int, n: int) -> None:
    for number in range(n):
        q.put((me, number, b""))


def take_for_ever(q: Any, record: str) -> None:
    """A line for each item, with one write: it is there or not."""
    fd = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while (item := q.get()) is not None:
        os.write(fd, f"{item[0]} {item[1]}\n".encode())


def count_for_ever(lock: Any, words: Any, ready: str) -> None:
    """Two words that are equal whenever the lock is free."""
    Path(ready).touch()
    while True:
        with_lock(lock, words)


def with_lock(lock: Any, words: Any) -> None:
    try:
        lock.acquire()
    except forkful.LockOwnerDied:
        if not lock.recover():
            return
        words[1] = words[0]  # what the dead one has left half done
        words[3] += 1
    if words[0] != words[1]:
        words[2] += 1  # two at once
    words[0] += 1
    words[1] += 1
    lock.release()


@pytest.fixture
def fork() -> Any:
    return forkful.get_context("fork")


@pytest.fixture(scope="module", autouse=True)
def _heap() -> None:
    """The standard library's shared ctypes keep the file they are in: have it before any test."""
    multiprocessing.RawValue("i")


class Storm:
    """Children that are killed a little after their start and replaced."""

    def __init__(self, ctx: Any, rand: random.Random) -> None:
        self.ctx, self.rand = ctx, rand
        self.killed = 0

    def blow(self, calls: list[tuple[Any, ...]]) -> None:
        """Start one process for each call; kill each of them, at a moment of its own."""
        children = [self.ctx.Process(target=target, args=args) for target, *args in calls]
        for child in children:
            child.start()
        self.rand.shuffle(children)
        for child in children:
            time.sleep(self.rand.random() * PAUSE)  # sleep: the storm is about random moments
            os.kill(child.pid, signal.SIGKILL)
        for child in children:
            child.join(LONG)
            assert child.exitcode == -signal.SIGKILL
            child.close()
            self.killed += 1


def taken(record: Path) -> list[tuple[int, int]]:
    lines = record.read_text().splitlines() if record.exists() else []
    return [(int(me), int(number)) for me, number in map(str.split, lines)]


@pytest.mark.parametrize("maxsize", [0, 8])
def test_killed_producers_and_consumers_leave_a_whole_queue(
    fork: Any, rand: random.Random, tmp_path: Path, maxsize: int
) -> None:
    q = fork.Queue(maxsize)
    storm = Storm(fork, rand)
    survivor_items = 20_000
    sure = tmp_path / "taken-survivor"
    doomed: list[Path] = []
    puts: dict[int, Path] = {}
    consumer = fork.Process(target=take_for_ever, args=(q, str(sure)))
    producer = fork.Process(target=put_some, args=(q, -1, survivor_items))
    consumer.start()
    producer.start()
    try:
        for n in range(QUEUE_ROUNDS):
            calls: list[tuple[Any, ...]] = []
            for k in range(BATCH // 2):
                me = n * BATCH + k
                puts[me] = tmp_path / f"put-{me}"
                doomed.append(tmp_path / f"taken-{me}")
                calls += [(put_for_ever, q, me, str(puts[me])), (take_for_ever, q, str(doomed[-1]))]
            storm.blow(calls)
        producer.join(LONG)
        assert producer.exitcode == 0, "the surviving producer hangs"
        q.put(None)
        consumer.join(LONG)
        assert consumer.exitcode == 0, "the surviving consumer hangs"
    finally:
        for process in (producer, consumer):
            process.kill()
            process.join()
    assert q.empty()
    got = Counter(taken(sure))
    for record in doomed:
        got.update(taken(record))
    assert max(got.values()) == 1, "an item came twice"
    assert any(me >= 0 for me, _ in got), "the storm has killed nobody that put"
    assert any(map(taken, doomed)), "the storm has killed nobody that got"

    unlogged = storm.killed // 2  # consumers, each with at most one item in hand
    lost = {(-1, i) for i in range(survivor_items)} - set(got)
    for me, record in puts.items():
        begun = record.stat().st_size if record.exists() else 0
        numbers = [number for who, number in got if who == me]
        assert all(number < begun for number in numbers), "an item that nobody has put"
        # The last one begun may not have been put.
        lost |= {(me, i) for i in range(begun - 1)} - set(got)
    assert len(lost) <= unlogged, f"{len(lost)} items lost, {unlogged} consumers killed"
    order = [number for who, number in taken(sure) if who == -1]
    assert order == sorted(order)

    q.put("works on")  # the queue does, for new processes too
    assert q.get(timeout=LONG) == "works on"


def test_a_lock_whose_owners_are_killed_guards_its_counter(
    fork: Any, rand: random.Random, tmp_path: Path
) -> None:
    for kind in ("Lock", "RLock"):
        lock, words = getattr(fork, kind)(), fork.RawArray("q", 4)
        ready = tmp_path / kind
        with running(fork, count_for_ever, lock, words, str(ready)) as survivor:
            until(ready.exists)
            storm = Storm(fork, rand)
            for _ in range(LOCK_ROUNDS):
                storm.blow([(count_for_ever, lock, words, str(ready))] * BATCH)
            before = words[0]
            until(lambda: words[0] > before)  # noqa: B023
            kill(survivor)
        with_lock(lock, words)
        assert words[2] == 0, "two processes held the lock at once"
        assert words[0] == words[1]
        assert words[3] > 0, "the storm has killed nobody that held the lock"
        assert not lock.statistics().locked


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_killed_while_they_start_leave_the_family_whole(
    method: str, rand: random.Random, tmp_path: Path
) -> None:
    ctx = forkful.get_context(method)
    q = ctx.Queue()
    storm = Storm(ctx, rand)
    for n in range(10):
        storm.blow([(put_some, q, n, 10)] * BATCH)
    while not q.empty():
        q.get()
    with running(ctx, put_some, q, 0, 1):
        assert q.get(timeout=LONG) == (0, 0, b"")
