"""Broadcast: written once, read by all where it lies, given back."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forkful import _native
from forkful.shared import Broadcast, Dict, broadcast
from tests.contract.children import LONG, kill, running, until, used
from tests.programs import deeds

SIZE = 150_000


class Counted:
    """Leaves a byte in a file each time it is made from a pickle."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)
        with open(self.path, "ab") as f:
            f.write(b".")


def item(table: Broadcast[Any], x: int) -> int:
    return int(table.value[x])


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def tell(table: Broadcast[Any], answers: Any) -> None:
    value = table.value
    answers.put((address(value), value.flags.writeable, int(value.sum())))


def forget_latest() -> None:
    broadcast._latest.clear()


def hold(table: Broadcast[Any], there: Any) -> None:
    assert table.value is not None
    there.set()
    while True:
        there.wait()


def test_all_processes_read_the_same_memory(fork: Any) -> None:
    array = np.arange(SIZE)
    table, answers = Broadcast(array), fork.Queue()
    with running(fork, tell, table, answers):
        where, writable, total = answers.get(timeout=LONG)
    assert where == address(table.value)
    assert not writable
    assert total == array.sum()
    assert not np.shares_memory(table.value, array)
    array[:] = 0
    assert table.value[7] == 7
    with pytest.raises(ValueError, match="read-only"):
        table.value[7] = 0


def test_it_travels_by_each_start_method_by_queues_and_with_tasks(ctx: Any) -> None:
    table, answers = Broadcast(np.arange(SIZE)), ctx.Queue()
    with running(ctx, tell, table, answers):
        assert answers.get(timeout=LONG)[1:] == (False, SIZE * (SIZE - 1) // 2)
    answers.put({"table": table})
    assert item(answers.get()["table"], 5) == 5
    with ctx.Pool(2) as pool:
        assert pool.map(functools.partial(item, table), range(10)) == list(range(10))
        assert pool.starmap(item, [(table, 3), (table, 4)]) == [3, 4]
        pool.close()
        pool.join()


@pytest.mark.parametrize("value", [7, "text", b"b" * SIZE, {"a": [1]}, list(range(SIZE)), None])
def test_any_object_will_do(pool: Any, value: Any) -> None:
    sent = Broadcast(value)
    assert sent.value == value
    assert pool.apply(deeds.value_of, (sent,)) == value


def test_a_process_makes_its_value_once(fork: Any, tmp_path: Path) -> None:
    counted = Broadcast(Counted(str(tmp_path / "made")))
    with fork.Pool(1) as pool:
        pool.map(functools.partial(deeds.look_at_value, counted), range(10), chunksize=1)
        pool.starmap(deeds.look_at_value, [(counted, x) for x in range(10)], chunksize=1)
        pool.close()
        pool.join()
    assert (tmp_path / "made").read_bytes() == b"."
    assert counted.value is counted.value
    assert (tmp_path / "made").read_bytes() == b".."


def test_the_memory_goes_with_the_last_that_uses_it(fork: Any) -> None:
    before = used()
    table = Broadcast(np.arange(SIZE))
    assert used() > before
    value = table.value
    del table
    assert used() > before
    assert value[-1] == SIZE - 1
    part = value[5:]
    del value
    assert part[0] == 5
    del part
    assert used() == before
    copies = [
        pickle.dumps(Broadcast(np.arange(SIZE))) for _ in range(3)
    ]  # alive by their pickles alone
    assert [item(pickle.loads(c), 3) for c in copies] == [3, 3, 3]


def test_a_process_keeps_the_values_of_the_last_few(fork: Any) -> None:
    with fork.Pool(1) as pool:
        pool.map(deeds.echo, range(4), chunksize=1)
        before = used()
        for _ in range(50):
            assert pool.apply(item, (Broadcast(np.arange(SIZE)), 3)) == 3
        until(lambda: used() < before + 9 * 2**21)
        assert used() >= before + 8 * SIZE * 8
        pool.terminate()
        pool.join()
    until(lambda: used() < before + 2**20)


def test_its_queue_lives_as_long_as_it_does(fork: Any, pool: Any) -> None:
    table = Broadcast((np.arange(SIZE), fork.SimpleQueue()))
    pool.map(functools.partial(deeds.put_into_value, table), range(4), chunksize=1)
    assert sorted(table.value[1].get() for _ in range(4)) == [0, 1, 2, 3]


def test_what_a_killed_process_used_is_given_back(fork: Any) -> None:
    before = used()
    table, there = Broadcast(np.arange(SIZE)), fork.Event()
    child = fork.Process(target=hold, args=(table, there))
    child.start()
    assert there.wait(LONG)
    del table
    assert used() > before
    kill(child)
    child.close()
    del there, child
    until(lambda: used() == before)


def test_all_handles_in_a_process_have_the_same_value(fork: Any) -> None:
    table, queue = Broadcast([1, 2]), fork.Queue()
    queue.put(table)
    value = table.value
    assert copy.copy(table).value is queue.get().value is pickle.loads(pickle.dumps(table)).value
    assert copy.copy(table).value is value
    other = copy.deepcopy(table)
    assert other.value is value
    del table
    assert copy.copy(other).value is value


class MadeByTwo:
    """Is made by two threads at once, or by none."""

    barrier = threading.Barrier(2)

    def __reduce__(self) -> Any:
        return MadeByTwo.make, ()

    @staticmethod
    def make() -> MadeByTwo:
        MadeByTwo.barrier.wait(LONG)
        return MadeByTwo()


def test_threads_that_make_it_at_once_have_the_same() -> None:
    table, values = Broadcast(MadeByTwo()), []
    threads = [threading.Thread(target=lambda: values.append(table.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert values[0] is values[1] is table.value


def test_a_pickle_keeps_it_alive_whoever_else_it_was_sent_to(fork: Any) -> None:
    table, queue = Broadcast(np.arange(SIZE)), fork.Queue()
    stored = pickle.dumps(table)
    queue.put(table)
    assert item(queue.get(), 5) == 5
    del table
    forget_latest()
    assert item(pickle.loads(stored), 6) == 6


class Carrier:
    """Makes a broadcast when it is pickled, with an object that nobody else has."""

    table: Any

    def __getstate__(self) -> Any:
        return {"table": Broadcast({"inside": Dict(x=1)})}


def pass_back(carrier: Carrier, queue: Any) -> None:
    queue.put(carrier.table)


def test_what_is_made_as_a_process_is_started_owns_what_is_in_it(ctx: Any) -> None:
    queue, carrier = ctx.Queue(), Carrier()
    carrier.table = Broadcast({"inside": Dict(x=1)})
    with running(ctx, pass_back, carrier, queue):
        pass
    del carrier
    assert queue.get(timeout=LONG).value["inside"]["x"] == 1


def test_children_that_have_ended_hold_nothing(ctx: Any) -> None:
    table = Broadcast(np.arange(SIZE))
    answers = ctx.Queue()
    for _ in range(2):
        with running(ctx, tell, table, answers):
            answers.get(timeout=LONG)
    before = _native.statistics()["used"]  # as it is: `used` would give back what the dead have
    with running(ctx, tell, table, answers):
        answers.get(timeout=LONG)
    del table
    forget_latest()
    gc.collect()
    assert _native.statistics()["used"] < before - SIZE * 8


def test_it_may_be_subscripted_and_subclassed() -> None:
    class Local:
        pass

    class Forwarding(Broadcast[Any]):
        def __getattr__(self, name: str) -> Any:
            return getattr(self.value, name)

    table = Broadcast[Local]([1])  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(table)).value == [1]
    assert Forwarding([1, 2]).index(2) == 1


def test_a_chain_is_freed_however_long_it_is() -> None:
    before = used()
    table: Any = None
    for _ in range(20_000):
        table = Broadcast(table)
    assert used() > before
    del table
    assert used() < before + 2**18


def test_what_cannot_be_pickled_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"generator.*object\[1\]"):
        Broadcast([1, (x for x in ())])


def test_what_cannot_be_made_raises_where_it_is_wanted(pool: Any) -> None:
    broken = Broadcast(deeds.Unrebuildable())
    for _ in range(2):
        with pytest.raises(ValueError, match="does not unpickle"):
            _ = broken.value
    with pytest.raises(ValueError, match="does not unpickle"):
        pool.apply(deeds.value_of, (broken,))


def test_of_another_family_it_is_refused() -> None:
    program = (
        "import sys, pickle\nimport forkful.shared\n"
        "try: pickle.loads(sys.stdin.buffer.read())\n"
        "except forkful.ForkfulError as e: print(e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(Broadcast([1])),
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"this Broadcast belongs to another family"), done
