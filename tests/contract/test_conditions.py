"""Condition: order, timeouts, and that no notification is spent on the dead."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, blocked, kill, running, several, until, until_blocked

KINDS = ["Lock", "RLock"]


def wait_and_tell(cond: Any, answers: Any, name: object, timeout: float | None = None) -> None:
    try:
        with cond:
            result: Any = cond.wait(timeout)
    except BaseException as error:
        result = type(error)
    answers.put((name, result))


def until_waiting(cond: Any, n: int) -> None:
    """The condition's count of waiters is the state."""
    until(lambda: cond._waiters._waiters() == n)


@pytest.fixture(params=KINDS)
def cond(request: pytest.FixtureRequest, fork: Any) -> Any:
    return fork.Condition(getattr(fork, request.param)())


# ---- as the standard library's ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_a_waiter_is_notified(either: Any, kind: str | None) -> None:
    cond = either.Condition(getattr(either, kind)()) if kind else either.Condition()
    ready, answers = either.Semaphore(0), either.SimpleQueue()
    with running(either, tell_then_wait, cond, ready, answers):
        ready.acquire()
        with cond:
            cond.notify()
        assert answers.get() is True


def tell_then_wait(cond: Any, ready: Any, answers: Any) -> None:
    with cond:
        ready.release()
        answers.put(cond.wait(LONG))


def test_wait_times_out(module: Any) -> None:
    cond = module.Condition()
    with cond:
        assert cond.wait(0.01) is False
        assert cond.wait(0) is False
        assert cond.wait(-1) is False


def test_wait_and_notify_without_the_lock_are_assertion_errors(module: Any) -> None:
    cond = module.Condition()
    for call in (cond.wait, cond.notify, cond.notify_all, lambda: cond.wait(0)):
        with pytest.raises(AssertionError):
            call()


def test_wait_for_returns_the_last_value_of_the_predicate(module: Any) -> None:
    cond = module.Condition()
    with cond:
        assert cond.wait_for(lambda: 7) == 7
        assert cond.wait_for(lambda: 0, 0.01) == 0
        assert cond.wait_for(list, timeout=0.01) == []


def step(cond: Any, state: Any, n: int) -> None:
    for _ in range(n):
        with cond:
            state.value += 1
            cond.notify()


def test_wait_for_waits_until_the_predicate_is_true(either: Any) -> None:
    cond, state = either.Condition(), either.RawValue("i", 0)
    with running(either, step, cond, state, 4):
        with cond:
            assert cond.wait_for(lambda: state.value == 4, LONG)


def test_a_re_entrant_lock_is_wholly_freed_and_taken_again(module: Any) -> None:
    cond, lock = (lambda lock: (module.Condition(lock), lock))(module.RLock())
    seen: list[bool] = []

    def notify() -> None:
        with cond:
            cond.notify()

    thread = threading.Thread(target=notify)
    with cond:
        with cond:
            thread.start()
            seen.append(cond.wait(LONG))
            other = threading.Thread(target=lambda: seen.append(lock.acquire(False)))
            other.start()
            other.join()
        lock.release()
        lock.acquire()
    thread.join()
    assert seen == [True, False]
    with pytest.raises(AssertionError):
        lock.release()


def test_a_repr_tells_the_lock_and_the_waiters(module: Any) -> None:
    assert repr(module.Condition()).startswith("<Condition(<RLock(None, 0)>, ")


def test_a_condition_over_a_foreign_lock_is_a_type_error(fork: Any) -> None:
    lock = threading.Lock()
    with pytest.raises(TypeError, match="Lock"):
        fork.Condition(lock)


# ---- order and numbers -----------------------------------------------------------------------------


def test_waiters_are_notified_in_the_order_they_came(fork: Any, cond: Any) -> None:
    answers = fork.Queue()
    with several(fork) as children:
        for n in range(4):
            child = fork.Process(target=wait_and_tell, args=(cond, answers, n))
            child.start()
            children.append(child)
            until_waiting(cond, n + 1)
        for n in range(4):
            with cond:
                cond.notify()
            assert answers.get(timeout=LONG) == (n, True)


def test_notify_wakes_as_many_as_it_is_told(fork: Any, cond: Any) -> None:
    answers = fork.Queue()
    with several(fork, *[(wait_and_tell, cond, answers, n) for n in range(4)]):
        until_waiting(cond, 4)
        with cond:
            cond.notify(3)
        for _ in range(3):
            assert answers.get(timeout=LONG)[1] is True
        assert cond._waiters._waiters() == 1
        with cond:
            cond.notify_all()
        assert answers.get(timeout=LONG)[1] is True


def test_the_counts_tell_how_many_wait(fork: Any, cond: Any) -> None:
    def counts() -> tuple[int, ...]:
        return tuple(
            count.get_value()
            for count in (cond._sleeping_count, cond._woken_count, cond._wait_semaphore)
        )

    answers = fork.Queue()
    with several(fork, *[(wait_and_tell, cond, answers, n) for n in range(3)]):
        until_waiting(cond, 3)
        assert counts() == (3, 0, 0)
        with cond:
            cond.notify(2)
            assert counts() == (1, 0, 0)
            cond.notify_all()
            assert counts() == (0, 0, 0)


def test_a_notification_with_nobody_waiting_is_not_kept(module: Any) -> None:
    cond = module.Condition()
    with cond:
        cond.notify()
        cond.notify_all()
        assert cond.wait(0.01) is False


def test_one_that_has_timed_out_takes_no_notification(fork: Any, cond: Any) -> None:
    answers = fork.Queue()
    with running(fork, wait_and_tell, cond, answers, "early", 0.01):
        assert answers.get(timeout=LONG) == ("early", False)
    with running(fork, wait_and_tell, cond, answers, "late"):
        until_waiting(cond, 1)
        with cond:
            cond.notify()
        assert answers.get(timeout=LONG) == ("late", True)


# ---- deaths ----------------------------------------------------------------------------------------------


def test_a_notification_is_not_spent_on_a_dead_waiter(fork: Any, cond: Any) -> None:
    answers = fork.Queue()
    with running(fork, wait_and_tell, cond, answers, "victim") as victim:
        until_waiting(cond, 1)
        with running(fork, wait_and_tell, cond, answers, "other"):
            until_waiting(cond, 2)
            kill(victim)
            with cond:
                cond.notify()
            assert answers.get(timeout=LONG) == ("other", True)


def test_notify_all_passes_over_the_dead(fork: Any, cond: Any) -> None:
    answers = fork.Queue()
    with several(fork, *[(wait_and_tell, cond, answers, n) for n in range(4)]) as children:
        until_waiting(cond, 4)
        kill(children[0])
        kill(children[2])
        assert cond._waiters._waiters() == 2
        with cond:
            cond.notify_all()
        assert sorted(answers.get(timeout=LONG) for _ in range(2)) == [(1, True), (3, True)]
    with cond:
        assert cond.wait(0) is False


def test_a_waiter_learns_that_the_locks_owner_has_died(fork: Any, cond: Any) -> None:
    answers, held = fork.Queue(), fork.Event()
    with running(fork, wait_and_tell, cond, answers, "waiter"):
        until_waiting(cond, 1)
        with running(fork, notify_and_hold, cond, held) as owner:
            assert held.wait(LONG)
            kill(owner)
        assert answers.get(timeout=LONG) == ("waiter", forkful.LockOwnerDied)
    with pytest.raises(forkful.LockOwnerDied):  # the waiter's `with` has not freed it
        cond.acquire()
    assert cond._lock.recover()
    cond.release()


def notify_and_hold(cond: Any, held: Any) -> None:
    cond.acquire()
    cond.notify()
    held.set()
    signal.pause()


def test_an_owner_killed_without_a_notification_leaves_the_condition_usable(
    fork: Any, cond: Any
) -> None:
    answers, held = fork.Queue(), fork.Event()
    with running(fork, wait_and_tell, cond, answers, "waiter"):
        until_waiting(cond, 1)
        with running(fork, hold, cond, held) as owner:
            assert held.wait(LONG)
            kill(owner)
        with pytest.raises(forkful.LockOwnerDied):
            cond.acquire()
        assert cond._lock.recover()
        cond.notify()
        cond.release()
        assert answers.get(timeout=LONG) == ("waiter", True)


def hold(cond: Any, held: Any) -> None:
    cond.acquire()
    held.set()
    signal.pause()


def test_conditions_of_children_that_are_killed_all_the_time_stay_usable(
    fork: Any, cond: Any
) -> None:
    for _ in range(30):
        with several(fork, *[(wait_for_ever, cond)] * 2) as children:
            until(lambda: any("Condition.wait" in blocked(child.pid) for child in children))
            for child in children:
                os.kill(child.pid, signal.SIGKILL)
        if cond._lock.statistics().locked:
            assert cond._lock.recover()
            cond.release()
    assert cond._waiters._waiters() == 0
    answers = fork.Queue()
    with running(fork, wait_and_tell, cond, answers, "last") as child:
        until_blocked(child.pid)
        until_waiting(cond, 1)
        with cond:
            cond.notify()
        assert answers.get(timeout=LONG) == ("last", True)


def wait_for_ever(cond: Any) -> None:
    with cond:
        cond.wait()
