"""Runs the examples as people do: as programs, by `python` and by `forkful run`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SITE = Path(__file__).with_name("site")
PATIENCE_S = 200.0


@dataclass(frozen=True)
class Ran:
    """What a program left."""

    status: int
    out: str
    err: str


class Runner:
    """A way to run an example, with a start method that the example knows nothing of."""

    def __init__(self, way: str, start_method: str) -> None:
        self.way = way
        self.start_method = start_method
        self.running: list[subprocess.Popen[str]] = []

    def start(self, name: str, *args: object) -> subprocess.Popen[str]:
        """Start it in a session of its own, as a terminal would."""
        # What imports forkful chooses its start method there, the others in the standard library.
        package = "forkful" if name.endswith("_forkful.py") else "multiprocessing"
        program = ["-m", "forkful", "run"] if self.way == "forkful run" else []
        environment = os.environ | {
            "PYTHONPATH": str(SITE),
            "EXAMPLE_PACKAGE": package,
            "EXAMPLE_START_METHOD": self.start_method,
        }
        environment.pop("PYTHONUNBUFFERED", None)  # it would hide what is never flushed
        process = subprocess.Popen(
            [sys.executable, *program, str(EXAMPLES / name), *map(str, args)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def run(self, name: str, *args: object) -> Ran:
        """Run it to its end."""
        return ended(self.start(name, *args))

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for the end of a program and of all that holds its output open."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return Ran(process.returncode, out, err)


@pytest.fixture(params=["python", "forkful run"])
def runner(request: pytest.FixtureRequest, start_method: str) -> Iterator[Runner]:
    runner = Runner(request.param, start_method)
    yield runner
    runner.stop()
