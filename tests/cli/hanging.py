"""Programs that hang, for `forkful why`: `python hanging.py NAME [START_METHOD]`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import forkful


def start(target: Any, *args: object) -> Any:
    process = forkful.Process(target=target, args=args)
    process.start()
    return process


def take_both(first: Any, second: Any, both_have_one: Any) -> None:
    with first:
        both_have_one.wait()
        with second:
            pass


def crossed() -> None:
    a, b, both = forkful.Lock(), forkful.Lock(), forkful.Barrier(2)
    children = [start(take_both, a, b, both), start(take_both, b, a, both)]
    for child in children:
        child.join()


def consume(queue: Any) -> None:
    while queue.get() is not None:
        pass


def no_producer() -> None:
    queue = forkful.Queue()
    start(consume, queue).join()


def produce(queue: Any) -> None:
    for item in range(5):
        queue.put(item)


def join_first() -> None:
    queue = forkful.Queue(2)
    start(produce, queue).join()


def for_ever(_: int) -> None:
    while True:
        pass


def endless() -> None:
    with forkful.Pool(2) as pool:
        pool.map(for_ever, [1], chunksize=1)


def starved() -> None:
    with forkful.Pool(2) as pool:
        print(pool.map(len, [sys.stdin.readline()]), flush=True)


def read_line(queue: Any, source: int) -> None:
    queue.put(os.read(source, 100).decode())


def reading() -> None:
    queue = forkful.Queue()
    start(read_line, queue, os.dup(0))
    print(queue.get(), flush=True)


def receive(pipe: Any) -> None:
    pipe.recv()


def answering() -> None:
    """Each waits for the other to begin."""
    mine, other = forkful.Pipe()
    child = start(receive, other)
    other.close()
    mine.recv()
    child.join()


def kept_open() -> None:
    """The classic mistake: nobody else can write any more, and the reader itself never will."""
    reader, writer = forkful.Pipe(False)
    start(len, "").join()
    try:
        reader.recv()
    finally:
        writer.close()


def reading_pipe() -> None:
    """From a program that is none of the family."""
    forkful.Lock()
    reader, writer = forkful.Pipe(False)
    pid = os.posix_spawn(
        "/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, writer.fileno(), 1)]
    )
    writer.close()
    print(pid, flush=True)
    try:
        reader.recv_bytes()
    finally:
        os.waitpid(pid, 0)


def lines_and_threads() -> None:
    """A thread that waits for nothing of forkful's, one that does, and a process that reads."""
    queue, source = forkful.Queue(), os.dup(0)
    threading.Thread(target=consume, args=(queue,)).start()
    child = start(read_line, queue, source)
    queue.put("first")
    child.join()
    queue.put(None)
    print("done", flush=True)


def pausing() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    forkful.Lock()
    signal.pause()
    print("went on", flush=True)


def stop(queue: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    queue.put("went on")


def stopped() -> None:
    queue = forkful.Queue()
    start(stop, queue)
    print(queue.get(), flush=True)


if __name__ == "__main__":
    forkful.set_start_method(sys.argv[2] if len(sys.argv) > 2 else "fork")
    globals()[sys.argv[1]]()
