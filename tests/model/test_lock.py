"""The lock: one inside, nobody forgotten, whoever dies wherever."""

from __future__ import annotations

import pytest

from tests.model import lock
from tests.model.automaton import Place, Process
from tests.model.kit import check, check_found, deep, one_inside
from tests.model.lock import CONTENDED, FREE
from tests.model.scenario import Scenario
from tests.model.steps import (
    AGAIN,
    INTR,
    NEVER,
    OK,
    TIMED,
    TRY,
    futex_wait,
    futex_wake,
    load,
    pause,
    store,
)

pytestmark = pytest.mark.limit(300)  # all of it is work: on a busy machine it takes its time


def users(*hows: str, rounds: int = 1, deaths: int = 0, slices: bool = False) -> Scenario:
    return Scenario(
        {"word": FREE},
        [lambda me, how=how: lock.hold(me, "word", how, rounds) for how in hows],
        deaths=deaths,
        slices=slices,
        invariant=one_inside,
        remember=where_it_died,
    )


def where_it_died(place: Place) -> tuple[str, str]:
    """The function, and the step before which it was killed."""
    function = place.where.split(" > ")[-1]
    return function, str(place.step).split(" (")[0]


@pytest.mark.parametrize(
    "hows",
    [(NEVER,) * 2, (NEVER,) * 3, (NEVER, NEVER, TIMED), (NEVER, TIMED, TIMED), (NEVER, NEVER, TRY)],
    ids="-".join,
)
def test_without_a_death_no_wake_up_is_lost_and_no_slice_is_needed(hows: tuple[str, ...]) -> None:
    check(users(*hows))


def test_nor_is_it_when_they_come_again() -> None:
    check(users(NEVER, NEVER, rounds=3))


@pytest.mark.parametrize("deaths", [1, 2])
def test_the_living_go_on_wherever_the_others_die(deaths: int) -> None:
    check(users(NEVER, NEVER, NEVER, deaths=deaths, slices=True))
    check(users(NEVER, TIMED, NEVER, deaths=deaths, slices=True))


def test_a_slice_is_needed_only_where_one_dies_that_has_the_lock_or_a_wake_up() -> None:
    result = check_found(users(NEVER, NEVER, NEVER, deaths=1), "no end can be reached")
    assert all(view.dead for view in result.stuck)
    where = {place for view in result.stuck for place in view.dead.values()}
    assert where == {
        ("hold", "pause inside"),  # it held the lock
        ("fk_lock_release", "swap word"),
        ("fk_lock_release", "wake word"),  # it owed a wake-up
        ("fk_lock_wait", "load word"),  # it was woken, and did not come to act on it
        ("fk_lock_wait", "cas word"),
    }


@deep
@pytest.mark.limit(1800)
def test_four_processes() -> None:
    check(users(NEVER, NEVER, NEVER, NEVER))
    check(users(NEVER, NEVER, NEVER, rounds=2))
    check(users(NEVER, NEVER, NEVER, rounds=2, deaths=1, slices=True))
    check(users(NEVER, NEVER, NEVER, TIMED, deaths=2, slices=True))


# ---- the model can fail: planted faults ------------------------------------------------------------


def release_without_wake(word: str) -> Process:
    yield store(word, FREE)


def release_in_two_steps(word: str) -> Process:
    was = yield load(word)
    yield store(word, FREE)
    if was & CONTENDED:
        yield futex_wake(word, 1)


def wake_before_release(word: str) -> Process:
    was = yield load(word)
    if was & CONTENDED:
        yield futex_wake(word, 1)
    yield store(word, FREE)


@pytest.mark.parametrize(
    "release", [release_without_wake, release_in_two_steps, wake_before_release]
)
def test_a_lost_wake_up_is_found(release: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fk_lock_release", release)
    result = check_found(users(NEVER, NEVER, rounds=2), "no end can be reached; asleep: ")
    assert "sleeps" in "\n".join(result.trace)


def wait_untold(me: int, word: str, how: str) -> Process:
    """Sleep first, and say so afterwards."""
    while True:
        v = None
        v = yield load(word)
        if v == FREE:
            if (yield lock.cas(word, FREE, me | CONTENDED)) == FREE:
                return OK
            continue
        st = yield futex_wait(word, v, how)
        if st != OK:
            return st
        yield lock.cas(word, v, v | CONTENDED)


def wait_and_take_quietly(me: int, word: str, how: str) -> Process:
    """Forget, on taking the lock after a sleep, that there may be other sleepers."""
    while True:
        v = None
        v = yield load(word)
        if v == FREE:
            if (yield lock.cas(word, FREE, me)) == FREE:
                return OK
            continue
        if not v & CONTENDED and (yield lock.cas(word, v, v | CONTENDED)) != v:
            continue
        st = yield futex_wait(word, v | CONTENDED, how)
        if st != OK:
            return st


@pytest.mark.parametrize("wait", [wait_untold, wait_and_take_quietly])
def test_a_sleeper_that_nobody_knows_of_is_found(
    wait: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fk_lock_wait", wait)
    check_found(users(NEVER, NEVER, NEVER), "no end can be reached; asleep: ")


def take_over_by_store(me: int, word: str) -> Process:
    v = yield load(word)
    if v == FREE or (yield lock.alive(v & lock.OWNER)):
        return AGAIN
    yield store(word, me | (v & CONTENDED))
    return OK


def take_over_from_the_living(me: int, word: str) -> Process:
    v = yield load(word)
    return OK if (yield lock.cas(word, v, me | (v & CONTENDED))) == v else AGAIN


@pytest.mark.parametrize("take_over", [take_over_by_store, take_over_from_the_living])
def test_two_that_take_over_at_once_are_found(
    take_over: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fk_lock_take_over", take_over)
    result = check_found(users(NEVER, NEVER, NEVER, deaths=1, slices=True), "2 are inside at once")
    assert "KILLED" in "\n".join(result.trace)


def wait_without_a_look(me: int, word: str, how: str) -> Process:
    """Never look whether the owner lives."""
    while True:
        v = None
        v = yield load(word)
        if v == FREE:
            if (yield lock.cas(word, FREE, me | CONTENDED)) == FREE:
                return OK
            continue
        if not v & CONTENDED and (yield lock.cas(word, v, v | CONTENDED)) != v:
            continue
        if (yield futex_wait(word, v | CONTENDED, how)) == INTR:
            yield pause("interrupted")


def test_a_dead_owner_that_nobody_looks_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fk_lock_wait", wait_without_a_look)
    check_found(users(NEVER, NEVER, deaths=1, slices=True), "no end can be reached")
