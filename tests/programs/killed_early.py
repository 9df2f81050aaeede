"""A program that starts processes of many kinds, and is ended by a signal of its own at a certain start.

`python -m tests.programs.killed_early METHOD WHEN:N SIGNAL`: before there is an n-th child, right after that
(so that it has not been told yet what to do), or when it is started.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import util
from typing import Any

import forkful
from forkful.launch import fork, forkserver
from forkful.process import Process
from tests.programs import deeds


class Killer:
    def __init__(self, when: str, number: str, signame: str) -> None:
        self.when, self.number, self.signum = when, int(number or 0), signal.Signals[signame]
        self.main = os.getpid()
        self.calls: dict[str, int] = {}

    def passes(self, when: str) -> None:
        if os.getpid() == self.main and when == self.when:
            self.calls[when] = self.calls.get(when, 0) + 1
            if self.calls[when] == self.number:
                os.kill(self.main, self.signum)

    def wrap(self, owner: Any, name: str, before: str, after: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.passes(before)
            result = function(*args, **kwargs)
            self.passes(after)
            return result

        setattr(owner, name, wrapped)


def have_a_child(method: str) -> None:
    child = forkful.get_context(method).Process(target=time.sleep, args=(1000,), daemon=True)
    child.start()
    child.join()


def start(method: str, keep: list[Any]) -> None:
    ctx = forkful.get_context(method)
    keep.append(daemon := ctx.Process(target=time.sleep, args=(1000,), daemon=True))
    daemon.start()
    keep.append(pool := ctx.Pool(2))
    keep.append(pool.map_async(deeds.square, range(100)))
    keep.append(pool.apply_async(have_a_child, (method,)))
    keep.append(ctx.Manager())


def main(method: str, point: str, signame: str) -> None:
    when, _, number = point.partition(":")
    killer = Killer(when, number, signame)
    killer.wrap(os, "fork", "before", "after")
    killer.wrap(util, "spawnv_passfds", "before", "after")
    killer.wrap(forkserver.server, "connect_to_new_process", "before", "after")
    killer.wrap(Process, "start", "", "started")
    keep: list[Any] = []
    if int(number or 0) % 2:
        start(method, keep)
    else:
        threading.Thread(target=start, args=(method, keep)).start()
    while True:
        time.sleep(1000)  # sleep: until a signal ends it


if __name__ == "__main__":
    assert fork.Popen  # it is what the others are made of
    main(*sys.argv[1:])
