"""What does shared state cost: a set and a get of one key, of a manager's value, and a contended increment?

    python bench/shared.py [--quick] [--check] [--json FILE]

Each holds its state where other processes can use it: in shared memory, in a server process, or in a
database in memory (files in /dev/shm, nothing is ever written to a disk). The value is an int, pickled where
the store wants bytes.
"""

import functools
import importlib
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

from crew import Span, run_crew
from peers import context
from question import BEST_PEER, Bound, Entry, Question
from side_by_side import main

WARM_UP = 200
MAP_SIZE = 64 << 20
ITEMS = 100


@contextmanager
def managers_dict(name: str) -> Iterator[Any]:
    with context(name).Manager() as manager:
        yield manager.dict()


@contextmanager
def forkfuls_own() -> Iterator[Any]:
    yield importlib.import_module("forkful.shared").Dict()


@contextmanager
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield path


class Lmdb:
    """A dict in LMDB, as little as these questions need; each call is a transaction."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.open()

    def open(self) -> None:
        lmdb = importlib.import_module("lmdb")
        self._env = lmdb.open(self._path, MAP_SIZE, sync=False, writemap=True)

    def close(self) -> None:
        self._env.close()

    def __setitem__(self, key: str, value: Any) -> None:
        with self._env.begin(write=True) as txn:
            txn.put(key.encode(), pickle.dumps(value))

    def __getitem__(self, key: str) -> Any:
        with self._env.begin() as txn:
            return pickle.loads(txn.get(key.encode()))

    def increment(self, key: str) -> None:
        with self._env.begin(write=True) as txn:
            txn.put(key.encode(), pickle.dumps(pickle.loads(txn.get(key.encode())) + 1))


class Sqlite:
    """A dict in SQLite with a write-ahead log, as little as these questions need."""

    GET = "select value from pairs where key = ?"
    SET = "insert or replace into pairs values (?, ?)"

    def __init__(self, path: str) -> None:
        self._path = os.path.join(path, "pairs")
        self.open()
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("create table pairs (key text primary key, value blob) without rowid")

    def open(self) -> None:
        sqlite3 = importlib.import_module("sqlite3")
        self._db = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        self._db.execute("pragma synchronous = off")

    def close(self) -> None:
        self._db.close()

    def __setitem__(self, key: str, value: Any) -> None:
        self._db.execute(self.SET, (key, pickle.dumps(value)))

    def __getitem__(self, key: str) -> Any:
        return pickle.loads(self._db.execute(self.GET, (key,)).fetchone()[0])

    def increment(self, key: str) -> None:
        self._db.execute("begin immediate")
        self[key] = self[key] + 1
        self._db.execute("commit")


@contextmanager
def database(kind: type[Lmdb | Sqlite]) -> Iterator[Any]:
    with folder() as path:
        yield kind(path)


def set_and_get(opened: Callable[[], Any], count: int) -> float:
    """Return seconds for setting one key and getting it back."""
    with opened() as shared:
        for number in (WARM_UP, count):
            begin = time.perf_counter()
            for value in range(number):
                shared["key"] = value
                got = shared["key"]
            spent = time.perf_counter() - begin
        if got != count - 1:
            raise AssertionError(f"set {count - 1}, got {got}")
    return spent / count


def append_and_read(name: str, count: int) -> float:
    """Return seconds for appending to a list and reading the value back by its index."""
    with context(name).Manager() as manager:
        shared = manager.list()
        for number in (WARM_UP, count):
            begin = time.perf_counter()
            for value in range(number):
                shared.append(value)
                got = shared[-1]
            spent = time.perf_counter() - begin
        if got != count - 1 or len(shared) != WARM_UP + count:
            raise AssertionError(f"{len(shared)} values, the last is {got}")
    return spent / count


def set_and_get_value(name: str, count: int) -> float:
    """Return seconds for setting a manager's value and getting it back."""
    with context(name).Manager() as manager:
        shared = manager.Value("i", 0)
        for number in (WARM_UP, count):
            begin = time.perf_counter()
            for value in range(number):
                shared.value = value
                got = shared.value
            spent = time.perf_counter() - begin
        if got != count - 1:
            raise AssertionError(f"set {count - 1}, got {got}")
    return spent / count


def set_and_get_item(name: str, count: int) -> float:
    """Return seconds for setting an item of a manager's array and getting it back."""
    with context(name).Manager() as manager:
        shared = manager.Array("i", [0] * ITEMS)
        for number in (WARM_UP, count):
            begin = time.perf_counter()
            for value in range(number):
                shared[7] = value
                got = shared[7]
            spent = time.perf_counter() - begin
        if got != count - 1 or len(shared) != ITEMS:
            raise AssertionError(f"set {count - 1}, got {got}")
    return spent / count


def locked(shared: Any, lock: Any, key: str) -> None:
    with lock:
        shared[key] += 1


def incremented(opened: Callable[[], Any], count: int) -> float:
    """Return seconds for one increment while two processes make `count` between them."""
    name = "multiprocessing" if opened is SERVED else "forkful"
    ctx = context(name)
    share = count // 2
    with opened() as shared:
        shared["key"] = 0
        lock = ctx.Lock()
        is_database = isinstance(shared, (Lmdb, Sqlite))
        if is_database:  # neither may be open across a fork
            shared.close()

        def change() -> Span:
            if is_database:
                shared.open()
            if hasattr(shared, "apply"):
                one = functools.partial(shared.apply, "key", lambda value: value + 1)
            elif is_database:
                one = functools.partial(shared.increment, "key")
            else:
                one = functools.partial(locked, shared, lock, "key")
            begin = time.perf_counter()
            for _ in repeat(None, share):
                one()
            return begin, time.perf_counter()

        spans = run_crew(ctx.Process, [change] * 2)
        if is_database:
            shared.open()
        if shared["key"] != 2 * share:
            raise AssertionError(f"{shared['key']} after {2 * share} increments")
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / (2 * share)


SERVED = functools.partial(managers_dict, "multiprocessing")
STORES: dict[str, Callable[[], Any]] = {
    "forkful": functools.partial(managers_dict, "forkful"),
    "forkful.shared": forkfuls_own,
    "multiprocessing": SERVED,
    "multiprocess": functools.partial(managers_dict, "multiprocess"),
    "LMDB": functools.partial(database, Lmdb),
    "SQLite": functools.partial(database, Sqlite),
}
FEWER = {"multiprocessing": 3_000, "multiprocess": 3_000, "SQLite": 10_000}


def of_managers(name: str, title: str, fair: str, measure: Callable[[str, int], float]) -> Question:
    return Question(
        name=f"shared.{name}",
        title=title,
        unit="us",
        per="pair",
        fair=fair,
        entries={
            each: Entry(functools.partial(measure, each), count=FEWER.get(each))
            for each in ("forkful", "multiprocessing", "multiprocess")
        },
        count=50_000,
        quick=10_000,
        bounds=[Bound("forkful", 10, "multiprocessing")],
    )


QUESTIONS = [
    Question(
        name="shared.dict",
        title="A shared dict, set a key and get it",
        unit="us",
        per="pair",
        fair="One process; a short string as the key, an int as the value, pickled; the loop is part of it.",
        entries={
            name: Entry(functools.partial(set_and_get, opened), count=FEWER.get(name))
            for name, opened in STORES.items()
        },
        count=100_000,
        quick=20_000,
        bounds=[
            Bound("forkful", 10, "multiprocessing"),
            Bound("forkful.shared", 10, "multiprocessing"),
            Bound("forkful", 1, BEST_PEER),
        ],
    ),
    of_managers(
        "list",
        "A manager's list, append and read by index",
        "One process; ints; the loop is part of it.",
        append_and_read,
    ),
    of_managers(
        "value",
        "A manager's Value, a set and a get",
        "One process; an int, by the property `value`; the loop is part of it.",
        set_and_get_value,
    ),
    of_managers(
        "array",
        "A manager's Array, set an item and get it",
        f"One process; one of {ITEMS} items of type 'i'; the loop is part of it.",
        set_and_get_item,
    ),
    Question(
        name="shared.increment",
        title="A shared dict, 2 processes increment one key",
        unit="us",
        per="increment",
        fair="None may get lost: apply() here, a write transaction in the databases, a lock round two calls of "
        "a manager's dict.",
        entries={
            name: Entry(functools.partial(incremented, STORES[name]), count=FEWER.get(name))
            for name in ("forkful", "multiprocessing", "LMDB", "SQLite")
        },
        count=50_000,
        quick=10_000,
        bounds=[Bound("forkful", 10, "multiprocessing")],
    ),
]

if __name__ == "__main__":
    main(QUESTIONS)
