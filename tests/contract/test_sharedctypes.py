"""Value, Array and their raw kinds: what they hold, how they travel, and whom their locks outlive."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue as StdlibRawValue
from multiprocessing.sharedctypes import SynchronizedBase
from typing import Any

import pytest

import forkful
from forkful import sharedctypes
from forkful.sharedctypes.memory import Memory
from tests.contract.children import LONG, kill, running, several, used


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_double))


Matrix = (ctypes.c_short * 3) * 2


def matrix(ctx: Any) -> Any:
    value = ctx.RawValue(Matrix)
    value[1][2] = 1
    return value


# How to make one, what to do to it, and how to read it.
KINDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], None], Callable[[Any], Any]]] = {
    "RawValue": (lambda c: c.RawValue("i", 1), lambda v: setattr(v, "value", 7), lambda v: v.value),
    "Value": (lambda c: c.Value("d", 1), lambda v: setattr(v, "value", 7), lambda v: v.value),
    "unlocked Value": (
        lambda c: c.Value(ctypes.c_longlong, 1, lock=False),
        lambda v: setattr(v, "value", 7),
        lambda v: v.value,
    ),
    "RawArray": (lambda c: c.RawArray("h", [1, 2]), lambda a: a.__setitem__(1, 7), list),
    "Array": (lambda c: c.Array("i", [1, 2]), lambda a: a.__setitem__(1, 7), lambda a: a[:]),
    "characters": (
        lambda c: c.Array("c", b"text"),
        lambda a: setattr(a, "value", b"TEXT"),
        lambda a: (a.value, a.raw),
    ),
    "structure": (
        lambda c: c.Value(Point, 1, 2.5),
        lambda p: setattr(p, "x", 7),
        lambda p: (p.x, p.y),
    ),
    "structures": (
        lambda c: c.Array(Point, [(1, 2.0), (3, 4.0)]),
        lambda a: setattr(a[1], "x", 7),
        lambda a: [(p.x, p.y) for p in a],
    ),
    "matrix": (matrix, lambda m: m[1].__setitem__(2, 7), lambda m: [list(row) for row in m]),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def change(kind: str, thing: Any) -> None:
    KINDS[kind][1](thing)


def read(kind: str, thing: Any) -> Any:
    return KINDS[kind][2](thing)


def check_changed(kind: str, before: Any, thing: Any) -> None:
    assert read(kind, thing) != before
    assert "7" in repr(read(kind, thing)) or "TEXT" in repr(read(kind, thing))


# ---- ways to travel ----------------------------------------------------------------------------


def test_as_an_argument_of_a_process(ctx: Any, kind: str) -> None:
    thing = KINDS[kind][0](ctx)
    before = read(kind, thing)
    with running(ctx, change, kind, thing):
        pass
    check_changed(kind, before, thing)


def change_received(kind: str, q: Any) -> None:
    change(kind, q.get())


def test_through_a_queue(ctx: Any, kind: str) -> None:
    thing, q = KINDS[kind][0](ctx), ctx.Queue()
    before = read(kind, thing)
    with running(ctx, change_received, kind, q):
        q.put(thing)
    check_changed(kind, before, thing)


def test_as_an_argument_of_a_task(fork: Any, kind: str) -> None:
    thing = KINDS[kind][0](fork)
    before = read(kind, thing)
    with fork.Pool(1) as pool:
        pool.apply(change, (kind, thing))
    check_changed(kind, before, thing)


def test_it_arrives_as_what_it_was(fork: Any, kind: str) -> None:
    thing, q = KINDS[kind][0](fork), fork.Queue()
    q.put([thing, thing])
    got, same = q.get()
    assert got is same
    assert type(got) is type(thing)
    assert read(kind, got) == read(kind, thing)
    change(kind, thing)
    assert read(kind, got) == read(kind, thing)


def test_a_part_of_a_shared_object_travels_as_a_copy(fork: Any) -> None:
    points, q = fork.RawArray(Point, [(1, 2.0)]), fork.Queue()
    fork.RawValue(Point)
    q.put(points[0])
    points[0].x = 9
    assert q.get().x == 1


def test_a_plain_object_of_a_type_that_is_shared_elsewhere_travels_as_a_copy(fork: Any) -> None:
    fork.RawValue("i")
    assert pickle.loads(forkful.reduction.ForkingPickler.dumps(ctypes.c_int(5))).value == 5


def test_the_standard_librarys_objects_of_the_same_type_still_travel(ctx: Any) -> None:
    theirs, ours = StdlibRawValue("i", 1), ctx.RawValue("i", 2)
    with several(ctx, (change, "RawValue", theirs), (change, "RawValue", ours)):
        pass
    assert (theirs.value, ours.value) == (7, 7)


# ---- what it is --------------------------------------------------------------------------------


def test_the_parameters_are_the_standard_librarys(module: Any) -> None:
    lock = module.Lock()
    assert module.Value("i", lock=lock).get_lock() is lock
    assert module.Array("i", 3, lock=lock)[:] == [0, 0, 0]
    assert not isinstance(module.Value("i", lock=False), SynchronizedBase)
    assert module.RawArray("d", (1, 2))[:] == [1.0, 2.0]
    assert len(module.Array("i", 0)) == 0
    assert module.Value(ctypes.c_double, 2.5).value == 2.5
    assert module.Array("u", "hi").get_obj().value == "hi"
    assert repr(module.Value("i", 3)) == "<Synchronized wrapper for c_int(3)>"
    with pytest.raises(AttributeError, match="has no method 'acquire'"):
        module.Value("i", lock=3)
    with pytest.raises(TypeError):
        module.Array("i", 3, lock)  # keyword-only


def test_the_same_classes_as_the_standard_librarys_for_isinstance(fork: Any) -> None:
    value, array = fork.Value("i"), fork.Array("c", 2)
    assert isinstance(value, sharedctypes.Synchronized)
    assert isinstance(value, SynchronizedBase)
    assert isinstance(array, sharedctypes.SynchronizedString)
    assert type(value.get_lock()) is forkful.synchronize.RLock


def test_synchronized_and_copy(fork: Any) -> None:
    raw = sharedctypes.RawValue(Point, 3, 4.5)
    copied = sharedctypes.copy(raw)
    raw.x = 9
    assert (copied.x, copied.y) == (3, 4.5)
    guarded = sharedctypes.synchronized(copied, fork.Lock())
    guarded.x += 1
    assert guarded.get_obj() is copied
    assert copied.x == 4
    with pytest.raises(AssertionError, match="already synchronized"):
        sharedctypes.synchronized(guarded)


def test_an_array_lends_its_memory_to_others(fork: Any) -> None:
    array = fork.RawArray("i", [1, 2, 3])
    view = memoryview(array).cast("B").cast("i")
    view[1] = 20
    assert array[:] == [1, 20, 3]


def count(value: Any, n: int) -> None:
    for _ in range(n):
        with value:
            value.value += 1


def test_a_locked_counter_counts_right(ctx: Any) -> None:
    value = ctx.Value("i", 0)
    with several(ctx, *[(count, value, 500)] * 3):
        pass
    assert value.value == 1500


# ---- value, which is read and set under the lock -------------------------------------------------


def test_values_of_different_types_keep_to_their_own(fork: Any) -> None:
    values = [fork.Value("i", 1), fork.Value("d", 1.5), fork.Value(ctypes.c_char, b"a")]
    for _ in range(3):
        assert [value.value for value in values] == [1, 1.5, b"a"]
    for value, new in zip(values, [2, 2.5, b"b"], strict=True):
        for _ in range(3):
            value.value = new
    assert [value.value for value in values] == [2, 2.5, b"b"]


def test_a_class_may_get_another_value_later(fork: Any) -> None:
    class Celsius(ctypes.c_double):
        pass

    number = Celsius(20.0)
    shared = sharedctypes.Synchronized(number, fork.RLock())
    for _ in range(3):
        shared.value += 1
    kept = shared.value
    Celsius.value = property(lambda self: "warm")
    assert number.value == "warm"  # by which the class is looked up and remembered
    assert (kept, shared.value) == (23.0, "warm")
    with pytest.raises(AttributeError):
        shared.value = 5
    del Celsius.value
    assert number.value == 23
    shared.value = 5
    assert shared.value == number.value == 5


def test_objects_of_any_class_may_be_guarded(fork: Any) -> None:
    class Plain:
        value = 1

    class Callable:
        def value(self) -> None: ...

    class Slot:
        __slots__ = ("value",)

    class Read(Slot):
        def __getattribute__(self, name: str) -> Any:
            return -object.__getattribute__(self, name)

    class Written(Slot):
        def __setattr__(self, name: str, value: int) -> None:
            object.__setattr__(self, name, -value)

    kinds: list[type[Any]] = [Plain, Callable, Slot, Read, Written, ctypes.c_int]
    twins = [(kind(), sharedctypes.Synchronized(kind(), fork.Lock())) for kind in kinds]
    for _, shared in twins[:2]:
        assert shared.value == shared.get_obj().value  # the class's
    for twin, shared in twins:
        for number in range(1, 4):
            twin.value = shared.value = number
            assert shared.value == shared.get_obj().value == twin.value


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_what_cannot_be_set_leaves_the_lock_as_it_was(fork: Any, held: bool) -> None:
    value = fork.Value("i", 3)
    lock = value.get_lock()
    if held:
        lock.acquire()
    for _ in range(3):
        assert value.value == 3
        with pytest.raises(TypeError):
            value.value = "three"
        assert lock._depth() == held


def test_who_frees_the_lock_in_the_midst_of_an_access_is_told(fork: Any) -> None:
    value = fork.Value("i", 3)

    class Thief:
        def __index__(self) -> int:
            value.get_lock().release()
            return 4

    for _ in range(2):
        with pytest.raises(AssertionError, match="not owned"):
            value.value = Thief()


def test_value_is_refused_to_what_guards_nothing(fork: Any) -> None:
    value = fork.Value("i", 3)
    value.value += 1
    attribute = sharedctypes.Synchronized.__dict__["value"]
    assert attribute.__get__(value) == 4
    for other in (4, ctypes.c_int(4), sharedctypes.Synchronized.__new__(type(value))):
        with pytest.raises(TypeError, match="no guarded object"):
            attribute.__get__(other)
        with pytest.raises(TypeError, match="no guarded object"):
            attribute.__set__(other, 5)


# ---- its life ----------------------------------------------------------------------------------


def test_the_memory_has_no_name_in_the_file_system(fork: Any) -> None:
    def mapped() -> set[str]:
        with open("/proc/self/maps") as maps:
            return {line.split(maxsplit=5)[5] for line in maps if line.count("/")}

    fork.Lock()
    before = mapped()
    array = fork.Array("d", 10_000_000)
    assert mapped() == before
    assert len(array) == 10_000_000


def test_memory_that_was_not_made_is_refused(fork: Any) -> None:
    with pytest.raises(ValueError, match="not been initialised"):
        memoryview(Memory.__new__(Memory))
    with pytest.raises(ValueError, match="negative"):
        Memory(-1)
    with pytest.raises((MemoryError, OverflowError)):
        Memory(2**62)


def test_dropping_it_frees_the_memory(fork: Any, kind: str) -> None:
    def fifty() -> list[Any]:
        return [KINDS[kind][0](fork) for _ in range(50)]

    fifty()  # the process's table of holds may grow, and stays so
    gc.collect()  # what other tests have left is freed now and not meanwhile
    before = used()
    things = fifty()
    assert used() > before
    del things
    assert used() == before


def test_a_view_keeps_the_memory(fork: Any) -> None:
    fork.RawArray(Point, 1)
    gc.collect()
    before = used()
    points = fork.RawArray(Point, [(1, 2.0)] * 1000)
    first = points[0]
    del points
    assert used() > before
    assert (first.x, first.y) == (1, 2.0)
    del first
    assert used() == before


def make_and_send(q: Any, method: str) -> None:
    ctx = forkful.get_context(method)
    q.put((ctx.Value("i", 5), ctx.RawArray("d", [1.5] * 1000)))
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_outlives_the_process_that_made_it(ctx: Any) -> None:
    q = ctx.Queue()
    child = ctx.Process(target=make_and_send, args=(q, ctx.get_start_method()))
    child.start()
    value, array = q.get(timeout=LONG)
    child.join(LONG)
    assert child.exitcode == -signal.SIGKILL
    child.close()
    value.value += 1
    assert value.value == 6
    assert sum(array) == 1500


def hold(value: Any, held: Any) -> None:
    with value.get_lock():
        value.value = 41
        held.set()
        signal.pause()


def test_the_lock_of_a_killed_process_is_told_and_can_be_recovered(ctx: Any) -> None:
    value, held = ctx.Value("i", 0), ctx.Event()
    with running(ctx, hold, value, held) as child:
        assert held.wait(LONG)
        kill(child)
    with pytest.raises(forkful.LockOwnerDied, match=str(child_pid(value))):
        with value:
            pass
    with pytest.raises(forkful.LockOwnerDied):
        value.value += 1
    assert value.get_obj().value == 41
    assert value.get_lock().recover()
    value.release()
    value.value += 1
    assert value.value == 42


def child_pid(value: Any) -> int:
    return int(value.get_lock().statistics().owner_pid)


def test_memory_returns_after_its_holder_was_killed(ctx: Any) -> None:
    warm_up, ready = ctx.Queue(), ctx.Event()
    with running(ctx, warm_up.put, 1):
        pass
    warm_up.get()
    before = used()
    array = ctx.RawArray("d", 100_000)
    with running(ctx, change_and_pause, array, ready) as child:
        assert ready.wait(LONG)
        del array
        assert used() > before
        kill(child)
    assert used() == before


def change_and_pause(array: Any, ready: Any) -> None:
    array[99_999] = 1.0
    ready.set()
    signal.pause()
