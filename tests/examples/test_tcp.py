"""The upper-case servers serve several clients at once, outlive a killed process, and end cleanly."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.examples.conftest import Runner, ended
from tests.kit import procs

WORKERS = 4  # of the pool
PATIENCE_S = 50.0


class Client:
    """A connection that sends lines and receives lines."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.lines = self.socket.makefile("rw", encoding="utf-8")

    def send(self, line: str) -> None:
        self.lines.write(line + "\n")
        self.lines.flush()

    def receive(self) -> str:
        return self.lines.readline()

    def ask(self, line: str) -> str:
        self.send(line)
        return self.receive()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the server is gone, and something is still unsent
            self.lines.close()
        self.socket.close()


class Server:
    """A running server, and its clients."""

    def __init__(self, runner: Runner, name: str) -> None:
        self.process = runner.start(name)
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        assert words[:-1] == ["listening", "on", "port"], ended(self.process)
        self.port = int(words[-1])
        self.clients: list[Client] = []

    def client(self) -> Client:
        client = Client(self.port)
        self.clients.append(client)
        return client

    def wait_until_idle(self) -> None:
        """Wait until it does nothing but wait for the next client."""
        until = time.monotonic() + PATIENCE_S
        while not waits_for_a_client(self.process.pid):
            assert time.monotonic() < until, procs.describe(self.process.pid)
            time.sleep(0.01)  # sleep: nothing tells when another process sleeps

    def close(self) -> None:
        for client in self.clients:
            client.close()


def waits_for_a_client(pid: int) -> bool:
    proc = procs.look(pid)
    where = Path(f"/proc/{pid}/wchan").read_text()
    return proc is not None and proc.state == "S" and ("accept" in where or where in ("", "0"))


def is_tracker(proc: procs.Proc) -> bool:
    return "resource_tracker" in procs.command(proc.pid)


def pid_that_serves(client: Client) -> int:
    """The process that holds the other end of a client's connection."""
    ends = client.socket.getpeername()[1], client.socket.getsockname()[1]
    found = (c for c in psutil.net_connections("tcp") if c.raddr)
    (pid,) = {c.pid for c in found if (c.laddr.port, c.raddr.port) == ends}
    assert pid is not None
    return pid


@pytest.fixture(params=["tcp_upper_processes.py", "tcp_upper_pool.py"])
def server(request: pytest.FixtureRequest, runner: Runner) -> Iterator[Server]:
    server = Server(runner, request.param)
    yield server
    server.close()
    if server.process.poll() is None:
        server.wait_until_idle()
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(PATIENCE_S / 2)
        except (
            subprocess.TimeoutExpired
        ):  # the standard library's pool hangs at its end now and then
            # Not its resource tracker, which gives back what they leave.
            family = [server.process.pid, *(p.pid for p in procs.descendants(server.process.pid))]
            procs.kill([p for p in map(procs.look, family) if p and not is_tracker(p)])
            assert runner.way == "python", "it was told to end and has not"


def test_several_clients_are_served_at_once(server: Server) -> None:
    clients = [server.client() for _ in range(WORKERS)]
    for n, client in enumerate(clients):
        client.send(f"client {n}")
    for n, client in reversed(list(enumerate(clients))):  # all are open, none waits for another
        assert client.receive() == f"CLIENT {n}\n"
    assert [client.ask("größer") for client in clients] == ["GRÖSSER\n"] * WORKERS


def test_a_client_beyond_the_pool_is_served_when_another_has_gone(server: Server) -> None:
    first, *others = [server.client() for _ in range(WORKERS)]
    assert [client.ask("in") for client in (first, *others)] == ["IN\n"] * WORKERS
    late = server.client()
    late.send("waiting")
    first.close()
    assert late.receive() == "WAITING\n"
    assert others[0].ask("still here") == "STILL HERE\n"


def test_the_client_program_prints_the_answers(server: Server, runner: Runner) -> None:
    ran = runner.run("tcp_client.py", server.port, "hello", "wide world")
    assert (ran.status, ran.out, ran.err) == (0, "HELLO\nWIDE WORLD\n", "")


def test_a_killed_process_costs_its_own_client_only(server: Server) -> None:
    victim, other = server.client(), server.client()
    assert victim.ask("a") == other.ask("a") == "A\n"
    server.wait_until_idle()  # the parent has closed its copies of both
    os.kill(pid_that_serves(victim), signal.SIGKILL)
    assert victim.receive() == ""
    assert other.ask("b") == "B\n"
    assert server.client().ask("c") == "C\n"


def test_the_prefork_server_replaces_a_killed_worker_and_lets_clients_end_at_sigterm(
    runner: Runner,
) -> None:
    server = Server(runner, "tcp_prefork_forkful.py")
    try:
        clients = [server.client() for _ in range(WORKERS)]
        assert [client.ask("größer") for client in clients] == ["GRÖSSER\n"] * WORKERS
        late = server.client()
        late.send("waiting")
        os.kill(pid_that_serves(clients[0]), signal.SIGKILL)
        assert clients[0].receive() == ""
        assert late.receive() == "WAITING\n"  # by the one in its place
        assert clients[1].ask("x") == "X\n"
        server.process.terminate()
        assert clients[1].ask("still here") == "STILL HERE\n"
        server.close()
        ran = ended(server.process)
        assert (ran.status, ran.out) == (0, "stopped\n")
        assert "was killed by SIGKILL while it served a client" in ran.err
    finally:
        server.close()


def terminate(server: subprocess.Popen[str]) -> None:
    server.terminate()


def press_ctrl_c(server: subprocess.Popen[str]) -> None:
    os.killpg(server.pid, signal.SIGINT)  # a terminal sends it to all


@pytest.mark.parametrize("end", [terminate, press_ctrl_c])
def test_a_signal_ends_it_with_all_its_processes(
    server: Server, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    clients = [server.client() for _ in range(WORKERS)]
    assert [client.ask("x") for client in clients] == ["X\n"] * WORKERS
    server.wait_until_idle()

    end(server.process)
    ran = ended(server.process)  # returns when the last of its processes has closed its output

    assert (ran.status, ran.out, ran.err) == (0, "stopped\n", "")
    assert [client.receive() for client in clients] == [""] * WORKERS
