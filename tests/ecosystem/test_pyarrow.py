"""Arrow's tables and batches through queues and pools. Only where pyarrow is installed: see CONTRIBUTING.md."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.children import LONG, running, used

arrow = pytest.importorskip("pyarrow")

ROWS = 100_000  # of more than 4 MiB: less may be copied where that takes less time than to map it
SMALL = 100_000  # bytes


@functools.cache
def batch(rows: int) -> Any:
    """Columns with nulls, of text, of few values and of lists."""
    kinds = ["odd" if n % 2 else "even" for n in range(rows)]
    columns = {
        "number": arrow.array(range(rows), mask=[n % 5 == 0 for n in range(rows)]),
        "part": arrow.array([n / 7 for n in range(rows)], arrow.float64()),
        "name": arrow.array([f"no {n}" for n in range(rows)], arrow.string()),
        "kind": arrow.array(kinds, arrow.string()).dictionary_encode(),
        "some": arrow.array([[n, n + 1] for n in range(rows)], arrow.list_(arrow.int64())),
    }
    return arrow.record_batch(columns)


@functools.cache
def table(rows: int) -> Any:
    return arrow.Table.from_batches([batch(rows), batch(rows)])


def buffers(received: Any) -> Iterator[Any]:
    for column in received.columns:
        for part in column.chunks if isinstance(column, arrow.ChunkedArray) else [column]:
            yield from filter(None, part.buffers())


def is_mapped(received: Any) -> bool:
    """Whether all but small buffers lie where the sender put them: they were neither pickled nor copied again."""
    mapped = []
    with open("/proc/self/maps") as lines:
        for line in lines:
            where, *_, name = line.split(maxsplit=5)
            if name.startswith("/memfd:forkful"):
                mapped.append(range(*(int(edge, 16) for edge in where.split("-"))))
    places = [buffer.address for buffer in buffers(received) if buffer.size > SMALL]
    assert places, "too few rows to tell"
    return all(any(place in part for part in mapped) for place in places)


def test_what_was_made_here_is_not_mapped() -> None:
    assert not is_mapped(table(ROWS))


def by_queue(source: Any, target: Any) -> None:
    while (received := source.get()) is not None:
        target.put((received, received.num_rows < ROWS or is_mapped(received)))


@pytest.mark.parametrize("make", [batch, table])
def test_they_go_through_queues_and_are_mapped(ctx: Any, make: Callable[[int], Any]) -> None:
    there, back = ctx.Queue(), ctx.Queue()
    with running(ctx, by_queue, there, back):
        for rows in (0, 10, ROWS):
            there.put(make(rows))
            received, was_mapped = back.get(timeout=LONG)
            received.validate(full=True)
            assert received.equals(make(rows))
            assert was_mapped
        assert is_mapped(received)
        there.put(None)


def test_a_slice_goes_through_a_queue(fork: Any) -> None:
    q, part = fork.Queue(), table(ROWS).slice(ROWS - 7, 100)  # of both batches
    q.put(part)
    assert q.get(timeout=LONG).equals(part)


def echo(received: Any) -> tuple[Any, bool]:
    return received, is_mapped(received)


def test_they_go_through_a_pool_and_are_mapped(ctx: Any) -> None:
    sent = [batch(ROWS), table(ROWS)]
    with ctx.Pool(2) as pool:
        for thing, (received, was_mapped) in zip(sent, pool.map(echo, sent), strict=True):
            received.validate(full=True)
            assert received.equals(thing)
            assert was_mapped
            assert is_mapped(received)


def test_memory_of_batches_that_were_received_is_given_back(fork: Any) -> None:
    before = used()
    q, size = fork.Queue(), batch(ROWS).nbytes
    for _ in range(3):
        q.put(batch(ROWS))
    kept = [q.get(timeout=LONG) for _ in range(3)]
    assert used() >= before + 3 * size
    column = kept[0].column("part")  # keeps its own batch's memory
    del kept
    assert before + column.nbytes <= used() < before + 2 * size
    assert column[7].as_py() == 1
    del column, q
    assert used() == before
