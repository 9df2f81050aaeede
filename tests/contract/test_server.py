"""TCP servers: what they do for clients, and that a failure costs only whom it must."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from forkful.process import SpawnProcess
from forkful.server import Interrupted, ProcessServer, Server
from tests.contract.children import LONG, is_gone, until
from tests.contract.serving import Client, serving
from tests.programs.serving import obey

BOTH = pytest.mark.parametrize("kind", ["Server", "ProcessServer"])
CREW = {"workers": 2}


def options(kind: str, **others: Any) -> dict[str, Any]:
    return (CREW if kind == "Server" else {}) | others


@BOTH
def test_what_a_handler_does_costs_its_own_connection_only(
    kind: str, start_method: str, tmp_path: Path
) -> None:
    with serving(tmp_path, kind, start_method, **options(kind)) as server:
        other = server.client()
        its = int(other.ask("pid"))
        assert other.ask("shout hello") == "HELLO"

        client = server.client()
        assert client.ask("raise boom") == ""
        name = "{}:{}".format(*client.socket.getsockname())
        server.until_logged(f"client {name}", "Traceback", "in fail", "ValueError: boom")
        assert server.ask("exit") == ""
        server.until_logged("SystemExit: 7")
        assert server.ask("pool a bb ccc") == "[1, 2, 3]"

        for word, end in [
            ("kill", "was killed by SIGKILL"),
            ("crash", "was killed by SIGSEGV"),
            ("os._exit", "exited with status 7"),
        ]:
            client = server.client()
            pid = client.ask("pid")
            assert client.ask(word) == ""
            server.until_logged(f"(pid {pid}) {end} while it served")
            assert server.ask("shout again") == "AGAIN"

        assert other.ask("pid") == str(its)
        other.close()
        server.signal(signal.SIGTERM)
        assert server.ended() == (0, "over\n")
        assert is_gone(its)


@BOTH
def test_a_graceful_end_refuses_new_clients_and_lets_open_ones_end(
    kind: str, start_method: str, tmp_path: Path
) -> None:
    with serving(tmp_path, kind, start_method, **options(kind)) as server:
        client = server.client()
        assert client.ask("shout a") == "A"
        server.signal(signal.SIGTERM)
        server.until_refused()
        assert client.ask("shout b") == "B"
        assert server.process.poll() is None
        client.close()
        assert server.ended() == (0, "over\n")
        assert server.log() == ""


@BOTH
def test_who_is_not_through_after_the_graceful_timeout_is_ended(
    kind: str, start_method: str, tmp_path: Path
) -> None:
    with serving(tmp_path, kind, start_method, **options(kind, graceful_timeout=0.1)) as server:
        client = server.client()
        pid = client.ask("pid")
        client.send(f"block {tmp_path}/orderly")
        until((tmp_path / "orderly begun").exists)
        server.signal(signal.SIGTERM)
        assert client.receive() == ""
        assert server.ended() == (0, "over\n")
        assert f"(pid {pid})" in server.log()
        assert "graceful_timeout" in server.log()
        assert "Traceback" not in server.log()
        assert (tmp_path / "orderly").exists()


@BOTH
def test_ctrl_c_ends_all_at_once_with_status_130_and_no_traceback(
    kind: str, start_method: str, tmp_path: Path
) -> None:
    with serving(tmp_path, kind, start_method, **options(kind)) as server:
        idle, client = server.client(), server.client()
        assert [idle.ask("shout a"), client.ask("shout b")] == ["A", "B"]
        client.send(f"block {tmp_path}/orderly")
        until((tmp_path / "orderly begun").exists)
        os.killpg(server.process.pid, signal.SIGINT)  # a terminal sends it to all
        assert server.ended() == (130, "")
        assert [idle.receive(), client.receive()] == ["", ""]
        assert server.log() == ""
        assert (tmp_path / "orderly").exists()


@BOTH
def test_ctrl_c_in_the_midst_of_a_graceful_end_ends_it(kind: str, tmp_path: Path) -> None:
    with serving(tmp_path, kind, "fork", **options(kind)) as server:
        client = server.client()
        assert client.ask("shout a") == "A"
        server.signal(signal.SIGTERM)
        server.until_refused()
        server.signal(signal.SIGINT)
        assert client.receive() == ""
        assert server.ended() == (130, "")


@BOTH
def test_a_connection_over_its_timeout_is_ended_and_its_process_replaced(
    kind: str, start_method: str, tmp_path: Path
) -> None:
    seconds = (
        0.5 if start_method == "fork" else 3
    )  # which a process for a client needs for its start, too
    with serving(tmp_path, kind, start_method, **options(kind, timeout=seconds)) as server:
        client = server.client()
        assert client.ask(f"block {tmp_path}/never") == ""
        server.until_logged(f"is over its timeout of {seconds} s with", "it is killed")
        until(lambda: server.ask("shout a") == "A")  # a start may take longer than the timeout
        server.signal(signal.SIGTERM)
        assert server.ended() == (0, "over\n")
        assert not (tmp_path / "never").exists()


@BOTH
def test_a_handler_of_socketserver_runs_unchanged(
    kind: str, start_method: str, tmp_path: Path
) -> None:
    with serving(tmp_path, kind, start_method, **options(kind, handler="Shout")) as server:
        client = server.client()
        assert (client.ask("hello"), client.receive()) == ("HELLO", str(server.port))
        client.close()
        server.signal(signal.SIGTERM)
        assert server.ended() == (0, "over\n")


@BOTH
def test_a_handler_of_the_web_server_runs_unchanged(kind: str, tmp_path: Path) -> None:
    with serving(tmp_path, kind, "fork", **options(kind, handler="Page")) as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/hello") as answer:
            assert answer.read() == b"/hello"


@BOTH
def test_shutdown_returns_when_all_has_ended(kind: str, tmp_path: Path) -> None:
    with serving(tmp_path, kind, "fork", **options(kind, shutdown=True)) as server:
        client = server.client()
        pid = int(client.ask("pid"))
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.stdin = None
        server.until_refused()
        assert not is_gone(pid)
        client.close()
        assert server.ended() == (0, "shutdown has returned\nover\n")
        assert is_gone(pid)


@BOTH
def test_a_handler_cannot_shut_its_server_down_and_is_told_how(kind: str, tmp_path: Path) -> None:
    with serving(tmp_path, kind, "fork", **options(kind)) as server:
        assert server.ask("shutdown") == ""
        server.until_logged(f"only process {server.process.pid}", "send it SIGTERM")
        assert server.ask("shout a") == "A"


def wait_for_a_byte(client: socket.socket, address: object) -> None:
    client.sendall(b"here")
    client.recv(1)


@contextlib.contextmanager
def served_here() -> Iterator[tuple[ProcessServer, Future[None], Callable[[], object]]]:
    """A server of this process with one client; it is served until the test has begun to end it."""
    server = ProcessServer(("127.0.0.1", 0), wait_for_a_byte, context="fork")
    with ThreadPoolExecutor(2) as executor:
        served = executor.submit(server.serve_forever)
        with socket.create_connection(server.server_address) as client:
            assert client.recv(4) == b"here"
            until(lambda: server._members)  # the child may be quicker than its parent
            try:
                yield server, served, lambda: executor.submit(server.shutdown)
            finally:
                client.sendall(b"x")
        served.result(LONG)


def test_nothing_keeps_the_parent_awake_while_open_connections_end() -> None:
    """A closed socket is still reported as long as a child has it."""
    with served_here() as (server, served, begin_to_end):
        begin_to_end()
        until(lambda: server.socket.fileno() == -1)
        until(lambda: not server._waiting.poll(0))  # but for the wish, which is read soon
        assert not served.done()


def test_a_socket_that_the_program_has_closed_hinders_no_end() -> None:
    with served_here() as (server, _, begin_to_end):
        (pid,) = (member.pid for member in server._members.values())
        server.server_close()
        begin_to_end()
        until(lambda: server._wishes.ending)
    assert is_gone(pid)


# ---- the crew -----------------------------------------------------------------------------------


def test_a_worker_is_replaced_after_its_requests(tmp_path: Path) -> None:
    with serving(tmp_path, "Server", "fork", workers=1, max_requests=2) as server:
        pids = [server.ask("pid") for _ in range(6)]
        assert pids[::2] == pids[1::2]
        assert len({*pids}) == 3
        assert server.log() == ""


def test_workers_are_replaced_after_different_numbers_of_requests(tmp_path: Path) -> None:
    with serving(
        tmp_path, "Server", "fork", workers=1, max_requests=2, max_requests_jitter=2
    ) as server:
        pids = [server.ask("pid") for _ in range(15)]
        lives = [len([*same]) for _, same in itertools.groupby(pids)]
        assert {*lives[:-1]} <= {2, 3, 4}


def test_a_killed_worker_whose_own_child_lives_on_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, "Server", "fork", workers=1) as server:
        client = server.client()
        child = int(client.ask(f"fork {tmp_path}/end"))
        client.send("kill")  # the child has a copy of the connection, so that does not end
        assert server.ask("shout a") == "A"
        assert not is_gone(child)
        (tmp_path / "end").touch()
        until(lambda: is_gone(child))


def test_a_worker_that_is_short_of_descriptors_says_so_and_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, "Server", "fork", workers=1) as server:
        assert server.ask(f"exhaust {tmp_path}/release") == "exhausted"
        client = server.client()
        client.send("shout a")
        server.until_logged("cannot accept", "Too many open files", "ulimit -n")
        (tmp_path / "release").touch()
        assert client.receive() == "A"


def test_workers_that_die_at_birth_end_the_server_with_an_error(
    start_method: str, tmp_path: Path
) -> None:
    with serving(tmp_path, "Server", start_method, **CREW, initializer="die_at_birth") as server:
        assert server.ended() == (1, "")
        assert "exited with status 9 before it was ready" in server.log()
        assert "WorkerDied: the server gives up" in server.log()


def test_the_initializers_exception_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, "Server", "fork", **CREW, initializer="raise_at_birth") as server:
        assert server.ended() == (1, "")
        assert "RuntimeError: no database" in server.log()


def test_reload_replaces_idle_workers_and_a_busy_one_when_its_client_has_gone(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, "Server", "fork", **CREW) as server:
        client = server.client()
        pid = int(client.ask("pid"))
        before = {*server.pids()}
        server.signal(signal.SIGHUP)
        until(lambda: before & {*server.pids()} == {pid})
        assert client.ask("shout a") == "A"
        assert int(server.ask("pid")) not in before
        client.close()
        until(lambda: not before & {*server.pids()} and len(server.pids()) == 2)
        server.signal(signal.SIGTERM)
        assert server.ended() == (0, "over\n")
        assert server.log() == ""


def test_workers_are_added_and_taken_away_by_signals(tmp_path: Path) -> None:
    with serving(tmp_path, "Server", "fork", workers=1) as server:
        first = server.client()
        assert first.ask("shout a") == "A"
        second = server.client()
        second.send("shout b")
        server.signal(signal.SIGTTIN)
        assert second.receive() == "B"  # by the new one
        server.signal(signal.SIGTTOU)
        second.close()
        until(lambda: len(server.pids()) == 1)
        assert first.ask("shout c") == "C"
        assert server.log() == ""


def test_statistics_tell_what_the_workers_do() -> None:
    with Server(("127.0.0.1", 0), obey, workers=2, context="spawn") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            until(lambda: [w.state for w in server.statistics().workers] == ["idle"] * 2)
            client = Client(server.server_address[1])
            try:
                pid = int(client.ask("pid"))
                states = {w.pid: w.state for w in server.statistics().workers}
                assert sorted(states.values()) == ["busy", "idle"]
                assert states[pid] == "busy"
                assert client.ask("kill") == ""
            finally:
                client.close()
            until(lambda: server.statistics().died == 1)
            client = Client(server.server_address[1])
            client.close()
            until(lambda: server.statistics().connections == 1)
        finally:
            server.shutdown()
            thread.join()
        assert server.statistics() == ((), 1, 1)
        with pytest.raises(RuntimeError, match="serves once"):
            server.serve_forever()


def test_a_worker_that_cannot_be_started_is_tried_again_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, refusals = SpawnProcess.start, [BlockingIOError(errno.EAGAIN, "no process")]

    def start_later(self: SpawnProcess) -> None:
        if refusals:
            raise refusals.pop()
        start(self)

    with Server(("127.0.0.1", 0), obey, workers=2, context="spawn") as server:
        thread = threading.Thread(target=server.serve_forever)
        refusal = refusals.pop()
        monkeypatch.setattr(SpawnProcess, "start", start_later)
        thread.start()
        try:
            until(lambda: [w.state for w in server.statistics().workers] == ["idle"] * 2)
            one, other = (w.pid for w in server.statistics().workers)
            refusals.append(refusal)
            os.kill(one, signal.SIGKILL)
            until(lambda: len({w.pid for w in server.statistics().workers} - {one, other}) == 1)
            assert not refusals
            assert other in {w.pid for w in server.statistics().workers}
        finally:
            server.shutdown()
            thread.join()


# ---- a process each -----------------------------------------------------------------------------


def test_a_client_beyond_max_children_waits_for_the_end_of_another(tmp_path: Path) -> None:
    with serving(tmp_path, "ProcessServer", "fork", max_children=2) as server:
        first, second = server.client(), server.client()
        assert [first.ask("shout a"), second.ask("shout b")] == ["A", "B"]
        third = server.client()
        third.send("shout c")
        until(lambda: (server.waiting() == 1 and server.sleeps()) or len(server.pids()) > 2)
        assert len(server.pids()) == 2
        first.close()
        assert third.receive() == "C"
        assert second.ask("shout d") == "D"


def ways_to_others(pid: int) -> list[str]:
    """The pipes, sockets and files for last words that a process has."""
    folder, found = f"/proc/{pid}/fd", []
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(f"{folder}/{fd}"))
    return sorted(
        link for link in found if link.startswith(("pipe:", "socket:", "/memfd:lastwords"))
    )


def test_the_parent_keeps_no_descriptor_of_clients_that_have_gone(tmp_path: Path) -> None:
    with serving(tmp_path, "ProcessServer", "fork") as server:
        before = ways_to_others(server.process.pid)
        for _ in range(5):
            assert server.ask("shout a") == "A"
        until(lambda: not server.pids())
        until(lambda: ways_to_others(server.process.pid) == before)


# ---- both, without a process --------------------------------------------------------------------


def test_arguments_that_make_no_server_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        Server(("127.0.0.1", 0), obey, workers=0)
    with pytest.raises(ValueError, match="at least one process"):
        ProcessServer(("127.0.0.1", 0), obey, max_children=0)


def test_an_interrupted_server_can_be_caught_as_any_other_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        raise Interrupted
    assert isinstance(caught.value, SystemExit)
    assert caught.value.code == 130


def test_importing_forkful_does_not_import_servers() -> None:
    program = "import sys, forkful; sys.exit('forkful.server' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
