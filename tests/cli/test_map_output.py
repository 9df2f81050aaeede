"""What a run writes: one line of JSON for each item."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, DEEDS, Gate, Map


def test_the_line_of_a_success(forkful_map: Map) -> None:
    (line,) = forkful_map("21", deed="double").lines

    assert list(line) == ["seq", "input", "ok", "result", "seconds", "attempts", "pid"]
    assert (line["seq"], line["input"], line["ok"], line["result"]) == (0, "21", True, 42)
    assert line["seconds"] >= 0
    assert line["attempts"] == 1
    assert line["pid"] > 0


def test_the_line_of_a_failure(forkful_map: Map) -> None:
    (line,) = forkful_map("3", deed="refuse_odd").lines

    assert list(line) == ["seq", "input", "ok", "error", "seconds", "attempts", "pid"]
    assert (line["ok"], line["input"]) == (False, "3")
    error = line["error"]
    assert (error["type"], error["message"]) == ("ValueError", "3 is odd")
    assert error["traceback"].startswith("Traceback (most recent call last):\n")
    assert 'raise ValueError(f"{x} is odd")' in error["traceback"]
    assert error["traceback"].endswith("ValueError: 3 is odd\n")


def test_the_input_is_told_as_it_was_before_the_call(forkful_map: Map) -> None:
    (line,) = forkful_map("--jsonl", "-", deed="changes_its_input", stdin='{"a": 1}\n').lines

    assert line["input"] == {"a": 1}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("set", {"__repr__": "{1}"}),
        ("bytes", {"__repr__": "b'\\xff'"}),
        ("nan", {"__repr__": "nan"}),
        ("inside", {"when": {"__repr__": "datetime.date(2020, 2, 29)"}, "n": 1}),
        ("tuple", [1, 2]),
        ("circle", [1, {"__repr__": "[1, [...]]"}]),
        ("surrogate", "a\udcff"),
        ("huge", {"__repr__": "<int whose repr() raised ValueError>"}),
        ("tuple_key", {"__repr__": "{(1, 2): 3}"}),
    ],
)
def test_what_json_cannot_say_is_given_as_its_repr(forkful_map: Map, name: str, told: Any) -> None:
    assert forkful_map(name, deed="odd_value").results == [told]


def test_a_result_that_cannot_be_pickled_is_no_failure(forkful_map: Map) -> None:
    (result,) = forkful_map("lambda", deed="odd_value").results

    assert result["__repr__"].startswith("<function odd_value.<locals>.<lambda>")


def test_lines_come_in_the_order_of_the_inputs_if_asked(forkful_map: Map) -> None:
    out = forkful_map(*range(500), "-k", deed="same").out

    assert [json.loads(line)["seq"] for line in out.splitlines()] == list(range(500))


def test_lines_come_as_they_are_ready(
    started: Callable[..., subprocess.Popen[bytes]], gate: Gate
) -> None:
    process = started(gate.path, "b", "-j", "2", deed="at_gate")
    assert process.stdout is not None

    assert b'"seq": 1' in process.stdout.readline()  # though the first item is not done
    gate.wait_until_reached()
    assert b'"seq": 0' in process.stdout.readline()


def test_order_holds_back_what_is_ready(
    started: Callable[..., subprocess.Popen[bytes]], gate: Gate
) -> None:
    process = started(gate.path, "b", "-j", "2", "-k", deed="at_gate")
    assert process.stdout is not None
    gate.wait_until_reached()

    assert b'"seq": 0' in process.stdout.readline()
    assert b'"seq": 1' in process.stdout.readline()


def test_an_output_file(forkful_map: Map, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old\n")

    ran = forkful_map("1", "-o", "out", deed="double")

    assert ran.out == ""
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert json.loads(line)["result"] == 2


def test_a_dash_is_standard_output(forkful_map: Map) -> None:
    assert forkful_map("1", "-o", "-", deed="double").results == [2]


def test_what_a_function_prints_does_not_mix_with_the_results(
    forkful_map: Map, start_method: str
) -> None:
    ran = forkful_map("a", "--start-method", start_method, deed="prints")

    assert ran.results == ["a"]
    assert "printed a\n" in ran.err
    assert "written\n" in ran.err


def test_what_a_module_prints_when_it_is_imported_does_not_either(
    forkful_map: Map, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text("print('loaded')\ndef f(x): return x\n")

    ran = forkful_map("loud:f", "a")

    assert ran.results == ["a"]
    assert "loaded" in ran.err


def test_a_function_cannot_read_the_items(forkful_map: Map, start_method: str) -> None:
    ran = forkful_map("--start-method", start_method, deed="reads_input", stdin="a\nb\n")

    assert ran.results == ["", ""]


def test_a_reader_that_goes_away_ends_the_run_quietly(
    started: Callable[..., subprocess.Popen[bytes]],
) -> None:
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes:
        process = started(deed="same", stdin=yes.stdout)
        assert yes.stdout is not None
        assert process.stdout is not None
        yes.stdout.close()
        for _ in range(3):
            process.stdout.readline()
        process.stdout.close()

        assert process.wait() == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_full_disk_is_told_in_one_line(forkful_map: Map) -> None:
    ran = forkful_map("a", "-o", "/dev/full", deed="same")

    assert ran.status == 2
    complaint = "forkful map: cannot write to /dev/full: No space left on device"
    assert ran.err.splitlines()[-1] == complaint


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (".", "is a folder"),
        ("nosuch/out", "there is no folder 'nosuch'"),
        ("in", "is another file of this run"),
        ("./in", "is another file of this run"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    forkful_map: Map, tmp_path: Path, output: str, complaint: str
) -> None:
    (tmp_path / "in").write_text("a\n")

    assert complaint in forkful_map("--lines", "in", "-o", output, deed="same").refusal
    assert (tmp_path / "in").read_text() == "a\n"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--timeout", "soon"],
        ["--jobs", "0"],
        ["--jsonl", "nosuch"],
        ["--files", "*.nosuch"],
        ["--resume"],
        ["--nosuch"],
        ["--retry-on", "OSError"],
    ],
)
def test_a_wrong_command_line_overwrites_nothing(
    forkful_map: Map, tmp_path: Path, wrong: list[str]
) -> None:
    (tmp_path / "out").write_text("precious\n")

    line = forkful_map("-o", "out", *wrong, deed="same").refusal

    assert line.startswith("forkful map: ")
    assert (tmp_path / "out").read_text() == "precious\n"


def test_a_closed_standard_output_is_refused(forkful_map: Map, tmp_path: Path) -> None:
    command = " ".join([*COMMAND, f"{DEEDS}:same", "a", ">&-"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, cwd=tmp_path)

    assert done.returncode == 2
    assert b"standard output is closed" in done.stderr


def test_closed_standard_streams_are_no_trouble_with_an_output_file(
    forkful_map: Map, tmp_path: Path
) -> None:
    command = " ".join([*COMMAND, f"{DEEDS}:prints", "a", "-o", "out", "<&- >&- 2>&-"])
    status = os.waitstatus_to_exitcode(os.system(f"cd {tmp_path} && {command}"))

    assert status == 0
    assert '"result": "a"' in (tmp_path / "out").read_text()
