"""A running server program (tests.programs.serving), and clients of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contract.children import LONG, until
from tests.kit import procs


class Client:
    """A connection that asks by lines; the answer is "" when the server has hung up."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), LONG)
        self.lines = self.socket.makefile()

    def send(self, line: str) -> None:
        self.socket.sendall(f"{line}\n".encode())

    def receive(self) -> str:
        try:
            return self.lines.readline().strip()
        except ConnectionResetError:
            return ""

    def ask(self, line: str) -> str:
        try:
            self.send(line)
        except (BrokenPipeError, ConnectionResetError):
            return ""
        return self.receive()

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


class Serving:
    """The program, its port, and what it says."""

    def __init__(self, folder: Path, kind: str, method: str, **options: Any) -> None:
        self._log = folder / "stderr"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.programs.serving"),
                    *(kind, method, json.dumps(options)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log()
        self.port = int(line)
        self.clients: list[Client] = []

    def client(self) -> Client:
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def ask(self, line: str) -> str:
        """Be a client for one question."""
        client = self.client()
        try:
            return client.ask(line)
        finally:
            client.close()

    def until_refused(self) -> None:
        """Wait until nobody listens any more."""

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), LONG).close()
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:
                pass  # just in that moment
            return False

        until(refused)

    def log(self) -> str:
        return self._log.read_text()

    def until_logged(self, *words: str) -> None:
        until(lambda: all(word in self.log() for word in words))

    def pids(self) -> list[int]:
        """All that descends from the program."""
        return [proc.pid for proc in procs.descendants(self.process.pid)]

    def waiting(self) -> int:
        """How many clients have connected and are not accepted yet."""
        for line in Path(f"/proc/{self.process.pid}/net/tcp").read_text().splitlines()[1:]:
            _, address, _, state, queues, *_ = line.split()
            if (state, int(address.partition(":")[2], 16)) == ("0A", self.port):  # it listens
                return int(queues.partition(":")[2], 16)
        return 0

    def sleeps(self) -> bool:
        """Whether the parent has nothing to do."""
        found = procs.look(self.process.pid)
        return found is not None and found.state == "S"

    def signal(self, signum: int) -> None:
        self.process.send_signal(signum)

    def ended(self) -> tuple[int, str]:
        """Wait for the end of the program and of all that holds its output; status and output."""
        out, _ = self.process.communicate(timeout=LONG)
        return self.process.returncode, out


@contextmanager
def serving(folder: Path, kind: str, method: str, **options: Any) -> Iterator[Serving]:
    """Run a server; whatever the test has left of it is killed."""
    server = Serving(folder, kind, method, **options)
    try:
        yield server
    finally:
        for client in server.clients:
            client.close()
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.communicate()
