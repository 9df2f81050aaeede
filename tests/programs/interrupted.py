"""A program that waits, with children of each kind, until Ctrl-C: `... METHOD STATE FOLDER`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import forkful
from tests.programs import deeds


def wait_in(state: str, ctx: Any, folder: str) -> None:
    ready = f"{folder}/ready"
    if state == "start":  # of more workers than are there before it comes
        Path(ready).touch()
        with ctx.Pool(20) as pool:
            pool.map(deeds.sleep_long, [f"{folder}/begun"] * 20)
    elif state == "join":
        children = [
            ctx.Process(target=deeds.sleep_long, args=(f"{folder}/{name}",)) for name in "ab"
        ]
        for child in children:
            child.start()
        for name in "ab":
            deeds.wait_for_file(f"{folder}/{name}")
        Path(ready).touch()
        for child in children:
            child.join()
    elif state == "map":
        with ctx.Pool(2) as pool:
            pool.map(deeds.sleep_long, [ready] * 4)
    else:
        with ctx.Manager() as manager:
            lock = manager.Lock()
            lock.acquire()
            Path(ready).touch()
            lock.acquire()


def main(method: str, state: str, folder: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    wait_in(state, forkful.get_context(method), folder)
    time.sleep(1000)  # sleep: it must not come here


if __name__ == "__main__":
    main(*sys.argv[1:])
