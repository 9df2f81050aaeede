"""A run that is recorded can be resumed, whatever ended it."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import sqlite3
import subprocess
import termios
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import DEEDS, Gate, Map, by_seq

JOURNAL = ("--journal", "run.db")


def recorded(path: Path) -> list[tuple[int, int, str | None]]:
    """Sequence number, success and error of each outcome."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT seq, ok, error FROM outcomes ORDER BY seq").fetchall()
    database.close()
    return rows


def recorded_so_far(folder: Path) -> list[tuple[int, int, str | None]]:
    """The outcomes that would survive a kill now. A running run keeps others out of its journal."""
    (folder / "copy").mkdir(exist_ok=True)
    for file in folder.glob("run.db*"):
        shutil.copy(file, folder / "copy")
    return recorded(folder / "copy" / "run.db")


def test_each_outcome_is_recorded(forkful_map: Map, tmp_path: Path) -> None:
    forkful_map("2", "3", *JOURNAL, deed="refuse_odd")

    assert recorded(tmp_path / "run.db") == [(0, 1, None), (1, 0, "ValueError")]


def test_resume_skips_what_has_succeeded(forkful_map: Map) -> None:
    items = ["2", "3", "4", "5"]
    forkful_map(*items, *JOURNAL, deed="refuse_odd")

    again = forkful_map(*items, *JOURNAL, "--resume", deed="refuse_odd")

    assert [line["seq"] for line in again.lines] == [1, 3]
    assert "2 failed, 2 skipped by the journal" in again.err
    assert again.status == 2


def test_resume_runs_what_was_never_run(forkful_map: Map) -> None:
    forkful_map("a", "b", *JOURNAL, deed="same")

    again = forkful_map("a", "b", "c", *JOURNAL, "--resume", deed="same")

    assert [(line["seq"], line["input"]) for line in again.lines] == [(2, "c")]


def test_resume_failed_runs_the_failures_and_nothing_else(forkful_map: Map) -> None:
    forkful_map("2", "3", *JOURNAL, deed="refuse_odd")

    again = forkful_map("2", "3", "5", *JOURNAL, "--resume-failed", deed="refuse_odd")

    assert [(line["seq"], line["input"]) for line in again.lines] == [(1, "3")]


def test_a_failure_that_succeeds_at_last_has_one_outcome(forkful_map: Map, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    for options in ([], ["--resume"], ["--resume"]):
        forkful_map(tries, *JOURNAL, "-o", "out", *options, deed="flaky")

    assert recorded(tmp_path / "run.db") == [(0, 1, None)]
    (line,) = by_seq((tmp_path / "out").read_text())
    assert line["result"] == 3


def test_resume_without_a_journal_yet_begins_one(forkful_map: Map, tmp_path: Path) -> None:
    assert forkful_map("a", *JOURNAL, "--resume", deed="same").results == ["a"]
    assert recorded(tmp_path / "run.db") == [(0, 1, None)]


def test_an_item_is_known_by_its_value_where_the_input_has_changed(forkful_map: Map) -> None:
    forkful_map("--lines", "-", *JOURNAL, deed="same", stdin="a\nb\nc\n")

    again = forkful_map("--lines", "-", *JOURNAL, "--resume", deed="same", stdin="new\nc\na\nb\n")

    assert again.results == ["new"]


def test_equal_items_are_each_run_once(forkful_map: Map, tmp_path: Path) -> None:
    forkful_map("--lines", "-", *JOURNAL, "-o", "out", deed="same", stdin="a\na\nb\na\n")

    again = forkful_map(
        "--lines", "-", *JOURNAL, "-o", "out", "--resume", deed="same", stdin="a\na\nb\na\na\n"
    )

    assert again.status == 0
    lines = by_seq((tmp_path / "out").read_text())
    assert [(line["seq"], line["input"]) for line in lines] == list(enumerate("aabaa"))


def test_a_string_is_not_the_json_value_that_looks_like_it(forkful_map: Map) -> None:
    forkful_map("--jsonl", "-", *JOURNAL, deed="same", stdin='"1"\n')

    again = forkful_map("--jsonl", "-", *JOURNAL, "--resume", deed="same", stdin="1\n")

    assert again.results == [1]


def test_what_nobody_read_is_not_recorded_as_written(
    started: Callable[..., subprocess.Popen[bytes]], forkful_map: Map, tmp_path: Path
) -> None:
    """Nobody reads; the pipe fills up; the run is told to end, and only then its lines are read."""
    (tmp_path / "in").write_text("".join(f'"{n:04}{"x" * 4000}"\n' for n in range(200)))
    process = started("--jsonl", "in", *JOURNAL, deed="same")
    assert process.stdout is not None
    full = 60_000  # bytes: a pipe takes 65,536
    while int.from_bytes(fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)), "little") < full:
        os.sched_yield()
    process.terminate()
    read, _ = process.communicate()

    again = forkful_map("--jsonl", "in", *JOURNAL, "--resume", deed="same")

    assert process.returncode == 143
    whole = [json.loads(line)["seq"] for line in read.decode().splitlines(True) if line[-1] == "\n"]
    assert set(whole) | {line["seq"] for line in again.lines} == set(range(200))


@pytest.mark.stress
def test_killed_at_any_moment_each_item_has_exactly_one_outcome(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, rand: random.Random
) -> None:
    """Kill a run with -9 when its output has grown by a random length; resume; and so on."""
    count = 4000
    items = [
        str(rand.choice([2 * n, n % 70 * 2, 2 * n + rand.choice([0] * 99 + [1])]))
        for n in range(count)
    ]
    (tmp_path / "in").write_text("".join(f"{item}\n" for item in items))
    out = tmp_path / "out"

    for kill in (True, True, True, True, True, True, False):
        process = started(
            "--lines",
            "in",
            *JOURNAL,
            "-o",
            "out",
            "--resume",
            deed="refuse_odd",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        goal = (out.stat().st_size if out.exists() else 0) + rand.randrange(60_000)
        while kill and process.poll() is None and (not out.exists() or out.stat().st_size < goal):
            time.sleep(0.0005)  # sleep: looks at a file that another process writes
        if kill:
            process.kill()
        process.wait()

    lines = by_seq(out.read_text())
    assert [line["seq"] for line in lines] == list(range(count))
    assert [line["input"] for line in lines] == items
    rows = recorded(tmp_path / "run.db")
    assert [seq for seq, _, _ in rows] == list(range(count))
    assert [bool(ok) for _, ok, _ in rows] == [line["ok"] for line in lines]


def test_what_is_recorded_is_not_run_again_after_a_kill(
    started: Callable[..., subprocess.Popen[bytes]], forkful_map: Map, tmp_path: Path, gate: Gate
) -> None:
    log = tmp_path / "log"
    (tmp_path / "job.py").write_text(
        f"import sys; sys.path.insert(0, {str(Path(DEEDS).parent)!r})\n"
        "from deeds import at_gate, logs\n"
        "def f(x): return at_gate(x) if x.startswith('/') and '|' not in x else logs(x)\n"
    )
    lines = [f"{log}|{n}" for n in range(20)]
    (tmp_path / "in").write_text("\n".join([*lines, str(gate.path), f"{log}|last"]) + "\n")
    process = started("job.py:f", "--lines", "in", "-j", "1", *JOURNAL)
    assert process.stdout is not None
    for _ in lines:
        process.stdout.readline()
    while len(recorded_so_far(tmp_path)) < len(lines):
        time.sleep(0.001)  # sleep: looks at a file that another process writes
    process.kill()
    process.wait()

    # The gate is not at hand any more; what waits there is a plain file to the second run.
    gate.path.unlink()
    gate.path.touch()
    again = forkful_map("job.py:f", "--lines", "in", "-j", "1", *JOURNAL, "--resume")

    assert [line["seq"] for line in again.lines] == [20, 21]
    assert Counter(log.read_text().split()) == Counter([*map(str, range(20)), "last"])


def test_the_output_is_brought_to_where_the_journal_is(forkful_map: Map, tmp_path: Path) -> None:
    """Lines that a killed run wrote and did not record are cut off, a torn one among them."""
    forkful_map("--lines", "-", *JOURNAL, "-o", "out", deed="same", stdin="a\nb\n")
    with (tmp_path / "out").open("a") as out:
        out.write('{"seq": 2, "input": "c", "ok": true}\n{"seq": 3, "inp')

    forkful_map(
        "--lines", "-", *JOURNAL, "-o", "out", "--resume", deed="same", stdin="a\nb\nc\nd\n"
    )

    lines = by_seq((tmp_path / "out").read_text())
    assert [(line["seq"], line["result"]) for line in lines] == list(enumerate("abcd"))


@pytest.mark.parametrize("moment", ["copied", "announced", "renamed"])
def test_a_rewriting_of_the_output_survives_a_kill(
    forkful_map: Map, tmp_path: Path, moment: str
) -> None:
    """The states in which a kill can leave the file, the copy without failures and the journal."""
    forkful_map("2", "3", "4", *JOURNAL, "-o", "out", deed="refuse_odd")
    out, copy = tmp_path / "out", tmp_path / "out.rewriting"
    kept = [line for line in out.read_text().splitlines(True) if '"ok": true' in line]
    copy.write_text("".join(kept) if moment != "copied" else kept[0][:10])
    if moment != "copied":
        database = sqlite3.connect(tmp_path / "run.db")
        size = copy.stat().st_size
        database.execute("INSERT OR REPLACE INTO meta VALUES ('output_rewritten', ?)", (size,))
        database.commit()
        database.close()
    if moment == "renamed":
        copy.rename(out)

    forkful_map("2", "3", "4", *JOURNAL, "-o", "out", "--resume", deed="refuse_odd")

    lines = by_seq(out.read_text())
    assert [(line["seq"], line["ok"]) for line in lines] == [(0, True), (1, False), (2, True)]
    assert not copy.exists()


def test_another_output_is_appended_to(forkful_map: Map, tmp_path: Path) -> None:
    forkful_map("a", *JOURNAL, deed="same")
    (tmp_path / "out").write_text("mine\n")

    forkful_map("a", "b", *JOURNAL, "-o", "out", "--resume", deed="same")

    mine, line = (tmp_path / "out").read_text().splitlines()
    assert (mine, json.loads(line)["result"]) == ("mine", "b")


def test_order_and_resume_together_keep_the_order(forkful_map: Map, tmp_path: Path) -> None:
    def run(stdin: str, *more: str) -> Any:
        return forkful_map(
            "--lines", "-", *JOURNAL, "-o", "out", "-k", *more, deed="same", stdin=stdin
        )

    run("a\nb\n")
    run("a\nb\nc\nd\n", "--resume")

    seqs = [json.loads(line)["seq"] for line in (tmp_path / "out").read_text().splitlines()]
    assert seqs == [0, 1, 2, 3]


def test_a_dry_run_shows_what_a_resumed_run_would_do(forkful_map: Map, tmp_path: Path) -> None:
    forkful_map("2", "3", *JOURNAL, deed="refuse_odd")
    before = recorded(tmp_path / "run.db")

    ran = forkful_map("2", "3", *JOURNAL, "--resume", "--dry-run", deed="refuse_odd")

    assert ran.out.endswith("refuse_odd('3')\n")
    assert len(ran.out.splitlines()) == 1
    assert recorded(tmp_path / "run.db") == before


def test_a_journal_with_outcomes_is_not_begun_anew(forkful_map: Map, tmp_path: Path) -> None:
    forkful_map("a", *JOURNAL, "-o", "out", deed="same")
    before = (tmp_path / "out").read_text()

    line = forkful_map("a", *JOURNAL, "-o", "out", deed="same").refusal

    assert "already holds 1 outcomes: add --resume" in line
    assert (tmp_path / "out").read_text() == before


@pytest.mark.parametrize(
    ("deed", "arguments"),
    [("double", ["--lines", "in"]), ("same", ["--lines", "other"]), ("same", ["--jsonl", "in"])],
)
def test_a_journal_of_another_job_is_refused(
    forkful_map: Map, tmp_path: Path, deed: str, arguments: list[str]
) -> None:
    (tmp_path / "in").write_text("1\n")
    (tmp_path / "other").write_text("1\n")
    forkful_map("--lines", "in", *JOURNAL, deed="same")

    line = forkful_map(*arguments, *JOURNAL, "--resume", deed=deed).refusal

    assert "the journal 'run.db' belongs to another job: it recorded" in line
    assert f"{DEEDS}:same over lines in; this is {DEEDS}:{deed} over" in line


def test_a_journal_in_use_is_refused(
    started: Callable[..., subprocess.Popen[bytes]], forkful_map: Map, gate: Gate
) -> None:
    process = started("a", gate.path, *JOURNAL, deed="at_gate")
    assert process.stdout is not None
    process.stdout.readline()

    line = forkful_map("a", gate.path, *JOURNAL, "--resume", deed="at_gate").refusal

    assert "the journal 'run.db' is in use by another run" in line


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("text that is no database, and long enough to show it" * 9, "is not a journal"),
        (None, "no journal of forkful map"),
    ],
)
def test_what_is_no_journal_is_refused_and_left_alone(
    forkful_map: Map, tmp_path: Path, content: str | None, complaint: str
) -> None:
    path = tmp_path / "run.db"
    if content is None:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE mine(x)")
        database.commit()
        database.close()
    else:
        path.write_text(content)
    before = path.read_bytes()

    assert complaint in forkful_map("a", *JOURNAL, deed="same").refusal
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--resume"], "need --journal FILE"),
        (["--resume-failed"], "need --journal FILE"),
        ([*JOURNAL, "--resume-failed"], "there is no journal 'run.db'"),
        ([*JOURNAL, "--resume", "--resume-failed"], "give --resume or --resume-failed"),
        (["--journal", "nosuch/run.db"], "unable to open"),
        (["--journal", "same", "-o", "same"], "--output 'same'"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    forkful_map: Map, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    assert complaint in forkful_map("a", *arguments, deed="same").refusal
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_has_lost_lines_is_refused(forkful_map: Map, tmp_path: Path) -> None:
    forkful_map("a", *JOURNAL, "-o", "out", deed="same")
    (tmp_path / "out").write_text("")

    line = forkful_map("a", "b", *JOURNAL, "-o", "out", "--resume", deed="same").refusal

    assert "--output 'out' has 0 bytes, but the journal recorded" in line
