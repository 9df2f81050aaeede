"""native/core/reap.c and the keeper of slot.c, as far as the reaping of one entry goes.

``slot<p>`` stands for a slot's keeper and state: 0: nobody keeps it; a process: that one does;
REAPED: the slot is free again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.model.automaton import Process
from tests.model.follows import follows
from tests.model.steps import alive, cas, load, store

REAPED = 99


def entries(processes: int) -> dict[str, Any]:
    """Each process's slot, and its hold entry: what it has taken, and the change under way."""
    words: dict[str, Any] = {}
    for p in range(1, processes + 1):
        words |= {f"h{p}.taken": 0, f"h{p}.pending": 0, f"h{p}.claim": 0, f"slot{p}": 0}
    return words


def of_entries(processes: int, *words: str) -> list[str]:
    """These words of each hold entry."""
    return [f"h{p}.{word}" for p in range(1, processes + 1) for word in words]


@follows("slot.c", "cas s->keeper", "call fk_slot_alive", "cas s->keeper")
def fk_slot_keep(me: int, slot: str) -> Process:
    who = yield cas(slot, 0, me)
    if who == 0:
        return True
    return who != REAPED and not (yield alive(who)) and (yield cas(slot, who, me)) == who


def fk_reap(me: int, dead: int, give_back: Callable[[int, int], Process]) -> Process:
    """Reap a process if it is dead; who is killed at that is replaced, and it is begun anew."""
    slot = f"slot{dead}"
    if (yield load(slot)) == REAPED or (yield alive(dead)):
        return
    if (yield from fk_slot_keep(me, slot)):
        yield from give_back(me, dead)
        yield store(slot, REAPED)
