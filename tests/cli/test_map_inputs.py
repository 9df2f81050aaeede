"""Where items come from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, DEEDS, Map


def test_arguments(forkful_map: Map) -> None:
    assert forkful_map("a", "b c", "", deed="same").results == ["a", "b c", ""]


def test_files_that_match_sorted_and_at_any_depth(forkful_map: Map, tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/er/c.txt", "other.md", "folder.txt/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    ran = forkful_map("--files", "**/*.txt", deed="same")

    assert ran.results == ["a.txt", "b.txt", "deep/er/c.txt", "folder.txt/d.txt"]


def test_a_file_that_two_patterns_match_is_one_item(forkful_map: Map, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()

    assert forkful_map("--files", "*.txt", "--files", "a.*", deed="same").results == ["a.txt"]


def test_lines_of_a_file(forkful_map: Map, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a\r\n b \n\nlast")

    assert forkful_map("--lines", "in", deed="same").results == ["a", " b ", "", "last"]


def test_lines_longer_than_a_read(forkful_map: Map) -> None:
    long = "x" * 200_000

    assert forkful_map(deed="same", stdin=f"{long}\nshort\n{long}").results == [long, "short", long]


@pytest.mark.parametrize("how", [(), ("--lines", "-")])
def test_standard_input(forkful_map: Map, how: tuple[str, ...]) -> None:
    assert forkful_map(*how, deed="same", stdin="a\nb\n").results == ["a", "b"]


def test_json_values(forkful_map: Map) -> None:
    text = '\ufeff{"b": [1, null]}\n\n  "x"  \n2.5\n'

    ran = forkful_map("--jsonl", "-", deed="same", stdin=text)

    assert ran.results == [{"b": [1, None]}, "x", 2.5]


def test_the_members_of_an_object_are_keyword_arguments(forkful_map: Map) -> None:
    text = '{"a": 1}\n{"a": 1, "b": 2}\n{"c": 1}\n'

    ran = forkful_map("--jsonl", "-", "--kwargs", deed="members", stdin=text)

    assert [line.get("result") for line in ran.lines] == [11, 3, None]
    assert "unexpected keyword argument 'c'" in ran.lines[2]["error"]["message"]


def test_bytes_that_are_no_text_reach_the_function(forkful_map: Map, tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff\xfe")
    open(name, "w").close()

    ran = forkful_map("os.path:getsize", stdin=name + b"\n")

    assert ran.results == [0]
    assert ran.lines[0]["input"].encode("utf-8", "surrogateescape") == name


def test_no_items_are_no_failure(forkful_map: Map) -> None:
    ran = forkful_map(deed="same", stdin="")

    assert (ran.status, ran.out) == (0, "")
    assert "0 items" in ran.err


def test_an_endless_input_is_read_as_it_is_needed(
    started: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = started(deed="same", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(3):  # the input goes on, and yet each outcome is there
        process.stdin.write(f"{number}\n".encode())
        process.stdin.flush()
        assert f'"seq": {number}, "input": "{number}"'.encode() in process.stdout.readline()
    process.stdin.close()

    assert process.wait() == 0


def test_a_slow_input_does_not_hold_back_an_outcome(
    started: Callable[..., subprocess.Popen[bytes]],
) -> None:
    many = 2000  # so many that the pool has begun to send them in batches
    process = started(deed="same", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for part in range(3):
        process.stdin.write(b"x\n" * many)
        process.stdin.flush()
        for _ in range(many):
            assert process.stdout.readline(), part
    process.stdin.close()

    assert process.wait() == 0


@pytest.mark.slow
def test_many_items_take_no_more_memory_than_few(forkful_map: Map, tmp_path: Path) -> None:
    def peak_kib(items: int) -> int:
        (tmp_path / "in").write_text("".join(f"{i}\n" for i in range(items)))
        probe = tmp_path / "probe.py"
        probe.write_text(
            "import resource, subprocess, sys\n"
            "subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        )
        command = [
            COMMAND[0],
            str(probe),
            *COMMAND,
            f"{DEEDS}:double",
            "--lines",
            "in",
            "-o",
            "out",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        assert (tmp_path / "out").read_bytes().count(b"\n") == items
        return int(done.stdout)

    few, many = peak_kib(10_000), peak_kib(300_000)

    assert many - few <= 4096


@pytest.mark.parametrize(
    ("arguments", "stdin", "complaint"),
    [
        (["--files", "*.nosuch"], "", "--files '*.nosuch': no file matches"),
        (["--lines", "nosuch"], "", "--lines 'nosuch': No such file or directory"),
        (["--lines", "."], "", "--lines '.': is a folder"),
        (["--jsonl", "nosuch"], "", "--jsonl 'nosuch': No such file or directory"),
        (["--jsonl", "-"], "{bad\n", "standard input:1: bad JSON at column 2"),
        (["--jsonl", "-"], "\n\nNaN\n", "standard input:3: bad JSON: NaN is not JSON"),
        (["--jsonl", "-"], b'"\xff"\n', "standard input:1: not UTF-8: byte 0xff at offset 1"),
        (["--jsonl", "-", "--kwargs"], "3\n", "standard input:1: --kwargs needs a JSON object"),
        (["--kwargs"], "", "--kwargs needs --jsonl"),
        (["a", "--lines", "-"], "", "inputs come from arguments and from --lines"),
    ],
)
def test_bad_input_is_refused(
    forkful_map: Map, tmp_path: Path, arguments: list[str], stdin: str | bytes, complaint: str
) -> None:
    ran = forkful_map(*arguments, "-o", "out", "--journal", "run.db", deed="same", stdin=stdin)

    assert complaint in ran.refusal
    assert list(tmp_path.iterdir()) == []


def test_a_bad_line_in_the_middle_ends_the_run_after_what_came_before(forkful_map: Map) -> None:
    ran = forkful_map("--jsonl", "-", deed="same", stdin="1\n2\n3\n{bad\n5\n")

    assert ran.status == 2
    assert ran.results == [1, 2, 3]
    assert ran.err.splitlines()[-1].startswith("forkful map: standard input:4: bad JSON")
    assert "Traceback" not in ran.err
