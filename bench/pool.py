"""What does a pool cost for a task?

    python bench/pool.py [--quick] [--check] [--json FILE]

The task is the builtin `abs` on a small integer: it takes no time, and every peer pickles it as a
name, so the figures are the pools' own cost. Every pool has two workers, started and used before
the clock. The results are checked after the clock. In `pool.small_array`, `pool.large` and `pool.page` the task
returns what it was given, and whoever asked reads one number of each page of an array. In `pool.common` an array is
the same for all tasks, and each task reads one number of each of its pages.
"""

import concurrent.futures
import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

from peers import LOOKALIKES, context
from question import BEST_PEER, Bound, Entry, Question
from side_by_side import main

WORKERS = 2
ITEMS = 2**20 // 8
PAGE = 4096 // 8
BODY = 400_000  # bytes

Job = Callable[[range], list[int]]
"""What is timed: make a task of each number, return the results in order."""


def same(x: Any) -> Any:
    return x


Call = Callable[[Callable[[Any], Any], Any], Any]
"""Returns what a function of one argument returns in a worker."""


def there_and_back(call: Call) -> dict[str, Job]:
    """Jobs whose tasks return what they are given: many small numbers, some large ones, a fetched page."""

    def arrays(items: int, numbers: range) -> list[int]:
        import numpy

        array = numpy.zeros(items)
        results = []
        for number in numbers:
            array[::PAGE] = number
            got = call(same, array)
            results.append(int(got[::PAGE].mean()))
            del got
        return results

    def pages(numbers: range) -> list[int]:
        body = bytes(BODY)
        results = []
        for number in numbers:
            _, number, got = call(same, ("https://example.org/", number, body))
            results.append(number if len(got) == BODY else -1)
            del got
        return results

    return {
        "small_array": functools.partial(arrays, 100),
        "large": functools.partial(arrays, ITEMS),
        "page": pages,
    }


def on_page(array: Any, number: int) -> int:
    return int(array[::PAGE].sum()) * PAGE // ITEMS - 1 + number


def on_page_of(table: Any, number: int) -> int:
    return on_page(table.value, number)


def with_common(map_each: Callable[[Callable[[int], int], range], list[int]]) -> Job:
    """`map_each` returns what a function returns in workers for each of some numbers."""

    def all_numbers(numbers: range) -> list[int]:
        import numpy

        return map_each(functools.partial(on_page, numpy.ones(ITEMS)), numbers)

    return all_numbers


def broadcast() -> dict[str, Job]:
    from forkful.shared import Broadcast

    pool = context("forkful").Pool(WORKERS)

    def all_numbers(numbers: range) -> list[int]:
        import numpy

        table = Broadcast(numpy.ones(ITEMS))
        return pool.map(functools.partial(on_page_of, table), numbers, chunksize=1)

    return {"common": all_numbers}


def lookalike(name: str) -> dict[str, Job]:
    pool = context(name).Pool(WORKERS)

    def many(numbers: range) -> list[int]:
        return [each.get() for each in [pool.apply_async(abs, (n,)) for n in numbers]]

    return {
        "apply": lambda numbers: [pool.apply(abs, (n,)) for n in numbers],
        **there_and_back(lambda function, x: pool.apply(function, (x,))),
        "common": with_common(lambda function, xs: pool.map(function, xs, chunksize=1)),
        "map_each": lambda numbers: pool.map(abs, numbers, chunksize=1),
        "map_default": lambda numbers: pool.map(abs, numbers),
        "imap": lambda numbers: list(pool.imap(abs, iter(numbers), chunksize=1)),
        "many": many,
    }


def executor(pool: concurrent.futures.Executor) -> dict[str, Job]:
    def many(numbers: range) -> list[int]:
        return [each.result() for each in [pool.submit(abs, n) for n in numbers]]

    return {
        "apply": lambda numbers: [pool.submit(abs, n).result() for n in numbers],
        **there_and_back(lambda function, x: pool.submit(function, x).result()),
        "common": with_common(lambda function, xs: list(pool.map(function, xs, chunksize=1))),
        "map_each": lambda numbers: list(pool.map(abs, numbers, chunksize=1)),
        "map_default": lambda numbers: list(pool.map(abs, numbers)),
        "imap": lambda numbers: list(pool.map(abs, iter(numbers), chunksize=1)),
        "many": many,
    }


def standard_executor() -> dict[str, Job]:
    ctx = context("multiprocessing")
    return executor(concurrent.futures.ProcessPoolExecutor(WORKERS, mp_context=ctx))


def loky() -> dict[str, Job]:
    return executor(importlib.import_module("loky").ProcessPoolExecutor(WORKERS))


def joblib() -> dict[str, Job]:
    module = importlib.import_module("joblib")
    call = module.delayed(abs)

    def parallel(batch_size: int | str, return_as: str = "list") -> Any:
        # As a context the workers stay between calls.
        made = module.Parallel(n_jobs=WORKERS, batch_size=batch_size, return_as=return_as)
        return made.__enter__()

    each, chosen, streamed = parallel(1), parallel("auto"), parallel(1, "generator")
    return {
        "common": with_common(lambda f, xs: each(module.delayed(f)(x) for x in xs)),
        "map_each": lambda numbers: each(call(n) for n in numbers),
        "map_default": lambda numbers: chosen(call(n) for n in numbers),
        "imap": lambda numbers: list(streamed(call(n) for n in numbers)),
    }


def mpire() -> dict[str, Job]:
    module = importlib.import_module("mpire")
    pool = module.WorkerPool(n_jobs=WORKERS, start_method="fork", keep_alive=True)

    def many(numbers: range) -> list[int]:
        return [each.get() for each in [pool.apply_async(abs, n) for n in numbers]]

    return {
        "apply": lambda numbers: [pool.apply(abs, n) for n in numbers],
        **there_and_back(lambda function, x: pool.apply(function, (x,))),
        "common": with_common(lambda function, xs: pool.map(function, xs, chunk_size=1)),
        "map_each": lambda numbers: pool.map(abs, numbers, chunk_size=1),
        "map_default": lambda numbers: pool.map(abs, numbers),
        "imap": lambda numbers: list(pool.imap(abs, iter(numbers), chunk_size=1)),
        "many": many,
    }


def pebble() -> dict[str, Job]:
    module = importlib.import_module("pebble")
    pool = module.ProcessPool(max_workers=WORKERS, context=context("multiprocessing"))

    def many(numbers: range) -> list[int]:
        return [each.result() for each in [pool.schedule(abs, args=(n,)) for n in numbers]]

    return {
        "apply": lambda numbers: [pool.schedule(abs, args=(n,)).result() for n in numbers],
        **there_and_back(lambda function, x: pool.schedule(function, args=(x,)).result()),
        "common": with_common(lambda f, xs: list(pool.map(f, xs, chunksize=1).result())),
        "map_each": lambda numbers: list(pool.map(abs, numbers, chunksize=1).result()),
        "map_default": lambda numbers: list(pool.map(abs, numbers).result()),
        "imap": lambda numbers: list(pool.map(abs, iter(numbers), chunksize=1).result()),
        "many": many,
    }


def timed(jobs: Callable[[], dict[str, Job]], job: str, count: int) -> float:
    """Return seconds a task, for `count` tasks on a warm pool."""
    work = jobs()[job]
    work(range(max(100, count // 20)))
    begin = time.perf_counter()
    results = work(range(count))
    spent = time.perf_counter() - begin
    if results != list(range(count)):
        raise AssertionError("the results are not those of the tasks")
    return spent / count


POOLS: dict[str, Callable[[], dict[str, Job]]] = {
    **{name: functools.partial(lookalike, name) for name in LOOKALIKES},
    "concurrent.futures": standard_executor,
    "loky": loky,
    "joblib": joblib,
    "mpire": mpire,
    "pebble": pebble,
}
WITHOUT = {
    ("joblib", "apply"): "has no call for one task",
    **{
        ("joblib", job): "has no call for one task"
        for job in ("small_array", "large", "page", "many")
    },
}


SMALL = "abs() of small integers"


def question(
    job: str, title: str, fair: str, count: int, bounds: list[Bound], tasks: str = SMALL
) -> Question:
    def entry(name: str) -> Entry:
        if (name, job) in WITHOUT:
            return Entry(absent=WITHOUT[name, job])
        return Entry(functools.partial(timed, POOLS[name], job))

    others = {"forkful, Broadcast": broadcast} if job == "common" else {}

    return Question(
        name=f"pool.{job}",
        title=title,
        unit="us",
        per="task",
        fair=f"{tasks}, {WORKERS} workers, a warm pool. {fair}",
        entries={name: entry(name) for name in POOLS}
        | {
            name: Entry(functools.partial(timed, jobs, job), aside="other calls: forkful.shared")
            for name, jobs in others.items()
        },
        count=count,
        quick=count // 5,
        bounds=bounds,
    )


QUESTIONS = [
    question(
        "apply",
        "Pool.apply: one task, there and back",
        "One at a time; executors: submit(...).result().",
        3_000,
        [
            Bound("forkful", 4, "multiprocessing", must=True),
            Bound("forkful", 6, "multiprocessing"),
            Bound("forkful", 1, BEST_PEER),
        ],
    ),
    question(
        "map_each",
        "Pool.map, chunksize=1",
        "Every task travels alone: chunksize=1, chunk_size=1 or batch_size=1.",
        20_000,
        [
            Bound("forkful", 4, "multiprocessing", must=True),
            Bound("forkful", 6, "multiprocessing"),
            Bound("forkful", 1, BEST_PEER),
        ],
    ),
    question(
        "map_default",
        "Pool.map, the chunk size that each peer chooses",
        "Nothing is said about chunks; the executors' own choice is 1.",
        100_000,
        [Bound("forkful", 1, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
    ),
    question(
        "imap",
        "Pool.imap, chunksize=1: results as they come, in order",
        "Every task travels alone, the numbers come from an iterator. Executors: map; joblib: a generator.",
        20_000,
        [Bound("forkful", 4, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
    ),
    question(
        "many",
        "apply_async for every task, then get of every result",
        "All tasks are handed over before the first result is asked for.",
        10_000,
        [
            Bound("forkful", 6, "multiprocessing"),
            Bound("forkful", 1, BEST_PEER),
        ],
    ),
    question(
        "large",
        "Pool.apply with a NumPy array of 1 MiB, there and back",
        "One at a time; one number of each page of what comes back is read.",
        400,
        [Bound("forkful", 6, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
        tasks="A function that returns its argument",
    ),
    question(
        "small_array",
        "Pool.apply with a NumPy array of 100 numbers, there and back",
        "One at a time. Its answer takes a little longer than that of the builtin.",
        2_000,
        [Bound("forkful", 4, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
        tasks="A function that returns its argument",
    ),
    question(
        "page",
        "Pool.apply with (url, number, 400 kB of bytes), there and back",
        "One at a time: what a crawler's task takes or returns.",
        400,
        [Bound("forkful", 6, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
        tasks="A function that returns its argument",
    ),
    question(
        "common",
        "A NumPy array of 1 MiB that all tasks of a map have in common",
        "As functools.partial(function, array); every task travels alone.",
        400,
        [Bound("forkful", 6, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
        tasks="A function that reads one number of each page",
    ),
]

if __name__ == "__main__":
    main(QUESTIONS)
