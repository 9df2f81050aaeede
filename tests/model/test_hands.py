"""Redelivery: no item is lost or done by nobody, whoever dies where, and `join` and `get` end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.model import hands, queue, table, tally
from tests.model.automaton import Place, Process
from tests.model.kit import check, check_found, deep
from tests.model.scenario import Scenario, View
from tests.model.steps import NEVER, OK, load, loads, store, unlock
from tests.model.tally import REDELIVERING

pytestmark = pytest.mark.limit(300)  # all of it is work: on a busy machine it takes its time


def how_far(place: Place) -> Any:
    """What a dead worker had reported, and what it may have reported besides."""
    known = place.known
    reporting = place.where.startswith("fk_queue_done")
    return known.get("reported", ()), known["took"][-1:] if reporting else ()


def settled(memory: Any) -> int:
    """How many items whoever next takes the lock will find done: it counts anew if a dead worker was at it."""
    if memory["txn"] == 0:
        return int(memory["tally"][1])
    in_hand = sum(memory[f"p{i}.block"] is not None for i in table.PLACES)
    return int(memory["head.cursor"][0]) - in_hand


def workers(
    n: int, items: int, deaths: int = 0, joiner: bool = True, q: queue.Queue = REDELIVERING
) -> Scenario:
    """Workers, of which some die, but not the last, and one who joins."""
    working = tuple(range(1, n + 1))
    programs: list[Callable[[int], Process]] = [
        lambda me: tally.work(me, q, NEVER, tuple(p for p in working if p != me))
    ] * n
    if joiner:
        programs += [lambda me: tally.wait_for_all(me, q, working)]

    def final(view: View) -> str | None:
        surely = [i for p in working for i in view.values.get(p, ((), ()))[1]]
        perhaps = [i for reported, more in view.dead.values() for i in reported + more]
        told = view.values.get(n + 1, 0)
        missing = set(range(items)) - set(surely) - set(perhaps)
        left = {
            view.memory[f"p{i}.block"]: view.memory[f"p{i}.taker"][1]
            for i in table.PLACES
            if view.memory[f"p{i}.block"] is not None
        }
        if not joiner:  # whoever would join would be told of these, and forget them
            poison = {item for item, times in left.items() if times > table.TIMES}
            told, left = len(poison), {i: t for i, t in left.items() if i not in poison}
            if not missing <= poison:
                return f"missing {missing}, poison {poison}"
            missing = poison
        done = settled(view.memory) + (0 if joiner else told)
        if done != items or len(missing) != told:
            return f"done {done} of {items}, missing {missing}, told {told}"
        if len(set(surely)) != len(surely):
            return f"done twice: {surely}"
        if left:
            return "something is in hand yet"
        return None

    return Scenario(
        tally.memory(q, items, n + 1) | {"shut": 1},
        programs,
        deaths=deaths,
        mortal=working[:-1] or working,
        slices=deaths > 0,
        guarded=tally.guarded(q, n + 1),
        final=final,
        remember=how_far,
    )


def test_all_is_done_and_everybody_learns_of_it() -> None:
    check(workers(1, 2))
    check(workers(2, 1))


def test_what_a_dead_worker_held_is_given_to_another() -> None:
    check(workers(2, 1, deaths=1))


@deep
@pytest.mark.limit(1800)
def test_more_items_and_a_second_death_that_makes_an_item_poison() -> None:
    check(workers(2, 2, deaths=1, joiner=False))
    patient = queue.Queue(redeliver=True, patient=True)
    check(workers(3, 1, deaths=2, joiner=False, q=patient))


# ---- the model can fail: planted faults ------------------------------------------------------------


def settle_nothing(seq: int) -> Process:
    yield store("txn", 0)


def test_a_take_that_was_not_committed_and_stays_in_the_table_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "fk_hands_settle", settle_nothing)
    check(workers(1, 1))
    result = check_found(workers(2, 1, deaths=1), "")
    assert "KILLED" in "\n".join(result.trace)


def commit_first(me: int, item: Any, seq: int) -> Process:
    """The table is written after the head has moved: who dies in between takes the item along."""
    blocks = yield loads(*(f"p{i}.block" for i in table.PLACES))
    i = table.PLACES[blocks.index(None)]
    blocks = None
    yield from queue.write_cursor("head", (seq + 1, seq + 1))
    yield store(f"p{i}.taker", (me, 1))
    yield store(f"p{i}.seq", seq)
    yield store(f"p{i}.block", item)


def only_the_living(me: int) -> Process:
    others = False
    for i in table.PLACES:
        if (yield load(f"p{i}.block")) is None:
            continue
        if (yield load(f"p{i}.taker"))[0] == me:
            return False
        others = not (yield from table.is_orphan(me, i)) or others
    return others


def test_a_consumer_that_gives_up_beside_an_item_that_has_just_come_back_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The code as it first was: its taker dies between two looks."""
    monkeypatch.setattr(table, "fk_hands_others", only_the_living)
    check_found(workers(2, 1, deaths=1), "no end can be reached")


def test_an_item_that_is_recorded_too_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "fk_hands_begin", commit_first)
    check_found(workers(2, 1, deaths=1), "")


def tell_nobody(me: int, q: queue.Queue) -> Process:
    yield from queue.fk_queue_lock_head(me, q)
    words = yield loads(*(f"p{i}.block" for i in table.PLACES))
    i = next(i for i, block in zip(table.PLACES, words, strict=True) if block is not None)
    words = None
    seq, _at = yield from queue.read_cursor("head")
    yield from table.empty_hand(i, seq)
    yield unlock("head.lock")
    return OK


def test_a_done_that_wakes_nobody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands, "fk_hands_done", tell_nobody)
    check_found(workers(1, 1), "no end can be reached")
