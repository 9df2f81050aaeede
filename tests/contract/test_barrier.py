"""Barrier: rounds, actions, and what breaks it."""

from __future__ import annotations

import os
import signal
from threading import BrokenBarrierError
from typing import Any

import pytest

from tests.contract.children import LONG, blocked, kill, running, several, until, until_blocked


def wait_and_tell(barrier: Any, answers: Any, timeout: float | None = None) -> None:
    try:
        answers.put(barrier.wait(timeout))
    except BaseException as error:
        answers.put(type(error))


class Action:
    """Does what it is named for, in whichever process runs it."""

    def __init__(self, what: str, ran: Any) -> None:
        self.what = what
        self.ran = ran

    def __call__(self) -> None:
        self.ran.release()
        if self.what == "raise":
            raise KeyError("action")
        if self.what == "pause":
            signal.pause()
        if self.what == "die":
            os.kill(os.getpid(), signal.SIGKILL)


def until_waiting(barrier: Any, n: int) -> None:
    until(lambda: barrier.n_waiting == n)


def tell_all(barrier: Any, answers: Any) -> list[tuple[Any, ...]]:
    return [(wait_and_tell, barrier, answers)] * barrier.parties


# ---- as the standard library's -----------------------------------------------------------------------


def test_a_barrier_of_one_lets_pass(module: Any) -> None:
    barrier = module.Barrier(1)
    assert [barrier.wait() for _ in range(3)] == [0, 0, 0]
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (1, 0, False)


def test_each_party_gets_another_index(either: Any) -> None:
    barrier, answers = either.Barrier(3), either.SimpleQueue()
    with several(either, *tell_all(barrier, answers)):
        assert sorted(answers.get() for _ in range(3)) == [0, 1, 2]
    assert barrier.n_waiting == 0


def test_the_action_runs_once_a_round_before_anybody_goes_on(either: Any) -> None:
    ran, answers = either.Semaphore(0), either.SimpleQueue()
    barrier = either.Barrier(3, Action("count", ran))
    for _ in range(2):
        with several(either, *tell_all(barrier, answers)):
            assert sorted(answers.get() for _ in range(3)) == [0, 1, 2]
            assert ran.get_value() == 1
        ran.acquire()


def test_n_waiting_tells_who_has_come(either: Any) -> None:
    barrier, answers = either.Barrier(3), either.SimpleQueue()
    with several(either, *[(wait_and_tell, barrier, answers)] * 2):
        until_waiting(barrier, 2)
        assert barrier.wait(LONG) in (0, 1, 2)
        answers.get(), answers.get()


def test_a_timeout_breaks_the_barrier_for_all(either: Any) -> None:
    barrier, answers = either.Barrier(3), either.SimpleQueue()
    with running(either, wait_and_tell, barrier, answers):
        until_waiting(barrier, 1)
        with pytest.raises(BrokenBarrierError):
            barrier.wait(0.01)
        assert answers.get() is BrokenBarrierError
    assert barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait()


def test_the_default_timeout_is_the_barriers_own(module: Any) -> None:
    barrier = module.Barrier(2, timeout=0.01)
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    assert barrier.broken


def test_abort_breaks_it_until_reset(either: Any) -> None:
    barrier, answers = either.Barrier(2), either.SimpleQueue()
    with running(either, wait_and_tell, barrier, answers):
        until_waiting(barrier, 1)
        barrier.abort()
        assert answers.get() is BrokenBarrierError
    assert barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken
    with running(either, wait_and_tell, barrier, answers):
        barrier.wait(LONG)
    assert answers.get() in (0, 1)


def test_reset_breaks_those_that_wait_and_starts_anew(either: Any) -> None:
    barrier, answers = either.Barrier(2), either.SimpleQueue()
    with running(either, wait_and_tell, barrier, answers):
        until_waiting(barrier, 1)
        barrier.reset()
        assert answers.get() is BrokenBarrierError
    assert not barrier.broken
    with running(either, wait_and_tell, barrier, answers):
        barrier.wait(LONG)
    assert answers.get() in (0, 1)


def test_an_action_that_raises_breaks_the_barrier(either: Any) -> None:
    ran, answers = either.Semaphore(0), either.SimpleQueue()
    barrier = either.Barrier(3, Action("raise", ran))
    with several(either, *tell_all(barrier, answers)):
        got = [answers.get() for _ in range(3)]
    assert sorted(error.__name__ for error in got) == ["BrokenBarrierError"] * 2 + ["KeyError"]
    assert barrier.broken


def test_a_barrier_without_parties_is_a_value_error(fork: Any) -> None:
    with pytest.raises(ValueError):
        fork.Barrier(0)


def pass_often(barrier: Any, rounds: int, counts: Any) -> None:
    """Nobody may be two rounds ahead of anybody."""
    for n in range(rounds):
        barrier.wait()
        with counts.get_lock():
            counts[n] += 1
        barrier.wait()
        assert counts[n] == barrier.parties


def test_a_barrier_is_used_again_and_again(either: Any) -> None:
    barrier, counts = either.Barrier(3), either.Array("i", 100)
    with several(either, *[(pass_often, barrier, 100, counts)] * 3) as children:
        for child in children:
            child.join(LONG)
            assert child.exitcode == 0
    assert list(counts) == [3] * 100


def test_reprs_tell_the_state(module: Any) -> None:
    barrier = module.Barrier(3)
    assert "waiters=0/3" in repr(barrier)
    barrier.abort()
    assert "broken" in repr(barrier)


# ---- deaths -------------------------------------------------------------------------------------------------


def test_one_that_is_killed_while_it_waits_had_arrived(fork: Any) -> None:
    barrier, answers = fork.Barrier(3), fork.Queue()
    with running(fork, wait_and_tell, barrier, answers) as victim:
        until_waiting(barrier, 1)
        until_blocked(victim.pid)
        kill(victim)
    with running(fork, wait_and_tell, barrier, answers):
        barrier.wait(LONG)
        assert answers.get(timeout=LONG) in (0, 1, 2)
    assert not barrier.broken


def test_one_that_is_killed_in_the_action_breaks_the_barrier(ctx: Any) -> None:
    ran, answers = ctx.Semaphore(0), ctx.Queue()
    barrier = ctx.Barrier(3, Action("die", ran))
    with several(ctx, *tell_all(barrier, answers)):
        assert [answers.get(timeout=LONG) for _ in range(2)] == [BrokenBarrierError] * 2
    assert barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait()


def hold_inside(barrier: Any, held: Any) -> None:
    """As one that is killed inside of `wait`, where it wakes the others."""
    barrier._cond.acquire()
    barrier._cond.notify_all()
    held.set()
    signal.pause()


@pytest.mark.parametrize("timeout", [None, LONG])
def test_one_that_is_killed_inside_of_wait_breaks_the_barrier_for_those_that_wait(
    ctx: Any, timeout: float | None
) -> None:
    barrier, held, answers = ctx.Barrier(4), ctx.Event(), ctx.Queue()
    with several(ctx, *[(wait_and_tell, barrier, answers, timeout)] * 2) as waiters:
        until_waiting(barrier, 2)
        for waiter in waiters:
            until_blocked(waiter.pid)
        with running(ctx, hold_inside, barrier, held) as victim:
            assert held.wait(LONG)
            kill(victim)
        assert [answers.get(timeout=LONG) for _ in waiters] == [BrokenBarrierError] * 2
    barrier.reset()
    assert (barrier.n_waiting, barrier.broken) == (0, False)


def test_abort_while_the_action_runs_breaks_the_barrier_for_all(fork: Any) -> None:
    ran, answers = fork.Semaphore(0), fork.Queue()
    barrier = fork.Barrier(2, Action("pause", ran))
    with several(fork, *tell_all(barrier, answers)) as children:
        assert ran.acquire(True, LONG)
        barrier.abort()
        assert answers.get(timeout=LONG) is BrokenBarrierError
        for child in children:
            child.terminate()
    assert barrier.broken


def test_after_a_death_in_the_action_a_reset_makes_the_barrier_usable(fork: Any) -> None:
    ran, answers = fork.Semaphore(0), fork.Queue()
    barrier = fork.Barrier(2, Action("die", ran))
    with several(fork, *tell_all(barrier, answers)):
        assert answers.get(timeout=LONG) is BrokenBarrierError
    barrier.reset()
    barrier._action = None
    assert not barrier.broken
    with running(fork, wait_and_tell, barrier, answers):
        barrier.wait(LONG)
    assert answers.get(timeout=LONG) in (0, 1)


def test_a_barrier_survives_kills_at_any_moment(fork: Any, rand: Any) -> None:
    """Broken or not, nobody waits for ever, and a reset makes it usable."""
    barrier = fork.Barrier(2)
    for _ in range(30):
        with several(fork, *[(pass_for_ever, barrier)] * 2) as children:
            until(lambda: any(blocked(child.pid) for child in children))
            for _ in range(rand.randrange(2000)):
                pass
            for child in children:
                os.kill(child.pid, signal.SIGKILL)
        barrier.reset()
        assert (barrier.n_waiting, barrier.broken) == (0, False)
        answers = fork.Queue()
        with running(fork, wait_and_tell, barrier, answers):
            barrier.wait(LONG)
            assert answers.get(timeout=LONG) in (0, 1)


def pass_for_ever(barrier: Any) -> None:
    while True:
        barrier.wait()
