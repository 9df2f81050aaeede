"""The event word and the condition's nodes: who waits is told, also when others die or give up."""

from __future__ import annotations

import pytest

from tests.model import cond, event
from tests.model.automaton import Process
from tests.model.kit import check, check_found, deep
from tests.model.scenario import Scenario
from tests.model.steps import (
    AGAIN,
    EVERYBODY,
    NEVER,
    OK,
    TIMED,
    alive,
    cas,
    futex_wait,
    futex_wake,
    load,
    lock,
    store,
)

pytestmark = pytest.mark.limit(300)  # all of it is work: on a busy machine it takes its time


def event_of(*programs: object, deaths: int = 0) -> Scenario:
    return Scenario({"word": 0}, list(programs), deaths=deaths, mortal=(1, 2), slices=deaths > 0)  # type: ignore[arg-type]


def waits(me: int) -> Process:
    return event.wait(me, NEVER)


def waits_a_while(me: int) -> Process:
    return event.wait(me, TIMED)


def pulse(me: int) -> Process:
    """When somebody waits: set, and clear at once."""
    while not (yield load("word")) & event.SLEEPERS:
        pass
    yield from event.fk_event_set()
    yield from event.fk_event_clear()


def test_who_waits_for_an_event_sees_it_set() -> None:
    check(event_of(waits, waits, event.set_once, event.set_once))
    check(event_of(waits, waits_a_while, event.set_once))
    check(event_of(waits, waits, event.set_once, deaths=1))


def test_who_waits_sees_an_event_that_is_cleared_at_once() -> None:
    check(event_of(waits, pulse))


def wait_untold(epoch: int, how: str) -> Process:
    while not (yield load("word")) & event.SET:
        yield futex_wait("word", 0, how)
    return OK, epoch


def wait_without_an_epoch(epoch: int, how: str) -> Process:
    while True:
        v = None
        v = yield load("word")
        if v & event.SET:
            return OK, epoch
        if not v & event.SLEEPERS and (yield cas("word", v, v | event.SLEEPERS)) != v:
            continue
        yield futex_wait("word", v | event.SLEEPERS, how)


def set_in_two_steps() -> Process:
    v = yield load("word")
    yield store("word", ((v | event.SET) & ~event.SLEEPERS) + event.EPOCH)
    if v & event.SLEEPERS:
        yield futex_wake("word", EVERYBODY)


@pytest.mark.parametrize(
    ("function", "fault", "programs"),
    [
        ("fk_event_wait", wait_untold, (waits, event.set_once)),
        ("fk_event_wait", wait_without_an_epoch, (waits, pulse)),
        ("fk_event_set", set_in_two_steps, (waits, event.set_once)),
    ],
)
def test_an_event_that_is_missed_is_found(
    function: str, fault: object, programs: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(event_of(*programs))
    monkeypatch.setattr(event, function, fault)
    check_found(event_of(*programs), "no end can be reached; asleep: A")


# ---- the condition -----------------------------------------------------------------------------------


def condition(*hows: str, notices: int, deaths: int = 0) -> Scenario:
    """Waiters, each for one thing to be due, and one who lets so many be due and tells one each."""
    programs = [lambda me, how=how: cond.wait(me, how) for how in hows]
    programs.append(lambda me: cond.notify(me, notices))  # type: ignore[misc]
    return Scenario(
        cond.memory(),
        programs,  # type: ignore[arg-type]
        deaths=deaths,
        mortal=tuple(range(1, len(hows) + 1)),
        slices=deaths > 0,
    )


def test_each_notice_reaches_one_that_waits() -> None:
    check(condition(NEVER, NEVER, notices=2))


def test_a_notice_that_comes_as_the_waiter_gives_up_is_not_lost() -> None:
    check(condition(NEVER, TIMED, notices=2))


def test_notices_pass_over_the_dead() -> None:
    check(condition(NEVER, NEVER, notices=2, deaths=1))


@deep
@pytest.mark.limit(1800)
def test_more_who_wait() -> None:
    check(event_of(waits, waits, waits, event.set_once, event.set_once, deaths=2))
    check(condition(NEVER, TIMED, notices=2, deaths=1))


def notify_without_wake(n: int) -> Process:
    yield store(f"n{n}.state", cond.NOTIFIED)
    return True


def notify_the_dead_too(n: int, oldest: tuple[int, int]) -> Process:
    if (yield load(f"n{n}.state")) != cond.WAITING:
        return oldest
    ticket = yield load(f"n{n}.ticket")
    return min(oldest, (ticket, n))


def begin_after_the_lock(me: int, how: str) -> Process:
    """Become a waiter only when the lock is given up."""
    yield lock("lock", "FORCE")
    due = yield load("due")
    yield store("lock", 0)
    if not due:
        n = yield from cond.fk_cond_begin(me)
        yield from cond.fk_cond_wait(n, how)
        yield from cond.fk_cond_end(n)
    return True


@pytest.mark.parametrize(
    ("function", "fault", "deaths"),
    [
        ("notify_one", notify_without_wake, 0),
        ("find_oldest", notify_the_dead_too, 1),
        ("wait", begin_after_the_lock, 0),
    ],
)
def test_a_notice_that_is_missed_is_found(
    function: str, fault: object, deaths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cond, function, fault)
    scenario = condition(NEVER, NEVER, notices=2 - deaths, deaths=deaths)
    check_found(scenario, "no end can be reached")


def claim_by_store(me: int, n: int) -> Process:
    owner = yield load(f"n{n}.owner")
    if owner and (yield alive(owner)):
        return False
    yield store(f"n{n}.owner", me)
    return True


def test_a_node_that_two_claim_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the caller's lock only one begins at a time; but one ends at any time."""

    def begin_unlocked(me: int, how: str) -> Process:
        n = yield from cond.fk_cond_begin(me)
        mine = (yield load(f"n{n}.owner")) == me
        return OK if mine else AGAIN

    def two() -> Scenario:
        return Scenario(
            cond.memory(),
            [lambda me: begin_unlocked(me, NEVER)] * 2,
            final=lambda view: "two have one node" if AGAIN in view.values.values() else None,
        )

    check(two())
    monkeypatch.setattr(cond, "claim", claim_by_store)
    check_found(two(), "two have one node")
