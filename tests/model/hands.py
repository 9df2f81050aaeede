"""native/core/hands.c: an item whose taker died is given to another, and is done once. See table.py for
where it is noted.
"""

from __future__ import annotations

from tests.model import queue
from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.queue import Queue
from tests.model.sema import fk_ec_notify, fk_ec_prepare
from tests.model.steps import (
    AGAIN,
    EVERYBODY,
    OK,
    OVERFLOW,
    OWNER_DIED,
    TRY,
    futex_wait,
    load,
    loads,
    unlock,
)
from tests.model.table import PLACES, empty_hand, fk_hands_lost, forget


def head_seq() -> Process:
    return (yield from queue.read_cursor("head"))[0]


def oldest_of_this_thread(me: int) -> Process:
    """The place in the table, or None. A process has one thread."""
    words = yield loads(*(f"p{i}.{w}" for i in PLACES for w in ("block", "taker", "seq")))
    places = zip(PLACES, zip(*(iter(words),) * 3, strict=True), strict=True)
    mine = [(seq, i) for i, (block, taker, seq) in places if block is not None and taker[0] == me]
    return min(mine)[1] if mine else None


@follows("hands.c", "call fk_queue_unfinished", "call fk_hands_lost")
def is_joined(me: int, q: Queue) -> Process:
    left = yield from queue.fk_queue_unfinished(q)
    return left <= (yield from fk_hands_lost(me))


@follows(
    "hands.c",
    "call fk_queue_lock_head",
    "call oldest_of_this_thread",
    "call empty_hand",
    "call head_seq",
    "call fk_lock_release",
    "call is_joined",
    "call fk_ec_notify",
    "load q->shut",
    "call fk_ec_notify",
)
def fk_hands_done(me: int, q: Queue) -> Process:
    yield from queue.fk_queue_lock_head(me, q)
    mine = yield from oldest_of_this_thread(me)
    if mine is not None:
        seq = yield from head_seq()
        yield from empty_hand(mine, seq)
    yield unlock("head.lock")
    if mine is None:
        return OVERFLOW
    mine = seq = None
    if (yield from is_joined(me, q)):
        yield from fk_ec_notify("done.ec", EVERYBODY)
    if (yield load("shut")):
        yield from fk_ec_notify("head.ec", EVERYBODY)
    return OK


@follows(
    "hands.c",
    "call fk_ec_prepare",
    "call fk_queue_lock_head",
    "call fk_queue_unfinished",
    "call fk_hands_lost",
    "call forget",
    "call head_seq",
    "load q->shut",
    "call fk_lock_release",
    "call fk_ec_notify",
    "call fk_futex_wait",
)
def fk_hands_join(me: int, q: Queue, how: str) -> Process:
    """What it ended with, and how many items were lost."""
    while True:
        left = st = seq = others = None
        lost = 0
        e = yield from fk_ec_prepare("done.ec")
        yield from queue.fk_queue_lock_head(me, q)
        left = yield from queue.fk_queue_unfinished(q)
        if left and left <= (yield from fk_hands_lost(me)):
            seq = yield from head_seq()
            others = (yield load("shut")) == 2
            lost = yield from forget(me, seq, True, others)
        yield unlock("head.lock")
        if lost:
            yield from fk_ec_notify("done.ec", EVERYBODY)
            return OWNER_DIED, lost
        if left == 0:
            return OK, 0
        if how == TRY:
            return AGAIN, 0
        left = seq = others = None
        st = yield futex_wait("done.ec", e, how)
        if st != OK:
            return st, 0
