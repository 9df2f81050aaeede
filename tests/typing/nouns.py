"""What type checkers know of forkful's names: checked by `make types`, run by `test_package.py`.

No `from __future__ import annotations` here: annotations must hold when the program runs, too.
"""

from typing import assert_type

import forkful
import forkful.pool
from forkful.context import Context
from forkful.queues import JoinableQueue, SimpleQueue


def queues(q: forkful.Queue[int], s: SimpleQueue[str], j: JoinableQueue[bytes]) -> None:
    q.put(1)
    q.put_nowait(2)
    assert_type(q.get(), int)
    assert_type(q.get(timeout=1.0), int)
    assert_type(q.qsize(), int)
    s.put("x")
    assert_type(s.get(), str)
    j.put(b"")
    assert_type(j.get(), bytes)
    j.task_done()
    assert_type(j.join(timeout=60), bool)


def locks(
    lock: forkful.Lock,
    rlock: forkful.RLock,
    semaphore: forkful.Semaphore,
    bounded: forkful.BoundedSemaphore,
    condition: forkful.Condition,
    event: forkful.Event,
    barrier: forkful.Barrier,
) -> None:
    with lock, rlock, semaphore, bounded:
        assert_type(lock.locked(), bool)
    with condition:
        assert_type(condition.wait(0), bool)
        assert_type(condition.wait_for(lambda: True), bool)
    assert_type(lock.acquire(block=True, timeout=1.0), bool)
    lock.release()
    assert_type(event.wait(0), bool)
    assert_type(event.is_set(), bool)
    assert_type(barrier.wait(), int)


def processes(p: forkful.Process) -> None:
    p.start()
    p.join()
    assert_type(p.exitcode, int | None)
    assert_type(p.exception(), BaseException | None)


def half(n: int) -> float:
    return n / 2


def pools(pool: forkful.Pool) -> None:
    assert_type(pool.apply(half, (1,)), float)
    assert_type(pool.apply_async(half, (1,)), forkful.pool.AsyncResult[float])
    assert_type(pool.apply_async(half, (1,)).get(60), float)
    assert_type(pool.map(half, [1, 2]), list[float])
    assert_type(pool.map_async(half, [1, 2]).get(), list[float])
    assert_type(pool.starmap(half, [(1,)]), list[float])
    for x in pool.imap(half, [1]):
        assert_type(x, float)
    assert_type(next(pool.imap_unordered(half, [1])), float)
    for outcome in pool.outcomes(half, [1]):
        assert_type(outcome, forkful.Outcome)
        assert_type(outcome.ok, bool)


def contexts() -> None:
    ctx = forkful.get_context("spawn")
    assert_type(ctx, Context)
    q: forkful.Queue[int] = ctx.Queue()
    assert_type(ctx.Lock(), forkful.Lock)
    assert_type(ctx.get_context("fork").Event(), forkful.Event)
    assert isinstance(q, forkful.Queue)
    value = forkful.Value("i", 3)
    with value.get_lock():
        value.value += 1
    assert value.value == 4
    reader, writer = forkful.Pipe(duplex=False)
    writer.send(1)
    assert_type(reader.poll(), bool)
    reader.close()
    writer.close()
    assert_type(forkful.cpu_count(), int)


def refused(q: forkful.Queue[int], s: SimpleQueue[str], pool: forkful.Pool) -> None:
    """Faults that a type checker finds; not run."""
    q.put("no")  # type: ignore[arg-type]
    text: str = q.get()  # type: ignore[assignment]
    s.put(text, block=False)  # type: ignore[call-arg]
    pool.map(half, ["no"])  # type: ignore[arg-type]
    forkful.Lock().acquire(wait=True)  # type: ignore[call-arg]
    forkful.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def main() -> None:
    queues(forkful.Queue(), forkful.SimpleQueue(), forkful.JoinableQueue())
    locks(
        forkful.Lock(),
        forkful.RLock(),
        forkful.Semaphore(2),
        forkful.BoundedSemaphore(),
        forkful.Condition(),
        forkful.Event(),
        forkful.Barrier(1),
    )
    processes(forkful.Process(target=half, args=(1,)))
    with forkful.Pool(1) as pool:
        pools(pool)
    contexts()
    print("done")


if __name__ == "__main__":
    main()
