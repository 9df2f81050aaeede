"""A server is killed, or its workers at random: nothing is left, and no client waits for ever."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.children import is_gone, until
from tests.contract.serving import Client, serving
from tests.kit import procs

FULL = os.environ.get("FORKFUL_CRASH") == "full"
KILLS = 200 if FULL else 25


@pytest.mark.parametrize("kind", ["Server", "ProcessServer"])
def test_processes_of_a_killed_server_end_with_it(
    kind: str, start_method: str, tmp_path: Path
) -> None:
    before = {*os.listdir("/dev/shm")}
    with serving(tmp_path, kind, start_method) as server:
        idle, busy = server.client(), server.client()
        pids = [int(client.ask("pid")) for client in (idle, busy)]
        busy.send(f"block {tmp_path}/never")
        until((tmp_path / "never begun").exists)
        everyone = procs.descendants(server.process.pid)
        server.signal(signal.SIGKILL)
        assert [idle.receive(), busy.receive()] == ["", ""]
        until(lambda: all(map(is_gone, pids)))
        until(lambda: not any(map(procs.lives, everyone)))
    assert {*os.listdir("/dev/shm")} <= before


def test_each_client_has_its_answer_or_an_end_whenever_workers_are_killed(
    tmp_path: Path, rand: random.Random, deaths: Callable[[int], None]
) -> None:
    with serving(tmp_path, "Server", "fork", workers=3) as server:
        assert server.ask("shout a") == "A"
        over = threading.Event()
        wrong: list[str] = []
        answers = [0, 0]  # right ones, and ends without one

        def be_clients() -> None:
            while not over.is_set():
                client = Client(server.port)
                try:
                    answer = client.ask("shout a")
                except OSError:
                    answer = ""
                finally:
                    client.close()
                answers[answer != "A"] += 1
                if answer not in ("A", ""):
                    wrong.append(answer)

        threads = [threading.Thread(target=be_clients) for _ in range(3)]
        for thread in threads:
            thread.start()
        killed: set[int] = set()
        try:
            while len(killed) < KILLS:
                pids = [pid for pid in server.pids() if pid not in killed]
                if pids:
                    killed.add(pid := rand.choice(pids))
                    os.kill(pid, signal.SIGKILL)
                    before = answers[0]
                    until(lambda before=before: answers[0] > before)  # type: ignore[misc]
        finally:
            over.set()
            for thread in threads:
                thread.join()
        deaths(len(killed))
        assert wrong == []
        assert answers[1] <= len(killed)
        assert server.ask("shout b") == "B"
        until(lambda: len(server.pids()) == 3)
        server.signal(signal.SIGTERM)
        assert server.ended() == (0, "over\n")
