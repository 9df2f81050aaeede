"""The event count and the semaphore: nobody sleeps beside a permit, and permits outlive their takers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.model import sema
from tests.model.automaton import Process
from tests.model.kit import check, check_found, deep, one_inside, passer_by
from tests.model.reap import REAPED
from tests.model.scenario import Scenario, View
from tests.model.steps import (
    AGAIN,
    EVERYBODY,
    FORCE,
    NEVER,
    OK,
    TIMED,
    add,
    cas,
    futex_wait,
    futex_wake,
    join,
    load,
    lock,
    or_,
    store,
    swap,
    unlock,
)

pytestmark = pytest.mark.limit(300)  # all of it is work: on a busy machine it takes its time


Program = Callable[[int], Process]


def signals(*programs: Program, entries: int = 0) -> Scenario:
    """A semaphore without permits, for who waits and who gives."""
    return Scenario(sema.memory(0, entries), list(programs), guarded=sema.guarded(entries))


def waits(how: str = NEVER) -> Program:
    return lambda me: sema.wait_for_signal(me, how)


def gives(n: int) -> Program:
    return lambda me: sema.signal(me, n)


def passes_on(how: str) -> Program:
    return lambda me: sema.pass_on(me, how)


def within(how: str) -> Program:
    return lambda me: sema.within(me, how, EVERYBODY)


def permits(n: int, users: int, deaths: int = 0, borrowers: int = 0) -> Scenario:
    """Users of a semaphore of n permits, by `with`, and some without entries, who live; the last process
    reaps them and counts."""

    def count(me: int) -> Process:
        for p in range(1, users + borrowers + 1):
            killed = yield join(p)
            while killed and (yield load(f"slot{p}")) != REAPED:
                yield from sema.fk_reap(me, p, sema.give_back(n))
        return (yield load("s.state"))[1]

    def use(me: int) -> Process:
        others = tuple(p for p in range(1, users + 1) if p != me) if deaths else ()
        return sema.within(me, NEVER, n, others)

    def borrow(me: int) -> Process:
        return sema.borrow(me, n)

    def final(view: View) -> str | None:
        there = view.values[users + borrowers + 1]
        return None if there == n else f"of {n} permits there are {there}"

    return Scenario(
        sema.memory(n, users + borrowers + 1),
        [use] * users + [borrow] * borrowers + [count],
        deaths=deaths,
        mortal=tuple(range(1, users + 1)),
        slices=deaths > 0,
        guarded=sema.guarded(users + borrowers + 1),
        invariant=one_inside if n == 1 else None,
        final=final,
    )


def test_no_wake_up_is_lost() -> None:
    check(signals(waits(), gives(1)))
    check(signals(waits(), waits(), gives(2)))
    check(signals(waits(), waits(TIMED), gives(2)))


def test_a_wake_up_is_passed_on_by_who_gives_up() -> None:
    programs = within(TIMED), waits(), gives(1), lambda me: passer_by("s.lock")
    check(signals(*programs, entries=1))
    check(signals(passes_on(TIMED), waits(), gives(1)))


def test_one_is_inside_and_permits_are_exact() -> None:
    check(permits(1, 2))
    check(permits(1, 3))
    check(permits(2, 3))
    check(permits(1, 1, borrowers=1))
    check(permits(1, 2, borrowers=1))
    check(permits(2, 1, borrowers=2))


def test_permits_are_exact_wherever_one_dies() -> None:
    check(permits(1, 2, deaths=1))
    check(permits(1, 1, deaths=1, borrowers=1))
    check(permits(2, 1, deaths=1, borrowers=1))


@deep
@pytest.mark.limit(1800)
def test_more_processes_and_more_deaths() -> None:
    check(signals(waits(), waits(), gives(1), gives(1)))
    check(signals(passes_on(TIMED), waits(), waits(), gives(2)))
    check(permits(1, 2, deaths=2))
    check(permits(2, 1, deaths=1, borrowers=2))


# ---- the model can fail: planted faults ------------------------------------------------------------


def wake_first(hold: int, most: int) -> Process:
    yield from sema.fk_ec_notify("s.ec", 1)
    yield from sema.give_one(most)


def clear_and_wake(ec: str, n: int) -> Process:
    """Clear the bit in any case: the sleepers that are left are forgotten."""
    v = yield load(ec)
    yield swap(ec, (v & ~1) + 2)
    yield futex_wake(ec, n)


def wake_in_the_same_epoch(ec: str, n: int) -> Process:
    yield futex_wake(ec, n)


def prepare_untold(ec: str) -> Process:
    return (yield load(ec))


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("fk_sema_release", wake_first),
        ("fk_ec_wake", clear_and_wake),
        ("fk_ec_wake", wake_in_the_same_epoch),
        ("fk_ec_prepare", prepare_untold),
    ],
)
def test_a_lost_wake_up_is_found(
    function: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sema, function, fault)
    check_found(signals(waits(), waits(), gives(2)), "no end can be reached; asleep: ")


def acquire_without_a_second_look(hold: int, how: str) -> Process:
    while True:
        if (yield from sema.take_one()):
            return OK
        e = (yield or_("s.ec", 1)) | 1
        yield futex_wait("s.ec", e, how)


def test_a_sleeper_that_does_not_look_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sema, "fk_sema_acquire", acquire_without_a_second_look)
    check_found(signals(waits(), gives(1)), "no end can be reached; asleep: A")


def test_a_wake_up_that_is_not_passed_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the core did until the model found it."""

    def take_for(hold: int, how: str) -> Process:
        st = yield from sema.lock_sema(how)
        if st != OK:
            return st
        taken = yield load(f"h{hold}.taken")
        got = yield from sema.change(hold, EVERYBODY, False, 1, taken + 1)
        taken = None
        yield unlock("s.lock")
        return OK if got else AGAIN

    monkeypatch.setattr(sema, "take_for", take_for)
    programs = within(TIMED), waits(), gives(1), lambda me: passer_by("s.lock")
    result = check_found(signals(*programs, entries=1), "no end can be reached; asleep: B")
    assert "wakes A" in "\n".join(result.trace)


def change_without_a_claim(hold: int, most: int, give: bool, n: int, taken: int) -> Process:
    ticket, value = yield load("s.state")
    yield store("s.state", (ticket + 1, value + (n if give else -n)))
    yield store(f"h{hold}.taken", taken)
    return n


def change_entry_first(hold: int, most: int, give: bool, n: int, taken: int) -> Process:
    yield store(f"h{hold}.taken", taken)
    ticket, value = yield load("s.state")
    yield store("s.state", (ticket + 1, value + (n if give else -n)))
    return n


def claim_after_the_commit(hold: int, most: int, give: bool, n: int, taken: int) -> Process:
    ticket, value = yield load("s.state")
    yield store("s.state", (ticket + 1, value + (n if give else -n)))
    yield store(f"h{hold}.pending", taken)
    yield store("s.txn", hold)
    yield store(f"h{hold}.claim", ticket + 1)
    yield store(f"h{hold}.taken", taken)
    yield store(f"h{hold}.claim", 0)
    yield store("s.txn", 0)
    return n


@pytest.mark.parametrize(
    "change", [change_without_a_claim, change_entry_first, claim_after_the_commit]
)
def test_a_permit_that_a_death_loses_or_doubles_is_found(
    change: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sema, "change", change)
    check(permits(1, 1))
    result = check_found(permits(1, 1, deaths=1), "of 1 permits there are ")
    assert "KILLED" in "\n".join(result.trace)


def change_by_a_store(hold: int, most: int, give: bool, n: int, taken: int) -> Process:
    """The commit of when all changes were made under the lock."""
    state = yield load("s.state")
    n = sema.possible(state, most, give, n)
    if n:
        yield store(f"h{hold}.pending", taken)
        yield store("s.txn", hold)
        yield store(f"h{hold}.claim", state[0] + 1)
        yield store("s.state", (state[0] + 1, state[1] + (n if give else -n)))
        state = None
        yield store(f"h{hold}.taken", taken)
        yield store(f"h{hold}.claim", 0)
        yield store("s.txn", 0)
    return n


def test_a_commit_that_does_not_see_those_without_an_entry_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sema, "change", change_by_a_store)
    check(permits(1, 2))
    check_found(permits(2, 1, borrowers=1), "of 2 permits there are ")


def test_a_step_without_an_entry_that_takes_a_ticket_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who recovers would think that the dead has not committed."""

    def take_one() -> Process:
        state = yield load("s.state")
        while state[1] > 0:
            was = yield cas("s.state", state, (state[0] + 1, state[1] - 1))
            if was == state:
                return True
            state = was
        return False

    monkeypatch.setattr(sema, "take_one", take_one)
    check(permits(2, 1, borrowers=1))
    check_found(permits(2, 1, deaths=1, borrowers=1), "of 2 permits there are ")


def test_a_recovery_that_is_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def recover() -> Process:
        yield store("s.txn", 0)

    monkeypatch.setattr(sema, "recover", recover)
    check_found(permits(1, 1, deaths=1), "of 1 permits there are ")


def test_permits_given_back_in_two_steps_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reaper that dies in between gives them twice."""

    def give_back(hold: int, most: int) -> Process:
        if (yield lock("s.lock", FORCE)) != OK:
            yield from sema.recover()
        n = yield load(f"h{hold}.taken")
        if n:
            yield from sema.give_one(EVERYBODY)
            yield store(f"h{hold}.taken", 0)
        yield unlock("s.lock")
        yield from sema.fk_ec_notify("s.ec", EVERYBODY)

    monkeypatch.setattr(sema, "fk_sema_give_back", give_back)
    # The second user reaps the first, who died inside, and dies at it. The permit comes twice.
    check_found(permits(2, 2, deaths=2), "of 2 permits there are 3")


def test_a_lock_that_is_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def lock_sema(how: str) -> Process:
        yield add("s.lock", 0)
        return OK

    monkeypatch.setattr(sema, "lock_sema", lock_sema)
    check_found(permits(1, 2), "does not hold the lock")
