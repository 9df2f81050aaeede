"""native/core/hands.c: the table of the items that are in somebody's hands. Under `head.lock`, but for looks.

``p<i>.block`` is the item in the i-th place of the table (None: free), ``p<i>.taker`` who has it and how
often it was taken, ``p<i>.seq`` its number; ``log`` is the block to be given up.
"""

from __future__ import annotations

from typing import Any

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.steps import alive, load, loads, store

PLACES = (1, 2)
TIMES = 1  # an item may be given to one other consumer


def memory() -> dict[str, Any]:
    words: dict[str, Any] = {"log": None}
    for i in PLACES:
        words |= {f"p{i}.block": None, f"p{i}.taker": (0, 0), f"p{i}.seq": 0}
    return words


def guarded() -> dict[str, str]:
    return dict.fromkeys(["log", *(f"p{i}.seq" for i in PLACES)], "head.lock")


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
    no_more = (yield load("shut")) == 2
    for i in PLACES:
        if (yield load(f"p{i}.block")) is not None and (yield from is_orphan(me, i)):
            n += no_more or (yield load(f"p{i}.taker"))[1] > TIMES
    return n


# ---- under head.lock --------------------------------------------------------------------------------


@follows("hands.c", "store q->tally[0].done", "call fk_hands_count")
def count(seq: int) -> Process:
    blocks = yield loads(*(f"p{i}.block" for i in PLACES))
    yield store("tally", (0, seq - sum(b is not None for b in blocks), 0))


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
    if i:
        block, at, log = yield loads(f"p{i}.block", f"p{i}.seq", "log")
        if block is not None and at >= seq:
            yield store(f"p{i}.block", None)
        elif block is not None and block == log:
            yield store("log", None)
    yield from count(seq)
    yield store("txn", 0)


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
    i = PLACES[blocks.index(None)]
    blocks = None
    yield store(f"p{i}.taker", (me, 1))
    yield store(f"p{i}.seq", seq)
    yield store("txn", i)
    yield store(f"p{i}.block", item)


@follows("hands.c", "store q->txn")
def fk_hands_end() -> Process:
    yield store("txn", 0)


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
    """The item in a tuple, or nothing."""
    oldest = (99, 0)
    for i in PLACES:
        block, seq = yield loads(f"p{i}.block", f"p{i}.seq")
        if block is not None and seq < oldest[0] and (yield from may_be_given(me, i)):
            oldest = (seq, i)
    if oldest[0] == 99 or (yield load("shut")) == 2:
        return ()
    i = oldest[1]
    block, taker = yield loads(f"p{i}.block", f"p{i}.taker")
    yield store(f"p{i}.taker", (me, taker[1] + 1))
    return (block,)


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
    yield store("txn", 0)


@follows(
    "hands.c",
    "call from_first",
    "call next_hand",
    "call times_of",
    "call is_orphan",
    "call empty_hand",
)
def forget(me: int, seq: int, worn: bool, others: bool) -> Process:
    n = 0
    for i in PLACES:
        block, taker = yield loads(f"p{i}.block", f"p{i}.taker")
        wanted = worn if taker[1] > TIMES else others
        if block is not None and wanted and (yield from is_orphan(me, i)):
            yield from empty_hand(i, seq)
            n += 1
    return n


@follows("hands.c", "call forget", "call count")
def fk_hands_drop(me: int, seq: int) -> Process:
    """What came back, and what will: who is alive may still report what it has."""
    yield from forget(me, seq, worn=False, others=True)
    yield from count(seq)
