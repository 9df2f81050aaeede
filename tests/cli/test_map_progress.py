"""Progress on standard error: a picture on a terminal, lines elsewhere, nothing unless wanted."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, DEEDS, Gate, Map


class Terminal:
    """A terminal of 24 lines and 90 columns that remembers all that was written to it."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 90, 0, 0))
        self.seen = ""

    def read_until(self, words: str) -> None:
        """Block until `words` have been written."""
        while words not in self.seen:
            self.seen += os.read(self.ours, 65536).decode(errors="replace")

    def read_rest(self) -> None:
        """Block until nobody can write any more."""
        self.close_theirs()
        try:
            while data := os.read(self.ours, 65536):
                self.seen += data.decode(errors="replace")
        except OSError:  # EIO: the other end is closed
            pass

    def close_theirs(self) -> None:
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close_theirs()
    os.close(terminal.ours)


def test_a_terminal_shows_counts_and_what_each_worker_does(
    terminal: Terminal, gate: Gate, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*COMMAND, f"{DEEDS}:at_gate", "a", str(gate.path), "-j", "2", "-o", "out"],
        stderr=terminal.theirs,
        cwd=tmp_path,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        terminal.read_until("1 of 2 done, 0 failed")
        terminal.read_until("/gate")  # the item that the second worker is at
        gate.wait_until_reached()
        terminal.read_rest()

    assert process.returncode == 0
    assert "idle" in terminal.seen
    assert "━" in terminal.seen
    assert terminal.seen.replace("\r", "").endswith("#0 a\n")  # the summary, after the picture


def test_result_lines_on_the_same_terminal_stay_whole(terminal: Terminal, tmp_path: Path) -> None:
    command = [*COMMAND, f"{DEEDS}:same", *map(str, range(30))]
    process = subprocess.run(
        command, stdout=terminal.theirs, stderr=terminal.theirs, cwd=tmp_path, check=True
    )
    terminal.read_rest()

    assert process.returncode == 0
    for number in range(30):
        assert f'{{"seq": {number}, "input": "{number}", "ok": true, "result": ' in terminal.seen


def test_no_terminal_no_progress(forkful_map: Map) -> None:
    assert "done" not in forkful_map("a", deed="same").err


def test_plain_lines_where_there_is_no_terminal(forkful_map: Map) -> None:
    first = forkful_map("a", "b", "--progress", "always", deed="same").err.splitlines()[0]

    assert first.startswith("forkful map: 2 of 2 done, 0 failed, ")


def test_never_means_never(terminal: Terminal, tmp_path: Path) -> None:
    command = [*COMMAND, f"{DEEDS}:same", "a", "--progress", "never", "-o", "out"]
    subprocess.run(command, stderr=terminal.theirs, cwd=tmp_path, check=True)
    terminal.read_rest()

    assert "done" not in terminal.seen
    assert "1 succeeded" in terminal.seen
