"""Queue, JoinableQueue, SimpleQueue: what they promise, alive and after deaths."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

import forkful
from forkful import _native
from tests.contract.children import (
    LONG,
    Page,
    blocked,
    kill,
    running,
    several,
    until,
    until_blocked,
    used,
)


def put_all(q: Any, items: list[Any]) -> None:
    for item in items:
        q.put(item)


def put_numbered(q: Any, producer: int, n: int) -> None:
    for i in range(n):
        q.put((producer, i))


def forward(source: Any, target: Any) -> None:
    """Until None."""
    while (item := source.get()) is not None:
        target.put((os.getpid(), item))
    target.put((os.getpid(), None))


def report_error(function: Any, answers: Any, *args: Any) -> None:
    try:
        answers.put(function(*args))
    except BaseException as error:
        answers.put(type(error))


# ---- in one process --------------------------------------------------------------------------


def test_items_come_out_in_the_order_they_went_in(module: Any) -> None:
    q = module.Queue()
    items = [1, "two", (3, 4.0), None, b"five", {"six": [6]}]
    put_all(q, items)
    assert [q.get(timeout=LONG) for _ in items] == items
    q.close()
    q.join_thread()


def test_size_is_exact_right_after_put(fork: Any) -> None:
    q = fork.Queue(3)
    assert (q.qsize(), q.empty(), q.full()) == (0, True, False)
    for n in (1, 2, 3):
        q.put(n)
        assert (q.qsize(), q.empty(), q.full()) == (n, False, n == 3)
    assert q.get_nowait() == 1
    assert (q.qsize(), q.full()) == (2, False)


def test_an_empty_queue_refuses_at_once_and_after_the_timeout(module: Any) -> None:
    q = module.Queue()
    for call in (
        q.get_nowait,
        lambda: q.get(False),
        lambda: q.get(True, 0.01),
        lambda: q.get(timeout=-1),
    ):
        with pytest.raises(queue.Empty):
            call()
    q.close()


def test_a_full_queue_refuses_at_once_and_after_the_timeout(module: Any) -> None:
    q = module.Queue(1)
    q.put(1)
    for call in (
        lambda: q.put_nowait(2),
        lambda: q.put(2, False),
        lambda: q.put(2, True, 0.01),
        lambda: q.put(2, timeout=-1),
        lambda: q.put(obj=2, block=False),
    ):
        with pytest.raises(queue.Full):
            call()
    assert q.get(timeout=LONG) == 1
    q.close()


def test_a_maxsize_of_zero_or_less_is_no_bound(fork: Any) -> None:
    for maxsize in (0, -1):
        q = fork.Queue(maxsize)
        put_all(q, list(range(100)))
        assert not q.full()


def test_wrong_arguments_raise_type_error(fork: Any) -> None:
    q = fork.Queue()
    for call in (
        lambda: q.put(),
        lambda: q.put(1, True, 1, 1),
        lambda: q.put(1, wait=True),
        lambda: q.put(1, True, block=True),
        lambda: q.get(timeout="soon"),
        lambda: q.get(1, 2, 3),
        lambda: q.put(1, obj=2),
    ):
        with pytest.raises(TypeError):
            call()
    assert q.empty()


def test_an_unpicklable_object_raises_in_the_caller_and_leaves_the_queue_unchanged(
    fork: Any,
) -> None:
    for q in (fork.Queue(2), fork.SimpleQueue(), fork.JoinableQueue()):
        q.put("before")
        with pytest.raises(Exception, match=r"\['deep'\]\[1\]") as caught:
            q.put({"deep": [0, threading.Lock()]})
        assert isinstance(caught.value, TypeError)
        assert q.qsize() == 1
        q.put("after")
        assert [q.get(), q.get()] == ["before", "after"]


def test_lambdas_and_closures_travel(fork: Any) -> None:
    q = fork.Queue()
    n = 20
    q.put(lambda x: x + n)
    q.put({"f": [lambda: "inner"]})
    assert q.get()(1) == 21
    assert q.get()["f"][0]() == "inner"


def test_an_object_that_cannot_be_unpickled_raises_in_get_and_the_queue_goes_on(fork: Any) -> None:
    q = fork.Queue()
    q.put(RaisesWhenRead())
    q.put("next")
    with pytest.raises(ZeroDivisionError):
        q.get()
    assert q.get() == "next"


class RaisesWhenRead:
    def __reduce__(self) -> Any:
        return divmod, (1, 0)


def test_a_closed_queue_raises_value_error(module: Any) -> None:
    q = module.Queue()
    q.close()
    with pytest.raises(ValueError, match="is closed"):
        q.put(1)
    with pytest.raises(ValueError, match="is closed"):
        q.get()
    q.close()
    q.join_thread()


def test_a_queue_that_was_closed_with_something_inside_is_not_said_to_be_empty(module: Any) -> None:
    for q in module.Queue(), module.JoinableQueue():
        q.put(1)
        q.close()
        q.join_thread()
        with pytest.raises(OSError, match="is closed"):
            q.empty()
    unused = module.Queue()
    unused.close()
    assert unused.empty()


def test_a_closed_simple_queue_is_neither_empty_nor_not(module: Any) -> None:
    q = module.SimpleQueue()
    q.close()
    for use in q.empty, q.get, lambda: q.put(1):
        with pytest.raises(OSError, match="is closed"):
            use()


def test_join_thread_of_an_open_queue_is_an_error(module: Any) -> None:
    q = module.Queue()
    with pytest.raises(AssertionError, match="not closed"):
        q.join_thread()
    q.close()


def test_closing_one_handle_leaves_the_others_usable(fork: Any) -> None:
    q = fork.Queue()
    carrier = fork.Queue()
    carrier.put(q)
    other = carrier.get()
    other.close()
    q.put(1)
    assert q.get() == 1


def test_queues_can_be_subscripted_in_annotations(fork: Any) -> None:
    for q in (fork.Queue(), fork.JoinableQueue(), fork.SimpleQueue()):
        alias = type(q)[int]
        assert alias.__origin__ is type(q)
        assert alias.__args__ == (int,)


def test_a_repr_tells_the_size(fork: Any) -> None:
    q = fork.Queue(3)
    q.put(1)
    assert "size=1/3" in repr(q)


SMALL_AND_NOT: list[Any] = [
    None,
    -0.0,
    "",
    "é€\U0001f600",
    2**100,
    b"x" * 10_000,
    (1, [2, {"three": (4, b"5")}], None, True),
    {"id": 12345, "name": "forkful", "price": 9.75},
    [["x" * 300], 1],
    {1, 2},
]


def test_small_plain_objects_arrive_as_pickled_ones_do(either: Any) -> None:
    queues = [either.Queue(), either.SimpleQueue(), either.JoinableQueue()]
    for q in queues:
        for obj in SMALL_AND_NOT:
            q.put(obj)
    for q in queues:
        for obj in SMALL_AND_NOT:
            got = q.get()
            assert (repr(got), type(got)) == (repr(obj), type(obj))


def test_what_stands_in_an_object_twice_arrives_as_one(either: Any) -> None:
    q, part = either.SimpleQueue(), [1]
    q.put((part, part))
    first, second = q.get()
    assert first is second
    part.append(part)  # type: ignore[arg-type]
    q.put(part)
    got = q.get()
    assert got[1] is got


# ---- large objects -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 16_000, 16_384, 16_385, 1 << 20, 5_000_000, 33 << 20])
def test_bytes_of_any_size_travel(fork: Any, size: int) -> None:
    q = fork.Queue()
    for kind in (bytes, bytearray):
        data = kind(os.urandom(size))
        q.put(data)
        got = q.get()
        assert type(got) is kind
        assert got == data


ARRAYS = {
    "small": np.arange(5),
    "large": np.arange(300_000),
    "fortran": np.asfortranarray(np.arange(300_000.0).reshape(500, 600)),
    "strided": np.arange(300_000)[::3],
    "transposed": np.arange(300_000).reshape(500, 600).T,
    "empty": np.empty((0, 3)),
    "structured": np.zeros(50_000, dtype=[("a", "i4"), ("b", "f8")]),
    "objects": np.array(["a", None, 3], dtype=object),
    "scalar": np.array(3.5),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_arrive_equal_and_writable(module: Any, name: str) -> None:
    sent = ARRAYS[name]
    q = module.Queue()
    q.put(sent)
    got = q.get(timeout=LONG)
    assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
    assert np.array_equal(got, sent)
    assert got.flags.f_contiguous == sent.flags.f_contiguous or sent.ndim < 2
    assert got.flags.writeable
    got.fill(0)
    q.close()
    q.join_thread()


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_read_only_travel(module: Any, name: str) -> None:
    """They may arrive read-only, as with the standard library whose pickles have protocol 5."""
    sent = ARRAYS[name].view()
    sent.flags.writeable = False
    q = module.Queue()
    q.put([sent, sent])
    got, same = q.get(timeout=LONG)
    assert got is same
    assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
    assert np.array_equal(got, sent)
    got.copy().fill(0)
    q.close()
    q.join_thread()


def test_what_is_received_is_private(fork: Any) -> None:
    q = fork.Queue()
    sent = np.arange(300_000)
    q.put(sent)
    got = q.get()
    got[:] = -1
    assert sent[5] == 5
    sent[:] = -2
    assert (got == -1).all()


@pytest.mark.parametrize("size", [9_000, 130_000, 2_500_000])
def test_what_was_written_into_an_array_is_not_in_those_that_come_after_it(
    module: Any, size: int
) -> None:
    q = module.Queue()
    for number in range(12):
        q.put(np.full(size, number))
        got = q.get(timeout=LONG)
        assert (got == number).all()
        if number % 3 == 2:
            got[size // 2 :] = -1
        del got
    q.close()
    q.join_thread()


def test_many_arrays_in_one_object(fork: Any) -> None:
    q = fork.Queue()
    sent = {i: np.full(40_000 + i, i) for i in range(20)}
    shared = np.arange(100_000)
    q.put([sent, shared, shared])
    got, one, two = q.get()
    assert one is two
    assert all((got[i] == sent[i]).all() for i in sent)
    before = got.pop(3)
    del got, one, two
    assert (before == 3).all()


@pytest.mark.parametrize("size", [98_303, 98_304, 300_000, 600_000, 5_000_000])
def test_bytes_beside_other_things_travel(fork: Any, size: int) -> None:
    q, body = fork.Queue(), os.urandom(size)
    before = used()
    for sent in (
        ("url", 200, body),
        [body, body[1:], None],
        {"body": body, "again": body, "changeable": bytearray(body)},
        (body, bytearray(body)),
    ):
        q.put(sent)
        got = q.get()
        assert type(got) is type(sent)
        assert got == sent
        changeable = got.get("changeable") if type(got) is dict else got[-1]
        if type(changeable) is bytearray:
            changeable[:3] = b"new"
            q.put(sent)
            assert q.get() == sent
        del got, changeable
    assert used() == before


def test_a_buffer_of_bytes_may_be_kept_and_not_written_to(fork: Any) -> None:
    q, body = fork.Queue(), os.urandom(300_000)
    before = used()
    q.put(Page(body))
    page = q.get()
    for _ in range(3):  # the block of the first is not used again
        q.put(Page(bytes(300_000)))
        q.get()
    view = memoryview(page.body)
    assert view == body
    assert view.readonly
    del view, page
    assert used() == before
    q.put(Page(bytearray(body)))
    page = q.get()
    memoryview(page.body)[:3] = b"new"
    assert bytes(page.body) == b"new" + body[3:]


def test_memory_of_large_objects_is_given_back(fork: Any) -> None:
    q = fork.Queue()
    q.put(1), q.get()
    before = used()
    for _ in range(20):
        q.put([np.arange(300_000), bytes(200_000)])
        q.get()
    assert used() == before


def write_into(array: Any, answers: Any) -> None:
    array[:] = 7
    answers.put(int(array.sum()))


def test_a_change_in_a_forked_child_is_not_seen_in_the_parent(fork: Any) -> None:
    """A received array is backed by shared memory; that must not show."""
    q, answers = fork.Queue(), fork.Queue()
    q.put(np.zeros(300_000, dtype=np.int64))
    got = q.get()
    process = fork.Process(target=write_into, args=(got, answers))
    process.start()
    assert answers.get(timeout=LONG) == 7 * 300_000
    process.join()
    process.close()
    assert not got.any()


def test_a_change_in_the_parent_after_a_fork_is_not_seen_in_the_child(fork: Any) -> None:
    q, go, answers = fork.Queue(), fork.Event(), fork.Queue()
    q.put(np.zeros(300_000, dtype=np.int64))
    got = q.get()
    with running(fork, sum_when_told, got, go, answers):
        got[:] = 1
        go.set()
        assert answers.get(timeout=LONG) == 0


def sum_when_told(array: Any, go: Any, answers: Any) -> None:
    go.wait()
    answers.put(int(array.sum()))


# ---- between processes -----------------------------------------------------------------------------


def test_what_one_producer_puts_keeps_its_order(either: Any) -> None:
    q = either.Queue()
    with several(either, *[(put_numbered, q, n, 300) for n in range(3)]):
        got = [q.get(timeout=LONG) for _ in range(900)]
    for producer in range(3):
        assert [i for p, i in got if p == producer] == list(range(300))
    q.close()


def test_many_producers_and_consumers_pass_each_item_once(either: Any) -> None:
    source, target = either.Queue(50), either.Queue()
    consumers = [(forward, source, target)] * 3
    with several(either, *[(put_numbered, source, n, 400) for n in range(3)]) as producers:
        with several(either, *consumers):
            for producer in producers:
                producer.join(LONG)
            for _ in consumers:
                source.put(None)
            got, ends = [], 0
            while ends < len(consumers):
                _, item = target.get(timeout=LONG)
                ends += item is None
                got += [item] if item else []
    assert Counter(got) == Counter((p, i) for p in range(3) for i in range(400))
    source.close()
    target.close()


def put_large(q: Any) -> None:
    for i in range(100):
        q.put((i, bytes([i]) * 1_000_000))


def test_a_process_whose_items_nobody_has_read_can_be_joined(ctx: Any) -> None:
    q = ctx.Queue()
    with running(ctx, put_large, q) as producer:
        producer.join(LONG)
        assert producer.exitcode == 0
    assert q.qsize() == 100
    for i in range(100):
        assert q.get() == (i, bytes([i]) * 1_000_000)


def put_and_vanish(q: Any) -> None:
    q.put("said")
    os._exit(0)


def test_what_was_put_survives_a_process_that_exits_at_once(ctx: Any) -> None:
    q = ctx.Queue()
    with running(ctx, put_and_vanish, q):
        assert q.get(timeout=LONG) == "said"


def test_a_blocked_get_returns_what_is_put(ctx: Any) -> None:
    q, answers = ctx.Queue(), ctx.Queue()
    with running(ctx, report_error, q.get, answers) as child:
        until_blocked(child.pid)
        q.put("hello")
        assert answers.get(timeout=LONG) == "hello"


def test_a_blocked_put_returns_when_there_is_room(ctx: Any) -> None:
    q, answers = ctx.Queue(1), ctx.Queue()
    q.put(1)
    with running(ctx, report_error, q.put, answers, 2) as child:
        until_blocked(child.pid)
        assert q.get() == 1
        assert answers.get(timeout=LONG) is None
        assert q.get(timeout=LONG) == 2


def test_simple_queue(either: Any) -> None:
    q = either.SimpleQueue()
    assert q.empty()
    with running(either, put_all, q, [1, None, "x" * 100_000]):
        assert [q.get(), q.get(), q.get()] == [1, None, "x" * 100_000]
    assert q.empty()
    q.close()


# ---- shutdown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_getters(fork: Any, immediate: bool) -> None:
    q, answers = fork.Queue(), fork.Queue()
    with several(fork, *[(report_error, q.get, answers)] * 2) as children:
        for child in children:
            until_blocked(child.pid)
        q.shutdown(immediate=immediate)
        assert [answers.get(timeout=LONG) for _ in children] == [forkful.ShutDown] * 2


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_putters(fork: Any, immediate: bool) -> None:
    q, answers = fork.Queue(1), fork.Queue()
    q.put(1)
    with several(fork, *[(report_error, q.put, answers, 2)] * 2) as children:
        for child in children:
            until_blocked(child.pid)
        q.shutdown(immediate)
        assert [answers.get(timeout=LONG) for _ in children] == [forkful.ShutDown] * 2


def test_after_shutdown_what_is_inside_can_be_read(fork: Any) -> None:
    q = fork.Queue()
    q.put(1)
    q.shutdown()
    with pytest.raises(forkful.ShutDown):
        q.put(2)
    assert q.get() == 1
    for block in (True, False):
        with pytest.raises(forkful.ShutDown):
            q.get(block)


def test_after_an_immediate_shutdown_nothing_can_be_read(fork: Any) -> None:
    q = fork.JoinableQueue()
    q.put(1)
    q.shutdown(immediate=True)
    with pytest.raises(forkful.ShutDown):
        q.get()
    assert q.qsize() == 0
    assert q.join(timeout=LONG)


def kinds_of_queue(ctx: Any) -> list[Any]:
    """What has shutdown, task_done and join; the standard library's between threads, too, from 3.13 on."""
    threads = [queue.Queue()] if hasattr(queue.Queue, "shutdown") else []
    return [ctx.JoinableQueue(), ctx.JoinableQueue(redeliver=True), *threads]


def waits_for_the_rest(q: Any) -> bool:
    """Whether a thread of this process waits in `join` of that queue, which has something to be done."""
    if isinstance(q, queue.Queue):
        return bool(q.all_tasks_done._waiters) and q.unfinished_tasks > 0  # type: ignore[attr-defined]
    return blocked(os.getpid()) == ["Queue.join"] and q.join(timeout=0) is False


def test_an_immediate_shutdown_leaves_what_is_in_hand_to_be_done(fork: Any) -> None:
    for q in kinds_of_queue(fork):
        put_all(q, [1, 2, 3])
        assert q.get() == 1
        q.shutdown(immediate=True)
        assert (q.qsize(), q.empty(), q.full()) == (0, True, False)
        q.shutdown()  # once more, and less than before: nothing changes
        for call in (q.get, q.get_nowait, lambda q=q: q.put(4), lambda q=q: q.put_nowait(4)):
            with pytest.raises(forkful.ShutDown if hasattr(q, "statistics") else queue.ShutDown):
                call()
        joiner = threading.Thread(target=q.join)
        joiner.start()
        until(lambda q=q, joiner=joiner: waits_for_the_rest(q) or not joiner.is_alive())
        assert joiner.is_alive()
        q.task_done()
        joiner.join(LONG)
        assert not joiner.is_alive()
        with pytest.raises(ValueError, match="too many times"):
            q.task_done()


def test_what_is_done_before_it_is_taken_and_dropped_then_is_not_waited_for(fork: Any) -> None:
    joinable, _redelivering, *threads = kinds_of_queue(fork)
    for q in (joinable, *threads):
        put_all(q, [1, 2, 3])
        q.task_done()
        q.task_done()
        q.shutdown(immediate=True)
        joiner = threading.Thread(target=q.join, daemon=True)
        joiner.start()
        joiner.join(LONG)
        assert not joiner.is_alive()


def test_a_shutdown_leaves_what_is_inside_to_be_taken_and_done(fork: Any) -> None:
    for q in kinds_of_queue(fork):
        put_all(q, [1, 2])
        q.shutdown()
        assert q.get() == 1
        q.task_done()
        assert q.get_nowait() == 2
        with pytest.raises(forkful.ShutDown if hasattr(q, "statistics") else queue.ShutDown):
            q.get()
        q.task_done()
        q.join()


def take_until_the_end(q: Any, answers: Any) -> None:
    answers.put(list(q))


def test_a_loop_over_a_queue_ends_at_its_shutdown(ctx: Any) -> None:
    answers = ctx.Queue()
    queues = [ctx.Queue(), ctx.JoinableQueue(), ctx.SimpleQueue()]
    put_all(queues[2], [7, 8])
    queues[2].shutdown()
    assert list(queues[2]) == [7, 8]
    with several(ctx, *[(take_until_the_end, q, answers) for q in queues[:2]]) as children:
        for child, q in zip(children, queues, strict=False):
            until_blocked(child.pid)
            put_all(q, [1, 2, 3])
            q.shutdown()
            assert answers.get(timeout=LONG) == [1, 2, 3]
    with pytest.raises(TypeError):
        _ = 1 in queues[0]  # it would take what it looks at


# ---- statistics --------------------------------------------------------------------------------------


def test_statistics_tell_what_is_inside_and_who_waits(fork: Any) -> None:
    q, full, answers = fork.JoinableQueue(), fork.Queue(1), fork.Queue()
    calls = [(report_error, q.get, answers)] * 2 + [(report_error, q.join, answers)]
    full.put(1)
    assert q.statistics() == (0, 0, 0, 0, 0, 0, 0, 0, 0, None)
    q.put("a"), q.put("b"), q.get(), q.get()
    with several(fork, *calls, (report_error, full.put, answers, 2)) as children:
        for child in children:
            until_blocked(child.pid)
        until(lambda: (q.statistics()[6], q.statistics()[8], full.statistics()[7]) == (2, 1, 1))
        assert q.statistics() == (0, 0, 2, 2, 2, 0, 2, 0, 1, None)
        assert full.statistics() == (1, 1, 1, 0, 0, 0, 0, 1, 0, None)
        q.shutdown(immediate=True)
        full.shutdown()
        q.task_done(), q.task_done()
        got = Counter(answers.get(timeout=LONG) for _ in children)
        assert got == {forkful.ShutDown: 3, True: 1}
    assert q.statistics().shut_down == "immediate"
    assert full.statistics() == (1, 1, 1, 0, 0, 0, 0, 0, 0, "shutdown")
    assert q.statistics().unfinished == 0


# ---- JoinableQueue ---------------------------------------------------------------------------------


def work_off(q: Any) -> None:
    while q.get() is not None:
        q.task_done()
    q.task_done()


def test_join_waits_until_all_is_done(either: Any) -> None:
    q = either.JoinableQueue()
    with several(either, (work_off, q), (work_off, q)):
        put_all(q, list(range(200)))
        q.join()
        assert q.empty()
        put_all(q, [None, None])
        q.join()
    q.close()


def test_task_done_more_often_than_put_is_an_error(module: Any) -> None:
    q = module.JoinableQueue()
    with pytest.raises(ValueError, match="task_done"):
        q.task_done()
    q.put(1)
    q.get(timeout=LONG)
    q.task_done()
    with pytest.raises(ValueError, match="task_done"):
        q.task_done()
    q.join()
    q.close()


def test_join_with_a_timeout_tells_whether_all_is_done(fork: Any) -> None:
    q = fork.JoinableQueue()
    assert q.join(timeout=0) is True
    q.put(1)
    assert q.join(timeout=0.01) is False
    assert q.get() == 1
    assert q.join(timeout=0) is False
    q.task_done()
    assert q.join(timeout=LONG) is True


def take_and_hold(q: Any, n: int, taken: Any) -> None:
    for _ in range(n):
        q.get()
    taken.set()
    signal.pause()


@pytest.mark.parametrize("n", [1, 3])
def test_join_names_the_items_that_died_with_their_consumer_once(ctx: Any, n: int) -> None:
    q, taken = ctx.JoinableQueue(), ctx.Event()
    put_all(q, list(range(n)))
    with running(ctx, take_and_hold, q, n, taken) as child:
        assert taken.wait(LONG)
        kill(child)
    with pytest.raises(forkful.WorkerDied, match="1 item " if n == 1 else f"{n} items "):
        q.join()
    assert q.join(timeout=0) is True
    q.put("again")
    assert q.join(timeout=0) is False
    assert q.get() == "again"
    q.task_done()
    q.join()


def test_a_join_under_way_learns_that_the_consumer_has_died(fork: Any) -> None:
    q, taken, answers = fork.JoinableQueue(), fork.Event(), fork.Queue()
    q.put(1)
    with running(fork, take_and_hold, q, 1, taken) as consumer:
        assert taken.wait(LONG)
        with running(fork, report_error, q.join, answers) as joiner:
            until_blocked(joiner.pid)
            kill(consumer)
            assert answers.get(timeout=LONG) is forkful.WorkerDied


def test_a_consumer_that_exits_with_an_item_in_hand_loses_it_too(fork: Any) -> None:
    q = fork.JoinableQueue()
    q.put(1)
    with running(fork, q.get) as child:
        child.join(LONG)
    with pytest.raises(forkful.WorkerDied):
        q.join()


def test_join_waits_for_what_can_still_be_done_before_it_tells_of_a_loss(fork: Any) -> None:
    q, taken = fork.JoinableQueue(), fork.Event()
    put_all(q, [1, 2])
    with running(fork, take_and_hold, q, 1, taken) as child:
        assert taken.wait(LONG)
        kill(child)
    assert q.join(timeout=0.01) is False
    assert q.get() == 2
    q.task_done()
    with pytest.raises(forkful.WorkerDied, match="1 item "):
        q.join()


def test_task_done_by_another_process_than_the_taker_counts(fork: Any) -> None:
    q = fork.JoinableQueue()
    q.put(1)
    q.get()
    with running(fork, q.task_done):
        pass
    assert q.join(timeout=LONG) is True


# ---- JoinableQueue(redeliver=...) --------------------------------------------------------------------


def take_report_and_hold(q: Any, n: int, done: int, taken: Any) -> None:
    for _ in range(n):
        q.get()
    for _ in range(done):
        q.task_done()
    taken.set()
    signal.pause()


def test_items_of_a_killed_consumer_are_given_to_another_before_the_rest(ctx: Any) -> None:
    q, taken, lock = ctx.JoinableQueue(redeliver=True), ctx.Event(), ctx.Lock()
    large, whole = np.arange(300_000), os.urandom(300_000)
    put_all(q, ["done", "small", large, whole, {"lock": lock}, "last"])
    with running(ctx, take_report_and_hold, q, 5, 1, taken) as child:
        assert taken.wait(LONG)
        assert q.qsize() == 1
        kill(child)
    assert q.statistics()[:6] == (1, 0, 6, 5, 5, 0)
    assert q.join(timeout=0) is False
    assert q.get() == "small"
    assert np.array_equal(q.get(), large)
    assert q.get() == whole
    with q.get()["lock"]:
        assert lock.statistics().locked
    assert q.get() == "last"
    for _ in range(5):
        assert q.join(timeout=0) is False
        q.task_done()
    assert q.join(timeout=LONG) is True
    with pytest.raises(ValueError, match="no item"):
        q.task_done()


def deal_with_all(q: Any, answers: Any, dies_at: object = None) -> None:
    for item in q:
        if item == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        answers.put(item)
        q.task_done()


def test_consumers_outlive_one_that_is_killed_also_at_the_end(ctx: Any) -> None:
    """A consumer that is idle when the queue is shut down waits for what others have in hand."""
    q, answers, taken = ctx.JoinableQueue(redeliver=True), ctx.Queue(), ctx.Event()
    q.put("held")
    with running(ctx, take_report_and_hold, q, 1, 0, taken) as victim:
        assert taken.wait(LONG)
        q.put("other")
        q.shutdown()
        with running(ctx, deal_with_all, q, answers) as survivor:
            assert answers.get(timeout=LONG) == "other"
            until_blocked(survivor.pid)
            with pytest.raises(queue.Empty):
                q.get_nowait()
            kill(victim)
            assert answers.get(timeout=LONG) == "held"
            assert q.join(timeout=LONG) is True
    with pytest.raises(forkful.ShutDown):
        q.get()


def test_an_item_that_kills_whoever_takes_it_is_given_up_and_told(fork: Any) -> None:
    q, answers = fork.JoinableQueue(redeliver=2), fork.Queue()
    put_all(q, ["poison", "good"])
    q.shutdown()
    for _ in range(3):
        with running(fork, deal_with_all, q, answers, "poison") as child:
            child.join(LONG)
            assert child.exitcode == -signal.SIGKILL
    with running(fork, deal_with_all, q, answers, "poison"):
        assert answers.get(timeout=LONG) == "good"
    assert q.statistics().lost == 1
    with pytest.raises(forkful.WorkerDied, match=r"1 item .*redeliver=2"):
        q.join()
    assert q.join(timeout=0) is True


def test_memory_of_redelivered_items_is_given_back_once_they_are_done(fork: Any) -> None:
    q, taken = fork.JoinableQueue(redeliver=True), fork.Event()
    q.put(1), q.get(), q.task_done()
    before = used()
    put_all(q, [bytes(1_000_000), {"event": fork.Event()}])
    with running(fork, take_report_and_hold, q, 2, 0, taken) as child:
        assert taken.wait(LONG)
        kill(child)
    assert len(q.get()) == 1_000_000
    q.get()
    q.task_done()
    q.task_done()
    assert used() == before


def test_task_done_is_for_the_thread_that_took_the_item(fork: Any) -> None:
    q = fork.JoinableQueue(redeliver=True)
    q.put(1)
    q.get()
    errors: list[BaseException] = []

    def report() -> None:
        try:
            q.task_done()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=report)
    thread.start()
    thread.join(LONG)
    assert len(errors) == 1
    q.task_done()
    assert q.join(timeout=LONG) is True


def test_a_number_of_redeliveries_that_makes_no_sense_is_refused(fork: Any) -> None:
    for wrong, error in ((-1, ValueError), (1.5, TypeError), ("3", TypeError)):
        with pytest.raises(error):
            fork.JoinableQueue(redeliver=wrong)


# ---- deaths ------------------------------------------------------------------------------------------


def test_a_getter_killed_while_it_waits_takes_nothing_along(fork: Any) -> None:
    q = fork.Queue()
    with several(fork, (q.get,), (q.get,)) as children:
        for child in children:
            until_blocked(child.pid)
        for child in children:
            kill(child)
    q.put(1)
    assert q.get_nowait() == 1


def test_a_putter_killed_while_it_waits_puts_nothing(fork: Any) -> None:
    q = fork.Queue(1)
    q.put(1)
    with running(fork, q.put, 2) as child:
        until_blocked(child.pid)
        kill(child)
    assert q.get() == 1
    assert q.empty()
    q.put(3)
    assert q.get_nowait() == 3


def test_a_wake_up_that_a_killed_process_received_is_not_lost(fork: Any) -> None:
    q, answers = fork.Queue(), fork.Queue()
    for _ in range(10):
        with several(fork, (q.get,), (report_error, q.get, answers)) as (victim, other):
            until_blocked(victim.pid)
            until_blocked(other.pid)
            os.kill(victim.pid, signal.SIGSTOP)
            q.put("a")
            kill(victim)
            q.put("b")
            assert answers.get(timeout=LONG) in ("a", "b")
        until(lambda: _native.reap_all() >= 0)
        while not q.empty():
            q.get()
