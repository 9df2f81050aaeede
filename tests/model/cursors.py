"""native/core/queue.c: two cursors and a version: a change commits with one store, a look sees one change.

Words of an end: ``lock``, ``version``, and of its cursors ``seq0``, ``at0`` (segment and position in one),
``seq1``, ``at1``. A sound cursor has at = 10 * seq.
"""

from __future__ import annotations

from typing import Any

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.steps import FORCE, load, loads, lock, store, unlock

MEMORY: dict[str, Any] = {"lock": 0, "version": 0, "seq0": 0, "at0": 0, "seq1": -1, "at1": -1}


@follows("queue.c", "load e->version", "load c->seq", "load c->seg", "load c->pos")
def read_cursor() -> Process:
    """Under the lock, where nobody writes: read in one step."""
    v, *seqs = yield loads("version", "seq0", "seq1", "at0", "at1")
    return seqs[v & 1], seqs[2 + (v & 1)]


@follows(
    "queue.c",
    "load e->version",
    "store c->seq",
    "store c->seg",
    "store c->pos",
    "point queue.cursor",
    "store e->version",
)
def write_cursor(p: tuple[int, int]) -> Process:
    v = (yield load("version")) + 1
    yield store(f"seq{v & 1}", p[0])
    yield store(f"at{v & 1}", p[1])
    yield store("version", v)


@follows("queue.c", "load e->version", "load e->cursor[v & 1].seq", "load e->version")
def peek_seq() -> Process:
    while True:
        v = seq = None
        v = yield load("version")
        seq = yield load(f"seq{v & 1}")
        if (yield load("version")) == v:
            return seq


def advance(me: int, rounds: int) -> Process:
    """Go on by one, as often; what was found each time."""
    found: tuple[Any, ...] = ()
    for _i in range(rounds):
        seq = at = None
        yield lock("lock", FORCE)
        seq, at = yield from read_cursor()
        found += ((seq, at),)
        yield from write_cursor((seq + 1, at + 10))
        yield unlock("lock")
    return found


def look(me: int, rounds: int) -> Process:
    """Look from outside, as often; what was seen each time."""
    seen: tuple[int, ...] = ()
    for _i in range(rounds):
        seen += ((yield from peek_seq()),)
    return seen
