"""How a run is made: workers, timeouts, retries, halting."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Gate, Map


@pytest.mark.parametrize(
    ("jobs", "most"), [("1", 1), ("-100", 1), ("50%", 2), ("+1", 5), (None, 4)]
)
def test_how_many_workers_there_are(forkful_map: Map, jobs: str | None, most: int) -> None:
    options = [] if jobs is None else ["-j", jobs]

    ran = forkful_map(
        *range(60), *options, deed="pid", LOKY_MAX_CPU_COUNT="4", PYTHON_CPU_COUNT="4"
    )

    assert 1 <= len(set(ran.results)) <= most


def test_workers_run_at_once(forkful_map: Map, tmp_path: Path, gate: Gate) -> None:
    """Each of the two items ends only when the other has begun."""
    (tmp_path / "meet.py").write_text(
        f"def meet(how):\n    with open({str(gate.path)!r}, how): return how\n"
    )

    assert forkful_map("meet:meet", "r", "w", "-j", "2").results == ["r", "w"]


@pytest.mark.parametrize("how", ["kill", "segv", "exit", "loop", "unpicklable", "interrupt"])
def test_an_item_that_ends_badly_costs_nothing_else(forkful_map: Map, how: str) -> None:
    items = ["a", how, *map(str, range(20))]

    ran = forkful_map(*items, "--timeout", "2", deed="dies")

    assert ran.status == 1
    assert [line["input"] for line in ran.lines] == items
    assert [line["ok"] for line in ran.lines] == [item != how for item in items]
    error = ran.lines[1]["error"]
    kind, words = {
        "kill": ("forkful.WorkerDied", "was killed by SIGKILL"),
        "segv": ("forkful.WorkerDied", "was killed by SIGSEGV"),
        "exit": ("forkful.WorkerDied", "exited with code 3"),
        "loop": ("forkful.TaskTimeout", "took longer than its timeout of 2 s"),
        "unpicklable": ("deeds.Unpicklable", "because it can"),
        "interrupt": ("KeyboardInterrupt", ""),
    }[how]
    assert error["type"] == kind
    assert words in error["message"]
    assert f"{kind}" in error["traceback"]


def test_a_failed_item_is_tried_again(forkful_map: Map, tmp_path: Path) -> None:
    ran = forkful_map(tmp_path / "tries", "--retries", "2", "--backoff", "0", deed="flaky")

    (line,) = ran.lines
    assert (line["ok"], line["attempts"], line["result"]) == (True, 3, 3)
    assert "2 retries" in ran.err


def test_retries_are_extra_tries_and_end(forkful_map: Map, tmp_path: Path) -> None:
    ran = forkful_map(tmp_path / "tries", "--retries", "1", "--backoff", "0.01", deed="flaky")

    (line,) = ran.lines
    assert (line["ok"], line["attempts"]) == (False, 2)
    assert line["error"]["message"] == "try 2"


@pytest.mark.parametrize(
    ("names", "attempts"),
    [
        (["OSError"], 3),
        (["LookupError", "OSError"], 3),
        (["LookupError"], 1),
        (["json.JSONDecodeError"], 1),
        (["WorkerDied"], 1),
    ],
)
def test_only_the_exceptions_that_are_named_are_worth_another_try(
    forkful_map: Map, tmp_path: Path, names: list[str], attempts: int
) -> None:
    wanted = [word for name in names for word in ("--retry-on", name)]
    options = ["--retries", "2", "--backoff", "0", *wanted]

    (line,) = forkful_map(tmp_path / "tries", *options, deed="flaky").lines

    assert line["attempts"] == attempts


def test_an_exception_of_the_functions_own_file_can_be_named(forkful_map: Map) -> None:
    options = ["--retries", "1", "--backoff", "0", "--retry-on", "deeds.Unpicklable"]

    (line,) = forkful_map("unpicklable", *options, deed="dies").lines

    assert line["attempts"] == 2


def test_a_dead_worker_is_worth_another_try(forkful_map: Map) -> None:
    options = ["--retries", "1", "--backoff", "0", "--retry-on", "WorkerDied"]

    (line,) = forkful_map("kill", *options, deed="dies").lines

    assert line["attempts"] == 2
    assert "SIGKILL" in line["error"]["message"]


def test_halt_never_runs_everything(forkful_map: Map) -> None:
    ran = forkful_map(*range(10), "--halt", "never", deed="refuse_odd")

    assert (ran.status, len(ran.lines)) == (5, 10)


def test_halt_now_stops_what_runs(forkful_map: Map) -> None:
    ran = forkful_map("1", "loop", "unpicklable", "2", "-j", "2", "--halt", "now", deed="dies")

    assert ran.status == 1
    assert {line["input"] for line in ran.lines} == {"1", "unpicklable"}
    assert "ended early: --halt now" in ran.err


def test_halt_soon_finishes_what_runs_and_begins_nothing(forkful_map: Map, tmp_path: Path) -> None:
    """What one worker does ends when the other's failure has been written, which comes after its beginning."""
    (tmp_path / "job.py").write_text(
        "import os, time\n"
        "def f(x):\n"
        "    if x == 'fails':\n"
        "        while not os.path.exists('begun'):\n"
        "            time.sleep(0.01)\n"
        "        raise ValueError(x)\n"
        "    if x == 'waits':\n"
        "        open('begun', 'x').close()\n"
        "        while '\"ok\": false' not in open('out').read():\n"
        "            time.sleep(0.01)\n"
        "    return x\n"
    )
    items = ["waits", "fails", *["later"] * 500]

    ran = forkful_map("job:f", *items, "-j", "2", "--halt", "soon", "-o", "out")
    lines = (tmp_path / "out").read_text()

    assert ran.status == 1
    assert '"input": "waits", "ok": true' in lines
    assert "later" not in lines
    assert "ended early: --halt soon" in ran.err


def test_halt_soon_waits_for_the_last_try(forkful_map: Map, tmp_path: Path) -> None:
    options = ["--halt", "soon", "--retries", "2", "--backoff", "0", "-j", "1"]

    ran = forkful_map(tmp_path / "tries", *options, deed="flaky")

    assert ran.status == 0
    assert "ended early" not in ran.err


def test_a_worker_is_replaced_after_its_share(forkful_map: Map) -> None:
    options = ["-j", "1", "--max-tasks-per-worker", "10"]

    results = forkful_map(*range(400), *options, deed="pid").results

    assert max(Counter(results).values()) == 10
    assert len(set(results)) == 40


def test_a_worker_is_replaced_when_it_has_grown(forkful_map: Map) -> None:
    items = ["a", "b", "c", "d"]

    kept = forkful_map(*items, "-j", "1", "--timeout", "1m", deed="grows").results
    replaced = forkful_map(
        *items, "-j", "1", "--timeout", "1m", "--max-memory-per-worker", "60M", deed="grows"
    ).results

    assert len(set(kept)) == 1
    assert len(set(replaced)) == 4


def test_a_dry_run_prints_and_runs_nothing(forkful_map: Map, tmp_path: Path) -> None:
    log = tmp_path / "log"

    ran = forkful_map(f"{log}|a", "--dry-run", "-o", "out", "--journal", "run.db", deed="logs")

    assert ran.status == 0
    assert ran.out.endswith(f"deeds.py:logs('{log}|a')\n")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_keyword_arguments(forkful_map: Map) -> None:
    ran = forkful_map("--jsonl", "-", "--kwargs", "--dry-run", deed="members", stdin='{"a": 1}\n')

    assert ran.out.endswith("deeds.py:members(a=1)\n")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["-j", "many"], "'many' is not a number of workers (give 4, +2, -1 or 50%)"),
        (["--timeout", "-1"], "'-1' is not a duration"),
        (["--max-memory-per-worker", "2X"], "'2X' is not a size"),
        (["--retries", "-1"], "-1 is not in the range x>=0"),
        (["--halt", "later"], "'later' is not one of 'never', 'soon', 'now'"),
        (["--start-method", "thread"], "'thread' is not one of 'fork', 'spawn', 'forkserver'"),
        (["--retries", "1", "--retry-on", "Nosuch"], "there is no such exception"),
        (["--retries", "1", "--retry-on", "os.path"], "there is no such exception"),
        (["--retries", "1", "--retry-on", "no.such.Error"], "No module named 'no'"),
        (["--frobnicate"], "No such option"),
    ],
)
def test_a_bad_option_is_refused(forkful_map: Map, options: list[str], complaint: str) -> None:
    assert complaint in forkful_map("a", *options, deed="same").refusal


def test_halt_soon_does_not_wait_for_more_input(
    started: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = started("--halt", "soon", deed="refuse_odd", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"1\n")
    process.stdin.flush()

    assert process.wait(timeout=50) == 1
