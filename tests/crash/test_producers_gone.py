"""Consumers whose producers have been killed: `shutdown()` ends them, and first they get what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import forkful
from tests.contract.children import LONG, kill, running, several, until_blocked
from tests.crash.lives import own


def consume(q: Any, answers: Any) -> None:
    try:
        while True:
            answers.put(q.get())
    except forkful.ShutDown:
        answers.put("shut down")


def put_for_ever(q: Any, gate: Any) -> None:
    for number in range(1, 1 << 60):
        q.put(number)
        if number == 3:
            gate.wait()


def test_shutdown_ends_consumers_whose_producer_was_killed(ctx: Any, tmp_path: Path) -> None:
    q, answers, gate = ctx.Queue(), ctx.Queue(), ctx.Event()
    with several(ctx, *[(consume, q, answers)] * 2) as consumers:
        with running(ctx, put_for_ever, q, gate) as producer:
            assert sorted(answers.get(timeout=LONG) for _ in range(3)) == [1, 2, 3]
            until_blocked(producer.pid)
            kill(producer)
        for consumer in consumers:
            until_blocked(consumer.pid)
        q.put(4)
        q.shutdown()
        got = [answers.get(timeout=LONG) for _ in range(3)]
        assert sorted(got, key=str) == [4, "shut down", "shut down"]


def notify_and_hold(condition: Any, held: Any, gate: Any) -> None:
    with condition:
        held.set()
        gate.wait()


def test_a_condition_whose_lock_was_lost_is_taken_over(ctx: Any) -> None:
    condition, held, gate = ctx.Condition(), ctx.Event(), ctx.Event()
    with running(ctx, notify_and_hold, condition, held, gate) as owner:
        assert held.wait(LONG)
        kill(owner)
    assert own(condition) is True
    condition.notify_all()
    condition.release()
    with condition:
        assert condition.wait(0.001) is False
