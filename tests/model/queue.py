"""native/core/queue.c: the two ends and what is done under their locks, which are sound by themselves.

Words of an end e: ``e.lock``, ``e.ec`` and ``e.cursor``: (seq, where the next message is). ``m<n>`` is the
place of the n-th message: what is written there. A process's hold entry of a joinable queue is
``h<p>.taken`` and so on, its pool's claim ``c<p>``.
"""

from __future__ import annotations

from typing import Any

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.sema import fk_ec_notify, fk_ec_prepare
from tests.model.steps import (
    AGAIN,
    EVERYBODY,
    FORCE,
    INTR,
    NEVER,
    OK,
    OWNER_DIED,
    SHUTDOWN,
    TRY,
    futex_wait,
    join,
    load,
    loads,
    lock,
    store,
    unlock,
)

ENDS = ("head", "tail")


def memory(messages: int, consumers: int, there: tuple[Any, ...] = ()) -> dict[str, Any]:
    """A queue with room for so many messages in all, in which some are `there` already."""
    words: dict[str, Any] = {"shut": 0, "txn": 0}
    for e, seq in zip(ENDS, (0, len(there)), strict=True):
        words |= {f"{e}.lock": 0, f"{e}.ec": 0, f"{e}.cursor": (seq, seq)}
    words |= {f"m{n}": there[n] if n < len(there) else None for n in range(messages)}
    for p in range(1, consumers + 1):
        words |= {f"h{p}.taken": 0, f"h{p}.pending": 0, f"h{p}.claim": 0, f"h{p}.finished": 0}
        words |= {f"c{p}": 0, f"slot{p}": 0}
    return words


def guarded(consumers: int) -> dict[str, str]:
    """What nobody touches without the lock."""
    words = {"txn": "head.lock"}
    for p in range(1, consumers + 1):
        words |= dict.fromkeys([f"h{p}.pending", f"h{p}.claim", f"c{p}"], "head.lock")
    return words


# ---- cursors: a change of one is one step, and so is a look at one: cursors.py shows that ---------


def read_cursor(e: str) -> Process:
    return (yield load(f"{e}.cursor"))


def write_cursor(e: str, p: tuple[int, int]) -> Process:
    yield store(f"{e}.cursor", p)


def peek_seq(e: str) -> Process:
    return (yield load(f"{e}.cursor"))[0]


@follows("queue.c", "call peek_seq", "call peek_seq")
def peek_size() -> Process:
    head = yield from peek_seq("head")
    return (yield from peek_seq("tail")) - head


# ---- locks and what a dead owner left ------------------------------------------------------------


@follows(
    "queue.c",
    "call fk_hands_settle",
    "call read_cursor",
    "call head_end_log",
    "call read_cursor",
    "load q->txn",
    "load hold->claim",
    "store hold->taken",
    "load hold->pending",
    "store hold->claim",
    "store q->txn",
    "load q->shut",
    "call drop_all",
)
def head_recover() -> Process:
    seq, _at = yield from read_cursor("head")
    txn = yield load("txn")
    if txn:
        claim, pending = yield loads(f"h{txn}.claim", f"h{txn}.pending")
        if claim and seq >= claim:
            yield store(f"h{txn}.taken", pending)
        yield store(f"h{txn}.claim", 0)
    yield store("txn", 0)


@follows(
    "queue.c",
    "call fk_lock_acquire",
    "call fk_lock_take_over",
    "call head_recover",
    "call tail_recover",
)
def lock_end(e: str, how: str) -> Process:
    st = yield lock(f"{e}.lock", NEVER if how == TRY else how)
    if st == OWNER_DIED:
        if e == "head":
            yield from head_recover()
        return OK
    return st


# ---- put -------------------------------------------------------------------------------------------


@follows("queue.c", "call peek_seq")
def is_full(maxsize: int, tail_seq: int) -> Process:
    return maxsize > 0 and tail_seq - (yield from peek_seq("head")) >= maxsize


@follows(
    "queue.c",
    "load q->shut",
    "call peek_size",
    "call fk_ec_prepare",
    "call peek_size",
    "load q->shut",
    "call fk_futex_wait",
)
def wait_room(maxsize: int, how: str) -> Process:
    while True:
        e = st = None
        if (yield load("shut")):
            return SHUTDOWN
        if (yield from peek_size()) < maxsize:
            return OK
        if how == TRY:
            return AGAIN
        e = yield from fk_ec_prepare("tail.ec")
        if (yield from peek_size()) < maxsize or (yield load("shut")):
            continue
        st = yield futex_wait("tail.ec", e, how)
        if st != OK:
            return st


@follows(
    "queue.c",
    "load b->tag",
    "load b->refs",
    "call wait_room",
    "call lock_end",
    "call fk_ec_notify",
    "call read_cursor",
    "load q->shut",
    "call is_full",
    "call write_message",
    "call write_cursor",
    "point queue.put",
    "store q->tail.log_seq",
    "call fk_lock_release",
    "call fk_ec_notify",
)
def fk_queue_put(item: Any, maxsize: int, how: str) -> Process:
    while True:
        st = seq = at = None
        st = (yield from wait_room(maxsize, how)) if maxsize else OK
        if st != OK:
            return st
        st = yield from lock_end("tail", how)
        if st != OK:
            yield from fk_ec_notify("tail.ec", 1)
            return st
        seq, at = yield from read_cursor("tail")
        if (yield load("shut")):
            st = SHUTDOWN
        elif (yield from is_full(maxsize, seq)):
            st = AGAIN
        else:
            yield store(f"m{at}", item)  # write_message: nothing of it is visible yet
            yield from write_cursor("tail", (seq + 1, at + 1))
        yield unlock("tail.lock")
        if st == AGAIN and how != TRY:
            continue
        if st == OK:
            yield from fk_ec_notify("head.ec", 1)
        return st


# ---- take ------------------------------------------------------------------------------------------


@follows(
    "queue.c",
    "load q->shut",
    "call peek_size",
    "call look_at_hands",
    "call fk_ec_prepare",
    "load q->shut",
    "call peek_size",
    "call look_at_hands",
    "call fk_futex_wait",
)
def wait_item(how: str) -> Process:
    """Of a queue that does not redeliver; hands.py has the other."""
    while True:
        shut = e = st = None
        shut = yield load("shut")
        if (yield from peek_size()) > 0:
            return OK
        if shut:
            return SHUTDOWN
        if how == TRY:
            return AGAIN
        e = yield from fk_ec_prepare("head.ec")
        shut = yield load("shut")
        if (yield from peek_size()) > 0 or shut:
            continue
        st = yield futex_wait("head.ec", e, how)
        if st != OK:
            return st


@follows(
    "queue.c",
    "store t->claim",
    "call fk_hands_begin",
    "store t->hold->pending",
    "load t->hold->taken",
    "store q->txn",
    "store t->hold->claim",
    "point queue.claimed",
    "call write_cursor",
    "point queue.taken",
    "call fk_hands_end",
    "store t->hold->taken",
    "load t->hold->pending",
    "store t->hold->claim",
    "store q->txn",
    "load q->head.log_seq",
    "call head_settle",
)
def commit_take(me: int, joinable: bool, at: tuple[int, int], n: int) -> Process:
    taken = None
    yield store(f"c{me}", at[0])
    if joinable:
        taken = (yield load(f"h{me}.taken")) + n
        yield store(f"h{me}.pending", taken)
        yield store("txn", me)
        yield store(f"h{me}.claim", at[0])
    yield from write_cursor("head", at)
    if joinable:
        yield store(f"h{me}.taken", taken)
        yield store(f"h{me}.claim", 0)
        yield store("txn", 0)


@follows(
    "queue.c",
    "call wait_item",
    "call lock_end",
    "call fk_ec_notify",
    "call read_cursor",
    "call fk_hands_room",
    "call fk_hands_again",
    "call read_messages",
    "call commit_take",
    "call fk_lock_release",
    "call fk_ec_notify",
)
def fk_queue_take(me: int, most: int, maxsize: int, joinable: bool, how: str) -> Process:
    """The items taken, or why there are none."""
    while True:
        st = seq = at = there = None
        items: tuple[Any, ...] = ()
        st = yield from wait_item(how)
        if st != OK:
            return st
        st = yield from lock_end("head", how)
        if st != OK:
            yield from fk_ec_notify("head.ec", 1)
            return st
        seq, at = yield from read_cursor("head")
        there = (yield from peek_seq("tail")) - seq
        items = yield loads(*(f"m{at + i}" for i in range(min(there, most))))  # read_messages
        if items:
            yield from commit_take(me, joinable, (seq + len(items), at + len(items)), len(items))
        yield unlock("head.lock")
        if items:
            if maxsize:
                yield from fk_ec_notify("tail.ec", len(items))
            return items
        if how == TRY:
            return AGAIN


@follows(
    "queue.c",
    "call fk_lock_force",
    "call tail_recover",
    "load q->shut",
    "store q->shut",
    "call fk_lock_release",
    "point queue.shut",
    "call fk_queue_lock_head",
    "call drop_all",
    "call fk_lock_release",
    "call fk_ec_notify",
    "call fk_ec_notify",
    "call fk_ec_notify",
)
def fk_queue_shutdown() -> Process:
    """Not immediate: what is inside may still be taken."""
    yield lock("tail.lock", FORCE)
    if (yield load("shut")) < 1:
        yield store("shut", 1)
    yield unlock("tail.lock")
    yield from fk_ec_notify("head.ec", EVERYBODY)
    yield from fk_ec_notify("tail.ec", EVERYBODY)


# ---- users of it -------------------------------------------------------------------------------------


def produce(me: int, n: int, maxsize: int = 0, how: str = NEVER) -> Process:
    """Put n items; what was put, and what is being put."""
    put: tuple[Any, ...] = ()
    for i in range(n):
        while (st := (yield from fk_queue_put((me, i), maxsize, how))) == INTR:
            st = None
        if st == OK:
            put += ((me, i),)
    return put


def consume(me: int, most: int = 1, maxsize: int = 0, how: str = NEVER) -> Process:
    """Take until the queue is shut down; what was taken."""
    got: tuple[Any, ...] = ()
    while True:
        items = None
        while (items := (yield from fk_queue_take(me, most, maxsize, False, how))) == INTR:
            items = None
        if not isinstance(items, tuple):
            return got
        got += items


def consume_n(me: int, n: int, maxsize: int = 0, how: str = NEVER) -> Process:
    """Take n times; what was taken."""
    got: tuple[Any, ...] = ()
    for _i in range(n):
        items = None
        while (items := (yield from fk_queue_take(me, 1, maxsize, False, how))) == INTR:
            items = None
        if isinstance(items, tuple):
            got += items
    return got


def take_and_put(me: int, how: str) -> Process:
    """Take an item and put it back, unless the deadline passes before."""
    items = yield from fk_queue_take(me, 1, 0, False, how)
    if isinstance(items, tuple):
        yield from fk_queue_put(items[0], 0, NEVER)


def put_and_take(me: int, maxsize: int, how: str) -> Process:
    """Put an item and take one out, unless the deadline passes before."""
    if (yield from fk_queue_put((me, 0), maxsize, how)) == OK:
        yield from fk_queue_take(me, 1, maxsize, False, NEVER)


def oversee(producers: tuple[int, ...], consumers: tuple[int, ...]) -> Process:
    """Shut the queue down when all producers have ended; tell how far its ends are at last."""
    for p in producers:
        yield join(p)
    yield from fk_queue_shutdown()
    for p in consumers:
        yield join(p)
    yield from lock_end("tail", FORCE)
    yield from lock_end("head", FORCE)
    head, _at = yield from read_cursor("head")
    tail, _at = yield from read_cursor("tail")
    return head, tail
