"""native/core/hands.c: an item whose taker died is given to another, and is done once.

``p<i>.block`` is the item in the i-th place of the table (None: free), ``p<i>.taker`` who has it and how
often it was taken, ``p<i>.seq`` its number; ``done`` is how many are done, ``log`` the block to be given up.
The queue is shut down from the beginning, so that idle consumers wait for what may come back.
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
    SHUTDOWN,
    alive,
    futex_wait,
    load,
    loads,
    lock,
    pause,
    store,
    unlock,
)

PLACES = (0, 1)
TIMES = 1  # an item may be given to one other consumer


def memory(items: int, processes: int) -> dict[str, Any]:
    """A queue with so many items in it, of which no more will come."""
    words = queue.memory(items, processes, tuple(range(items)))
    for i in PLACES:
        words |= {f"p{i}.block": None, f"p{i}.taker": (0, 0), f"p{i}.seq": 0}
    return words | {"shut": 1, "txn": None, "log": None, "done": 0, "done.ec": 0}


def guarded() -> dict[str, str]:
    return dict.fromkeys(["txn", "log", *(f"p{i}.seq" for i in PLACES)], "head.lock")


# ---- looking -------------------------------------------------------------------------------------


@follows("hands.c", "call owner_of", "call fk_slot_alive")
def is_orphan(me: int, i: int) -> Process:
    owner = (yield load(f"p{i}.taker"))[0]
    return owner != me and not (yield alive(owner))


@follows("hands.c", "call times_of", "call is_orphan")
def may_be_given(me: int, i: int) -> Process:
    if (yield load(f"p{i}.taker"))[1] > TIMES:
        return False
    return (yield from is_orphan(me, i))


@follows("hands.c", "call from_first", "call next_hand", "call may_be_given")
def fk_hands_any(me: int) -> Process:
    for i in PLACES:
        if (yield load(f"p{i}.block")) is not None and (yield from may_be_given(me, i)):
            return True
    return False


@follows("hands.c", "call from_first", "call next_hand", "call owner_of", "call times_of")
def fk_hands_others(me: int) -> Process:
    others = False
    for i in PLACES:
        if (yield load(f"p{i}.block")) is None:
            continue
        if (yield load(f"p{i}.taker"))[0] == me:
            return False
        others = (yield load(f"p{i}.taker"))[1] <= TIMES or others
    return others


@follows(
    "hands.c",
    "load q->shut",
    "call from_first",
    "call next_hand",
    "call is_orphan",
    "call times_of",
)
def fk_hands_lost(me: int) -> Process:
    n = 0
    for i in PLACES:
        if (yield load(f"p{i}.block")) is not None and (yield from is_orphan(me, i)):
            n += (yield load(f"p{i}.taker"))[1] > TIMES
    return n


@follows("queue.c", "call fk_hands_any", "call fk_hands_others")
def look_at_hands(me: int, shut: int) -> Process:
    if (yield from fk_hands_any(me)):
        return OK
    if shut and not (yield from fk_hands_others(me)):
        return SHUTDOWN
    return AGAIN


def wait_item(me: int, how: str) -> Process:
    """The C function's steps are told in queue.py."""
    while True:
        shut = e = st = None
        shut = yield load("shut")
        if (yield from queue.peek_size()) > 0:
            return OK
        st = yield from look_at_hands(me, shut)
        if st != AGAIN:
            return st
        e = yield from fk_ec_prepare("head.ec")
        if (yield from queue.peek_size()) > 0 or (yield from look_at_hands(me, shut)) != AGAIN:
            continue
        st = yield futex_wait("head.ec", e, how)
        if st != OK:
            return st


# ---- under head.lock --------------------------------------------------------------------------------


@follows("hands.c", "store q->tally[0].done", "call fk_hands_count")
def count(seq: int) -> Process:
    blocks = yield loads(*(f"p{i}.block" for i in PLACES))
    yield store("done", seq - sum(b is not None for b in blocks))


@follows(
    "hands.c",
    "load q->txn",
    "load h->block",
    "load h->seq",
    "store h->block",
    "load h->block",
    "load q->head.log_block",
    "store q->head.log_block",
    "call count",
    "store q->txn",
)
def fk_hands_settle(seq: int) -> Process:
    i = yield load("txn")
    if i is not None:
        block, at, log = yield loads(f"p{i}.block", f"p{i}.seq", "log")
        if block is not None and at >= seq:
            yield store(f"p{i}.block", None)
        elif block is not None and block == log:
            yield store("log", None)
    yield from count(seq)
    yield store("txn", None)


@follows("queue.c", "call fk_lock_force", "call head_recover")
def fk_queue_lock_head() -> Process:
    if (yield lock("head.lock", FORCE)) == OWNER_DIED:
        seq, _at = yield from queue.read_cursor("head")
        yield from fk_hands_settle(seq)
        yield store("log", None)  # head_end_log


@follows(
    "hands.c",
    "call free_place",
    "store h->taker",
    "store h->seq",
    "store h->meta",
    "store h->tid",
    "call fk_tid",
    "store q->txn",
    "point hands.begun",
    "store h->block",
    "point hands.filled",
)
def fk_hands_begin(me: int, item: Any, seq: int) -> Process:
    blocks = yield loads(*(f"p{i}.block" for i in PLACES))
    i = blocks.index(None)
    blocks = None
    yield store(f"p{i}.taker", (me, 1))
    yield store(f"p{i}.seq", seq)
    yield store("txn", i)
    yield store(f"p{i}.block", item)


@follows("hands.c", "store q->txn")
def fk_hands_end() -> Process:
    yield store("txn", None)


@follows(
    "hands.c",
    "call from_first",
    "call next_hand",
    "load h->seq",
    "call may_be_given",
    "load &(oldest = h)->seq",
    "load q->shut",
    "load oldest->block",
    "call fk_block_ref",
    "point hands.referred",
    "store t->block_hold->off",
    "store oldest->tid",
    "call fk_tid",
    "point hands.given",
    "store oldest->taker",
    "call times_of",
    "point hands.again",
    "load oldest->meta",
)
def fk_hands_again(me: int) -> Process:
    """The item, or None."""
    oldest = (99, 0)
    for i in PLACES:
        block, seq = yield loads(f"p{i}.block", f"p{i}.seq")
        if block is not None and seq < oldest[0] and (yield from may_be_given(me, i)):
            oldest = (seq, i)
    if oldest[0] == 99:
        return None
    i = oldest[1]
    block, taker = yield loads(f"p{i}.block", f"p{i}.taker")
    yield store(f"p{i}.taker", (me, taker[1] + 1))
    return block


@follows(
    "hands.c",
    "store q->txn",
    "store q->head.log_segment",
    "store q->head.log_block",
    "load h->block",
    "store q->head.log_seq",
    "point hands.logged",
    "store h->block",
    "point hands.emptied",
    "call count",
    "point hands.counted",
    "call fk_queue_settle_head",
    "store q->txn",
)
def empty_hand(i: int, seq: int) -> Process:
    yield store("txn", i)
    block = yield load(f"p{i}.block")
    yield store("log", block)
    yield store(f"p{i}.block", None)
    yield from count(seq)
    yield store("log", None)
    yield store("txn", None)


def take(me: int, how: str) -> Process:
    """fk_queue_take of a redelivering queue: the item, or why there is none."""
    while True:
        st = seq = at = item = None
        st = yield from wait_item(me, how)
        if st != OK:
            return st
        yield from fk_queue_lock_head()
        item = yield from fk_hands_again(me)
        if item is None:
            seq, at = yield from queue.read_cursor("head")
            if (yield from queue.peek_seq("tail")) > seq:
                item = yield load(f"m{at}")
                yield from fk_hands_begin(me, item, seq)
                yield from queue.write_cursor("head", (seq + 1, at + 1))
                yield from fk_hands_end()
        yield unlock("head.lock")
        if item is not None:
            return item


# ---- done ------------------------------------------------------------------------------------------


def unfinished() -> Process:
    done = yield load("done")
    return (yield from queue.peek_seq("tail")) - done


@follows("hands.c", "call fk_queue_unfinished", "call fk_hands_lost")
def is_joined(me: int) -> Process:
    left = yield from unfinished()
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
def fk_hands_done(me: int) -> Process:
    yield from fk_queue_lock_head()
    words = yield loads(*(f"p{i}.{w}" for i in PLACES for w in ("block", "taker", "seq")))
    places = enumerate(zip(*(iter(words),) * 3, strict=True))
    mine = min(((s, i) for i, (b, t, s) in places if b is not None and t[0] == me), default=None)
    words = places = None
    if mine is not None:
        seq, _at = yield from queue.read_cursor("head")
        yield from empty_hand(mine[1], seq)
    yield unlock("head.lock")
    if mine is None:
        return OVERFLOW
    mine = seq = None
    if (yield from is_joined(me)):
        yield from fk_ec_notify("done.ec", EVERYBODY)
    if (yield load("shut")):
        yield from fk_ec_notify("head.ec", EVERYBODY)
    return OK


@follows(
    "hands.c",
    "call from_first",
    "call next_hand",
    "call times_of",
    "call is_orphan",
    "call empty_hand",
)
def forget(me: int, seq: int) -> Process:
    n = 0
    for i in PLACES:
        block, taker = yield loads(f"p{i}.block", f"p{i}.taker")
        if block is not None and taker[1] > TIMES and (yield from is_orphan(me, i)):
            yield from empty_hand(i, seq)
            n += 1
    return n


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
def fk_hands_join(me: int, how: str) -> Process:
    """What it ended with, and how many items were lost."""
    while True:
        left = st = seq = None
        lost = 0
        e = yield from fk_ec_prepare("done.ec")
        yield from fk_queue_lock_head()
        left = yield from unfinished()
        if left and left <= (yield from fk_hands_lost(me)):
            seq, _at = yield from queue.read_cursor("head")
            lost = yield from forget(me, seq)
        yield unlock("head.lock")
        if lost:
            yield from fk_ec_notify("done.ec", EVERYBODY)
            return OWNER_DIED, lost
        if left == 0:
            return OK, 0
        st = yield futex_wait("done.ec", e, how)
        if st != OK:
            return st, 0


def fk_queue_give_back(me: int, dead: int) -> Process:
    """The C function's steps are told in tally.py."""
    yield from fk_queue_lock_head()
    yield unlock("head.lock")
    yield from fk_ec_notify("head.ec", EVERYBODY)
    yield from fk_ec_notify("done.ec", EVERYBODY)


# ---- users of it -------------------------------------------------------------------------------------


def work(me: int, others: tuple[int, ...]) -> Process:
    """Deal with items until no more can come; which were reported as done."""
    reported: tuple[Any, ...] = ()
    while True:
        item = None
        while (item := (yield from take(me, NEVER))) == INTR:
            item = None
            for p in others:
                yield from fk_reap(me, p, fk_queue_give_back)
        if item == SHUTDOWN:
            return reported
        yield pause("working")
        if (yield from fk_hands_done(me)) != OK:
            raise AssertionError("what was taken is not in hand")
        reported += (item,)


def wait_for_all(me: int, workers: tuple[int, ...]) -> Process:
    """``queue.join()``, reaping between two looks; how many items were told to be lost."""
    while True:
        st, lost = yield from fk_hands_join(me, NEVER)
        if st != INTR:
            return lost
        for p in workers:
            yield from fk_reap(me, p, fk_queue_give_back)
