"""Handles travel anywhere, and an object lives as long as anybody holds it or a copy is under way."""

from __future__ import annotations

import gc
import os
import pickle
import queue
import signal
from collections.abc import Callable
from typing import Any

import pytest

import forkful
import forkful.shared
from forkful import _native
from tests.contract.children import LONG, Page, kill, running, several, used

KINDS = [
    "Lock",
    "RLock",
    "Semaphore",
    "BoundedSemaphore",
    "Event",
    "Condition",
    "Barrier",
    "Queue",
    "JoinableQueue",
    "SimpleQueue",
]


def make(ctx: Any, kind: str) -> Any:
    return ctx.Barrier(2) if kind == "Barrier" else getattr(ctx, kind)()


def mark(thing: Any) -> None:
    """Do to a shared object what can be seen in another process."""
    kind = type(thing).__name__
    if kind in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        assert thing.acquire(False)
    elif kind == "Event":
        thing.set()
    elif kind == "Condition":
        assert thing._lock.acquire(False)
    elif kind == "Barrier":
        thing.abort()
    else:
        thing.put("marked")


def marked(thing: Any) -> bool:
    kind = type(thing).__name__
    if kind in ("Lock", "RLock"):
        return bool(thing.statistics().locked)
    if kind in ("Semaphore", "BoundedSemaphore"):
        return bool(thing.get_value() == 0)
    if kind == "Event":
        return bool(thing.is_set())
    if kind == "Condition":
        return bool(thing._lock.statistics().locked)
    if kind == "Barrier":
        return bool(thing.broken)
    return bool(thing.get() == "marked")


def mark_received(receive: Callable[[], Any]) -> None:
    mark(receive())


def mark_and_wait(thing: Any, done: Any, go_on: Any) -> None:
    mark(thing)
    done.set()
    go_on.wait()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ---- ways to travel -------------------------------------------------------------------------------


def test_as_an_argument_of_a_process(ctx: Any, kind: str) -> None:
    thing = make(ctx, kind)
    assert kind.endswith("Queue") or not marked(thing)
    with running(ctx, mark, thing):
        pass
    assert marked(thing)


def test_through_a_queue(ctx: Any, kind: str) -> None:
    thing, carrier = make(ctx, kind), ctx.Queue()
    with running(ctx, mark_received, carrier.get):
        carrier.put(thing)
    assert marked(thing)


def test_through_a_pipe(ctx: Any, kind: str) -> None:
    thing = make(ctx, kind)
    reader, writer = ctx.Pipe(False)
    with running(ctx, mark_received, reader.recv):
        writer.send(thing)
    assert marked(thing)
    reader.close()
    writer.close()


def test_as_an_argument_of_a_task(fork: Any, kind: str) -> None:
    thing = make(fork, kind)
    with fork.Pool(1) as pool:
        pool.apply(mark, (thing,))
        assert marked(thing)
        thing = make(fork, kind)
        pool.map(mark, [thing])
        assert marked(thing)


def test_as_the_result_of_a_task_and_of_a_process(fork: Any) -> None:
    with fork.Pool(1) as pool:
        lock = pool.apply(forkful.get_context("fork").Lock)
        assert lock.acquire(False)
        pool.close()
        pool.join()
    lock.release()


def test_inside_other_objects(fork: Any) -> None:
    carrier = fork.Queue()
    lock, q = fork.Lock(), fork.Queue()
    q.put("inside")
    carrier.put({"lock": lock, "list": [q, lock]})
    got = carrier.get()
    assert got["lock"] is got["list"][1]
    assert got["list"][0].get() == "inside"
    got["lock"].acquire()
    assert lock.statistics().locked


def test_a_queue_through_itself(fork: Any) -> None:
    q = fork.Queue()
    q.put(q)
    q.get().put("round trip")
    assert q.get() == "round trip"


def test_a_bounded_semaphore_keeps_its_bound_and_a_barrier_its_action(fork: Any) -> None:
    carrier = fork.Queue()
    carrier.put((fork.BoundedSemaphore(3), fork.Barrier(1, gc.collect, 5)))
    semaphore, barrier = carrier.get()
    assert repr(semaphore) == "<BoundedSemaphore(value=3, maxvalue=3)>"
    with pytest.raises(ValueError):
        semaphore.release()
    assert barrier.wait() == 0


def test_an_object_of_another_family_is_refused_with_words(fork: Any) -> None:
    """Here a stranger's pickle is an own one with another family's identity in it."""
    lock = fork.Lock()
    rebuild, (cls, family, ident, state) = lock.__reduce__()
    with pytest.raises(forkful.ForkfulError, match="another family"):
        rebuild(cls, bytes(len(family)), ident, state)
    rebuild(cls, family, ident, state)


# ---- how long an object lives -------------------------------------------------------------------------


def test_dropping_the_last_handle_frees_the_memory(fork: Any, kind: str) -> None:
    make(fork, kind)
    before = used()
    for _ in range(50):
        make(fork, kind)
    assert used() == before


def test_what_is_inside_a_dropped_queue_is_freed(fork: Any) -> None:
    fork.Queue().put(1)
    before = used()
    q = fork.Queue()
    for i in range(1000):
        q.put(i)
    q.put(bytes(1_000_000))
    assert used() > before
    del q
    assert used() == before


def test_handles_inside_a_dropped_queue_are_freed(fork: Any) -> None:
    fork.Lock()
    before = used()
    q = fork.Queue()
    q.put([fork.Lock(), fork.Queue()])
    del q
    assert used() == before


def test_a_copy_under_way_keeps_the_object(ctx: Any, kind: str) -> None:
    carrier, echo = ctx.Queue(), ctx.Queue()
    with running(ctx, pass_on, carrier, echo):
        thing = make(ctx, kind)
        carrier.put(thing)
        del thing
        mark(thing := echo.get(timeout=LONG))
        assert marked(thing)


def pass_on(carrier: Any, echo: Any) -> None:
    echo.put(carrier.get())


def test_an_argument_lives_until_a_slow_child_has_it(ctx: Any, kind: str) -> None:
    answers = ctx.Queue()
    child = ctx.Process(target=mark_and_report, args=(make(ctx, kind), answers))
    child.start()
    gc.collect()
    assert answers.get(timeout=LONG) is True
    child.join()
    child.close()


def mark_and_report(thing: Any, answers: Any) -> None:
    mark(thing)
    answers.put(marked(thing))


def test_a_handle_that_was_freed_is_refused_by_an_old_pickle(fork: Any) -> None:
    lock = fork.Lock()
    text = pickle.dumps(lock)
    copy = pickle.loads(text)
    del lock, copy
    with pytest.raises(LookupError, match="gone"):
        pickle.loads(text)


def test_memory_returns_after_children_have_used_it(ctx: Any) -> None:
    q = ctx.Queue()
    with running(ctx, q.put, 1):
        pass
    q.get()
    before = used()
    things = [make(ctx, kind) for kind in KINDS]
    with running(ctx, mark_all, things):
        pass
    del things
    gc.collect()
    assert used() == before


def mark_all(things: list[Any]) -> None:
    for thing in things:
        mark(thing)


def test_memory_returns_after_its_holders_were_killed(ctx: Any) -> None:
    q = ctx.Queue()
    with running(ctx, q.put, 1):
        pass
    q.get()
    before = used()
    things = [make(ctx, kind) for kind in KINDS]
    done, go_on = ctx.Event(), ctx.Event()
    with running(ctx, mark_all_and_wait, things, done, go_on) as child:
        assert done.wait(LONG)
        del things
        gc.collect()
        kill(child)
    del done, go_on
    assert used() == before


def mark_all_and_wait(things: list[Any], done: Any, go_on: Any) -> None:
    mark_all(things)
    done.set()
    go_on.wait()


def test_memory_that_only_a_killed_process_knew_returns(ctx: Any) -> None:
    ready = ctx.Event()
    with running(ctx, hoard, ready) as child:
        assert ready.wait(LONG)
        hoarded = used()
        kill(child)
    del ready
    assert used() < hoarded - 10_000_000


def hoard(ready: Any) -> None:
    ctx = forkful.get_context("fork")
    things = [make(ctx, kind) for kind in KINDS]
    q = ctx.Queue()
    q.put(bytes(10_000_000))
    ready.set()
    signal.pause()
    del things


def test_a_large_object_received_by_a_killed_process_is_freed(fork: Any) -> None:
    q, ready = fork.Queue(), fork.Event()
    q.put(0), q.get()
    before = used()
    with running(fork, receive_and_pause, q, ready) as child:
        q.put(bytearray(5_000_000))
        q.put([bytes(100_000)] * 3)
        q.put(Page(bytes(300_000)))
        assert ready.wait(LONG)
        kill(child)
    assert used() == before


def receive_and_pause(q: Any, ready: Any) -> None:
    things = q.get(), q.get(), q.get()
    ready.set()
    signal.pause()
    del things


def test_an_object_outlives_the_process_that_made_it(ctx: Any) -> None:
    carrier = ctx.Queue()
    with running(ctx, make_and_send, carrier):
        q = carrier.get(timeout=LONG)
    assert q.get() == "from its maker"
    q.put("still usable")
    assert q.get() == "still usable"


def make_and_send(carrier: Any) -> None:
    q = forkful.get_context("fork").Queue()
    q.put("from its maker")
    carrier.put(q)
    del q
    os._exit(0)


def test_grandchildren_share_too(ctx: Any) -> None:
    q = ctx.Queue()
    with running(ctx, have_a_child_put, ctx.get_start_method(), q):
        assert q.get(timeout=LONG) == "from a grandchild"


def have_a_child_put(method: str, q: Any) -> None:
    with running(forkful.get_context(method), q.put, "from a grandchild"):
        pass


def test_siblings_share_what_one_of_them_made(ctx: Any) -> None:
    carrier, answers = ctx.Queue(), ctx.Queue()
    with several(ctx, (make_and_serve, carrier, answers), (take_and_ask, carrier)):
        assert answers.get(timeout=LONG) == "hello sibling"


def make_and_serve(carrier: Any, answers: Any) -> None:
    q = forkful.get_context("fork").Queue()
    carrier.put(q)
    answers.put(q.get())


def take_and_ask(carrier: Any) -> None:
    carrier.get().put("hello sibling")


# ---- copies that never arrive ------------------------------------------------------------------------------


def parcels(ctx: Any) -> list[Any]:
    """Messages with handles inside: small ones, and behind a large array."""
    return [ctx.Lock(), {"q": ctx.Queue(), "c": ctx.Condition()}, [bytearray(600_000), ctx.Event()]]


def test_a_put_that_is_refused_takes_nothing_along(fork: Any) -> None:
    q = fork.Queue(1)
    q.put(1)
    before = used()
    for thing in parcels(fork):
        with pytest.raises(queue.Full):
            q.put(thing, False)
    del thing
    assert used() == before


def test_an_immediate_shutdown_frees_what_was_under_way(fork: Any) -> None:
    q = fork.Queue()
    before = used()
    for thing in parcels(fork):
        q.put(thing)
    del thing
    q.shutdown(immediate=True)
    assert used() == before


def test_what_a_killed_receiver_had_in_hand_is_freed(ctx: Any) -> None:
    q, ready = ctx.Queue(), ctx.Event()
    before = used()
    with running(ctx, receive_and_pause_often, q, 3, ready) as child:
        for thing in parcels(ctx):
            q.put(thing)
        del thing
        assert ready.wait(LONG)
        kill(child)
    assert used() <= before


def receive_and_pause_often(q: Any, n: int, ready: Any) -> None:
    things = [q.get() for _ in range(n)]
    ready.set()
    signal.pause()
    del things


def test_what_a_killed_sender_had_put_arrives_and_is_freed_after_use(ctx: Any) -> None:
    q, ready = ctx.Queue(), ctx.Event()
    with running(ctx, put_parcels_and_pause, ctx.get_start_method(), q, ready) as child:
        assert ready.wait(LONG)
        kill(child)
    lock, both, (array, event) = (q.get() for _ in range(3))
    before = used()
    assert lock.acquire(False)
    both["q"].put("works")
    assert both["q"].get() == "works"
    event.set()
    assert event.is_set()
    assert len(array) == 600_000
    del lock, both, array, event
    assert used() < before


def put_parcels_and_pause(method: str, q: Any, ready: Any) -> None:
    for thing in parcels(forkful.get_context(method)):
        q.put(thing)
    del thing
    ready.set()
    signal.pause()


# ---- the kernel's memory --------------------------------------------------------------------------

KEPT = 64 << 20  # that what is free may keep


def in_memory() -> int:
    """Bytes of the family's memory that the kernel has given, in use or not."""
    return os.fstat(_native.fd()).st_blocks * 512


def test_a_backlog_of_documents_gives_its_memory_back_to_the_kernel(fork: Any) -> None:
    q, document = fork.Queue(), {"body": "x" * 50_000}
    before = in_memory()
    for _ in range(4000):
        q.put(document)
    assert in_memory() - before > 4000 * 50_000
    for _ in range(4000):
        assert q.get() == document
    assert in_memory() - before < KEPT + (8 << 20)


def test_a_large_dict_of_small_items_gives_its_memory_back_to_the_kernel() -> None:
    numbers = forkful.shared.Dict()
    before = in_memory()
    numbers.update((n, "x" * 200) for n in range(300_000))
    assert in_memory() - before > 300_000 * 256
    numbers.clear()
    assert in_memory() - before < KEPT + (8 << 20)
    numbers[1] = 2
    assert numbers.copy() == {1: 2}
