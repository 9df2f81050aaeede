"""native/core/cond.c: nodes that processes wait on, under a lock of the caller.

Node n is ``n<n>.owner``, ``n<n>.state``, ``n<n>.ticket``; the tickets are dealt from ``next``.
"""

from __future__ import annotations

from typing import Any

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.steps import (
    FORCE,
    INTR,
    OK,
    TIMEOUT,
    add,
    alive,
    cas,
    futex_wait,
    futex_wake,
    load,
    lock,
    store,
    swap,
    unlock,
)

NODE_FREE, WAITING, NOTIFIED = "FREE", "WAITING", "NOTIFIED"
NODES = 2
LAST = 99


def memory() -> dict[str, Any]:
    words: dict[str, Any] = {"lock": 0, "next": 0, "due": 0}
    for n in range(NODES):
        words |= {f"n{n}.owner": 0, f"n{n}.state": NODE_FREE, f"n{n}.ticket": 0}
    return words


@follows("cond.c", "load n->owner", "call fk_slot_alive", "point cond.found", "cas n->owner")
def claim(me: int, n: int) -> Process:
    owner = yield load(f"n{n}.owner")
    if owner and (yield alive(owner)):
        return False
    return (yield cas(f"n{n}.owner", owner, me)) == owner


@follows(
    "cond.c",
    "call each",
    "call fk_block_new",  # more nodes: not modelled
    "store n->owner",
    "load c->chunks",
    "store chunk->next",
    "cas c->chunks",
    "point cond.claimed",
    "store n->ticket",
    "add c->next_ticket",
    "store n->state",
)
def fk_cond_begin(me: int) -> Process:
    for n in range(NODES):
        if (yield from claim(me, n)):
            break
    ticket = yield add("next", 1)
    yield store(f"n{n}.ticket", ticket)
    yield store(f"n{n}.state", WAITING)
    return n


@follows("cond.c", "load n->state", "call fk_futex_wait", "load n->state")
def fk_cond_wait(n: int, how: str) -> Process:
    while (yield load(f"n{n}.state")) == WAITING:
        st = yield futex_wait(f"n{n}.state", WAITING, how)
        if st != OK:
            return OK if (yield load(f"n{n}.state")) == NOTIFIED else st
        st = None
    return OK


@follows("cond.c", "swap n->state", "store n->owner")
def fk_cond_end(n: int) -> Process:
    notified = (yield swap(f"n{n}.state", NODE_FREE)) == NOTIFIED
    yield store(f"n{n}.owner", 0)
    return notified


@follows(
    "cond.c",
    "load n->state",
    "load n->ticket",
    "call fk_slot_alive",
    "load n->owner",
    "load n->ticket",
)
def find_oldest(n: int, oldest: tuple[int, int]) -> Process:
    if (yield load(f"n{n}.state")) != WAITING or (yield load(f"n{n}.ticket")) >= oldest[0]:
        return oldest
    owner = yield load(f"n{n}.owner")
    if not (yield alive(owner)):
        return oldest
    ticket = yield load(f"n{n}.ticket")
    return ticket, n


@follows("cond.c", "cas n->state", "point cond.notified", "call fk_futex_wake")
def notify_one(n: int) -> Process:
    if (yield cas(f"n{n}.state", WAITING, NOTIFIED)) != WAITING:
        return False
    yield futex_wake(f"n{n}.state", 1)
    return True


@follows("cond.c", "call each", "call each", "call notify_one")
def fk_cond_notify(n: int) -> Process:
    done = 0
    while done < n:
        oldest = (LAST, -1)
        for node in range(NODES):
            oldest = yield from find_oldest(node, oldest)
        if oldest[1] < 0:
            break
        if (yield from notify_one(oldest[1])):
            done += 1
    return done


# ---- users of it: as with threading's Condition, about a count of things that are due --------------


def wait(me: int, how: str) -> Process:
    """Wait until something is due and take it."""
    yield lock("lock", FORCE)
    while (yield load("due")) == 0:
        n = yield from fk_cond_begin(me)
        yield unlock("lock")
        while (st := (yield from fk_cond_wait(n, how))) == INTR:
            st = None
        notified = yield from fk_cond_end(n)
        n = None
        yield lock("lock", FORCE)
        if st == TIMEOUT and not notified:
            break
        st = notified = None
    taken = (yield load("due")) > 0
    if taken:
        yield add("due", -1)
    yield unlock("lock")
    return taken


def notify(me: int, times: int) -> Process:
    """Let one more thing be due, and tell one waiter, as often."""
    for _i in range(times):
        yield lock("lock", FORCE)
        yield add("due", 1)
        yield from fk_cond_notify(1)
        yield unlock("lock")
