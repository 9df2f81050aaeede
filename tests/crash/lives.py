"""What the processes of the killer do: each deed leaves its marks in the ledger, before and after."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import forkful
from tests.crash.ledger import PUTS, Ledger
from tests.crash.timer import kill_after

FREE, BOUNDED = 0, 1  # queues
ROOM, PERMITS = 4, 2
PUT, GET, COUNT, PASS = 0, 2, 4, 7  # kinds of deeds: of each queue, of each queue, of each lock
LOCKS = 3
FIRST, SECOND, OVERLAPS, RECOVERED = range(4)  # words that a lock guards; the first two are equal


@dataclass
class World:
    """All that they share."""

    queues: list[Any]
    locks: list[Any]
    words: list[Any]
    semaphore: Any
    event: Any
    condition: Any
    barrier: Any

    @classmethod
    def of(cls, ctx: Any) -> World:
        array = ctx.Array("q", 4)
        return cls(
            queues=[ctx.Queue(), ctx.Queue(ROOM)],
            locks=[ctx.Lock(), ctx.RLock(), array.get_lock()],
            words=[ctx.RawArray("q", 4), ctx.RawArray("q", 4), array.get_obj()],
            semaphore=ctx.Semaphore(PERMITS),
            event=ctx.Event(),
            condition=ctx.Condition(),
            barrier=ctx.Barrier(2),
        )


def own(lock: Any) -> bool:
    """Take a lock, also from the dead. True: what it guards may be half done."""
    while True:
        try:
            lock.acquire()
            return False
        except forkful.LockOwnerDied:
            if lock.recover():
                return True


# ---- deeds ---------------------------------------------------------------------------------------


def put(w: World, ledger: Ledger, life: int, q: int) -> None:
    if ledger.begun(life, PUT + q) == PUTS:
        return
    number = ledger.begin(life, PUT + q)
    w.queues[q].put((life, number, bytes((0, 200, 9000)[number % 3])))
    ledger.end(life, PUT + q)


def get(w: World, ledger: Ledger, life: int, q: int) -> Any:
    ledger.begin(life, GET + q)
    item = w.queues[q].get()
    if item is not None:
        ledger.take(q, item[0], item[1])
    ledger.end(life, GET + q)
    return item


def count(w: World, ledger: Ledger, life: int, n: int) -> None:
    lock, words = w.locks[n], w.words[n]
    ledger.begin(life, COUNT + n)
    if own(lock):
        words[SECOND] = words[FIRST]
        words[RECOVERED] += 1
    if words[FIRST] != words[SECOND]:
        words[OVERLAPS] += 1
    words[FIRST] += 1
    words[SECOND] += 1
    lock.release()
    ledger.end(life, COUNT + n)


def enter(w: World) -> None:
    with w.semaphore:
        pass


def notify(w: World) -> None:
    own(w.condition)
    w.condition.notify()
    w.condition.release()


def wait_for_notice(w: World) -> None:
    own(w.condition)
    try:
        w.condition.wait()
    except forkful.LockOwnerDied:
        own(w.condition)
    w.condition.release()


def wait_for_event(w: World) -> None:
    w.event.wait()
    w.event.clear()


def meet(w: World) -> None:
    try:
        w.barrier.wait()
    except threading.BrokenBarrierError:
        pass


# ---- lives -----------------------------------------------------------------------------------------


def doomed(w: World, ledger: Ledger, life: int, seed: int, seconds: float) -> None:
    """Do one deed after the other, until the timer strikes."""
    rand = random.Random(seed)
    deeds: list[Callable[[], object]] = [
        *[lambda q=q: put(w, ledger, life, q) for q in (FREE, BOUNDED)],
        *[lambda q=q: get(w, ledger, life, q) for q in (FREE, BOUNDED)],
        *[lambda n=n: count(w, ledger, life, n) for n in range(LOCKS)],
        *[lambda deed=deed: deed(w) for deed in (enter, notify, wait_for_notice, meet)],
        *[lambda deed=deed: deed(w) for deed in (wait_for_event, lambda w: w.event.set())],
    ]
    kill_after(seconds)
    while True:
        rand.choice(deeds)()


def keeper(w: World, ledger: Ledger, life: int) -> None:
    """A survivor that does what nobody needs to answer."""
    while not ledger.stop:
        for q in (FREE, BOUNDED):
            put(w, ledger, life, q)
        for n in range(LOCKS):
            count(w, ledger, life, n)
        enter(w)
        notify(w)
        w.event.set()


def consumer(w: World, ledger: Ledger, life: int, q: int) -> None:
    """A survivor that takes all, each producer's items in the order in which they were put."""
    last: dict[int, int] = {}
    while (item := get(w, ledger, life, q)) is not None:
        assert last.get(item[0], -1) < item[1]
        last[item[0]] = item[1]


def waiter(w: World, ledger: Ledger, life: int, wait: Callable[[World], None]) -> None:
    """A survivor that waits again and again."""
    while not ledger.stop:
        ledger.begin(life, PASS)
        wait(w)
        ledger.end(life, PASS)


def meet_and_mend(w: World) -> None:
    try:
        w.barrier.wait()
    except threading.BrokenBarrierError:
        w.barrier.reset()
