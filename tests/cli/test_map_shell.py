"""`--shell`: a command for each item."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Gate, Map
from tests.kit import procs


def test_the_item_replaces_the_braces_as_one_argument(forkful_map: Map) -> None:
    hostile = "a  b; $(id) 'q' \"r\" * \\ \n"

    ran = forkful_map("--shell", "printf '<%s>' {} x{}y", hostile)

    assert ran.results == [{"stdout": f"<{hostile}><x{hostile}y>", "stderr": "", "returncode": 0}]


def test_without_braces_the_item_is_the_last_argument(forkful_map: Map) -> None:
    assert forkful_map("--shell", "printf '<%s>'", "a b").results[0]["stdout"] == "<a b>"


def test_a_json_value_is_put_in_as_its_text(forkful_map: Map) -> None:
    ran = forkful_map("--shell", "echo {}", "--jsonl", "-", stdin='{"a": 1}\n"s"\n')

    assert [result["stdout"] for result in ran.results] == ['{"a": 1}\n', "s\n"]


def test_a_shell_reads_the_command_if_asked_and_never_the_item(forkful_map: Map) -> None:
    hostile = "$(touch bad); `touch bad` 'x' \"y\"  z"

    ran = forkful_map("--use-shell", "--shell", 'printf "%s|{}" {} | tr a-z A-Z', hostile)

    assert ran.results[0]["stdout"] == f"{hostile}|{hostile}".upper()
    assert not Path("bad").exists()


def test_a_command_that_fails(forkful_map: Map) -> None:
    script = "echo said {}; echo oops >&2; exit 7"

    (line,) = forkful_map("--use-shell", "--shell", script, "a").lines

    assert line["ok"] is False
    error = line["error"]
    assert error["type"].endswith("CommandFailed")
    assert error["message"] == "exit status 7: oops"
    assert (error["returncode"], error["stdout"], error["stderr"]) == (7, "said a\n", "oops\n")


def test_a_command_that_a_signal_ends(forkful_map: Map) -> None:
    (line,) = forkful_map("--use-shell", "--shell", "kill -9 $$", "a").lines

    assert line["error"]["message"] == "ended by signal 9"


def test_a_command_that_is_named_by_the_item_and_not_there(forkful_map: Map) -> None:
    (line,) = forkful_map("--shell", "{} x", "no-such-command").lines

    assert "exit status 127" in line["error"]["message"]


def test_output_that_is_no_text_is_kept(forkful_map: Map) -> None:
    ran = forkful_map("--shell", r"printf '\377'", "--use-shell", "a")

    assert ran.results[0]["stdout"].encode("utf-8", "surrogateescape").startswith(b"\xff")


def test_a_command_reads_no_items(forkful_map: Map) -> None:
    ran = forkful_map("--use-shell", "--shell", "cat; echo {}", stdin="a\nb\n")

    assert [result["stdout"] for result in ran.results] == ["a\n", "b\n"]


def test_a_dry_run_shows_the_words(forkful_map: Map) -> None:
    ran = forkful_map("--shell", "rm {}", "a b", "c", "--dry-run")

    assert ran.out == "rm 'a b'\nrm c\n"


LINGER = "sh -c 'echo $$ > pid; cat gate & cat gate; wait' {}"
"""Writes the id of its session, which it leads, and stays with a child of its own."""


def test_a_timeout_ends_the_command_and_its_children(
    forkful_map: Map, tmp_path: Path, gate: Gate
) -> None:

    ran = forkful_map("--shell", LINGER, "a", "--timeout", "1")

    assert ran.lines[0]["error"]["type"] == "forkful.TaskTimeout"
    wait_until_session_is_gone(tmp_path / "pid")


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_command_outlives_the_run(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, gate: Gate, signum: int
) -> None:
    process = started("--shell", LINGER, "a")
    gate.wait_until_reached()

    process.send_signal(signum)
    process.wait()

    wait_until_session_is_gone(tmp_path / "pid")


def wait_until_session_is_gone(pid_file: Path) -> None:
    session = int(pid_file.read_text())
    while any(p.session == session and procs.lives(p) for p in procs.everyone().values()):
        os.sched_yield()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--shell", "no-such-command {}"], "'no-such-command': command not found"),
        (["--shell", "echo 'open"], "no closing quotation"),
        (["--shell", " "], "the command is empty"),
        (["--shell", "echo {} | wc"], "add --use-shell to let sh run the command"),
        (["--shell", "echo {} > x"], "add --use-shell to let sh run the command"),
        (["--use-shell", "--shell", "echo '{}'"], "sh puts nothing into single quotes"),
        (["--use-shell"], "--use-shell needs --shell COMMAND"),
        (["--shell", "echo", "--jsonl", "-", "--kwargs"], "--kwargs is for functions"),
    ],
)
def test_a_command_that_cannot_be_is_refused(
    forkful_map: Map, options: list[str], complaint: str
) -> None:
    assert complaint in forkful_map(*options).refusal
