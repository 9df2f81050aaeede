"""Data frames through queues, pipes and pools. Only where pandas is installed: see CONTRIBUTING.md."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.children import LONG, running

pandas = pytest.importorskip("pandas")


def frame(rows: int) -> Any:
    return pandas.DataFrame(
        {
            "number": range(rows),
            "part": [n / 7 for n in range(rows)],
            "name": [f"no {n}" for n in range(rows)],
            "kind": pandas.Categorical(["odd" if n % 2 else "even" for n in range(rows)]),
            "when": pandas.date_range("2026-01-01", periods=rows, freq="min", tz="UTC"),
        },
    ).set_index("when")


def echo(df: Any) -> Any:
    return df


def by_queue(source: Any, target: Any) -> None:
    while (df := source.get()) is not None:
        target.put(df)


@pytest.mark.parametrize("rows", [0, 10, 50_000])
def test_frames_go_through_queues(ctx: Any, rows: int) -> None:
    there, back = ctx.Queue(), ctx.Queue()
    with running(ctx, by_queue, there, back):
        there.put(frame(rows))
        pandas.testing.assert_frame_equal(back.get(timeout=LONG), frame(rows))
        there.put(None)


def test_frames_go_through_a_pool(ctx: Any) -> None:
    whole = frame(10_000)
    with ctx.Pool(2) as pool:
        parts = pool.map(echo, [part for _, part in whole.groupby("kind", observed=True)])
    pandas.testing.assert_frame_equal(pandas.concat(parts).sort_index(), whole)
