"""native/core/queue.c: the two ends and what is done under their locks, which are sound by themselves.

Words of an end e: ``e.lock``, ``e.ec`` and ``e.cursor``: (seq, where the next message is). ``m<n>`` is the
place of the n-th message: what is written there. A process's hold entry of a joinable queue is
``h<p>.taken`` and so on, its pool's claim ``c<p>``. ``tally`` is (version, done, lost): two tallies and a version,
which are one step as cursors are (of a queue that redelivers: (0, done, 0), as in C).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.model import table
from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.reap import entries, of_entries
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
    cas,
    futex_wait,
    join,
    load,
    loads,
    lock,
    store,
    unlock,
)

ENDS = ("head", "tail")


@dataclass(frozen=True, slots=True)
class Queue:
    """What never changes in a queue."""

    maxsize: int = 0
    joinable: bool = False
    redeliver: bool = False  # then not joinable, as in C: table.py has what is in hand
    patient: bool = False  # no slice ends while one waits for a lock of it: fewer states


PLAIN = Queue()


def memory(messages: int, consumers: int, there: tuple[Any, ...] = ()) -> dict[str, Any]:
    """A queue with room for so many messages in all, in which some are `there` already."""
    words: dict[str, Any] = {"shut": 0, "cut": 0, "txn": 0, "tally": (0, 0, 0), "done.ec": 0}
    for e, seq in zip(ENDS, (0, len(there)), strict=True):
        words |= {f"{e}.lock": 0, f"{e}.ec": 0, f"{e}.cursor": (seq, seq)}
    words["head.other"] = 0
    words |= {f"m{n}": there[n] if n < len(there) else None for n in range(messages)}
    words |= {f"c{p}": 0 for p in range(1, consumers + 1)}
    words |= dict.fromkeys(of_entries(consumers, "finished"), 0)
    return words | entries(consumers)


def guarded(consumers: int) -> dict[str, str]:
    """What nobody touches without the lock."""
    claims = [f"c{p}" for p in range(1, consumers + 1)]
    words = ["txn", *claims, *of_entries(consumers, "pending", "claim")]
    return dict.fromkeys(words, "head.lock")


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


@follows("queue.c", "load q->head.other", "call peek_seq", "store q->head.other")
def count(head: int, most: int) -> Process:
    there = (yield load("head.other")) - head
    if there >= most:
        return there
    tail = yield from peek_seq("tail")
    yield store("head.other", tail)
    return tail - head


@follows("queue.c", "call peek_seq", "load q->head.other", "call peek_seq")
def has_any() -> Process:
    head = yield from peek_seq("head")
    if (yield load("head.other")) > head:
        return True
    return (yield from peek_seq("tail")) > head


# ---- locks and what a dead owner left ------------------------------------------------------------


@follows(
    "queue.c",
    "call read_cursor",
    "call peek_seq",
    "call message_at",
    "store q->head.log_segment",
    "store q->head.log_block",
    "store q->head.log_seq",
    "call write_cursor",
    "call head_settle",
)
def drain() -> Process:
    seq, at = yield from read_cursor("head")
    left = (yield from peek_seq("tail")) - seq
    while left > 0:
        seq, at, left = seq + 1, at + 1, left - 1
        yield from write_cursor("head", (seq, at))


@follows(
    "queue.c",
    "cas q->cut",
    "call read_cursor",
    "point queue.cut",
    "call drain",
    "call fk_hands_drop",
    "call read_cursor",
)
def drop_all(me: int, q: Queue) -> Process:
    seq, _at = yield from read_cursor("head")
    yield cas("cut", 0, seq + 1)
    yield from drain()
    if q.redeliver:
        seq, _at = yield from read_cursor("head")
        yield from table.fk_hands_drop(me, seq)


@follows(
    "queue.c",
    "load q->head.log_seq",
    "call read_cursor",
    "call head_settle",
    "store q->head.log_seq",
)
def head_end_log() -> Process:
    """Only of a block that somebody had in hand."""
    yield store("log", None)


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
def head_recover(me: int, q: Queue) -> Process:
    seq, _at = yield from read_cursor("head")
    if q.redeliver:
        yield from table.fk_hands_settle(seq)
        yield from head_end_log()
    txn = yield load("txn")
    if txn:
        claim, pending = yield loads(f"h{txn}.claim", f"h{txn}.pending")
        if claim and seq >= claim:
            yield store(f"h{txn}.taken", pending)
        yield store(f"h{txn}.claim", 0)
    yield store("txn", 0)
    if (yield load("shut")) == 2:
        txn = claim = pending = None
        yield from drop_all(me, q)


@follows("queue.c", "call fk_lock_force", "call head_recover")
def fk_queue_lock_head(me: int, q: Queue) -> Process:
    if (yield lock("head.lock", FORCE)) == OWNER_DIED:
        yield from head_recover(me, q)


@follows(
    "queue.c",
    "call fk_lock_acquire",
    "call fk_lock_take_over",
    "call head_recover",
    "call tail_recover",
)
def lock_end(me: int, q: Queue, e: str, how: str) -> Process:
    st = yield lock(f"{e}.lock", FORCE if q.patient else NEVER if how == TRY else how)
    if st == OWNER_DIED:
        if e == "head":
            yield from head_recover(me, q)
        return OK
    return st


# ---- put -------------------------------------------------------------------------------------------


@follows("queue.c", "call peek_seq")
def is_full(q: Queue, tail_seq: int) -> Process:
    return q.maxsize > 0 and tail_seq - (yield from peek_seq("head")) >= q.maxsize


@follows(
    "queue.c",
    "load q->shut",
    "call peek_size",
    "call fk_ec_prepare",
    "call peek_size",
    "load q->shut",
    "call fk_futex_wait",
)
def wait_room(q: Queue, how: str) -> Process:
    while True:
        e = st = None
        if (yield load("shut")):
            return SHUTDOWN
        if (yield from peek_size()) < q.maxsize:
            return OK
        if how == TRY:
            return AGAIN
        e = yield from fk_ec_prepare("tail.ec")
        if (yield from peek_size()) < q.maxsize or (yield load("shut")):
            continue
        st = yield futex_wait("tail.ec", e, how)
        if st != OK:
            return st


def write_message(at: int, item: Any) -> Process:
    """Nothing of it is visible yet."""
    yield store(f"m{at}", item)


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
def fk_queue_put(me: int, q: Queue, item: Any, how: str) -> Process:
    while True:
        st = seq = at = None
        st = (yield from wait_room(q, how)) if q.maxsize else OK
        if st != OK:
            return st
        st = yield from lock_end(me, q, "tail", how)
        if st != OK:
            yield from fk_ec_notify("tail.ec", 1)
            return st
        seq, at = yield from read_cursor("tail")
        if (yield load("shut")):
            st = SHUTDOWN
        elif (yield from is_full(q, seq)):
            st = AGAIN
        else:
            yield from write_message(at, item)
            yield from write_cursor("tail", (seq + 1, at + 1))
        yield unlock("tail.lock")
        if st == AGAIN and how != TRY:
            continue
        if st == OK:
            yield from fk_ec_notify("head.ec", 1)
        return st


# ---- take ------------------------------------------------------------------------------------------


@follows("queue.c", "call fk_hands_any", "call fk_hands_others")
def look_at_hands(me: int, shut: int) -> Process:
    if (yield from table.fk_hands_any(me)):
        return OK
    if shut and not (yield from table.fk_hands_others(me)):
        return SHUTDOWN
    return AGAIN


@follows(
    "queue.c",
    "load q->shut",
    "call has_any",
    "call look_at_hands",
    "call fk_ec_prepare",
    "load q->shut",
    "call has_any",
    "call look_at_hands",
    "call fk_futex_wait",
)
def wait_item(me: int, q: Queue, how: str) -> Process:
    while True:
        shut = now = e = st = None
        shut = yield load("shut")
        if shut == 2:
            return SHUTDOWN
        if (yield from has_any()):
            return OK
        if q.redeliver:
            st = yield from look_at_hands(me, shut)
            if st != AGAIN:
                return st
        elif shut:
            return SHUTDOWN
        if how == TRY:
            return AGAIN
        e = yield from fk_ec_prepare("head.ec")
        now = yield load("shut")
        if (yield from has_any()):
            continue
        if q.redeliver:
            if (yield from look_at_hands(me, now)) != AGAIN or now != shut:
                continue
        elif now:
            continue
        shut = now = None
        st = yield futex_wait("head.ec", e, how)
        if st != OK:
            return st


def read_messages(at: int, there: int, most: int) -> Process:
    return (yield loads(*(f"m{at + i}" for i in range(min(there, most)))))


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
def commit_take(me: int, q: Queue, items: tuple[Any, ...], at: tuple[int, int]) -> Process:
    taken = None
    if not (q.redeliver or q.joinable):  # a pool's queue
        yield store(f"c{me}", at[0])
    if q.redeliver:
        yield from table.fk_hands_begin(me, items[0], at[0] - 1)
    elif q.joinable:
        taken = (yield load(f"h{me}.taken")) + len(items)
        yield store(f"h{me}.pending", taken)
        yield store("txn", me)
        yield store(f"h{me}.claim", at[0])
    yield from write_cursor("head", at)
    if q.redeliver:
        yield from table.fk_hands_end()
    elif q.joinable:
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
def fk_queue_take(me: int, q: Queue, most: int, how: str) -> Process:
    """The items taken, or why there are none."""
    while True:
        st = seq = at = there = None
        items: tuple[Any, ...] = ()
        st = yield from wait_item(me, q, how)
        if st != OK:
            return st
        st = yield from lock_end(me, q, "head", how)
        if st != OK:
            yield from fk_ec_notify("head.ec", 1)
            return st
        seq, at = yield from read_cursor("head")
        if q.redeliver:
            items = yield from table.fk_hands_again(me)
        if not items:
            there = yield from count(seq, most)
            items = yield from read_messages(at, there, most)
            if items:
                seq, at = seq + len(items), at + len(items)
                yield from commit_take(me, q, items, (seq, at))
        yield unlock("head.lock")
        if items:
            if q.maxsize:
                yield from fk_ec_notify("tail.ec", len(items))
            return items
        if how == TRY:
            return AGAIN


# ---- what became of the items: what others need of it; the rest is in tally.py ---------------------


@follows("queue.c", "load q->cut", "call peek_seq")
def left_of(q: Queue, done: int) -> Process:
    cut = 0 if q.redeliver else (yield load("cut"))
    every = cut - 1 if cut else (yield from peek_seq("tail"))
    return max(every - done, 0)


@follows(
    "queue.c",
    "load q->done_version",
    "load q->tally[v & 1].done",
    "load q->done_version",
    "call left_of",
)
def fk_queue_unfinished(q: Queue) -> Process:
    done = (yield load("tally"))[1]
    return (yield from left_of(q, done))


# ---- the end -----------------------------------------------------------------------------------------


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
def fk_queue_shutdown(me: int, q: Queue, immediate: bool) -> Process:
    to = 2 if immediate else 1
    yield lock("tail.lock", FORCE)
    if (yield load("shut")) < to:
        yield store("shut", to)
    yield unlock("tail.lock")
    if immediate:
        yield from fk_queue_lock_head(me, q)
        yield from drop_all(me, q)
        yield unlock("head.lock")
    yield from fk_ec_notify("head.ec", EVERYBODY)
    yield from fk_ec_notify("tail.ec", EVERYBODY)
    yield from fk_ec_notify("done.ec", EVERYBODY)


# ---- users of it -------------------------------------------------------------------------------------


def produce(me: int, n: int, q: Queue = PLAIN, how: str = NEVER) -> Process:
    """Put n items; what was put, and what is being put."""
    put: tuple[Any, ...] = ()
    for i in range(n):
        while (st := (yield from fk_queue_put(me, q, (me, i), how))) == INTR:
            st = None
        if st == OK:
            put += ((me, i),)
    return put


def consume(me: int, most: int = 1, q: Queue = PLAIN, how: str = NEVER) -> Process:
    """Take until the queue is shut down; what was taken."""
    got: tuple[Any, ...] = ()
    while True:
        items = None
        while (items := (yield from fk_queue_take(me, q, most, how))) == INTR:
            items = None
        if not isinstance(items, tuple):
            return got
        got += items


def consume_n(me: int, n: int, q: Queue = PLAIN, how: str = NEVER) -> Process:
    """Take n times; what was taken."""
    got: tuple[Any, ...] = ()
    for _i in range(n):
        items = None
        while (items := (yield from fk_queue_take(me, q, 1, how))) == INTR:
            items = None
        if isinstance(items, tuple):
            got += items
    return got


def take_and_put(me: int, how: str) -> Process:
    """Take an item and put it back, unless the deadline passes before."""
    items = yield from fk_queue_take(me, PLAIN, 1, how)
    if isinstance(items, tuple):
        yield from fk_queue_put(me, PLAIN, items[0], NEVER)


def put_and_take(me: int, q: Queue, how: str) -> Process:
    """Put an item and take one out, unless the deadline passes before."""
    if (yield from fk_queue_put(me, q, (me, 0), how)) == OK:
        yield from fk_queue_take(me, q, 1, NEVER)


def oversee(me: int, producers: tuple[int, ...], consumers: tuple[int, ...]) -> Process:
    """Shut the queue down when all producers have ended; tell how far its ends are at last."""
    for p in producers:
        yield join(p)
    yield from fk_queue_shutdown(me, PLAIN, False)
    for p in consumers:
        yield join(p)
    yield from lock_end(me, PLAIN, "tail", FORCE)
    yield from lock_end(me, PLAIN, "head", FORCE)
    head, _at = yield from read_cursor("head")
    tail, _at = yield from read_cursor("tail")
    return head, tail


def see_the_end(me: int, shutter: int, others: tuple[int, ...]) -> Process:
    """Shut the queue down at once if who was to do it was killed; tell how far its ends are at last."""
    if (yield join(shutter)):
        yield from fk_queue_shutdown(me, PLAIN, True)
    for p in others:
        yield join(p)
    yield from lock_end(me, PLAIN, "tail", FORCE)
    yield from lock_end(me, PLAIN, "head", FORCE)
    head = yield from peek_seq("head")
    return head, (yield from peek_seq("tail"))
