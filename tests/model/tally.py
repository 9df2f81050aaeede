"""native/core/queue.c: what became of the items taken from a joinable queue.

``tally`` is (version, done, lost): two tallies and a version, which are one step as cursors are. The
log of the change under way is ``log.version``, ``log.hold``, ``log.finished``.
"""

from __future__ import annotations

from typing import Any

from tests.model import queue
from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.reap import fk_reap
from tests.model.sema import fk_ec_notify, fk_ec_prepare
from tests.model.steps import (
    AGAIN,
    EVERYBODY,
    FORCE,
    INTR,
    NEVER,
    OK,
    OVERFLOW,
    OWNER_DIED,
    TRY,
    futex_wait,
    join,
    load,
    loads,
    lock,
    pause,
    store,
    unlock,
)


def memory(items: int, processes: int) -> dict[str, Any]:
    """A joinable queue with so many items in it."""
    words = queue.memory(items, processes, tuple(range(items)))
    return words | {
        "done.lock": 0,
        "done.ec": 0,
        "tally": (0, 0, 0),
        "log.version": 0,
        "log.hold": 0,
        "log.finished": 0,
    }


def guarded(processes: int) -> dict[str, str]:
    own = [f"h{p}.finished" for p in range(1, processes + 1)]
    words = ["log.version", "log.hold", "log.finished", *own]
    return queue.guarded(processes) | dict.fromkeys(words, "done.lock")


@follows(
    "queue.c",
    "load q->done_version",
    "store q->log_hold",
    "store q->log_finished",
    "store q->log_version",
    "store t->done",
    "store t->lost",
    "point queue.tally",
    "store q->done_version",
    "point queue.tallied",
    "store hold->finished",
    "store q->log_version",
)
def write_tally(done: int, lost: int, hold: int, finished: int) -> Process:
    v = (yield load("tally"))[0] + 1
    if hold:
        yield store("log.hold", hold)
        yield store("log.finished", finished)
        yield store("log.version", v)
    yield store("tally", (v, done, lost))
    if hold:
        yield store(f"h{hold}.finished", finished)
        yield store("log.version", 0)


@follows(
    "queue.c",
    "call fk_lock_force",
    "load q->log_version",
    "load q->log_hold",
    "load q->done_version",
    "store hold->finished",
    "load q->log_finished",
    "store q->log_version",
)
def lock_done() -> Process:
    if (yield lock("done.lock", FORCE)) != OWNER_DIED:
        return
    v, hold, finished = yield loads("log.version", "log.hold", "log.finished")
    if v and (yield load("tally"))[0] >= v:
        yield store(f"h{hold}.finished", finished)
    yield store("log.version", 0)


@follows(
    "queue.c",
    "load q->done_version",
    "load q->tally[v & 1].done",
    "load q->done_version",
    "call to_be_done",
)
def fk_queue_unfinished() -> Process:
    done = (yield load("tally"))[1]
    return (yield from queue.peek_seq("tail")) - done


@follows(
    "queue.c",
    "call fk_hands_done",
    "call lock_done",
    "call read_tally",
    "call to_be_done",
    "load hold->finished",
    "load hold->taken",
    "call write_tally",
    "call fk_lock_release",
    "call fk_ec_notify",
)
def fk_queue_done(hold: int) -> Process:
    yield from lock_done()
    _v, done, lost = yield load("tally")
    unfinished = (yield from queue.peek_seq("tail")) - done
    if unfinished:
        finished = yield load(f"h{hold}.finished")
        whose = hold if finished != (yield load(f"h{hold}.taken")) else 0
        yield from write_tally(done + 1, lost, whose, finished + 1)
    yield unlock("done.lock")
    if unfinished == 0:
        return OVERFLOW
    if unfinished - 1 <= lost:
        yield from fk_ec_notify("done.ec", EVERYBODY)
    return OK


@follows(
    "queue.c",
    "load q->shut",
    "call peek_size",
    "call fk_queue_lock_head",
    "call drop_all",
    "call fk_lock_release",
    "call fk_hands_join",
    "call fk_ec_prepare",
    "call fk_queue_unfinished",
    "call lock_done",
    "call read_tally",
    "call to_be_done",
    "call write_tally",
    "call fk_lock_release",
    "call fk_ec_notify",
    "call fk_futex_wait",
)
def fk_queue_join(how: str) -> Process:
    """What it ended with, and how many items were lost."""
    while True:
        done = lost = unfinished = st = None
        e = yield from fk_ec_prepare("done.ec")
        if (yield from fk_queue_unfinished()) == 0:
            return OK, 0
        yield from lock_done()
        _v, done, lost = yield load("tally")
        unfinished = (yield from queue.peek_seq("tail")) - done
        if 0 < unfinished <= lost:
            yield from write_tally(done + unfinished, 0, 0, 0)
        yield unlock("done.lock")
        if 0 < unfinished <= lost:
            yield from fk_ec_notify("done.ec", EVERYBODY)
            return OWNER_DIED, unfinished
        st = yield futex_wait("done.ec", e, how)
        if st != OK:
            return st, 0


@follows(
    "queue.c",
    "call has_dead_owner",
    "call fk_lock_force",
    "call tail_recover",
    "call fk_lock_release",
    "call has_dead_owner",
    "call fk_queue_lock_head",
    "call fk_lock_release",
    "call fk_ec_notify",
    "call fk_ec_notify",
    "call lock_done",
    "call read_tally",
    "load hold->taken",
    "load hold->finished",
    "call write_tally",
    "call fk_lock_release",
    "call fk_ec_notify",
)
def fk_queue_give_back(me: int, hold: int) -> Process:
    if (yield lock("head.lock", FORCE)) == OWNER_DIED:
        yield from queue.head_recover()
    yield unlock("head.lock")
    yield from lock_done()
    _v, done, lost = yield load("tally")
    taken = yield load(f"h{hold}.taken")
    in_hand = taken - (yield load(f"h{hold}.finished"))
    if in_hand:
        yield from write_tally(done, lost + in_hand, hold, taken)
    yield unlock("done.lock")
    if in_hand:
        yield from fk_ec_notify("done.ec", EVERYBODY)


# ---- users of it -------------------------------------------------------------------------------------


def work(me: int) -> Process:
    """Take an item and report it done, until there is none; how many were taken and reported."""
    took = reported = 0
    while True:
        items = None
        while (items := (yield from queue.fk_queue_take(me, 1, 0, True, TRY))) == INTR:
            items = None
        if items == AGAIN:
            return took, reported
        took += 1
        items = None
        yield pause("working")
        if (yield from fk_queue_done(me)) != OK:
            raise AssertionError("more is done than was put")
        reported += 1


def wait_for_all(me: int, workers: tuple[int, ...]) -> Process:
    """``queue.join()``, reaping between two looks; how many items were told to be lost."""
    while True:
        st, lost = yield from fk_queue_join(NEVER)
        if st != INTR:
            return lost
        for p in workers:
            yield from fk_reap(me, p, fk_queue_give_back)


def reap(me: int, other: int) -> Process:
    """Reap another, if it was killed."""
    if (yield join(other)):
        yield from fk_reap(me, other, fk_queue_give_back)
