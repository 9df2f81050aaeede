"""Items that take no time travel in lots; what happens to one is still its own affair."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Gate, Map, by_seq

COUNT = 1500
"""So many that lots have grown to their full size."""


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("options", [[], ["--journal", "run.db", "-k"]])
def test_what_ends_badly_in_a_lot_costs_its_item_and_none_is_run_twice(
    forkful_map: Map, tmp_path: Path, options: list[str]
) -> None:
    """Whoever is killed has finished items right before, whose lines nobody has taken yet."""
    log = tmp_path / "log"
    write_lines(tmp_path / "in", [f"{log}|{n}" for n in range(COUNT)])

    ran = forkful_map("--lines", "in", "-j", "2", *options, deed="ends_badly_at_times")

    assert Counter(log.read_text().split()) == Counter(map(str, range(COUNT)))
    assert [line["seq"] for line in ran.lines] == list(range(COUNT))
    for line in ran.lines:
        seq = line["seq"]
        bad = {13: "forkful.WorkerDied", 57: "ValueError"}.get(seq % 100)
        assert line["ok"] == (bad is None), line
        assert line["attempts"] == 1
        if bad is None:
            assert line["result"] == f"done {seq}"
        else:
            assert line["error"]["type"] == bad
    assert ran.status == 2 * COUNT // 100
    if "-k" in options:
        assert ran.out.splitlines() == sorted(ran.out.splitlines(), key=_seq)
        database = sqlite3.connect(tmp_path / "run.db")
        rows = database.execute("SELECT seq, ok, length(key), pid FROM outcomes").fetchall()
        database.close()
        assert sorted(row[:3] for row in rows) == [
            (line["seq"], line["ok"], 16) for line in ran.lines
        ]
        assert {row[0]: row[3] for row in rows} == {line["seq"]: line["pid"] for line in ran.lines}


def _seq(line: str) -> int:
    return int(line.partition(": ")[2].partition(",")[0])


def test_a_line_is_written_while_a_later_item_of_its_lot_runs(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, gate: Gate
) -> None:
    items = [str(n) for n in range(COUNT)]
    items[COUNT - 100] = str(gate.path)
    write_lines(tmp_path / "in", items)
    process = started("--lines", "in", "-j", "1", deed="at_gate")
    assert process.stdout is not None

    before = [process.stdout.readline() for _ in range(COUNT - 100)]
    gate.wait_until_reached()
    rest = process.stdout.read()

    lines = by_seq(b"".join([*before, rest]).decode())
    assert [line["result"] for line in lines] == items
    assert process.wait() == 0


@pytest.mark.parametrize("options", [[], ["-k"], ["--journal", "run.db"]])
def test_results_that_have_no_room_in_a_tray_arrive(
    forkful_map: Map, tmp_path: Path, options: list[str]
) -> None:
    sizes = [1] * 600 + [50_000] * 20 + [1] * 50 + [300_000, 1, 300_000] + [1] * 50
    write_lines(tmp_path / "in", list(map(str, sizes)))

    ran = forkful_map("--lines", "in", *options, deed="repeats")

    assert [len(line["result"]) for line in ran.lines] == sizes
    assert [line["seq"] for line in ran.lines] == list(range(len(sizes)))


def test_a_resumed_run_sends_what_is_left_in_lots(forkful_map: Map, tmp_path: Path) -> None:
    write_lines(tmp_path / "in", [str(n) for n in range(COUNT)])
    run = ("--lines", "in", "-o", "out", "--journal", "run.db", "--resume")

    first = forkful_map(*run, deed="refuses_sevens", SEVENS="refused")
    write_lines(tmp_path / "in", [str(n) for n in range(2 * COUNT)])
    second = forkful_map(*run, deed="refuses_sevens", SEVENS="taken")

    assert (first.status, second.status) == (101, 0)
    lines = by_seq((tmp_path / "out").read_text())
    assert [(line["seq"], line["result"]) for line in lines] == [(n, n) for n in range(2 * COUNT)]
    database = sqlite3.connect(tmp_path / "run.db")
    rows = database.execute("SELECT seq, ok, seconds >= 0 FROM outcomes ORDER BY seq").fetchall()
    database.close()
    assert rows == [(n, 1, 1) for n in range(2 * COUNT)]


def test_halt_soon_leaves_the_rest_of_a_lot_unbegun(forkful_map: Map, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_lines(tmp_path / "in", [f"{log}|{n}" for n in range(100, 100 + 57 + COUNT)])

    ran = forkful_map("--lines", "in", "-j", "1", "--halt", "soon", deed="raises_at_57")

    begun = [int(word) for word in log.read_text().split()]
    assert begun == list(range(100, 158))
    assert [line["ok"] for line in ran.lines] == [True] * 57 + [False]


def test_a_timeout_costs_the_item_of_a_lot_that_had_its_whole_time(
    forkful_map: Map, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    write_lines(tmp_path / "in", [f"{log}|{n}" for n in range(COUNT)])

    ran = forkful_map("--lines", "in", "--timeout", "1.5", deed="never_ends_at_1400")

    assert Counter(log.read_text().split()) == Counter(map(str, range(COUNT)))
    (late,) = [line for line in ran.lines if not line["ok"]]
    assert (late["seq"], late["error"]["type"]) == (1400, "forkful.TaskTimeout")
    assert "1.5" in late["error"]["message"]
    assert late["seconds"] >= 1.5


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_trays_reach_workers_of_each_start_method(
    forkful_map: Map, tmp_path: Path, start_method: str
) -> None:
    write_lines(tmp_path / "in", [str(n) for n in range(COUNT)])

    ran = forkful_map("--lines", "in", "--start-method", start_method, deed="double")

    assert ran.results == [2 * n for n in range(COUNT)]
    assert os.listdir(tmp_path) == ["in"]
