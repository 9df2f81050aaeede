"""The explorer finds what is there to be found, and tells it shortly."""

from __future__ import annotations

import pytest

from tests.model.automaton import Process
from tests.model.explorer import explore
from tests.model.kit import check, check_found
from tests.model.scenario import Scenario, View
from tests.model.steps import (
    EVERYBODY,
    FORCE,
    NEVER,
    OK,
    TIMED,
    TIMEOUT,
    add,
    futex_wait,
    futex_wake,
    join,
    load,
    lock,
    pause,
    store,
    unlock,
)


def count_in_two_steps(me: int) -> Process:
    n = yield load("n")
    yield store("n", n + 1)


def count_in_one(me: int) -> Process:
    yield add("n", 1)


def sleep(me: int) -> Process:
    return (yield futex_wait("n", 0, NEVER))


def wake(me: int) -> Process:
    yield store("n", 1)
    return (yield futex_wake("n", EVERYBODY))


def two(program: object, deaths: int = 0) -> Scenario:
    def final(view: View) -> str | None:
        n = view.memory["n"]
        return None if n == 2 else f"counted {n}"

    return Scenario({"n": 0}, [program] * 2, deaths=deaths, final=final)  # type: ignore[list-item]


def test_a_lost_update_is_found_by_the_shortest_way() -> None:
    result = check_found(two(count_in_two_steps), "counted 1")
    assert len(result.trace) == 4
    assert "A  count_in_two_steps: load n   -> sees 0" in result.trace[0]


def test_what_is_one_step_is_not_interleaved() -> None:
    assert check(two(count_in_one)).states == 4


def test_a_death_comes_before_any_step() -> None:
    result = check_found(two(count_in_one, deaths=1), "counted 1")
    assert [line for line in result.trace if "KILLED before count_in_one: add n (1)" in line]
    assert explore(two(count_in_one, deaths=2)).fault in ("counted 0", "counted 1")


def test_a_sleeper_that_nobody_wakes_is_found_though_a_death_would_end_it() -> None:
    check_found(Scenario({"n": 0}, [sleep]), "no end can be reached; asleep: A")
    check_found(Scenario({"n": 0}, [sleep], deaths=1), "no end can be reached; asleep: A")


def test_a_sleep_begins_only_while_the_word_is_as_expected() -> None:
    check(Scenario({"n": 0}, [sleep, sleep, wake]))


def test_each_choice_of_sleepers_is_tried() -> None:
    def wake_one(me: int) -> Process:
        yield store("n", 1)
        yield futex_wake("n", 1)

    first = check_found(Scenario({"n": 0}, [sleep, sleep, wake_one]), "asleep: ")
    asleep = {frozenset(view.asleep) for view in first.stuck}
    assert asleep == {frozenset({1}), frozenset({2})}


def test_two_that_keep_each_other_running_are_found() -> None:
    def toss(me: int) -> Process:
        while (yield load("n")) != 2:
            yield store("n", me - 1)

    check_found(Scenario({"n": 0}, [toss, toss]), "no end can be reached; asleep: nobody")


def test_a_deadline_may_pass_at_any_moment_and_a_slice_ends_a_sleep() -> None:
    def sleep_a_while(me: int) -> Process:
        return (yield futex_wait("n", 0, TIMED))

    def seen(view: View) -> str | None:
        return f"ended with {view.values[1]}"

    check_found(Scenario({"n": 1}, [sleep_a_while], final=seen), f"ended with {TIMEOUT}")
    check(Scenario({"n": 0}, [sleep], slices=True))
    check(Scenario({"n": 0}, [sleep_a_while]))


def test_a_lock_keeps_others_out_and_goes_over_from_the_dead() -> None:
    def hold(me: int) -> Process:
        st = yield lock("lock", FORCE)
        n = yield load("n")
        yield store("n", n + 1)
        yield unlock("lock")
        return st

    def stroll(me: int) -> Process:
        yield pause("here")
        yield pause("there")

    def scenario(deaths: int, guarded: dict[str, str]) -> Scenario:
        def final(view: View) -> str | None:
            n = view.memory["n"]
            return None if 2 - len(view.dead) <= n <= 2 else f"counted {n}"

        programs = [hold, hold, stroll]
        memory = {"lock": 0, "n": 0}
        return Scenario(memory, programs, deaths=deaths, guarded=guarded, final=final)

    check(scenario(0, {}))
    check(scenario(2, {}))
    # Steps behind the lock need not be interleaved, but each of them may be the last.
    assert check(scenario(1, {"n": "lock"})).transitions < check(scenario(1, {})).transitions


def test_who_touches_guarded_memory_without_the_lock_is_found() -> None:
    scenario = Scenario({"lock": 0, "n": 0}, [count_in_one], guarded={"n": "lock"})
    check_found(scenario, "A does not hold the lock for: add n (1)")


def test_join_waits_for_the_end_and_tells_of_a_death() -> None:
    def wait(me: int) -> Process:
        return (yield join(1))

    def final(view: View) -> str | None:
        killed, told = bool(view.dead), view.values[2]
        return None if killed == told else f"killed: {killed}, told: {told}"

    check(Scenario({"n": 0}, [count_in_one, wait], deaths=1, mortal=(1,), final=final))


def test_a_program_that_hides_what_it_knows_is_refused() -> None:
    """What is on the stack between two steps is in no variable: two places would look like one."""

    def hide(me: int) -> Process:
        yield store("n", (yield load("n")) + (yield load("m")))

    with pytest.raises(AssertionError, match="keeps something that its variables do not say"):
        explore(Scenario({"n": 0, "m": 0}, [hide, lambda me: late(), lambda me: late()]))


def late() -> Process:
    yield add("n", 1)
    yield pause("then")
    yield add("m", 1)
    return OK
