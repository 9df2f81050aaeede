"""Event: set, clear, wait."""

from __future__ import annotations

from typing import Any

from tests.contract.children import LONG, kill, running, several, until_blocked


def wait_and_tell(event: Any, answers: Any, timeout: float | None = None) -> None:
    answers.put(event.wait(timeout))


def set_it(event: Any) -> None:
    event.set()


def test_a_flag_is_set_and_cleared(module: Any) -> None:
    event = module.Event()
    assert event.is_set() is False
    assert event.wait(0) is False
    assert event.wait(timeout=0.01) is False
    event.set()
    event.set()
    assert event.is_set() is True
    assert event.wait() is True
    assert event.wait(-1) is True
    event.clear()
    assert event.is_set() is False
    assert event.wait(-1) is False


def test_a_repr_tells_the_state(fork: Any) -> None:
    event = fork.Event()
    assert repr(event).endswith(" unset>")
    event.set()
    assert repr(event).endswith(" set>")


def test_set_in_another_process_is_seen(either: Any) -> None:
    event = either.Event()
    with running(either, set_it, event):
        assert event.wait(LONG) is True
    assert event.is_set()


def test_set_wakes_all_that_wait(ctx: Any) -> None:
    event, answers = ctx.Event(), ctx.Queue()
    with several(ctx, *[(wait_and_tell, event, answers)] * 3) as children:
        for child in children:
            until_blocked(child.pid)
        event.set()
        assert [answers.get(timeout=LONG) for _ in children] == [True] * 3


def test_set_then_clear_at_once_still_wakes_all_that_wait(fork: Any) -> None:
    event, answers = fork.Event(), fork.Queue()
    for _ in range(20):
        with several(fork, *[(wait_and_tell, event, answers)] * 3) as children:
            for child in children:
                until_blocked(child.pid)
            event.set()
            event.clear()
            assert [answers.get(timeout=LONG) for _ in children] == [True] * 3
        assert not event.is_set()


def test_a_waiter_that_is_killed_leaves_the_event_usable(fork: Any) -> None:
    event, answers = fork.Event(), fork.Queue()
    with several(fork, *[(wait_and_tell, event, answers)] * 2) as children:
        for child in children:
            until_blocked(child.pid)
        kill(children[0])
        event.set()
        assert answers.get(timeout=LONG) is True


def test_a_process_may_set_what_it_got_from_a_killed_one(fork: Any) -> None:
    event, carrier = fork.Event(), fork.Queue()
    with running(fork, send_and_wait, carrier, event) as child:
        got = carrier.get(timeout=LONG)
        kill(child)
    got.set()
    assert event.is_set()


def send_and_wait(carrier: Any, event: Any) -> None:
    carrier.put(event)
    event.wait()


def bounce(mine: Any, yours: Any, rounds: int) -> None:
    for _ in range(rounds):
        mine.wait()
        mine.clear()
        yours.set()


def test_two_processes_take_turns(either: Any) -> None:
    one, other = either.Event(), either.Event()
    with running(either, bounce, one, other, 300):
        for _ in range(300):
            one.set()
            assert other.wait(LONG)
            other.clear()
