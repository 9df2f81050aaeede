"""Objects to bytes and back: as ForkingPickler does, by value, or with a good error."""

from __future__ import annotations

import collections
import copyreg
import functools
import gc
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forkful
from forkful import wire
from forkful.wire import (
    LARGE,
    aside,
    collecting,
    dumps,
    dumps_oob,
    explain,
    loads,
    note_handle,
)

LOCK = threading.Lock()

Dump = Callable[[object], bytes]
BOTH = pytest.mark.parametrize(
    "dump", [dumps, lambda obj: dumps_oob(obj)[0]], ids=["dumps", "dumps_oob"]
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=300)
)
keys = st.recursive(scalars, lambda inner: st.tuples(inner, inner), max_leaves=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=5)
        | st.frozensets(keys, max_size=5)
    ),
    max_leaves=20,
)


@dataclass
class Point:
    x: object
    y: object = None

    def shift(self) -> object:
        return self.x


class Slotted:
    __slots__ = ("x", "y")


class Stated:
    def __init__(self, value: object) -> None:
        self.value = value

    def __getstate__(self) -> object:
        return {"made up": self.value}


class Raising:
    def __reduce__(self) -> str:
        raise RuntimeError("not today")


class Special:
    """Its reducer comes and goes with the tests."""


def function(x: int) -> int:
    return x + 1


# ---- the same as ForkingPickler --------------------------------------------------------------


@given(values)
@BOTH
def test_it_is_what_pickle_makes(dump: Dump, value: object) -> None:
    assert dump(value) == pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        Point(1, [2]),
        function,
        (function, (1, 2), {"a": Point(1)}),
        Point,
        Point(3).shift,
        list.append,
        functools.partial(function, 1),
        collections.OrderedDict(a=1),
        collections.deque([1, 2], maxlen=3),
        ValueError("x"),
        range(3),
        np.arange(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_unpickles_to_what_a_forking_pickler_sends(dump: Dump, value: Any) -> None:
    theirs, ours = pickle.loads(ForkingPickler.dumps(value)), loads(dump(value))
    assert type(ours) is type(theirs)
    assert repr(ours) == repr(theirs)


@pytest.fixture(params=["copyreg", "ForkingPickler"])
def register(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], None]]:
    """Register a reducer for Special, where people do it."""
    table: dict[Any, Any] = (
        copyreg.dispatch_table if request.param == "copyreg" else ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    )

    def register(reduce: Any) -> None:
        if request.param == "copyreg":
            copyreg.pickle(Special, reduce)
        else:
            ForkingPickler.register(Special, reduce)

    yield register
    table.pop(Special, None)


@BOTH
def test_reducers_are_honoured_whenever_they_are_registered(
    dump: Dump, register: Callable[[Any], None]
) -> None:
    assert type(loads(dump(Special()))) is Special
    register(lambda obj: (str, ("first",)))
    assert loads(dump(Special())) == "first"
    register(lambda obj: (str, ("second",)))
    assert loads(dump([Special()])) == ["second"]


@BOTH
def test_a_reducer_that_was_taken_back_is_forgotten(dump: Dump) -> None:
    copyreg.pickle(Special, lambda obj: (str, ("x",)))  # type: ignore[arg-type]
    dump(Special())
    del copyreg.dispatch_table[Special]
    assert type(loads(dump(Special()))) is Special


def test_a_forking_reducer_goes_before_one_of_copyreg() -> None:
    copyreg.pickle(Special, lambda obj: (str, ("copyreg",)))  # type: ignore[arg-type]
    ForkingPickler.register(Special, lambda obj: (str, ("forking",)))
    try:
        assert loads(dumps(Special())) == "forking"
    finally:
        del copyreg.dispatch_table[Special]
        del ForkingPickler._extra_reducers[Special]  # type: ignore[attr-defined]


# ---- picklers are used again -----------------------------------------------------------------


class Nested:
    def __reduce__(self) -> tuple[Any, ...]:
        return Nested.make, (dumps(["inner", [1]]),)

    @staticmethod
    def make(data: bytes) -> object:
        return loads(data)


@BOTH
def test_pickling_inside_of_pickling_works(dump: Dump) -> None:
    assert loads(dump([Nested(), Nested()])) == [["inner", [1]]] * 2


@BOTH
def test_a_failure_leaves_nothing_behind(dump: Dump) -> None:
    shared = ["shared"]
    for _ in range(3):
        with pytest.raises(TypeError):
            dump([shared, LOCK])
        assert dump([shared]) == pickle.dumps([shared], pickle.HIGHEST_PROTOCOL)


@BOTH
@pytest.mark.parametrize("size", [1, 20_000, 200_000])
def test_large_and_small_take_turns(dump: Dump, size: int) -> None:
    value = [b"x" * size, "y" * size, [1, 2]]
    for _ in range(3):
        assert loads(dump(value)) == value
        assert loads(dump(5)) == 5


@BOTH
def test_what_was_pickled_is_not_kept_alive(dump: Dump) -> None:
    point = Point(1)
    dump(point)
    gone = weakref.ref(point)
    del point
    assert gone() is None


def test_what_could_not_be_pickled_is_not_kept_alive() -> None:
    gc.disable()
    try:
        point = Point(LOCK)
        gone = weakref.ref(point)
        with pytest.raises(TypeError) as caught:
            dumps(point)
        del point, caught
        assert gone() is None
    finally:
        gc.enable()


def test_threads_do_not_meet_in_one_pickler() -> None:
    barrier = threading.Barrier(4, timeout=30)
    wrong: list[object] = []

    def work(number: int) -> None:
        value = {"number": number, "points": [Point(number, i) for i in range(20)]}
        barrier.wait()
        for _ in range(300):
            if loads(dumps(value)) != value:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert wrong == []


# ---- by value --------------------------------------------------------------------------------


def local_things() -> dict[str, Any]:
    base = 40

    class Local:
        def __init__(self) -> None:
            self.value = base + 2

    return {
        "lambda": lambda: base + 2,
        "closure": functools.partial(lambda x: x + base, 2),
        "local class": lambda: Local().value,
        "inside": lambda: loads(dumps([lambda: 42]))[0](),
    }


@BOTH
@pytest.mark.parametrize("name", local_things())
def test_what_pickle_refuses_travels_by_value(dump: Dump, name: str) -> None:
    assert loads(dump({"f": local_things()[name]}))["f"]() == 42


def test_it_arrives_in_a_process_that_knows_nothing_of_it() -> None:
    base = 40
    code = (
        "import sys; from forkful import wire; print(wire.loads(sys.stdin.buffer.read())['f'](2))"
    )
    src = Path(forkful.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(src)},
        input=dumps({"f": lambda x: x + base}),
        capture_output=True,
        check=True,
    )
    assert found.stdout.decode().strip() == "42"


def test_registered_reducers_count_by_value_too() -> None:
    ForkingPickler.register(Special, lambda obj: (str, ("registered",)))
    try:
        assert loads(dumps([lambda: 1, Special()]))[1] == "registered"
    finally:
        del ForkingPickler._extra_reducers[Special]  # type: ignore[attr-defined]


# ---- out of band -----------------------------------------------------------------------------


def test_large_buffers_are_left_out_and_small_ones_are_not() -> None:
    at, below = np.zeros(LARGE, np.uint8), np.zeros(LARGE - 1, np.uint8)
    data, buffers = dumps_oob({"at": at, "below": below})
    assert [buffer.raw().nbytes for buffer in buffers] == [LARGE]
    assert len(data) < LARGE + 1000
    received = loads(data, buffers)
    assert (received["at"] == at).all()
    assert (received["below"] == below).all()
    assert np.shares_memory(received["at"], at)  # views: the receiver decides what to copy


BIG = 96 * 1024
"""Bytes from which `bytes` are left out."""


def as_received(data: bytes, buffers: Iterable[pickle.PickleBuffer]) -> Any:
    """As in another process: from copies of what was left out."""
    return loads(data, [type(b.raw().obj)(b) for b in buffers])


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_large_bytes_that_are_all_there_is_are_left_out(
    kind: type[bytes] | type[bytearray],
) -> None:
    whole = kind(range(256)) * (BIG // 256)
    data, buffers = dumps_oob(whole)
    assert [bytes(buffer) for buffer in buffers] == [bytes(whole)]
    assert len(data) < 200
    found = as_received(data, buffers)
    assert type(found) is kind
    assert found == whole
    assert not dumps_oob(whole[:-1])[1]  # smaller


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: ("url", 200, body),
        lambda body: [None, body, 1.5, bytearray(3)],
        lambda body: {"url": "x", 1: body},
        lambda body: {body: 1, "b": body},
        lambda body: (body, body[:-1], body, "x"),
    ],
)
def test_so_are_those_beside_scalars(wrap: Callable[[bytes], Any]) -> None:
    obj = wrap(bytes(range(256)) * (BIG // 256))
    data, buffers = dumps_oob(obj)
    assert len(buffers) == 1
    assert len(data) < BIG + 1000
    found = as_received(data, buffers)
    assert type(found) is type(obj)
    assert repr(found) == repr(obj)


def test_what_stands_twice_is_one_thing_for_the_receiver() -> None:
    body, changeable = b"x" * BIG, bytearray(BIG)
    data, buffers = dumps_oob([body, changeable, changeable, body])
    assert len(buffers) == 1
    found = as_received(data, buffers)
    assert found[1] is found[2]
    assert found[0] is found[3]


class Key:
    """Hashable, and refers to something."""

    to: Any = None


def test_what_something_else_may_refer_to_is_pickled() -> None:
    """A container is itself wherever it stands, also in itself."""
    body = b"x" * BIG
    key = Key()
    held = {key: body}
    key.to = held
    for obj in ([body, [body]], [body, {"body": body}], (body, SimpleNamespace(body=body)), held):
        data, buffers = dumps_oob(obj)
        assert buffers == []
        assert len(data) > BIG
    knot: list[Any] = [body]
    knot.append(knot)
    found = loads(dumps_oob(knot)[0])
    assert found[1] is found
    (key,) = found = loads(dumps_oob(held)[0])
    assert key.to is found


def test_what_has_nothing_large_is_the_same_object() -> None:
    key = Key()
    for obj in ((1, "a"), [1, b"x"], {"a": 1}, {key: 1}, (1,) * 100, bytearray(3)):
        data, buffers = dumps_oob(obj)
        assert buffers == []
        assert data == pickle.dumps(obj, pickle.HIGHEST_PROTOCOL)
        assert aside([obj])[0] is obj


def test_a_container_that_another_thread_changes_can_be_sent() -> None:
    changed: dict[int, Any] = {0: object}  # which the plain pickler leaves to this one
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            for n in range(1, 50):
                changed[n] = n
            for n in range(1, 50):
                del changed[n]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(20_000):
            assert loads(*dumps_oob(changed))[0] is object
    finally:
        over.set()
        thread.join()


def test_members_of_subclasses_stay_what_they_are() -> None:
    class Body(bytes):
        pass

    for obj in (Body(BIG), (Body(BIG),)):
        assert dumps_oob(obj)[1] == []


def test_arguments_are_left_out_one_level_down() -> None:
    body = b"x" * BIG
    shared = [body]
    objs = [("url", body), body, shared, {"s": shared}, bytearray(BIG), 7]
    objs.append(objs[0])
    wrapped = aside(objs)
    assert wrapped[2] is shared  # and so it is in wrapped[3]
    assert wrapped[4] is objs[4]
    data, buffers = dumps_oob(wrapped)
    assert [bytes(b) for b in buffers] == [body]
    found = as_received(data, buffers)
    assert found == objs
    assert found[2] is found[3]["s"]
    assert found[0] is found[-1]


def test_objects_without_buffers_leave_nothing_out() -> None:
    data, buffers = dumps_oob(b"x" * 2 * LARGE)
    assert buffers == []
    assert loads(data) == b"x" * 2 * LARGE


@pytest.mark.parametrize("array", [np.zeros((400, 400)).T, np.zeros((400, 400))[::2, ::2]])
def test_odd_arrays_arrive_whole(array: np.ndarray[Any, Any]) -> None:
    data, buffers = dumps_oob([array])
    assert (loads(data, buffers)[0] == array).all()


def test_a_buffer_is_left_out_once_by_value_too() -> None:
    array = np.arange(LARGE)
    data, buffers = dumps_oob([array, lambda: 7])
    assert len(buffers) == 1
    received = loads(data, buffers)
    assert (received[0] == array).all()
    assert received[1]() == 7


def test_each_call_has_a_list_of_its_own() -> None:
    first = dumps_oob(np.zeros(LARGE, np.uint8))[1]
    assert dumps_oob(5)[1] == []
    assert len(first) == 1


# ---- the error -------------------------------------------------------------------------------


def slotted(**values: object) -> Slotted:
    made = Slotted()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def with_cell() -> Callable[[], object]:
    lock = LOCK
    return lambda: lock


def with_default(lock: object = LOCK) -> Callable[[], object]:
    return lambda held=lock: held


WHERE = [
    (LOCK, ""),
    ([1, {"conn": Point(LOCK)}], "[1]['conn'].x"),
    ((1, (2, [3, LOCK])), "[1][1][1]"),
    ({LOCK: 1}, f" key {str(LOCK)[:37]}..."),
    (slotted(x=1, y=LOCK), ".y"),
    (Stated(LOCK), ".__getstate__()['made up']"),
    (functools.partial(function, x=LOCK), ".keywords['x']"),
    (functools.partial(function, LOCK), ".args[0]"),
    (collections.deque([1, LOCK]), "[1]"),
    (collections.OrderedDict(a=LOCK), "['a']"),
    (collections.defaultdict(list, a=[LOCK]), "['a'][0]"),
    (ValueError("x", LOCK), ".args[1]"),
    (Point(LOCK).shift, ".__self__.x"),
    (with_cell(), ".__closure__['lock']"),
    (with_default(), ".__defaults__[0]"),
    ([lambda: 1, lambda: LOCK], "[1].__globals__['LOCK']"),
    (Point(with_cell()), ".x.__closure__['lock']"),
    ({"array": np.array([1, LOCK], dtype=object)}, "['array'].__getstate__()[4][1]"),
]


@BOTH
@pytest.mark.parametrize(("value", "place"), WHERE, ids=[place or "itself" for _, place in WHERE])
def test_an_error_names_the_place_of_the_culprit(dump: Dump, value: object, place: str) -> None:
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as caught:
        dump(value)
    text = "cannot pickle '_thread.lock' object"
    assert str(caught.value) == (f"{text}: at object{place}" if place else text)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert [entry.name for entry in caught.traceback][1:] in (["dumps"], ["<lambda>", "dumps_oob"])


def test_the_caller_names_the_whole() -> None:
    with pytest.raises(TypeError, match=r": at argument\[1\]\['conn'\]\.x$"):
        dumps([1, {"conn": Point(LOCK)}], "argument")


def test_the_type_of_the_error_is_that_of_pickle() -> None:
    with pytest.raises(TypeError):
        dumps([LOCK])
    first = pickle.PicklingError if sys.version_info >= (3, 14) else AttributeError
    with pytest.raises((first, pickle.PicklingError)):  # pickle stops at the lambda
        dumps([lambda: 0, LOCK])


@BOTH
def test_what_a_reduce_raises_comes_through_with_a_note(dump: Dump) -> None:
    with pytest.raises(RuntimeError, match="not today") as caught:
        dump([1, {"a": Raising()}])
    assert caught.value.__notes__ == ["while it was pickled, at object[1]['a']"]


def test_an_interrupt_comes_through_as_it_is() -> None:
    class Interrupting:
        def __reduce__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dumps(Interrupting())
    assert loads(dumps(5)) == 5


paths = st.lists(st.sampled_from(["list", "tuple", "dict", "point"]), min_size=1, max_size=8)


@given(paths, st.randoms(use_true_random=False))
def test_the_place_leads_to_the_culprit(path: list[str], random: Any) -> None:
    value: Any = LOCK
    for step in path:
        index = random.randrange(3)
        if step == "point":
            value = Point(index, value)
        else:
            several = [Point(i) for i in range(index)] + [value, "after"]
            value = {
                "list": several,
                "tuple": tuple(several),
                "dict": {f"k{i}": each for i, each in enumerate(several)},
            }[step]
    with pytest.raises(TypeError) as caught:
        dumps(value)
    place = str(caught.value).partition(": at ")[2]
    assert eval(place, {"object": value}) is LOCK


def test_an_explanation_of_a_circle_ends() -> None:
    circle: list[Any] = [1]
    circle += [circle, {"again": circle}, LOCK]
    assert explain(circle, TypeError()) == "object[3]"


def test_an_explanation_ends_in_a_very_large_object() -> None:
    many = [Point(i) for i in range(30_000)]
    assert explain([many, LOCK], TypeError()) == "object[1]"
    assert explain([*many, LOCK], TypeError()) == "object"  # it gives up, and says what it knows


def test_an_explanation_never_raises() -> None:
    class Evil:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __repr__(self) -> str:
            raise RuntimeError

        def __hash__(self) -> int:
            return 1

    place = explain({Evil(): [Evil()]}, TypeError())
    assert place is not None
    assert place.startswith("object key <Evil>")
    assert explain(5, RecursionError()) is None


def test_objects_nested_too_deep_are_refused_and_nothing_else_happens() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises((RecursionError, pickle.PicklingError)):
        dumps(deep)
    while deep:  # freed one by one
        deep = deep.pop()


def test_what_cannot_be_found_here_comes_with_advice() -> None:
    data = pickle.dumps(function).replace(b"function", b"functiom")
    with pytest.raises(AttributeError) as caught:
        loads(data)
    assert "at the top level of a module" in caught.value.__notes__[0]
    with pytest.raises(ModuleNotFoundError) as missing:
        loads(pickle.dumps(function).replace(b"test_wire", b"test_wine"))
    assert "at the top level of a module" in missing.value.__notes__[0]


def test_other_attribute_errors_are_left_alone() -> None:
    class Forgetful:
        pass

    with pytest.raises(AttributeError) as caught:
        loads(dumps(Point.shift)).__get__(Forgetful())()
    assert not hasattr(caught.value, "__notes__")


# ---- handles ---------------------------------------------------------------------------------


class Handle:
    noted: list[bool]

    def __init__(self) -> None:
        self.noted = []

    def __reduce__(self) -> tuple[Any, ...]:
        self.noted.append(note_handle(self))
        return str, ("handle",)


def test_a_handle_knows_whether_somebody_collects() -> None:
    handle = Handle()
    dumps(handle)
    with collecting() as held:
        dumps([handle, 1])
    dumps(handle)
    assert handle.noted == [False, True, False]
    assert held == [handle]


def test_collectors_nest_and_end_with_an_error_too() -> None:
    outer_handle, inner_handle = Handle(), Handle()
    with collecting() as outer:
        with pytest.raises(ZeroDivisionError), collecting() as inner:
            dumps(inner_handle)
            raise ZeroDivisionError
        dumps(outer_handle)
    assert (inner, outer) == ([inner_handle], [outer_handle])
    assert note_handle(outer_handle) is False


def test_a_collector_is_its_threads_own() -> None:
    seen: list[bool] = []
    with collecting() as held:
        thread = threading.Thread(target=lambda: seen.append(note_handle(1)))
        thread.start()
        thread.join(timeout=30)
    assert (seen, held) == ([False], [])


def test_a_handle_is_held_once_when_pickled_by_value() -> None:
    handle = Handle()
    with collecting() as held:
        dumps([handle, lambda: handle])
    assert held == [handle]


def test_the_search_for_a_culprit_holds_no_handles_of_its_own() -> None:
    handle = Handle()
    with collecting() as held, pytest.raises(TypeError):
        dumps([[handle], handle, LOCK])
    assert held == [handle]
    assert set(handle.noted) == {True}  # and tells the handle what dumps told it


def test_the_room_offers_what_it_should() -> None:
    assert set(wire.__all__) == {
        "LARGE",
        "advise",
        "aside",
        "collecting",
        "dumps",
        "dumps_oob",
        "dumps_parts",
        "explain",
        "loads",
        "note_handle",
    }
