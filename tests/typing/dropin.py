"""A program of `multiprocessing` with its import changed: star import, and submodules."""

from typing import assert_type

import forkful as multiprocessing
from forkful import *
from forkful.connection import Client, Connection, Listener
from forkful.context import BaseContext
from forkful.managers import BaseManager, SyncManager
from forkful.pool import ThreadPool
from forkful.reduction import ForkingPickler
from forkful.shared_memory import SharedMemory
from forkful.synchronize import Lock as LockType
from forkful.util import Finalize, get_logger


def send(q: Queue[str], lock: LockType, words: list[str]) -> None:
    with lock:
        for word in words:
            q.put(word)


def use_a_context(ctx: BaseContext) -> None:
    assert_type(ctx.cpu_count(), int)


def make(manager: SyncManager) -> None:
    lent = manager.dict({"a": 1})
    assert lent["a"] == 1


def main() -> None:
    q: Queue[str] = Queue()
    p = Process(target=send, args=(q, Lock(), ["a", "b"]))
    p.start()
    assert_type(q.get() + q.get(), str)
    p.join()
    with multiprocessing.Pool(processes=1) as pool:
        assert_type(pool.map(abs, [-1]), list[int])
    with ThreadPool(1) as threads:
        assert threads.map(abs, [-1]) == [1]
    with Manager() as manager:
        assert_type(manager, SyncManager)
        make(manager)
    use_a_context(get_context("spawn"))
    finalizer = Finalize(None, get_logger, exitpriority=1)
    assert finalizer.still_active()
    assert ForkingPickler.dumps(1)
    types: list[type] = [BaseManager, Client.__class__, Connection, Listener, SharedMemory]
    assert all(types)
    try:
        raise WorkerDied("it died")
    except ForkfulError as error:
        assert_type(error, ForkfulError)
    print("done")


if __name__ == "__main__":
    main()
