"""How many clients a second can a TCP server have, if each brings one line?

    python bench/tcp.py [--quick] [--check] [--json FILE]

A client process opens a wave of connections, sends a line on each, reads the echo of each, and closes them all. The
clock runs in it, after a warm-up. It closes by a reset, so no port has to wait until it may be used again.
"""

import functools
import os
import signal
import socket
import socketserver
import struct
import time
from collections.abc import Callable
from typing import Any

from peers import context
from question import Bound, Entry, Question
from side_by_side import main

HERE = ("127.0.0.1", 0)
BACKLOG = 2048
WORKERS = 2
WAVE = 16
LINE = b"the quick brown fox jumps over the lazy dog\n"
RESET = struct.pack("ii", 1, 0)

Tell = Callable[[int], None]


def echo(client: socket.socket, address: object) -> None:
    """Send one line back: what every server here does for a client."""
    line = b""
    while not line.endswith(b"\n"):
        line += client.recv(4096)
    client.sendall(line)


def wave(port: int) -> None:
    clients = []
    for _ in range(WAVE):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.sendall(LINE)
        clients.append(client)
    for client in clients:
        got = b""
        while len(got) < len(LINE):
            part = client.recv(4096)
            if not part:
                raise RuntimeError(f"the server hung up after {got!r}")
            got += part
        if got != LINE:
            raise RuntimeError(f"the server answered {got!r}")
        client.close()


def rate(serve: Callable[[Tell], None], count: int) -> float:
    """Return connections a second; `serve` runs in a process of its own and tells its port."""
    hear, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        serve(lambda port: os.write(tell, b"%d\n" % port) and None)
        os._exit(1)
    port = int(os.read(hear, 10))
    try:
        for _ in range(max(2, count // WAVE // 10)):
            wave(port)
        waves = max(1, count // WAVE)
        begin = time.perf_counter()
        for _ in range(waves):
            wave(port)
        return waves * WAVE / (time.perf_counter() - begin)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def forkful_workers(tell: Tell) -> None:
    from forkful.server import Server

    with Server(HERE, echo, workers=WORKERS, context="fork") as server:
        tell(server.server_address[1])
        server.serve_forever()


def forkful_processes(tell: Tell) -> None:
    from forkful.server import ProcessServer

    with ProcessServer(HERE, echo, context="fork") as server:
        tell(server.server_address[1])
        server.serve_forever()


def process_each(name: str, tell: Tell) -> None:
    """As tutorials have it: accept, start a process, close one's own copy; daemons, so nobody joins."""
    process: Any = context(name).Process

    def serve(client: socket.socket, address: object) -> None:
        with client:
            echo(client, address)

    with socket.create_server(HERE, backlog=BACKLOG) as listener:
        tell(listener.getsockname()[1])
        while True:
            client, address = listener.accept()
            with client:
                process(target=serve, args=(client, address), daemon=True).start()


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        echo(self.request, self.client_address)


class _Forking(socketserver.ForkingMixIn, socketserver.TCPServer):
    request_queue_size = BACKLOG


def forking_mix_in(tell: Tell) -> None:
    with _Forking(HERE, _Echo) as server:
        tell(server.server_address[1])
        server.serve_forever()


def by_hand(tell: Tell) -> None:
    """Fork, accept, serve, and look after nothing."""
    listener = socket.create_server(HERE, backlog=BACKLOG)
    for _ in range(WORKERS):
        if os.fork() == 0:
            while True:
                client, address = listener.accept()
                with client:
                    echo(client, address)
    tell(listener.getsockname()[1])
    while True:
        signal.pause()


def entry(serve: Callable[[Tell], None], count: int | None = None, aside: str = "") -> Entry:
    return Entry(functools.partial(rate, serve), count, aside)


FLOOR = "prefork by hand"

QUESTIONS = [
    Question(
        name="tcp.echo",
        title=f"TCP echo of a line, a connection each, {WAVE} at a time",
        unit="connections/s",
        per="",
        fair=(
            "The same client and the same echo for all, on the same machine: its time is in each figure. "
            f"Pre-fork servers have {WORKERS} workers; the others start a process for each connection."
        ),
        entries={
            "forkful": entry(forkful_workers),
            "forkful, a process each": entry(forkful_processes, 1600),
            "multiprocessing": entry(functools.partial(process_each, "multiprocessing"), 1600),
            "ForkingMixIn": entry(forking_mix_in, 1600),
            FLOOR: entry(by_hand, aside="a floor: workers that nobody looks after"),
        },
        count=16_000,
        quick=4_800,
        bounds=[
            Bound("forkful", 0.78, FLOOR, must=True),
            Bound("forkful", 10, "multiprocessing", must=True),
            Bound("forkful", 15_000),
            Bound("forkful, a process each", 1, "multiprocessing"),
        ],
        more_is_better=True,
    )
]

if __name__ == "__main__":
    main(QUESTIONS)
