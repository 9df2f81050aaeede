"""The runner's side of the hosts: where they live, and how they are asked."""

from __future__ import annotations

import os
import queue
import subprocess
import sysconfig
import tempfile
import threading
import venv
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import forkful
from tests.conformance.hook import FORKFUL, STDLIB, SUBJECT
from tests.conformance.orders import Answer, Order, read_answer, to_line

ROOT = Path(__file__).parents[2]


class HostDied(Exception):
    """A host has ended before it answered: the run cannot go on."""


class Pair(NamedTuple):
    """How one test ended with each subject."""

    test: str
    stdlib: Answer
    forkful: Answer
    tries: int = 1
    before: str = ""  # why it failed at first

    def tried_again(self, forkful: Answer) -> Pair:
        return Pair(
            self.test, self.stdlib, forkful, self.tries + 1, self.before or self.forkful.reason
        )


@contextmanager
def house() -> Iterator[Path]:
    """A folder for a run, with an interpreter in it that loads the hook whenever it starts."""
    with tempfile.TemporaryDirectory(prefix="fk-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        venv.EnvBuilder(symlinks=True).create(home)
        package = Path(forkful.__file__).parents[1]
        paths = [ROOT, package, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        lines = [*dict.fromkeys(map(str, paths)), "import tests.conformance.hook"]
        base = {"base": folder, "platbase": folder}
        site = Path(sysconfig.get_path("purelib", "venv", vars=base))
        (site / "conformance.pth").write_text("".join(f"{line}\n" for line in lines))
        yield home


class Host:
    """A host for one subject. Use it in one thread at a time; `stop` may come from any."""

    def __init__(self, home: Path, subject: str) -> None:
        folder = tempfile.mkdtemp(prefix="h", dir=home)
        self._proc = subprocess.Popen(
            [home / "bin" / "python", "-m", "tests.conformance.host"],
            cwd=folder,
            env={**os.environ, SUBJECT: subject, "TMPDIR": folder, "PYTHONFAULTHANDLER": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the runner
        )
        self.subject = subject

    def ask(self, order: Order) -> Answer:
        """Let it run a test; waits for the answer, which comes soon after the test's time is up."""
        assert self._proc.stdin
        assert self._proc.stdout
        try:
            self._proc.stdin.write(to_line(order))
            self._proc.stdin.flush()
        except (OSError, ValueError):
            raise HostDied(f"the host of {self.subject} ended before {order.test}") from None
        line = self._proc.stdout.readline()
        if not line.endswith(b"\n"):
            raise HostDied(f"the host of {self.subject} ended in {order.test}")
        return read_answer(line)

    def stop(self) -> None:
        """Let it end what it does and itself; returns when it has."""
        assert self._proc.stdin
        try:
            self._proc.stdin.close()
        except OSError:
            pass  # it has ended
        self._proc.wait()

    def close(self) -> None:
        """After `stop`, when nobody asks any more."""
        assert self._proc.stdout
        self._proc.stdout.close()


class Fleet:
    """Hosts for both subjects, `jobs` of each, that run tests at the same time."""

    def __init__(self, home: Path, jobs: int) -> None:
        self._home, self._jobs = home, jobs
        self._hosts: list[Host] = []
        self._threads: list[threading.Thread] = []

    def run(self, orders: Iterable[Order]) -> Iterator[tuple[Order, Pair]]:
        """Run each test with both subjects, one after the other; yields as they end."""
        todo = deque(orders)
        done: queue.SimpleQueue[tuple[Order, Pair] | BaseException] = queue.SimpleQueue()
        count = len(todo)

        def work(stdlib: Host, ours: Host) -> None:
            try:
                while todo:
                    order = todo.popleft()
                    done.put((order, Pair(order.test, stdlib.ask(order), ours.ask(order))))
            except IndexError:
                pass  # another one took the last
            except BaseException as error:
                done.put(error)

        for _ in range(min(self._jobs, count)):
            pair = Host(self._home, STDLIB), Host(self._home, FORKFUL)
            self._hosts += pair
            self._threads.append(threading.Thread(target=work, args=pair))
            self._threads[-1].start()
        for _ in range(count):
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield result

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exc: object) -> None:
        for host in self._hosts:
            host.stop()
        for thread in self._threads:
            thread.join()
        for host in self._hosts:
            host.close()
