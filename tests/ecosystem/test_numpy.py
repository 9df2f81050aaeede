"""NumPy arrays of every shape arrive as they were sent, whichever way they go."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from forkful.shared import Dict
from tests.contract.children import LONG, running, used

MIB = 1024 * 1024


def read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array.flags.writeable = False
    return array


ARRAYS: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
    "contiguous": lambda: np.arange(60_000.0).reshape(200, 300),
    "Fortran": lambda: np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
    "transposed": lambda: np.arange(60_000).reshape(20, 30, 100).transpose(2, 0, 1),
    "sliced": lambda: np.arange(60_000)[5:-7:3],
    "reversed": lambda: np.arange(60_000)[::-1],
    "broadcast": lambda: np.broadcast_to(np.arange(300), (200, 300)),
    "small": lambda: np.arange(6, dtype=np.int16).reshape(2, 3),
    "scalar": lambda: np.array(3.5),
    "of no items": lambda: np.empty((0, 5), np.float32),
    "read-only": lambda: read_only(np.arange(60_000)),
    "small and read-only": lambda: read_only(np.arange(6)),
    "booleans": lambda: np.arange(60_000) % 3 == 0,
    "complex": lambda: np.exp(1j * np.arange(9_000, dtype=np.longdouble)),
    "big-endian": lambda: np.arange(60_000, dtype=">i4"),
    "bytes": lambda: np.array([b"a", b"bc", b"def"] * 5_000),
    "text": lambda: np.array(["ä", "bç", "def"] * 5_000),
    "times": lambda: np.arange("2000-01-01", "2030-01-01", dtype="datetime64[D]"),
    "objects": lambda: np.array([{"a": 1}, None, "three", (4, 5)], dtype=object),
    "records": lambda: np.array(
        [(n, n / 7, f"no {n}") for n in range(3_000)],
        dtype=[("id", "u4"), ("x", "f8"), ("name", "U12")],
    ),
    "50 MB": lambda: np.arange(50 * MIB // 8, dtype=np.float64),
}


def form(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """All but the content."""
    return {
        "type": type(array),
        "dtype": array.dtype,
        "shape": array.shape,
        "C": array.flags.c_contiguous,
        "Fortran": array.flags.f_contiguous,
        "writeable": array.flags.writeable,
        "aligned": array.flags.aligned,
    }


def assert_same(arrived: np.ndarray[Any, Any], sent: np.ndarray[Any, Any]) -> None:
    """It is what a pickle of protocol 5 makes of it: gaps and strides are not kept, all else is."""
    assert form(arrived) == form(pickle.loads(pickle.dumps(sent, 5)))
    np.testing.assert_array_equal(arrived, sent)
    if arrived.flags.writeable:
        arrived.fill(0)  # it can truly be written


def echo(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array


def by_queue(source: Any, target: Any) -> None:
    while (item := source.get()) is not None:
        target.put(item)


def by_pipe(conn: Any) -> None:
    while (item := conn.recv()) is not None:
        conn.send(item)


@pytest.mark.parametrize("kind", ARRAYS)
def test_through_a_queue_within_a_process(fork: Any, kind: str) -> None:
    q, array = fork.Queue(), ARRAYS[kind]()
    q.put(array)
    assert_same(q.get(timeout=LONG), array)


def test_through_queues(ctx: Any) -> None:
    there, back = ctx.Queue(), ctx.Queue()
    with running(ctx, by_queue, there, back):
        for make in ARRAYS.values():
            there.put(make())
            assert_same(back.get(timeout=LONG), make())
        there.put(None)


def test_through_a_pipe(ctx: Any) -> None:
    mine, its = ctx.Pipe()
    with running(ctx, by_pipe, its), mine, its:
        for make in ARRAYS.values():
            mine.send(make())
            assert_same(mine.recv(), make())
        mine.send(None)


def test_through_a_pool(ctx: Any) -> None:
    with ctx.Pool(2) as pool:
        arrived = pool.map(echo, [make() for make in ARRAYS.values()])
        for array, make in zip(arrived, ARRAYS.values(), strict=True):
            assert_same(array, make())
        assert_same(pool.apply(echo, (np.arange(6),)), np.arange(6))


def test_as_an_argument_and_a_result_of_a_process(ctx: Any, start_method: str) -> None:
    """Arguments are pickled as what goes through a queue is, or inherited."""
    arrays = [make() for make in ARRAYS.values()]
    child = ctx.Process(target=list, args=(arrays,))
    child.start()
    if start_method != "fork":
        arrays = pickle.loads(pickle.dumps(arrays, 5))
    for arrived, array in zip(child.result(LONG), arrays, strict=True):
        assert_same(arrived, array)
    child.close()


def test_arrays_within_other_things(fork: Any) -> None:
    q, array = fork.Queue(), np.arange(60_000)
    q.put({"one": [array, (array[:3], "text")], "again": array})
    arrived = q.get(timeout=LONG)
    assert_same(arrived["one"][1][0], array[:3])
    assert arrived["again"] is arrived["one"][0]
    assert_same(arrived["again"], array)


def test_the_sender_may_write_on_as_soon_as_it_has_put(fork: Any) -> None:
    q, array = fork.Queue(), np.zeros(60_000)
    q.put(array)
    array[:] = 1
    assert not q.get(timeout=LONG).any()


def test_memory_of_arrays_that_were_received_is_given_back(fork: Any) -> None:
    before = used()
    q = fork.Queue()
    for n in range(5):
        q.put(np.full(10 * MIB, n, np.uint8))
    kept = [q.get(timeout=LONG) for _ in range(5)]
    assert [int(array[-1]) for array in kept] == [0, 1, 2, 3, 4]
    assert used() >= before + 50 * MIB
    view = kept[0][:100]  # keeps its array's memory
    del kept
    assert before + 10 * MIB <= used() < before + 20 * MIB
    assert not view.any()
    del view, q
    assert used() == before


def test_shared_memory_may_be_seen_as_an_array(ctx: Any) -> None:
    """Of what the standard library's `RawArray` gives, NumPy makes an array without a copy."""
    shared = ctx.RawArray("d", 16)
    child = ctx.Process(target=fill, args=(shared,))
    child.start()
    assert child.result(LONG) is None
    child.close()
    np.testing.assert_array_equal(np.frombuffer(shared), np.arange(16.0))


def fill(shared: Any) -> None:
    np.frombuffer(shared)[:] = np.arange(16.0)


def test_scalars_are_the_keys_that_they_are_in_a_dict() -> None:
    keys = [0, 1, True, 2.5, 0.1, np.False_, np.True_, np.int8(1), np.uint64(2**63), 2**63]
    keys += [np.float64(0.1), np.float32(0.1), np.float32(2.5), np.complex64(1), np.int64(0)]
    keys += [(np.True_, np.int64(1)), (1, 1), np.str_("a"), "a", np.bytes_(b"a"), b"a"]
    for a in keys:
        for b in keys:
            assert Dict({a: 1}).get(b) == {a: 1}.get(b), (a, b)
