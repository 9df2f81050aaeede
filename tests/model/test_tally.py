"""The joinable queue: what was taken is done or lost, is counted once, and `join` ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.model import queue, tally
from tests.model.automaton import Place, Process
from tests.model.kit import check, check_found, deep
from tests.model.queue import Queue
from tests.model.scenario import Scenario, View
from tests.model.steps import FORCE, TRY, load, lock, store, unlock
from tests.model.tally import JOINABLE

pytestmark = pytest.mark.limit(300)  # all of it is work: on a busy machine it takes its time


def how_far(place: Place) -> Any:
    """What a dead worker had taken and reported, and whether it died as it reported."""
    known = place.known
    reporting = place.where.startswith("fk_queue_done")
    return len(known.get("took", ())), len(known.get("reported", ())), reporting


def workers(n: int, items: int, deaths: int = 0, reaper_dies: bool = False) -> Scenario:
    """Workers, and one who waits until all is done. The first worker may die, or any of them; with
    `reaper_dies` so may one who reaps it.
    """
    working = tuple(range(1, n + 1))
    programs: list[Callable[[int], Process]] = [lambda me: tally.work(me, JOINABLE, TRY)] * n
    programs += [lambda me: tally.wait_for_all(me, JOINABLE, working)]
    if reaper_dies:
        programs += [lambda me: tally.reap_one(me, JOINABLE, 1)]

    def final(view: View) -> str | None:
        told = view.values[n + 1]
        _version, done, lost = view.memory["tally"]
        reported = sum(len(view.values[p][1]) for p in working if p in view.values)
        reported += sum(view.dead[p][1] for p in working if p in view.dead)
        perhaps = sum(view.dead[p][2] for p in working if p in view.dead)
        if done != items or lost:
            return f"done {done} of {items}, lost {lost}"
        if not reported + told <= items <= reported + told + perhaps:
            return f"{reported} were reported done and {told} lost, of {items}"
        return None

    return Scenario(
        tally.memory(JOINABLE, items, n + 2),
        programs,
        deaths=deaths,
        mortal=(1, n + 2) if reaper_dies else working,
        slices=deaths > 0,
        guarded=tally.guarded(JOINABLE, n + 2),
        final=final,
        remember=how_far,
    )


def test_join_ends_when_all_is_done() -> None:
    check(workers(1, 2))
    check(workers(2, 1))


def test_what_a_dead_worker_held_is_told_to_be_lost() -> None:
    check(workers(2, 1, deaths=1))


@deep
@pytest.mark.limit(1800)
def test_more_items_and_a_reaper_that_dies() -> None:
    check(workers(2, 2))
    check(workers(2, 2, deaths=1))
    check(workers(2, 1, deaths=2, reaper_dies=True))


# ---- the model can fail: planted faults ------------------------------------------------------------


def recover_nothing(me: int, q: Queue) -> Process:
    yield store("txn", 0)


def commit_without_a_claim(me: int, q: Queue, items: Any, at: tuple[int, int]) -> Process:
    taken = (yield load(f"h{me}.taken")) + len(items)
    yield from queue.write_cursor("head", at)
    yield store(f"h{me}.taken", taken)


@pytest.mark.parametrize(
    ("function", "fault"),
    [("head_recover", recover_nothing), ("commit_take", commit_without_a_claim)],
)
def test_an_item_that_a_death_makes_forgotten_is_found(
    function: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody counts it: `join` waits for ever."""
    monkeypatch.setattr(queue, function, fault)
    check(workers(1, 1))
    result = check_found(workers(2, 1, deaths=1), "no end can be reached")
    assert "KILLED" in "\n".join(result.trace)


def write_without_a_log(done: int, lost: int, hold: int, finished: int) -> Process:
    v = (yield load("tally"))[0] + 1
    yield store("tally", (v, done, lost))
    if hold:
        yield store(f"h{hold}.finished", finished)


def settle_nothing() -> Process:
    yield lock("done.lock", FORCE)
    yield store("log.version", 0)


@pytest.mark.parametrize(
    ("function", "fault"), [("write_tally", write_without_a_log), ("lock_done", settle_nothing)]
)
def test_an_item_that_is_counted_as_done_and_as_lost_is_found(
    function: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, function, fault)
    check(workers(1, 1))
    result = check_found(workers(2, 1, deaths=1), "")
    assert "KILLED" in "\n".join(result.trace)


def test_an_entry_that_is_not_settled_before_it_is_counted_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reaper counts what is in hand and does not wait for the head's lock first."""

    def give_back(me: int, q: Queue, hold: int) -> Process:
        yield from tally.lock_done()
        _v, done, lost = yield load("tally")
        taken = yield load(f"h{hold}.taken")
        in_hand = taken - (yield load(f"h{hold}.finished"))
        if in_hand:
            yield from tally.write_tally(done, lost + in_hand, hold, taken)
        yield unlock("done.lock")
        if in_hand:
            yield from tally.fk_ec_notify("done.ec", 1)

    monkeypatch.setattr(tally, "fk_queue_give_back", give_back)
    check_found(workers(2, 1, deaths=1), "no end can be reached")
