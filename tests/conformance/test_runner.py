"""The runner tells how tests end, goes on after each, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance import __main__ as runner
from tests.conformance import catalogue
from tests.conformance.hook import is_a_child
from tests.conformance.host import closed, hung
from tests.conformance.orders import Answer, Order
from tests.kit import procs

ROOT = Path(__file__).parents[2]
TABLE = """
[[difference]]
test = "Sample.test_fails"
reason = "it is better so"
[[difference]]
test = "Sample.test_fi?e"
reason = "of old"
"""

pytestmark = pytest.mark.limit(120)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    (tmp_path / "table.toml").write_text(TABLE)
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, background: bool = False) -> subprocess.Popen[str]:
        words = ("--module", "tests.conformance.sample", "--methods", "fork", *words)
        files = ("--json", str(tmp_path / "out.json"), "--table", str(tmp_path / "table.toml"))
        marks = {"SAMPLE_MARK": tmp_path / "mark", "SAMPLE_PIDS": tmp_path / "pids"}
        proc = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance", *words, *files],
            cwd=ROOT,
            env={**os.environ, **{name: str(path) for name, path in marks.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
            if background
            else None,
        )
        started.append(proc)
        return proc

    yield start
    for proc in started:
        with proc:
            proc.kill()


def statuses(tmp_path: Path) -> dict[str, tuple[str, str]]:
    tests = json.loads((tmp_path / "out.json").read_text())["fork"]
    return {
        name.partition(".")[2]: (pair["stdlib"]["status"], pair["forkful"]["status"])
        for name, pair in tests.items()
    }


def test_each_end_is_told_from_the_others(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    proc = start("-k", "Sample.", "--jobs", "2", background=True)
    out, _ = proc.communicate()
    assert statuses(tmp_path) == {
        "test_fine": ("ok", "ok"),
        "test_can_be_interrupted": ("ok", "ok"),
        "test_skips_with_both": ("skip", "skip"),
        "test_fails_with_both": ("fail", "fail"),
        "test_fails": ("ok", "fail"),
        "test_skips": ("ok", "skip"),
        "test_dies": ("ok", "fail"),
        "test_fails_at_the_first_try": ("ok", "ok"),
        "test_starts_bare_interpreters": ("ok", "ok"),
    }, out
    assert proc.returncode == 1
    assert "fail Sample.test_fails: it is better so" in out
    assert "REGRESSION under fork: Sample.test_skips: here only" in out
    assert "REGRESSION under fork: Sample.test_dies: its process exited with 3 in the test" in out
    assert (
        "Sample.test_fails_at_the_first_try passed when tried again: AssertionError: once [" in out
    )
    assert "the stdlib itself fails Sample.test_fails_with_both: AssertionError: always" in out
    assert "STALE under fork: Sample.test_fi?e" in out
    assert "regressions: 2; different on purpose: 1" in out


def test_a_hang_is_a_result_with_its_place_and_the_run_goes_on(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    proc = start("-k", "Hanging.", "--limit", "5", "--grace", "1", "--jobs", "1")
    out, _ = proc.communicate()
    assert statuses(tmp_path) == {
        "test_hangs": ("ok", "hang"),
        "test_hangs_with_both": ("hang", "hang"),
        "test_leaves_a_process": ("ok", "ok"),
    }, out
    assert proc.returncode == 1
    assert (
        "REGRESSION under fork: Hanging.test_hangs: not over after 5 s, in the test; stood at"
        in out
    )
    assert "in _wait_for_ever" in out, "the stack of the child is told, too"
    assert "LEFT BEHIND under fork by Hanging.test_leaves_a_process: 1 processes" in out


def test_only_what_passes_gives_status_0(start: Callable[..., subprocess.Popen[str]]) -> None:
    proc = start("-k", "Sample.test_s*both")
    out, _ = proc.communicate()
    assert proc.returncode == 0, out


def test_nothing_to_run_is_no_success(start: Callable[..., subprocess.Popen[str]]) -> None:
    proc = start("-k", "no such test")
    out, _ = proc.communicate()
    assert proc.returncode == 2
    assert "no test matches no such test" in out


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_an_ended_runner_leaves_no_process(
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    signum: signal.Signals,
    status: int,
) -> None:
    proc = start("-k", "test_hangs_with_both")
    pids = tmp_path / "pids"
    while not (pids.exists() and pids.read_text().endswith("\n")):
        assert proc.poll() is None
        time.sleep(0.02)  # sleep: no busy loop while the hosts start
    family = [os.pidfd_open(p.pid) for p in procs.descendants(proc.pid) if p.state != "Z"]
    assert len(family) >= 3  # two hosts and a test
    proc.send_signal(signum)
    for fd in family:
        select.select([fd], [], [])
        os.close(fd)
    assert proc.wait() == status


def test_a_python_without_tests_is_told_and_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "can_judge", lambda: False)
    assert runner.main([]) == 2
    assert runner.main(["--or-leave-out"]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 2
    assert all(line.startswith("LEFT OUT: Python ") for line in out.splitlines())


@pytest.mark.parametrize("words", [["--methods", "knife"], ["--methods", ""], ["--jobs", "0"]])
def test_a_bad_option_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        runner.main(words)
    assert raised.value.code == 2


# ---- what is made of an end --------------------------------------------------------------------

ORDER = Order("C.t", "fork", 60, 5)


def test_a_hang_after_the_test_is_told_as_such() -> None:
    assert "in the test; see its stacks" in hung(ORDER, None, "").reason
    assert (
        "at its end; stood at test_x.py:7 in f"
        in hung(ORDER, Answer("ok"), '  File "/lib/test/test_x.py", line 7 in f\n').reason
    )


def test_a_bad_exit_status_spoils_a_test_that_passed() -> None:
    assert closed(Answer("ok"), 0, "", 0) == Answer("ok")
    assert closed(Answer("ok"), -11, "", 0).reason == (
        "its process was ended by signal 11 after the test"
    )
    assert closed(None, 0, "", 0).status == "fail"


def test_interpreters_that_a_start_method_starts_get_no_hook() -> None:
    def command(code: str) -> list[str]:
        return ["python", "-I", "-c", code, "--multiprocessing-fork"]

    assert is_a_child(command("from multiprocessing.spawn import spawn_main; spawn_main(3)"))
    assert is_a_child(command("from multiprocessing.resource_tracker import main;main(5)"))
    assert is_a_child(
        command("import sys; sys.path[:] = []; from forkful.launch.x import serve; serve(1)")
    )
    assert not is_a_child(command("from multiprocessing import Pool\nPool(2)\n"))
    assert not is_a_child(["python", "script.py"])
