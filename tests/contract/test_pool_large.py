"""Large arguments and results of tasks: they come whole, are private, and their memory is given back."""

from __future__ import annotations

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

SIZE = 150_000  # of 8 bytes

LARGE: dict[str, Any] = {
    "array": np.arange(SIZE),
    "fortran": np.asfortranarray(np.arange(SIZE).reshape(500, -1)),
    "bytes": os.urandom(8 * SIZE),
    "bytearray": bytearray(8 * SIZE),
    "page": ("https://example.org", 200, os.urandom(8 * SIZE)),
    "pages": [os.urandom(130_000), "text", os.urandom(700_000), bytearray(130_000)],
    "both": {"array": np.arange(SIZE), "bytes": bytes(8 * SIZE), "small": np.arange(3)},
}


def same(sent: Any, got: Any) -> bool:
    assert type(sent) is type(got)
    if isinstance(sent, dict):
        return sent.keys() == got.keys() and all(same(sent[k], got[k]) for k in sent)
    return bool(np.array_equal(sent, got)) if isinstance(sent, np.ndarray) else sent == got


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "apply": lambda pool, x: pool.apply(deeds.echo, (x,)),
    "apply with keywords": lambda pool, x: pool.apply(deeds.echo, kwds={"x": x}),
    "map": lambda pool, x: pool.map(deeds.echo, [1, x, 2], chunksize=1)[1],
    "map of chunks": lambda pool, x: pool.map(deeds.echo, [1, x, x, 2], chunksize=3)[2],
    "starmap": lambda pool, x: pool.starmap(deeds.echo, [(1,), (x,)])[1],
    "imap": lambda pool, x: next(iter(pool.imap(deeds.echo, [x]))),
    "outcomes": lambda pool, x: next(iter(pool.outcomes(deeds.echo, [x]))).value,
    "retries": lambda pool, x: pool.apply(deeds.echo, (x,), retries=1),
    "map with retries": lambda pool, x: pool.map(deeds.echo, [x], retries=1)[0],
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", LARGE)
def test_what_is_large_comes_and_goes_whole(pool: Any, call: str, kind: str) -> None:
    assert same(LARGE[kind], CALLS[call](pool, LARGE[kind]))


def test_it_does_with_each_start_method(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        for sent in LARGE.values():
            assert same(sent, pool.apply(deeds.echo, (sent,)))
        pool.terminate()
        pool.join()


def test_what_a_task_writes_is_its_own(pool: Any) -> None:
    array = np.arange(SIZE)
    for _ in range(5):
        changed = pool.apply(deeds.negate_in_place, (array,))
        assert (array == np.arange(SIZE)).all()
        assert (changed == -array).all()
        changed[:] = 7
        del changed


def test_large_buffers_are_not_copied_into_the_pickle() -> None:
    array, whole = np.arange(SIZE), bytes(8 * SIZE)
    for arguments in ([array, whole], ((array, whole), {})):
        (data, buffers), held = calls.dump(arguments, b"")
        assert not held
        assert len(data) < 1000
        assert np.shares_memory(np.frombuffer(buffers[0], array.dtype), array)
        assert np.shares_memory(np.frombuffer(buffers[1]), np.frombuffer(whole))


def test_a_further_attempt_has_what_the_call_was_given(pool: Any, tmp_path: Path) -> None:
    array, failed = np.arange(SIZE), str(tmp_path / "failed")
    call = pool.apply_async(deeds.fail_once, (array, failed), retries=1)
    array[:] = 0
    assert (call.get(LONG) == np.arange(SIZE)).all()
    assert os.path.exists(failed)


def test_queued_ones_outlive_the_cancelling_of_their_neighbour(fork: Any, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    with fork.Pool(1) as pool:
        pool.apply_async(deeds.arrive_and_wait, (str(tmp_path / "there"), go))
        deeds.wait_for_file(str(tmp_path / "there"))
        queued = [pool.apply_async(deeds.echo, (sent,)) for sent in LARGE.values()]
        neighbour = pool.apply_async(deeds.echo, (1,))
        assert neighbour.cancel()  # all that nobody has begun is taken back, and sent again
        Path(go).touch()
        for sent, call in zip(LARGE.values(), queued, strict=True):
            assert same(sent, call.get(LONG))
        pool.close()
        pool.join()


def test_memory_is_given_back_when_a_task_is_done(pool: Any) -> None:
    # So that the pool's queues have the room that they keep.
    assert pool.map(deeds.echo, ["x" * 1000] * 300, chunksize=1)
    before = used()
    for _ in range(10):  # a block that comes again is not copied from
        for sent in LARGE.values():
            assert same(sent, pool.apply(deeds.echo, (sent,)))
            assert pool.apply(deeds.size_of, (sent,))
    until(lambda: used() == before)  # also by workers, which wait for their next task


def test_memory_is_given_back_when_a_worker_is_killed(pool: Any, tmp_path: Path) -> None:
    array = np.arange(SIZE)
    pool.map(deeds.echo, range(4), chunksize=1)
    before = used()
    for _ in range(3):
        with pytest.raises(WorkerDied):
            pool.apply(deeds.kill_me_with, (array,))
    assert (pool.apply(deeds.echo, (array,)) == array).all()
    until(lambda: used() < before + array.nbytes)  # new workers have tables, but nobody an array
