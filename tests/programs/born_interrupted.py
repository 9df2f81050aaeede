"""A program whose forked workers get a Ctrl-C as the first thing in their lives."""

from __future__ import annotations

import os
import signal

import forkful
from tests.programs import deeds


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def is_held(_: object) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    os.register_at_fork(after_in_child=interrupt)
    with forkful.get_context("fork").Pool(2) as pool:
        print(pool.map(deeds.square, range(3)), pool.map(is_held, range(3)), is_held(0))
