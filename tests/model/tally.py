"""native/core/queue.c: what became of the items taken from a joinable queue, and of one that redelivers.

The log of the change of ``tally`` under way is ``log.version``, ``log.hold``, ``log.finished``.
"""

from __future__ import annotations

from typing import Any

from tests.model import hands, queue, table
from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.queue import Queue, drop_all, fk_queue_lock_head, left_of, peek_size
from tests.model.reap import fk_reap, of_entries
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
    TRY,
    alive,
    futex_wait,
    join,
    load,
    loads,
    lock,
    pause,
    store,
    unlock,
)

JOINABLE = Queue(joinable=True)
REDELIVERING = Queue(redeliver=True)


def memory(q: Queue, items: int, processes: int, puts: int = 0) -> dict[str, Any]:
    """A queue with so many items in it, and room for more."""
    words = queue.memory(items + puts, processes, tuple(range(items)))
    if q.redeliver:
        return words | table.memory()
    return words | {"done.lock": 0, "log.version": 0, "log.hold": 0, "log.finished": 0}


def guarded(q: Queue, processes: int) -> dict[str, str]:
    if q.redeliver:
        return queue.guarded(processes) | table.guarded()
    words = ["log.version", "log.hold", "log.finished", *of_entries(processes, "finished")]
    return queue.guarded(processes) | dict.fromkeys(words, "done.lock")


def read_tally() -> Process:
    """Done, and lost."""
    return (yield load("tally"))[1:]


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
    "call fk_hands_done",
    "call lock_done",
    "call read_tally",
    "call left_of",
    "load hold->finished",
    "load hold->taken",
    "call write_tally",
    "call fk_lock_release",
    "call fk_ec_notify",
)
def fk_queue_done(me: int, q: Queue) -> Process:
    if q.redeliver:
        return (yield from hands.fk_hands_done(me, q))
    hold = me
    yield from lock_done()
    done, lost = yield from read_tally()
    unfinished = yield from left_of(q, done)
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
    "call left_of",
    "call write_tally",
    "call fk_lock_release",
    "call fk_ec_notify",
    "call fk_futex_wait",
)
def fk_queue_join(me: int, q: Queue, how: str) -> Process:
    """What it ended with, and how many items were lost."""
    if (yield load("shut")) == 2 and (yield from peek_size()):  # who shut it down has died
        yield from fk_queue_lock_head(me, q)
        yield from drop_all(me, q)
        yield unlock("head.lock")
    if q.redeliver:
        return (yield from hands.fk_hands_join(me, q, how))
    while True:
        done = lost = unfinished = st = None
        e = yield from fk_ec_prepare("done.ec")
        if (yield from queue.fk_queue_unfinished(q)) == 0:
            return OK, 0
        yield from lock_done()
        done, lost = yield from read_tally()
        unfinished = yield from left_of(q, done)
        if 0 < unfinished <= lost:
            yield from write_tally(done + unfinished, 0, 0, 0)
        yield unlock("done.lock")
        if 0 < unfinished <= lost:
            yield from fk_ec_notify("done.ec", EVERYBODY)
            return OWNER_DIED, unfinished
        if unfinished == 0:
            return OK, 0
        if how == TRY:
            return AGAIN, 0
        done = lost = unfinished = None
        st = yield futex_wait("done.ec", e, how)
        if st != OK:
            return st, 0


@follows("queue.c", "call fk_lock_owner", "call fk_slot_alive")
def has_dead_owner(word: str) -> Process:
    owner = yield load(word)  # fk_lock_owner
    return owner and not (yield alive(owner))


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
def fk_queue_give_back(me: int, q: Queue, hold: int) -> Process:
    if (yield from has_dead_owner("tail.lock")):
        yield lock("tail.lock", FORCE)
        yield unlock("tail.lock")
    if q.joinable or (yield from has_dead_owner("head.lock")):
        yield from fk_queue_lock_head(me, q)
        yield unlock("head.lock")
    if q.redeliver:
        yield from fk_ec_notify("head.ec", EVERYBODY)
        yield from fk_ec_notify("done.ec", EVERYBODY)
    if not q.joinable:
        return
    yield from lock_done()
    done, lost = yield from read_tally()
    taken = yield load(f"h{hold}.taken")
    in_hand = taken - (yield load(f"h{hold}.finished"))
    if in_hand:
        yield from write_tally(done, lost + in_hand, hold, taken)
    yield unlock("done.lock")
    if in_hand:
        yield from fk_ec_notify("done.ec", EVERYBODY)


# ---- users of it -------------------------------------------------------------------------------------


def reap(me: int, q: Queue, others: tuple[int, ...]) -> Process:
    """Reap those of them that were killed."""
    for p in others:
        yield from fk_reap(me, p, lambda me, dead: fk_queue_give_back(me, q, dead))


def reap_one(me: int, q: Queue, other: int) -> Process:
    """Reap another, if it was killed."""
    if (yield join(other)):
        yield from reap(me, q, (other,))


def work(me: int, q: Queue, how: str, others: tuple[int, ...] = ()) -> Process:
    """Take an item and report it done, until there is none; which were taken, and which reported.
    OVERFLOW: what it had taken counted as done by others.
    """
    took: tuple[Any, ...] = ()
    reported: tuple[Any, ...] = ()
    while True:
        items = None
        while (items := (yield from queue.fk_queue_take(me, q, 1, how))) == INTR:
            items = None
            yield from reap(me, q, others)
        if items in (AGAIN, SHUTDOWN):
            return took, reported
        took += items
        items = None
        yield pause("working")
        if (yield from fk_queue_done(me, q)) != OK:
            return took, OVERFLOW
        reported = took


def wait_for_all(me: int, q: Queue, workers: tuple[int, ...]) -> Process:
    """``queue.join()``, reaping between two looks; how many items were told to be lost."""
    while True:
        st, lost = yield from fk_queue_join(me, q, NEVER)
        if st != INTR:
            return lost
        yield from reap(me, q, workers)


def shut_down(me: int, q: Queue) -> Process:
    yield from queue.fk_queue_shutdown(me, q, True)


def wait_for_shutdown(me: int, q: Queue, others: tuple[int, ...], shutter: int) -> Process:
    """``queue.join()`` beside a shutdown, which is done again if who did it was killed; and once more when
    the others have ended. How many items were told to be lost.
    """
    told = yield from wait_for_all(me, q, others)
    if (yield join(shutter)):
        yield from queue.fk_queue_shutdown(me, q, True)
    for p in others:
        yield join(p)
    return told + (yield from wait_for_all(me, q, others))


def report(me: int, q: Queue, n: int) -> Process:
    """Report n items that others put and nobody took."""
    for _i in range(n):
        yield from fk_queue_done(me, q)
