"""Many objects of a queue at once: put_many and get_many."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
import pytest

import forkful
from tests.contract.children import LONG, kill, running, until_blocked
from tests.contract.test_queues import forward

LARGE = 200_000  # bytes: such an object has a block of its own


def get_all(q: Any, answers: Any) -> None:
    """Until the queue is shut down."""
    try:
        while True:
            answers.put(q.get_many(timeout=LONG))
    except forkful.ShutDown:
        answers.put(None)


def hold_all(q: Any, answers: Any) -> None:
    answers.put(len(q.get_many()))
    forkful.Event().wait(LONG)


def put_batches(q: Any, producer: int) -> None:
    for first in range(0, 2000, 80):
        q.put_many([(producer, i) for i in range(first, first + 80)], timeout=LONG)


class Unreadable:
    """Cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_was_put_at_once_comes_out_in_order_one_by_one_or_at_once() -> None:
    q = forkful.Queue()
    objs: list[Any] = [*range(600), b"x" * LARGE, *range(600), b"y" * LARGE, b"z" * LARGE]
    q.put_many(iter(objs))
    assert [q.get(timeout=LONG) for _ in range(10)] == objs[:10]
    assert q.get_many() == objs[10:]
    q.put_many(objs)
    assert q.get_many(601, timeout=LONG) == objs[:601]
    assert q.get_many(1, False) == [objs[601]]
    q.put_many([])
    assert q.qsize() == len(objs) - 602


def test_arrays_and_handles_travel_in_a_batch() -> None:
    q, inner = forkful.Queue(), forkful.Queue()
    arrays = [np.arange(50_000) + i for i in range(3)]
    whole = bytes(range(256)) * 100
    q.put_many([*arrays, inner, whole, "end"])
    *got, also_inner, same, end = q.get_many(timeout=LONG)
    assert same == whole
    assert all((a == b).all() for a, b in zip(arrays, got, strict=True))
    also_inner.put("in it")
    assert (inner.get(timeout=LONG), end) == ("in it", "end")


def test_if_one_cannot_be_pickled_none_is_put() -> None:
    q = forkful.Queue()
    with pytest.raises(TypeError, match="generator") as caught:
        q.put_many([1, 2, (i for i in range(3)), 4])
    assert (q.qsize(), caught.value.count) == (0, 0)  # type: ignore[attr-defined]


def test_a_full_queue_takes_what_it_has_room_for_and_the_error_says_how_many() -> None:
    q = forkful.Queue(3)
    q.put("first")
    with pytest.raises(queue.Full) as caught:
        q.put_many("abcd", False)
    assert caught.value.count == 2  # type: ignore[attr-defined]
    assert caught.value.__notes__ == ["2 of 4 objects had been put before"]
    with pytest.raises(queue.Full) as caught:
        q.put_many("ef", timeout=0.01)
    assert caught.value.count == 0  # type: ignore[attr-defined]
    assert q.get_many() == ["first", "a", "b"]


def test_a_batch_larger_than_the_queue_wakes_its_consumer_before_it_waits(module: Any) -> None:
    q, answers = forkful.Queue(2), forkful.Queue()
    with running(module, forward, q, answers) as child:
        until_blocked(child.pid)
        q.put_many([*range(500), None], timeout=LONG)
        assert [answers.get(timeout=LONG) for _ in range(501)] == [
            *((child.pid, i) for i in range(500)),
            (child.pid, None),
        ]
        child.join(LONG)


def test_a_consumer_of_many_waits_for_the_first_only_and_ends_at_shutdown(module: Any) -> None:
    q, answers = forkful.Queue(), forkful.Queue()
    with running(module, get_all, q, answers) as child:
        until_blocked(child.pid)
        q.put("alone")
        assert answers.get(timeout=LONG) == ["alone"]
        q.put_many(range(1000))
        q.shutdown()
        got: list[int] = []
        while (some := answers.get(timeout=LONG)) is not None:
            got += some
        assert got == [*range(1000)]
        child.join(LONG)
    with pytest.raises(forkful.ShutDown) as caught:
        q.put_many([1])
    assert caught.value.count == 0  # type: ignore[attr-defined]


def test_get_many_of_an_empty_queue_and_wrong_calls() -> None:
    q = forkful.Queue()
    with pytest.raises(queue.Empty):
        q.get_many(block=False)
    with pytest.raises(queue.Empty):
        q.get_many(timeout=0.01)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            q.get_many(wrong)
    with pytest.raises(TypeError):
        q.put_many(3)  # type: ignore[arg-type]
    q.close()
    with pytest.raises(ValueError, match="closed"):
        q.put_many([1])
    with pytest.raises(ValueError, match="closed"):
        q.get_many()


def test_one_that_cannot_be_rebuilt_does_not_take_the_others_along() -> None:
    q = forkful.Queue()
    q.put_many([1, Unreadable(), 2, b"x" * LARGE])
    with pytest.raises(ValueError, match="no number") as caught:
        q.get_many()
    assert caught.value.items == [1, 2, b"x" * LARGE]  # type: ignore[attr-defined]
    assert q.empty()


def test_each_of_a_batch_is_to_be_done(start_method: str) -> None:
    ctx = forkful.get_context(start_method)
    q, answers = ctx.JoinableQueue(), ctx.Queue()
    q.put_many(range(5))
    assert q.get_many(2) == [0, 1]
    q.task_done()
    q.task_done()
    with running(ctx, hold_all, q, answers) as child:
        assert answers.get(timeout=LONG) == 3
        kill(child)
    with pytest.raises(forkful.WorkerDied, match="3 items"):
        q.join(timeout=LONG)


def test_a_batch_of_a_killed_consumer_comes_back_in_order(start_method: str) -> None:
    ctx = forkful.get_context(start_method)
    q, answers = ctx.JoinableQueue(redeliver=True), ctx.Queue()
    q.put_many(range(5))
    with running(ctx, hold_all, q, answers) as child:
        assert answers.get(timeout=LONG) == 5
        kill(child)
    got: list[int] = []
    while len(got) < 5:
        got += q.get_many(timeout=LONG)
    assert got == [*range(5)]
    for _ in got:
        q.task_done()
    assert q.join(timeout=LONG)


def test_what_several_put_at_once_is_in_order_for_each(module: Any) -> None:
    q = forkful.Queue(50)
    with running(module, put_batches, q, 0), running(module, put_batches, q, 1):
        got: list[tuple[int, int]] = []
        while len(got) < 4000:
            got += q.get_many(7, timeout=LONG)
    assert [i for who, i in got if who == 0] == [i for who, i in got if who == 1] == [*range(2000)]
