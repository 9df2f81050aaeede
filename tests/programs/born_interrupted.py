"""A program whose workers get a Ctrl-C as the first thing in their lives: `... METHOD`.

So do the manager's server and the fork server, which imports this module.
"""

from __future__ import annotations

import os
import signal
import sys

import forkful
from tests.programs import deeds


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def is_held(_: object) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


if __name__ == "__mp_main__":  # in what spawn or the fork server has made
    interrupt()
    os.register_at_fork(after_in_child=interrupt)

if __name__ == "__main__":
    ctx = forkful.get_context(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    os.register_at_fork(after_in_child=interrupt)
    with ctx.Pool(2) as pool, ctx.Manager() as manager:
        print(pool.map(deeds.square, range(3)), pool.map(is_held, range(3)), is_held(0))
        print(manager.list([5]))
