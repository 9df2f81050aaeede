"""native/core/event.c. The word: bit 0: set; bit 1: somebody may sleep; above them the epoch."""

from __future__ import annotations

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.steps import (
    AGAIN,
    EVERYBODY,
    INTR,
    OK,
    TRY,
    and_,
    cas,
    futex_wait,
    futex_wake,
    load,
    pause,
)

SET, SLEEPERS, EPOCH = 1, 2, 4


@follows("event.c", "load e->word", "cas e->word", "point event.set", "call fk_futex_wake")
def fk_event_set() -> Process:
    v = yield load("word")
    while True:
        if v & SET:
            return
        seen = yield cas("word", v, ((v | SET) & ~SLEEPERS) + EPOCH)
        if seen == v:
            break
        v = seen
    if v & SLEEPERS:
        yield futex_wake("word", EVERYBODY)


@follows("event.c", "and e->word")
def fk_event_clear() -> Process:
    yield and_("word", ~SET)


@follows("event.c", "load e->word", "load e->word", "cas e->word", "call fk_futex_wait")
def fk_event_wait(epoch: int, how: str) -> Process:
    """What it ended with, and the epoch to call again with."""
    if epoch == 0:
        epoch = ((yield load("word")) & ~3) | 1
    while True:
        v = None
        v = yield load("word")
        if v & SET or (v & ~3) != (epoch & ~3):
            return OK, epoch
        if how == TRY:
            return AGAIN, epoch
        if not v & SLEEPERS and (yield cas("word", v, v | SLEEPERS)) != v:
            continue
        st = yield futex_wait("word", v | SLEEPERS, how)
        if st != OK:
            return st, epoch


def wait(me: int, how: str) -> Process:
    st, epoch = INTR, 0
    while st == INTR:
        st, epoch = yield from fk_event_wait(epoch, how)
    return st


def set_once(me: int) -> Process:
    yield from fk_event_set()


def pulse(me: int) -> Process:
    """Set, and clear at once: who slept before has to see that all the same."""
    yield pause("before")
    yield from fk_event_set()
    yield from fk_event_clear()
