"""A family that waits as a whole for ever is told so, in a thread of it that waits."""

from __future__ import annotations

import multiprocessing
import random
import re
from typing import Any

from tests.deadlock import stuck
from tests.deadlock.programs import check_silent, end, start

METHODS = multiprocessing.get_all_start_methods()


def run(name: str) -> Any:
    return end(start(stuck, name))


def run_each_way(name: str) -> list[Any]:
    """At the same time by each start method: each takes some seconds, and sleeps in them."""
    programs = [start(stuck, name, method) for method in METHODS]
    return [end(program) for program in programs]


def test_a_consumer_without_producers_is_told_and_join_returns() -> None:
    for exitcode, kind, text in run_each_way("consumer"):
        assert (exitcode, kind) == (1, "DeadlockError")
        first, get, join, last = text.splitlines()
        assert first.startswith("deadlock: ")
        assert "all 2 processes" in first
        assert re.match(r"  \w+-1 \(pid \d+\): Queue.get at stuck.py:\d+, for \d+\.\d s", get)
        assert re.match(r"  MainProcess \(pid \d+\): Process.join at stuck.py:\d+, for ", join)
        assert "shutdown()" in last
        assert "FORKFUL_DEADLOCK=off" in last


def test_each_of_several_consumers_is_told() -> None:
    assert run("consumers") == [[1, "DeadlockError"]] * 3


def test_each_wait_of_a_process_without_others_is_told() -> None:
    operations = {
        "alone": "Queue.get",
        "simple_queue": "Queue.get",
        "full": "Queue.put",
        "not_done": "Queue.join",
        "event": "Event.wait",
        "semaphore": "Semaphore.acquire",
        "lock": "Lock.acquire",
        "lock_seen_awake": "Lock.acquire",
        "condition": "Condition.wait",
    }
    programs = {name: start(stuck, name) for name in operations}
    texts = {name: end(program) for name, program in programs.items()}
    for name, operation in operations.items():
        its_own = name.startswith("lock")
        why = "a lock that it holds itself" if its_own else "has only this process"
        assert why in texts[name]
        expected = rf"\n  MainProcess \(pid \d+\): {operation} at stuck.py:\d+"
        assert re.search(expected, texts[name]), texts[name]


def test_of_two_with_crossed_locks_one_is_told_and_the_other_goes_on() -> None:
    for well, told, (one, other) in run_each_way("crossed"):
        assert well == [0, "NoneType", "None"]
        assert told[:2] == [1, "DeadlockError"]
        taken = r"\(taken at stuck.py:\d+ in \w+\)"
        at = rf"Lock.acquire at stuck.py:\d+, held by \S+ \(pid ({one}|{other})\) {taken}"
        assert re.search(" " + at, told[2])
        assert re.search(" R" + at, told[2])


def test_a_barrier_that_one_party_never_reaches_breaks() -> None:
    for ends in run_each_way("barrier"):
        assert ends == ["BrokenBarrierError", "DeadlockError"]


def test_what_the_told_one_frees_lets_the_next_go_on() -> None:
    waiter_raised, what, getter_raised = run("frees")
    assert waiter_raised
    assert what == "freed" or getter_raised < waiter_raised


def test_the_lock_of_one_that_died_of_it_is_orphaned_as_any_other() -> None:
    assert run("raiser_dies") == [1, "DeadlockError", "LockOwnerDied"]


def test_idle_workers_do_not_hide_that_their_parent_waits_for_ever() -> None:
    for before, text, after in run_each_way("pool_idle"):
        assert before == after == [0, 1, 2]
        assert "MainProcess" in text
        assert text.count("an idle pool worker") == 2
        assert "all 3 processes" in text


def test_a_task_that_waits_for_ever_fails_with_it_and_the_pool_goes_on() -> None:
    for text, after in run_each_way("pool_task"):
        assert re.search(r"PoolWorker-\d \(pid \d+\): Queue.get at stuck.py:\d+", text), text
        assert re.search(r"MainProcess \(pid \d+\): Pool results at stuck.py:\d+", text), text
        assert after == [5, 6]


def test_a_pools_own_threads_do_not_hide_that_a_task_waits_for_ever() -> None:
    for text, also, told, went_on in run_each_way("pool_async"):
        for one in (text, also):
            assert re.search(r"PoolWorker-\d \(pid \d+\): Queue.get at stuck.py:\d+", one), one
            assert re.search(r"MainProcess \(pid \d+\): Pool results at stuck.py:\d+", one), one
            assert one.count(": a thread of a pool, for") == 2
        assert told == also
        assert went_on


def test_of_two_threads_of_a_process_one_is_told() -> None:
    told = run("threads")
    assert len(told) == 2
    assert any(text.count("MainProcess") == 2 for text in told)


def test_a_kill_during_the_search_leaves_the_rest_to_be_told(rand: random.Random) -> None:
    programs = [start(stuck, "killed", KILL_AFTER=str(rand.uniform(0.8, 4))) for _ in range(4)]
    for victim, other, killer in map(end, programs):
        assert victim in ([-9, "WorkerDied"], [1, "DeadlockError"])
        assert other == [1, "DeadlockError"]
        assert killer in (0, 1)  # 1: the victim had ended


def test_it_can_be_switched_off() -> None:
    check_silent(stuck, "consumer", 1)
