"""A TCP server of either kind: `python -m tests.programs.serving CLASS METHOD [JSON]`.

JSON has the server's options, and beside them `initializer`, the name of a function here, and `shutdown`: have a
thread that calls it when standard input ends. It prints its port, and when it has ended "over".
"""

from __future__ import annotations

import http.server
import json
import os
import resource
import signal
import socket
import socketserver
import sys
import threading
import time
from typing import Any

import forkful
from forkful import server as servers
from tests.programs import deeds


def obey(client: socket.socket, address: Any) -> None:
    """Do what the lines of a client say, and answer each, up to one whose answer is None."""
    with client.makefile("rw") as lines:
        for line in lines:
            word, _, rest = line.strip().partition(" ")
            answer = WORDS[word](rest)
            if answer is None:
                return
            lines.write(f"{answer}\n")
            lines.flush()


def fail(text: str) -> None:
    raise ValueError(text)


def block(path: str) -> None:
    """Be in one call until somebody ends it; files tell that it has begun, and that its end was orderly."""
    try:
        open(f"{path} begun", "w").close()
        time.sleep(1000)  # sleep: until a signal ends it
    finally:
        open(path, "w").close()


def be_killed(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(_: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def use_a_pool(text: str) -> list[int]:
    with forkful.Pool(1) as pool:
        return pool.map(len, text.split())


def leave_a_child(path: str) -> int:
    """Fork what outlives this process, and has copies of all its descriptors."""
    pid = os.fork()
    if pid == 0:
        while not os.path.exists(path):
            time.sleep(0.01)  # sleep: until the test makes the file
        os._exit(0)
    return pid


def unwind(how: str) -> int | None:
    """Fork what comes out of the handler, and tell how it has ended."""
    ended = deeds.fork_and_come_out(how)
    return None if ended == -1 else ended


def exhaust(path: str) -> str:
    """Let this process open nothing more, until the test makes a file."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))

    def release() -> None:
        while not os.path.exists(path):
            time.sleep(0.01)  # sleep: until the test makes the file
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    threading.Thread(target=release, daemon=True).start()
    return "exhausted"


WORDS: dict[str, Any] = {
    "pid": lambda _: os.getpid(),
    "shout": str.upper,
    "raise": fail,
    "exit": lambda _: sys.exit(7),
    "os._exit": lambda _: os._exit(7),
    "block": block,
    "kill": be_killed,
    "crash": crash,
    "pool": use_a_pool,
    "fork": leave_a_child,
    "unwind": unwind,
    "exhaust": exhaust,
}


class Shout(socketserver.StreamRequestHandler):
    """A handler as socketserver has them."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper() + b"%d\n" % self.server.server_address[1])


class Page(http.server.BaseHTTPRequestHandler):
    """A handler of the standard library's web server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def die_at_birth() -> None:
    os._exit(9)


def raise_at_birth() -> None:
    raise RuntimeError("no database")


def main(kind: str, method: str, options: str = "{}") -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    told = json.loads(options)
    handler = globals()[told.pop("handler", "obey")]
    by_thread = told.pop("shutdown", False)
    if "initializer" in told:
        told["initializer"] = globals()[told["initializer"]]
    forkful.set_start_method(method)
    with getattr(servers, kind)(("127.0.0.1", 0), handler, **told) as server:
        WORDS["shutdown"] = lambda _: server.shutdown()
        print(server.server_address[1], flush=True)
        if by_thread:

            def end() -> None:
                os.read(0, 1)  # no lock of sys.stdin that a fork would copy
                server.shutdown()
                print("shutdown has returned", flush=True)

            thread = threading.Thread(target=end)
            thread.start()
        server.serve_forever()
    if by_thread:
        thread.join()
    print("over", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
