"""A program with children of each kind: `python -m tests.programs.family METHOD FOLDER [OPTION...]`.

It prints their pids, by what they are, as a line of JSON, and then waits to be ended: as a server with
a process for each client, if it is to serve.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import forkful
from tests.programs import deeds


def outlive(folder: str) -> None:
    """Go on when the parent has ended, and tell what can be known of it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    Path(folder, "independent").touch()
    parent.join()
    if not parent.is_alive():
        Path(folder, "parent is dead").touch()
    signal.pause()


def have_a_child(method: str, folder: str) -> None:
    """In a worker: start a child that belongs to it, and be busy for ever."""
    child = forkful.get_context(method).Process(
        target=deeds.sleep_in_c, args=(f"{folder}/grandchild",), daemon=True
    )
    child.start()
    deeds.wait_for_file(f"{folder}/grandchild")
    Path(folder, "pid").write_text(str(child.pid))
    deeds.sleep_long(f"{folder}/worker")


def have_an_independent_child(method: str, folder: str) -> None:
    try:
        child = forkful.get_context(method).Process(
            target=deeds.sleep_long, args=(f"{folder}/far",)
        )
        child.start()
        deeds.wait_for_file(f"{folder}/far")
        Path(folder, "far pid").write_text(str(child.pid))
        deeds.sleep_long(f"{folder}/between")
    finally:
        Path(folder, "finally between").touch()


def be_stubborn(path: str) -> None:
    """SIGTERM is ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deeds.sleep_long(path)


def handle_and_go_on(folder: str) -> None:
    """In a worker or daemon: SIGTERM is handled, and changes nothing."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    deeds.sleep_long(f"{folder}/handling")


def talk(connection: socket.socket) -> None:
    connection.sendall(str(os.getpid()).encode())
    connection.recv(1)


def serve(method: str, folder: str) -> None:
    """A process for each client, until a signal comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Path(folder, "port").write_text(str(listener.getsockname()[1]))
        while True:
            connection, _ = listener.accept()
            with connection:
                forkful.get_context(method).Process(target=talk, args=(connection,)).start()


def start_more(method: str, folder: str, pids: dict[str, int], keep: list[Any]) -> None:
    ctx = forkful.get_context(method)
    for name, target, args in (
        ("stubborn", be_stubborn, (f"{folder}/stubborn",)),
        ("between", have_an_independent_child, (method, folder)),
    ):
        process = ctx.Process(target=target, args=args)
        process.start()
        keep.append(process)
        pids[name] = process.pid
        deeds.wait_for_file(f"{folder}/{name}")
    pids["far"] = int(Path(folder, "far pid").read_text())


def start(method: str, folder: str, pool_only: bool, pids: dict[str, int], keep: list[Any]) -> None:
    ctx = forkful.get_context(method)
    pool = ctx.Pool(2)
    keep += [pool, ctx.Queue(), ctx.Array("i", 3)]
    assert pool.map(deeds.square, range(3)) == [0, 1, 4]
    while any(worker.state != "idle" for worker in pool.statistics().workers):
        pool.map(deeds.square, range(3))
    pids |= {f"worker {n}": process.pid for n, process in enumerate(pool._pool)}
    if pool_only:
        return
    keep.append(pool.apply_async(have_a_child, (method, folder)))
    keep.append(pool.apply_async(handle_and_go_on, (folder,)))
    daemon = ctx.Process(target=deeds.sleep_in_c, args=(f"{folder}/daemon",), daemon=True)
    ignoring = ctx.Process(target=be_stubborn, args=(f"{folder}/ignoring",), daemon=True)
    independent = ctx.Process(target=outlive, args=(folder,))
    for process in (daemon, ignoring, independent):
        process.start()
    keep += [daemon, ignoring, independent, manager := ctx.Manager()]
    for name in ("worker", "handling", "daemon", "ignoring", "independent"):
        deeds.wait_for_file(f"{folder}/{name}")
    pids |= {"grandchild": int(Path(folder, "pid").read_text()), "daemon": daemon.pid}
    pids |= {
        "ignoring": ignoring.pid,
        "independent": independent.pid,
        "manager": manager._process.pid,
    }


def main(method: str, folder: str, *options: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    atexit.register(Path(folder, "atexit").touch)
    pids: dict[str, int] = {}
    keep: list[Any] = []
    args = method, folder, "pool only" in options, pids, keep
    if "thread" in options:
        thread = threading.Thread(target=start, args=args)
        thread.start()
        thread.join()
    else:
        start(*args)
    if "serve" in options:
        start_more(method, folder, pids, keep)
    print(json.dumps(pids), flush=True)
    try:
        if "serve" in options:
            serve(method, folder)
        while True:
            time.sleep(1000)  # sleep: until a signal ends it
    finally:
        Path(folder, "finally").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
