"""Runs `forkful map` as people do: as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEEDS = str(Path(__file__).with_name("deeds.py"))
COMMAND = [sys.executable, "-m", "forkful", "map"]
PATIENCE_S = 50.0


@dataclass(frozen=True)
class Ran:
    """What a run of the program left."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The result lines, by sequence number."""
        return by_seq(self.out)

    @property
    def results(self) -> list[Any]:
        return [line["result"] for line in self.lines]

    @property
    def refusal(self) -> str:
        """The one line of a run that was refused."""
        assert self.status == 2, self
        assert self.out == "", self
        (line,) = self.err.splitlines()
        return line


def by_seq(text: str) -> list[dict[str, Any]]:
    return sorted((json.loads(line) for line in text.splitlines()), key=lambda line: line["seq"])


Map = Callable[..., Ran]


@pytest.fixture
def forkful_map(tmp_path: Path) -> Map:
    """Run the program in an empty folder; `deed` names a function of deeds.py."""

    def run(*args: object, deed: str = "", stdin: str | bytes = "", **env: str) -> Ran:
        words = [f"{DEEDS}:{deed}"] if deed else []
        done = subprocess.run(
            [*COMMAND, *words, *map(str, args)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=tmp_path,
            env=os.environ | env,
            timeout=PATIENCE_S,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the program and let it run; it is killed at the end of the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*args: object, deed: str = "", **streams: Any) -> subprocess.Popen[bytes]:
        words = [f"{DEEDS}:{deed}"] if deed else []
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        command = [*COMMAND, *words, *map(str, args)]
        process = subprocess.Popen(command, cwd=tmp_path, **pipes)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


class Gate:
    """A place in a worker's function where it waits until the test opens it. A FIFO."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    def wait_until_reached(self) -> None:
        """Block until some worker waits at the gate; open it for that worker."""
        os.close(os.open(self.path, os.O_WRONLY))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")
