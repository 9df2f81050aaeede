"""A pool's worker, in this process: what it answers besides the values."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import pytest

from forkful.family import Words
from forkful.pool import calls
from forkful.pool import messages as m
from forkful.pool.worker import WorkerConfig, _Worker
from forkful.queues import SimpleQueue


def answers_to(kind: int, func: Callable[..., Any], tasks: int = 2) -> list[tuple[int, Any]]:
    """Let a worker do tasks with inputs 1, 2, 3; return (kind, data) of its answers."""
    inbox: SimpleQueue[Any] = SimpleQueue()
    outbox: SimpleQueue[Any] = SimpleQueue()
    config = WorkerConfig(1, 0, inbox, outbox, Words(m.CLAIM_WORDS), None, (), None, None)
    function, held = calls.function_part(func)
    for _ in range(tasks):
        message, _ = calls.dump([1, 2, 3], function)
        inbox._put_bytes(message, kind)
    inbox._put_bytes(b"", m.STOP)
    _Worker(config).loop()
    del held
    found: list[tuple[int, int, Any]] = []
    while outbox._take_bytes(found, 100, 0):
        pass
    return [(kind, data) for _, kind, data in found]


def making(kind: int, func: Callable[..., Any]) -> list[float]:
    """The seconds that each message needs for its function, as each answer tells."""
    head, at = (m.ITEM, 2) if kind == m.BATCH else (m.SECONDS, 1)
    return [head.unpack_from(m.head(data))[at] for _, data in answers_to(kind, func)]


@pytest.mark.parametrize("kind", [m.BATCH, m.TIMED_MAP])
def test_a_function_that_is_made_once_is_no_reason_for_larger_messages(kind: int) -> None:
    """The first message imports its module, which may take long."""
    assert set(making(kind, operator.neg)) == {0.0}
    assert set(making(kind, lambda x: x)) == {0.0}


@pytest.mark.parametrize("kind", [m.BATCH, m.TIMED_MAP])
def test_one_that_is_made_for_each_message_is_one(kind: int) -> None:
    seconds = making(kind, functools.partial(operator.add, 5))
    assert len(seconds) == (6 if kind == m.BATCH else 2)
    assert all(0.0 < s < 100.0 for s in seconds)
