"""What those who call a pool do meanwhile: in other threads, in callbacks, with the inputs, in generators."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from forkful.pool import LATER
from forkful.pool.state import NO_RETRY
from tests.contract.children import LONG, until

STREAMS = ["imap", "imap_unordered"]
STARMAPS = ["starmap", "starmap_async"]


def same(x: Any) -> Any:
    return x


def square(x: int) -> int:
    return x * x


def after(event: Any, x: Any = None) -> Any:
    """What the call gives once the event is set."""
    assert event.wait(LONG)
    return x


def in_thread(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


# ---- threads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3])
@pytest.mark.parametrize("stream", STREAMS)
def test_the_results_of_one_call_may_be_the_inputs_of_another(
    pool: Any, stream: str, chunksize: int
) -> None:
    how = getattr(pool, stream)
    for _ in range(10):
        fetched = how(same, range(1000), chunksize)
        assert sum(how(square, fetched, chunksize)) == 332833500


@pytest.mark.parametrize("stream", [*STREAMS, "outcomes"])
def test_a_result_reaches_its_thread_while_another_one_waits_for_a_long_call(
    fork: Any, pool: Any, stream: str
) -> None:
    seen, waits = fork.Event(), threading.Event()

    def consume() -> None:
        waits.wait()
        for n, _ in enumerate(getattr(pool, stream)(same, iter(range(100)))):
            if n == 50:
                seen.set()

    consumer = in_thread(consume)
    waits.set()
    assert pool.apply(after, (seen, "done")) == "done"
    consumer.join(LONG)
    assert not consumer.is_alive()


def test_to_ask_whether_a_call_is_ready_calls_nobody_back(pool: Any) -> None:
    lock, values = threading.Lock(), []

    def keep(value: int) -> None:
        with lock:
            values.append(value)

    def is_ready(result: Any) -> bool:
        with lock:
            pool.statistics()
            return bool(result.ready())

    for n in range(100):
        result = pool.apply_async(square, (n,), callback=keep)
        until(functools.partial(is_ready, result))
    assert values == [n * n for n in range(100)]


def test_who_asks_whether_a_call_is_ready_does_not_keep_the_collector_from_a_callback(
    fork: Any, pool: Any
) -> None:
    """Nor takes the role of the driver, without which it cannot call: on one processor it would hardly find it free."""
    engine, go_on = pool._engine, fork.Event()
    called: list[threading.Thread] = []
    result = pool._apply(after, (go_on,), {}, None, None, None, NO_RETRY)  # without a collector
    engine.call_soon(lambda: called.append(threading.current_thread()))
    steps = engine.steps
    assert not result.ready()
    pool.statistics()
    assert (engine.steps, called) == (steps, [])
    engine.poll()
    assert called == [threading.current_thread()]
    go_on.set()
    assert result.get(LONG) is None


def test_a_call_that_cannot_be_sent_calls_back_in_another_thread(pool: Any) -> None:
    lock, threads = threading.Lock(), []

    def note(error: BaseException) -> None:
        with lock:
            threads.append(threading.current_thread())

    unsendable = threading.Lock()
    with lock:
        results = [
            pool.apply_async(same, (unsendable,), error_callback=note),
            pool.map_async(same, [unsendable], error_callback=note),
        ]
    for result in results:
        with pytest.raises(TypeError, match="pickle"):
            result.get(LONG)
    assert len(threads) == 2


def fail() -> None:
    raise ZeroDivisionError


def test_a_callback_is_called_once_also_in_a_pool_that_breaks(fork: Any) -> None:
    taken = 0
    for n in range(30):
        called: list[Any] = []
        with fork.Pool(1, fail) as pool:
            # It may have broken before: then no call is taken.
            with contextlib.suppress(ZeroDivisionError, ValueError):
                if n % 3 == 0:
                    r = pool.apply_async(same, (threading.Lock(),), error_callback=called.append)
                elif n % 3 == 1:
                    r = pool.map_async(same, [threading.Lock()] * 2, error_callback=called.append)
                else:
                    r = pool.map_async(same, [], callback=called.append)
                r.wait(LONG)
                taken += 1
                assert r.successful() == (n % 3 == 2)
                assert len(called) == 1
    assert taken


def test_a_callback_that_raises_keyboard_interrupt_is_not_the_last(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: told.append(kind))

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    results = [pool.apply_async(square, (n,), callback=interrupt) for n in range(3)]
    results.append(pool.apply_async(square, (3,)))
    until(lambda: all(result.ready() for result in results))
    assert [result.get(0) for result in results] == [0, 1, 4, 9]
    assert told == [KeyboardInterrupt] * 3


# ---- inputs that change -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, set, deque, dict.fromkeys])
@pytest.mark.parametrize("stream", STREAMS)
def test_inputs_are_those_that_were_there_at_the_call(pool: Any, stream: str, kind: Any) -> None:
    left = kind(range(300))
    for x in getattr(pool, stream)(same, left):
        if isinstance(left, dict):
            del left[x]
        else:
            left.remove(x)
    assert not left


def test_a_map_has_its_own_list_of_inputs(fork: Any, pool: Any) -> None:
    go_on, batch = fork.Event(), list(range(3000))
    one = pool.starmap_async(after, [(go_on, x) for x in batch], 1)
    pairs = [(go_on, x) for x in batch]
    two = pool.starmap_async(after, pairs)
    pairs.clear()
    three = pool.map_async(same, batch, 1)
    batch[:] = range(3000, 0, -1)
    go_on.set()
    assert one.get(LONG) == two.get(LONG) == three.get(LONG) == list(range(3000))


# ---- generators -------------------------------------------------------------------------------------


class Stopped(BaseException):
    """As some libraries cancel what runs."""


def two_and(error: BaseException) -> Iterator[int]:
    yield 1
    yield 2
    raise error


@pytest.mark.parametrize("error", [SystemExit("bad input file"), Stopped(), KeyboardInterrupt()])
@pytest.mark.parametrize("stream", STREAMS)
def test_whatever_a_generator_raises_reaches_the_consumer(
    pool: Any, stream: str, error: BaseException
) -> None:
    results, values = getattr(pool, stream)(square, two_and(error)), []
    with pytest.raises(type(error)):
        for value in results:
            values.append(value)
    values += results  # unordered: those that came after the error
    assert sorted(values) == [1, 4]
    assert pool.apply(square, (3,)) == 9
    pool.close()
    pool.join()


def test_whatever_a_generator_raises_comes_after_the_outcomes(pool: Any) -> None:
    outcomes, values = pool.outcomes(square, two_and(SystemExit(3)), ordered=True), []
    with pytest.raises(SystemExit):
        for outcome in outcomes:
            values.append(outcome.value)
    assert values == [1, 4]
    pool.close()
    pool.join()


def test_what_inputs_raise_in_the_callers_own_thread_is_raised_there(pool: Any) -> None:
    def inputs() -> Iterator[Any]:
        yield LATER
        raise Stopped

    with pytest.raises(Stopped):
        list(pool.outcomes(square, inputs(), inline=True))
    assert pool.apply(square, (3,)) == 9


# ---- arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        ("30", TypeError),
        (b"1", TypeError),
        ([], TypeError),
        (0, ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
    ],
)
def test_a_timeout_that_is_none_is_refused_at_the_call(
    pool: Any, timeout: Any, error: type[Exception]
) -> None:
    calls = ("apply", "apply_async"), ("map", "map_async", *STREAMS, "outcomes"), STARMAPS
    for names, inputs in zip(calls, ((1,), [1], [(1,)]), strict=True):
        for name in names:
            with pytest.raises(error):
                getattr(pool, name)(same, inputs, timeout=timeout)
    assert pool.apply(same, (1,), timeout=LONG) == 1


def test_what_is_in_many_places_is_sent_once(fork: Any, pool: Any) -> None:
    row = [0] * 1000
    grid = [row] * 1000
    frames = [grid] * 1000
    clips = [frames] * 1000
    queue = fork.SimpleQueue()
    reader, writer = fork.Pipe(False)
    queue.put(clips)
    writer.send(clips)
    for got in queue.get(), reader.recv(), pool.apply(same, (clips,)), pool.map(same, [clips])[0]:
        assert got[0] is got[999]
        assert got[0][0][0] is got[0][999][999]
        assert got[0][0][0] == row
    assert sys.getrefcount(row) < 1010
    reader.close()
    writer.close()
