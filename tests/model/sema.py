"""native/core/sema.[ch]: the event count and the semaphore. ``state`` is (ticket, value)."""

from __future__ import annotations

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.reap import entries, fk_reap, of_entries
from tests.model.steps import (
    AGAIN,
    EVERYBODY,
    FORCE,
    INTR,
    NEVER,
    OK,
    OVERFLOW,
    OWNER_DIED,
    TIMEOUT,
    TRY,
    add,
    cas,
    futex_wait,
    futex_wake,
    load,
    loads,
    lock,
    or_,
    pause,
    store,
    unlock,
)

# ---- the event count: bit 0: somebody may sleep; above it the epoch ------------------------------


@follows("sema.h", "or ec->word")
def fk_ec_prepare(ec: str) -> Process:
    return (yield or_(ec, 1)) | 1


@follows("sema.h", "load ec->word", "call fk_ec_wake")
def fk_ec_notify(ec: str, n: int) -> Process:
    if (yield load(ec)) & 1:
        yield from fk_ec_wake(ec, n)


@follows(
    "sema.c",
    "add ec->word",
    "point ec.told",
    "call fk_futex_wake",
    "cas ec->word",
    "call fk_futex_wake",
)
def fk_ec_wake(ec: str, n: int) -> Process:
    v = (yield add(ec, 2)) + 2
    if not v & 1 or (yield futex_wake(ec, n)) >= n:
        return
    if (yield cas(ec, v, (v & ~1) + 2)) == v:
        yield futex_wake(ec, EVERYBODY)


# ---- the semaphore ---------------------------------------------------------------------------------


def memory(value: int, processes: int) -> dict[str, object]:
    """A semaphore of so many permits, and each process's hold entry."""
    own = {"s.lock": 0, "s.ec": 0, "s.state": (0, value), "s.txn": 0}
    return own | entries(processes)


def guarded(processes: int) -> dict[str, str]:
    """What nobody touches without the lock."""
    own = of_entries(processes, "pending", "claim", "taken")
    return dict.fromkeys(["s.txn", *own], "s.lock")


@follows(
    "sema.c",
    "load s->txn",
    "load hold->claim",
    "load s->state",
    "store hold->taken",
    "load hold->pending",
    "store hold->claim",
    "store s->txn",
)
def recover() -> Process:
    txn = yield load("s.txn")
    if txn:
        claim, pending = yield loads(f"h{txn}.claim", f"h{txn}.pending")
        if claim and claim == (yield load("s.state"))[0]:
            yield store(f"h{txn}.taken", pending)
        yield store(f"h{txn}.claim", 0)
    yield store("s.txn", 0)


@follows("sema.c", "call fk_lock_acquire", "call fk_lock_take_over", "call recover", name="lock")
def lock_sema(how: str) -> Process:
    st = yield lock("s.lock", NEVER if how == TRY else how)
    if st == OWNER_DIED:
        yield from recover()
        return OK
    return st


@follows("sema.c", "load s->state", "cas s->state")
def take_one() -> Process:
    state = yield load("s.state")
    while state[1] > 0:
        was = yield cas("s.state", state, (state[0], state[1] - 1))
        if was == state:
            return True
        state = was
    return False


@follows("sema.c", "load s->state", "cas s->state")
def give_one(most: int) -> Process:
    state = yield load("s.state")
    while state[1] < most:
        was = yield cas("s.state", state, (state[0], state[1] + 1))
        if was == state:
            return True
        state = was
    return False


def possible(state: tuple[int, int], most: int, give: bool, n: int) -> int:
    return min(n, most - state[1] if give else state[1])


@follows(
    "sema.c",
    "load s->state",
    "store hold->pending",
    "store s->txn",
    "store hold->claim",
    "point sema.claimed",
    "cas s->state",
    "point sema.committed",
    "store hold->taken",
    "store hold->claim",
    "point sema.settled",
    "store s->txn",
)
def change(hold: int, most: int, give: bool, n: int, taken: int) -> Process:
    state = yield load("s.state")
    n = possible(state, most, give, n)
    if not n:
        return 0
    ticket = state[0] + 1
    yield store(f"h{hold}.pending", taken)
    yield store("s.txn", hold)
    yield store(f"h{hold}.claim", ticket)
    while n := possible(state, most, give, n):
        was = yield cas("s.state", state, (ticket, state[1] + (n if give else -n)))
        if was == state:
            break
        state = was
    was = state = None
    if n:
        yield store(f"h{hold}.taken", taken)
    yield store(f"h{hold}.claim", 0)
    yield store("s.txn", 0)
    return n


@follows(
    "sema.c",
    "call lock",
    "call fk_ec_notify",
    "call change",
    "load hold->taken",
    "call fk_lock_release",
)
def take_for(hold: int, how: str) -> Process:
    st = yield from lock_sema(how)
    if st != OK:
        yield from fk_ec_notify("s.ec", 1)
        return st
    taken = yield load(f"h{hold}.taken")
    got = yield from change(hold, EVERYBODY, False, 1, taken + 1)
    taken = None
    yield unlock("s.lock")
    return OK if got else AGAIN


@follows(
    "sema.c",
    "call take_for",
    "call take_one",
    "call fk_ec_prepare",
    "call fk_sema_value",
    "call fk_futex_wait",
    "call take_one",
)
def fk_sema_acquire(hold: int, how: str) -> Process:
    while True:
        st = None
        if hold:
            st = yield from take_for(hold, how)
        else:
            st = OK if (yield from take_one()) else AGAIN
        if st != AGAIN or how == TRY:
            return st
        e = yield from fk_ec_prepare("s.ec")
        if (yield load("s.state"))[1] > 0:
            continue
        st = yield futex_wait("s.ec", e, how)
        if st == TIMEOUT and not hold and (yield from take_one()):
            return OK
        if st != OK:
            return st


@follows(
    "sema.c",
    "call fk_lock_force",
    "call recover",
    "load hold->taken",
    "call change",
    "call fk_lock_release",
)
def give_for(hold: int, most: int) -> Process:
    if (yield lock("s.lock", FORCE)) == OWNER_DIED:
        yield from recover()
    taken = yield load(f"h{hold}.taken")
    given = yield from change(hold, most, True, 1, max(taken - 1, 0))
    taken = None
    yield unlock("s.lock")
    return given


@follows("sema.c", "call give_for", "call give_one", "call fk_ec_notify")
def fk_sema_release(hold: int, most: int) -> Process:
    if not ((yield from give_for(hold, most)) if hold else (yield from give_one(most))):
        return OVERFLOW
    yield from fk_ec_notify("s.ec", 1)
    return OK


@follows(
    "sema.c",
    "call fk_lock_force",
    "call recover",
    "call change",
    "load hold->taken",
    "add s->returned",
    "call fk_lock_release",
    "call fk_ec_notify",
)
def fk_sema_give_back(hold: int, most: int) -> Process:
    if (yield lock("s.lock", FORCE)) == OWNER_DIED:
        yield from recover()
    n = yield load(f"h{hold}.taken")
    n = yield from change(hold, most, True, n, 0)
    yield unlock("s.lock")
    if n:
        yield from fk_ec_notify("s.ec", n)


# ---- users of it -------------------------------------------------------------------------------------


def give_back(most: int):  # type: ignore[no-untyped-def]
    """What the reaper does for a dead process's entry."""
    return lambda me, dead: fk_sema_give_back(dead, most)


def acquire(me: int, hold: int, how: str, most: int, others: tuple[int, ...]) -> Process:
    """As Python's face does: after an interrupted wait look for the dead, and wait again."""
    while (st := (yield from fk_sema_acquire(hold, how))) == INTR:
        st = None
        for other in others:
            yield from fk_reap(me, other, give_back(most))
    return st


def within(me: int, how: str, most: int, others: tuple[int, ...] = ()) -> Process:
    """``with semaphore``: take a permit, be inside, give it."""
    st = yield from acquire(me, me, how, most, others)
    if st == OK:
        yield pause("inside")
        yield from fk_sema_release(me, most)
    return st


def wait_for_signal(me: int, how: str) -> Process:
    """Take a permit that somebody else gives, and keep it."""
    return (yield from acquire(me, 0, how, EVERYBODY, ()))


def pass_on(me: int, how: str) -> Process:
    """Take a permit and give it to the next."""
    if (yield from acquire(me, 0, how, EVERYBODY, ())) == OK:
        yield from fk_sema_release(0, EVERYBODY)


def borrow(me: int, most: int) -> Process:
    """Take a permit that goes into no entry, and give it: beside those with one."""
    if (yield from fk_sema_acquire(0, NEVER)) == OK:
        yield pause("inside")
        yield from fk_sema_release(0, most)


def signal(me: int, n: int) -> Process:
    """Give n permits."""
    for _i in range(n):
        yield from fk_sema_release(0, EVERYBODY)
