"""native/core/lock.[ch], step for step. A word holds the owner's number, and CONTENDED."""

from __future__ import annotations

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.steps import (
    AGAIN,
    INTR,
    NEVER,
    OK,
    OWNER_DIED,
    TRY,
    alive,
    cas,
    futex_wait,
    futex_wake,
    load,
    pause,
    swap,
)

FREE = 0
CONTENDED = 64
OWNER = CONTENDED - 1


@follows("lock.h", "cas l->word")
def fk_lock_try(me: int, word: str) -> Process:
    return OK if (yield cas(word, FREE, me)) == FREE else AGAIN


@follows("lock.h", "call fk_lock_try", "call fk_lock_wait")
def fk_lock_acquire(me: int, word: str, how: str) -> Process:
    if (yield from fk_lock_try(me, word)) == OK:
        return OK
    return (yield from fk_lock_wait(me, word, how))


@follows(
    "lock.c",
    "load l->word",  # spins: this and the try are what an acquire begins with, only later
    "call fk_lock_try",
    "load l->word",
    "cas l->word",
    "call fk_slot_alive",
    "load l->word",
    "cas l->word",
    "call fk_futex_wait",
)
def fk_lock_wait(me: int, word: str, how: str) -> Process:
    while True:
        v = None
        v = yield load(word)
        if v == FREE:
            mine = me if how == TRY else me | CONTENDED
            if (yield cas(word, FREE, mine)) == FREE:
                return OK
            continue
        if not (yield alive(v & OWNER)):
            if (yield load(word)) == v:
                return OWNER_DIED
            continue
        if how == TRY:
            return AGAIN
        if not v & CONTENDED and (yield cas(word, v, v | CONTENDED)) != v:
            continue
        st = yield futex_wait(word, v | CONTENDED, how)
        if st != OK:
            return st


@follows("lock.c", "load l->word", "call fk_slot_alive", "cas l->word")
def fk_lock_take_over(me: int, word: str) -> Process:
    v = yield load(word)
    if v == FREE or (yield alive(v & OWNER)):
        return AGAIN
    return OK if (yield cas(word, v, me | (v & CONTENDED))) == v else AGAIN


@follows("lock.c", "call fk_lock_try", "call fk_lock_wait", "call fk_lock_take_over")
def fk_lock_force(me: int, word: str) -> Process:
    if (yield from fk_lock_try(me, word)) == OK:
        return OK
    while True:
        st = None
        st = yield from fk_lock_wait(me, word, NEVER)
        if st == OK:
            return OK
        if st == OWNER_DIED and (yield from fk_lock_take_over(me, word)) == OK:
            return OWNER_DIED


@follows("lock.h", "swap l->word", "point lock.released", "call fk_futex_wake")
def fk_lock_release(word: str) -> Process:
    was = yield swap(word, FREE)
    if was & CONTENDED:
        yield futex_wake(word, 1)
    return was != FREE


def hold(me: int, word: str, how: str = NEVER, rounds: int = 1) -> Process:
    """A user of the lock: acquire (a dead owner's: take it over), be inside, release."""
    for _round in range(rounds):
        while True:
            st = None
            st = yield from fk_lock_acquire(me, word, how)
            if st == OWNER_DIED:
                st = yield from fk_lock_take_over(me, word)
            elif st not in (AGAIN, INTR) or (st == AGAIN and how == TRY):
                break
            if st == OK:
                break
        if st == OK:
            yield pause("inside")
            yield from fk_lock_release(word)
    return st
