"""Tests that end in every way there is, some only with forkful: to see that the runner tells them apart."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

ON_FORKFUL = type(multiprocessing.Lock()).__module__.startswith("forkful")


def _wait_for_ever() -> None:
    if pids := os.environ.get("SAMPLE_PIDS"):
        with open(pids, "a") as file:
            file.write(f"{os.getpid()}\n")
    while True:
        signal.pause()


class Sample(unittest.TestCase):
    def test_fine(self) -> None:
        assert multiprocessing.get_start_method() == "fork"

    def test_can_be_interrupted(self) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return
        self.fail("SIGINT is ignored")

    def test_skips_with_both(self) -> None:
        self.skipTest("always")

    def test_fails_with_both(self) -> None:
        self.fail("always")

    def test_fails(self) -> None:
        assert not ON_FORKFUL, "on purpose or not, as the table says"

    def test_skips(self) -> None:
        if ON_FORKFUL:
            self.skipTest("here only")

    def test_dies(self) -> None:
        if ON_FORKFUL:
            os._exit(3)

    def test_fails_at_the_first_try(self) -> None:
        mark = Path(os.environ["SAMPLE_MARK"])
        if ON_FORKFUL and not mark.exists():
            mark.touch()
            self.fail("once")

    def test_starts_bare_interpreters(self) -> None:
        code = "import multiprocessing; print(type(multiprocessing.Lock()).__module__)"
        for flags in (["-c"], ["-I", "-c"], ["-E", "-S", "-c"]):
            out = subprocess.run([sys.executable, *flags, code], capture_output=True, check=True)
            assert out.stdout.startswith(b"forkful") == ON_FORKFUL, flags


class Hanging(unittest.TestCase):
    def test_hangs(self) -> None:
        if ON_FORKFUL:
            child = multiprocessing.Process(target=_wait_for_ever)
            child.start()
            child.join()

    def test_hangs_with_both(self) -> None:
        _wait_for_ever()

    def test_leaves_a_process(self) -> None:
        if ON_FORKFUL:
            code = "import signal; signal.pause()"
            subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
