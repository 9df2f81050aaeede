"""What a pool decides: no process, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from forkful.pool.state import (
    EXCEPTION,
    NO_RETRY,
    ChunkSizer,
    Retry,
    Roster,
    Task,
    WorkerRecord,
    describe_call,
    plan_loss,
    retrying,
)


class NoJob:
    """Stands for a job: the decisions ask nothing of it."""


def task(n: int | None = None, *, answered: int = 0, deaths: int = 0) -> Task:
    """A task; a batch of `n` items of which some have been answered."""
    made: Any = Task(NoJob(), 1, b"")  # type: ignore[arg-type]
    if n is not None:
        made.items = [(i, i) for i in range(n)]
    made.next = answered
    made.deaths = deaths
    return made  # type: ignore[no-any-return]


def worker(roster: Roster) -> WorkerRecord:
    number, place = roster.place()
    roster.workers[number] = WorkerRecord(number, place, None, 0.0)
    return roster.workers[number]


# ---- Retry -------------------------------------------------------------------------------------


def test_without_retries_there_is_no_next_attempt() -> None:
    assert Retry().delay(1, ValueError()) is None


def test_each_retry_is_one_more_attempt() -> None:
    retry = Retry(2)
    assert [retry.delay(n, ValueError()) for n in (1, 2, 3)] == [0.0, 0.0, None]


def test_only_errors_of_the_chosen_classes_are_tried_again() -> None:
    retry = Retry(9, (OSError, KeyError))
    assert retry.delay(1, FileNotFoundError()) == 0.0
    assert retry.delay(1, KeyError()) == 0.0
    assert retry.delay(1, ValueError()) is None
    assert Retry(9).delay(1, KeyboardInterrupt()) is None


def test_the_delay_doubles_up_to_a_minute() -> None:
    retry = Retry(4, backoff=0.5)
    assert [retry.delay(n, ValueError()) for n in range(1, 6)] == [0.5, 1.0, 2.0, 4.0, None]
    patient = Retry(10**6, backoff=20)
    assert [patient.delay(n, ValueError()) for n in (1, 2, 3, 10**6)] == [20, 40, 60, 60]
    assert Retry(9, backoff=100).delay(2, ValueError()) == 100


def test_by_luck_the_delay_is_up_to_a_quarter_longer() -> None:
    retry = Retry(4, backoff=8)
    assert [retry.delay(1, ValueError(), luck) for luck in (0, 0.5, 1)] == [8, 9, 10]


def test_the_arguments_for_retries_are_checked() -> None:
    assert retrying(0, EXCEPTION, 0.0) is NO_RETRY
    assert retrying(2, OSError, 0.5) == Retry(2, (OSError,), 0.5)
    assert retrying(2, (OSError, KeyError), 0) == Retry(2, (OSError, KeyError), 0)
    for bad in ("OSError", [OSError], int, (OSError, 3)):
        with pytest.raises(TypeError, match="retry_on"):
            retrying(1, bad, 0)  # type: ignore[arg-type]
    for retries, backoff in ((-1, 0), (1, -0.5)):
        with pytest.raises(ValueError, match="negative"):
            retrying(retries, EXCEPTION, backoff)


# ---- plan_loss ---------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
def test_a_single_task_is_to_blame(begun: bool) -> None:
    plan = plan_loss(task(), begun)
    assert (plan.blame, plan.item, plan.again, plan.alone) == (True, None, [], [])


@pytest.mark.parametrize("begun", [False, True])
def test_a_batch_that_was_answered_has_lost_nothing(begun: bool) -> None:
    plan = plan_loss(task(5, answered=5), begun)
    assert (plan.blame, plan.again, plan.alone) == (False, [], [])


def test_the_item_that_was_begun_is_to_blame_and_the_rest_goes_back() -> None:
    plan = plan_loss(task(5, answered=2), True)
    assert (plan.blame, plan.item, plan.again, plan.alone) == (True, 2, [3, 4], [])


def test_a_death_between_two_items_blames_none() -> None:
    plan = plan_loss(task(5, answered=2), False)
    assert (plan.blame, plan.again, plan.alone) == (False, [2, 3, 4], [])


def test_a_death_before_the_first_item_sends_each_alone() -> None:
    """Reading the batch may be what killed: the items are told apart."""
    plan = plan_loss(task(3), False)
    assert (plan.blame, plan.again, plan.alone) == (False, [], [0, 1, 2])


def test_an_item_alone_gets_a_second_chance_and_no_third() -> None:
    first = plan_loss(task(1), False)
    assert (first.blame, first.alone) == (False, [0])
    second = plan_loss(task(1, deaths=1), False)
    assert (second.blame, second.item, second.again, second.alone) == (True, 0, [], [])


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("deaths", [0, 1])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_each_unanswered_item_is_in_exactly_one_place(n: int, deaths: int, begun: bool) -> None:
    for answered in range(n + 1):
        plan = plan_loss(task(n, answered=answered, deaths=deaths), begun)
        blamed = [plan.item] if plan.blame else []
        assert sorted(blamed + plan.again + plan.alone) == list(range(answered, n))


# ---- Roster ------------------------------------------------------------------------------------


def test_a_roster_fills_up() -> None:
    roster = Roster(3)
    assert roster.missing() == 3
    workers = [worker(roster) for _ in range(3)]
    assert roster.missing() == 0
    assert len({w.number for w in workers}) == 3
    assert len({w.place for w in workers}) == 3
    assert all(0 <= w.place < roster.places for w in workers)


def test_a_dead_worker_is_missing_and_its_place_free() -> None:
    roster = Roster(2)
    a, _ = worker(roster), worker(roster)
    roster.ready(a.number)
    assert roster.ended(a)
    assert (roster.missing(), roster.died, roster.retired) == (1, 1, 0)
    successor = worker(roster)
    assert successor.number != a.number
    assert roster.missing() == 0


def test_a_retiring_worker_and_its_successor_overlap() -> None:
    roster = Roster(2)
    a, b = worker(roster), worker(roster)
    a.retired = b.retired = True
    assert roster.missing() == 2
    places = {a.place, b.place, worker(roster).place, worker(roster).place}
    assert len(places) == 4
    assert roster.missing() == 0
    assert roster.ended(a)
    assert (roster.died, roster.retired) == (0, 1)


def test_no_place_is_given_twice_at_a_time() -> None:
    roster = Roster(2)
    for w in [worker(roster), worker(roster)]:
        w.retired = True
    for w in [worker(roster), worker(roster)]:
        w.retired = True
    assert roster.missing() == 0  # until one of those that retire has ended
    roster.ended(next(iter(roster.workers.values())))
    assert roster.missing() == 1


def test_deaths_at_the_start_are_given_up_on() -> None:
    roster = Roster(2)
    assert [roster.ended(worker(roster)) for _ in range(3)] == [True, True, False]


def test_a_large_pool_has_as_many_attempts_as_workers() -> None:
    roster = Roster(5)
    assert [roster.ended(worker(roster)) for _ in range(5)] == [True] * 4 + [False]


def test_one_that_becomes_ready_ends_the_doubt() -> None:
    roster = Roster(2)
    for _ in range(2):
        roster.ended(worker(roster))
    good = worker(roster)
    roster.ready(good.number)
    assert good.ready
    assert [roster.ended(worker(roster)) for _ in range(3)] == [True, True, False]


def test_deaths_of_ready_workers_are_never_given_up_on() -> None:
    roster = Roster(1)
    for _ in range(20):
        w = worker(roster)
        roster.ready(w.number)
        assert roster.ended(w)
    assert roster.died == 20


def test_ready_from_a_worker_that_has_ended_is_harmless() -> None:
    roster = Roster(1)
    w = worker(roster)
    roster.ended(w)
    roster.ready(w.number)
    assert roster.workers == {}


# ---- ChunkSizer --------------------------------------------------------------------------------


def test_the_first_chunk_is_small() -> None:
    assert ChunkSizer(2, 0.005, 1000).chunk(10**6) == 1


def test_quick_inputs_make_chunks_grow_by_steps_up_to_the_most() -> None:
    sizer = ChunkSizer(2, 0.005, 1000)
    sizes = []
    for _ in range(7):
        sizer.took(sizer.size, sizer.size * 1e-9)
        sizes.append(sizer.size)
    assert sizes == [4, 16, 64, 256, 1000, 1000, 1000]


def test_chunks_take_as_long_as_wanted() -> None:
    sizer = ChunkSizer(2, 0.005, 1000)
    for _ in range(9):
        sizer.took(sizer.size, sizer.size * 0.0001)
    assert sizer.size == 50


def test_chunks_take_far_longer_than_it_takes_to_make_the_function() -> None:
    sizer = ChunkSizer(2, 0.005, 1000)
    for _ in range(9):
        sizer.took(sizer.size, sizer.size * 0.001, 0.02)
    assert sizer.size == 200
    sizer.took(1, 0.001)
    assert sizer.size == 5


def test_what_hinders_a_worker_once_is_not_taken_for_the_functions_price() -> None:
    sizer = ChunkSizer(2, 0.005, 1000)
    for _ in range(3):
        sizer.took(sizer.size, sizer.size * 0.001, 0.0001)
    for _ in range(9):
        sizer.took(sizer.size, sizer.size * 0.001, 0.3)
    assert sizer.size == 5


def test_slow_inputs_travel_alone_again_at_once() -> None:
    sizer = ChunkSizer(2, 0.005, 1000)
    for _ in range(9):
        sizer.took(sizer.size, 0.0)
    sizer.took(1, 10.0)
    assert sizer.size == 1


def test_towards_the_end_chunks_shrink() -> None:
    sizer = ChunkSizer(2, 0.005, 64)
    for _ in range(5):
        sizer.took(sizer.size, 0.0)
    assert [sizer.chunk(left) for left in (1000, 256, 100, 16, 4, 3, 1)] == [64, 64, 25, 4, 1, 1, 1]
    assert sizer.chunk(None) == 64


def test_chunks_are_never_empty_and_cover_all() -> None:
    sizer = ChunkSizer(3, 0.005, 16)
    left, chunks = 1000, 0
    while left:
        size = sizer.chunk(left)
        assert 1 <= size <= left
        left -= size
        chunks += 1
        sizer.took(size, size * 1e-5)
    assert chunks < 200


# ---- describe_call -----------------------------------------------------------------------------


class BadRepr:
    def __repr__(self) -> str:
        raise RuntimeError


def test_a_call_is_named() -> None:
    assert describe_call(len, ("abc",)) == "len('abc')"
    assert describe_call(describe_call, (1, 2)) == "describe_call(1, 2)"
    assert describe_call("f", ()) == "f()"


def test_naming_a_call_never_fails_and_is_never_long() -> None:
    assert describe_call(len, (BadRepr(),)) == "len(...)"
    assert len(describe_call(len, ("x" * 10**6,) * 100)) < 400
