"""What all calls of one map have in common: sent once, each task's own all the same, and given back."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forkful import WorkerDied
from forkful.pool import calls
from tests.contract.children import LONG, until, used
from tests.programs import deeds

SIZE = 150_000  # of 8 bytes: seen through a view
SMALLER = 20_000  # copied by each task

CALLS: dict[str, Callable[[Any, Any, list[int]], list[Any]]] = {
    "apply": lambda pool, f, xs: [pool.apply(f, (x,)) for x in xs],
    "apply_async": lambda pool, f, xs: [
        r.get(LONG) for r in [pool.apply_async(f, (x,)) for x in xs]
    ],
    "map": lambda pool, f, xs: pool.map(f, xs),
    "map of chunks": lambda pool, f, xs: pool.map(f, xs, chunksize=3),
    "starmap": lambda pool, f, xs: pool.starmap(f, [(x,) for x in xs]),
    "imap": lambda pool, f, xs: list(pool.imap(f, xs)),
    "imap_unordered": lambda pool, f, xs: list(pool.imap_unordered(f, iter(xs))),
    "outcomes": lambda pool, f, xs: [o.value for o in pool.outcomes(f, xs, ordered=True)],
    "retries": lambda pool, f, xs: pool.map(f, xs, retries=1),
}
KINDS: dict[str, Any] = {
    "array": np.arange(SIZE),
    "smaller array": np.arange(SMALLER),
    "list": list(range(SMALLER)),
    "bytes": os.urandom(SIZE),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_task_has_it(pool: Any, call: str, kind: str) -> None:
    common = KINDS[kind]
    got = CALLS[call](pool, functools.partial(deeds.item_of, common), list(range(10)))
    assert sorted(got) == sorted(common[x] for x in range(10))


def test_with_each_start_method_also_in_a_closure(ctx: Any) -> None:
    array = np.arange(SIZE)
    with ctx.Pool(2) as pool:
        assert pool.map(functools.partial(deeds.item_of, array), [5, 6]) == [5, 6]
        assert pool.map(lambda x: int(array[x]), [7, 8]) == [7, 8]
        pool.close()
        pool.join()


def test_a_message_only_names_it() -> None:
    function, held = calls.function_part(functools.partial(deeds.item_of, np.arange(SIZE)))
    assert len(function) < 1000
    assert len(held) == 1
    small = calls.function_part(functools.partial(deeds.item_of, [1, 2, 3]))
    assert small[1] == []


def test_what_a_task_writes_is_its_own(pool: Any) -> None:
    for size in (SIZE, SMALLER):
        array = np.arange(size)
        function = functools.partial(deeds.negated_item_in_place, array)
        assert pool.map(function, range(20), chunksize=1) == [-x for x in range(20)]
        assert pool.map(function, [3, 4], chunksize=2) == [
            -3,
            4,
        ]  # of one message, as pickling has it
        assert (array == np.arange(size)).all()


def test_it_is_what_it_was_at_the_call(pool: Any, tmp_path: Path) -> None:
    array, go = np.arange(SIZE), str(tmp_path / "go")
    blocked = [pool.apply_async(deeds.wait_for_file, (go,)) for _ in range(2)]
    result = pool.map_async(functools.partial(deeds.item_of, array), [1, 2, 3])
    array[:] = 0
    Path(go).touch()
    assert result.get(LONG) == [1, 2, 3]
    assert [r.get(LONG) for r in blocked] == [go, go]


def test_a_queue_in_it_lives_as_long_as_the_calls(fork: Any, pool: Any) -> None:
    queue = fork.Queue()
    pool.map(functools.partial(deeds.put_item_of, np.arange(SIZE), queue), range(10), chunksize=1)
    assert sorted(queue.get_many(10)) == list(range(10))
    assert queue.empty()


def test_its_memory_is_given_back(fork: Any, pool: Any, tmp_path: Path) -> None:
    array = np.arange(SIZE)
    item, by_value = functools.partial(deeds.item_of, array), lambda x: int(array[x])
    pool.map(deeds.echo, range(4), chunksize=1)
    before = used()
    results = []
    for _ in range(5):
        results.append(pool.map_async(item, [1, 2]))
        assert results[-1].get(LONG) == [1, 2]
        results.append(pool.apply_async(item, (3,)))
        assert results[-1].get(LONG) == 3
        assert list(pool.imap(item, [4])) == [4]
        assert next(iter(pool.outcomes(item, [4]))).value == 4
    until(lambda: used() < before + array.nbytes)  # though the results are still there
    for _ in range(20):
        assert pool.map(by_value, range(10), chunksize=1) == list(range(10))
    until(lambda: used() < before + 3 * 2**21)  # a worker keeps its last function
    assert pool.map(deeds.pid_of, range(50), chunksize=1)
    with pytest.raises(WorkerDied):
        pool.map(functools.partial(deeds.kill_me_with_both, array), [1])
    assert pool.map(item, range(10)) == list(range(10))
    assert len(results) == 10


def test_workers_that_come_in_between_do_not_keep_it(fork: Any) -> None:
    array = np.arange(SIZE)
    with fork.Pool(2, maxtasksperchild=2) as pool:
        pool.map(deeds.echo, range(4), chunksize=1)
        before = used()
        for _ in range(3):
            function = functools.partial(deeds.item_of, array)
            assert pool.map(function, range(10), chunksize=1) == list(range(10))
        until(lambda: used() < before + array.nbytes)
        pool.terminate()
        pool.join()


def test_nor_do_calls_that_were_cut_off(fork: Any, tmp_path: Path) -> None:
    before = used()
    pool = fork.Pool(2)
    function = functools.partial(deeds.arrive_with, np.arange(SIZE), str(tmp_path / "there"))
    result = pool.map_async(function, range(10), chunksize=1)
    deeds.wait_for_file(str(tmp_path / "there"))
    pool.terminate()
    pool.join()
    assert used() < before + SIZE * 8
    assert not result.ready()


def test_a_worker_keeps_no_function_but_the_last(fork: Any) -> None:
    # Not copied: it is not small, nor in a block that another test has used, whose receivers have written to it.
    array = np.arange(1 << 22)
    with fork.Pool(1) as pool:
        pool.map(deeds.echo, range(4), chunksize=1)
        before = used()
        assert pool.map(lambda x: int(array[x]), range(4), chunksize=1) == list(range(4))
        assert used() > before + array.nbytes
        assert pool.apply(functools.partial(deeds.item_of, [3]), (0,)) == 3
        until(lambda: used() < before + array.nbytes)
        pool.terminate()
        pool.join()


def test_what_is_slow_to_make_does_not_keep_chunks_small(pool: Any, tmp_path: Path) -> None:
    slow = deeds.SlowToMake(str(tmp_path / "made"))
    function = functools.partial(deeds.second, slow)
    assert pool.map(function, range(300)) == list(range(300))
    assert (tmp_path / "made").stat().st_size < 150
    (tmp_path / "made").unlink()
    assert [o.value for o in pool.outcomes(function, range(300), ordered=True)] == list(range(300))
    assert (tmp_path / "made").stat().st_size < 150


def test_a_killed_workers_further_attempt_has_it(pool: Any, tmp_path: Path) -> None:
    function = functools.partial(deeds.item_or_death, np.arange(SIZE), str(tmp_path / "died"))
    assert pool.map(function, range(8), chunksize=1, retries=1, retry_on=WorkerDied) == list(
        range(8)
    )
    assert os.path.exists(tmp_path / "died")


def test_what_cannot_be_pickled_is_the_calls_error(pool: Any) -> None:
    function = functools.partial(deeds.item_of, (np.arange(SIZE), (x for x in ())))
    with pytest.raises(TypeError, match="generator"):
        pool.map(function, [1])
    with pytest.raises(TypeError, match="generator"):
        pool.apply(function, (1,))
    assert pool.apply(deeds.square, (3,)) == 9
