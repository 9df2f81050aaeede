"""Shared dicts, lists and namespaces: the builtin ones' meaning, in many processes at once."""

from __future__ import annotations

import collections
import copy
import enum
import functools
import gc
import math
import os
import pickle
import random
import uuid
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import forkful
from forkful.shared import Array, Dict, List, Namespace, Value
from tests.contract.children import LONG, kill, running, several, used

# ---- a dict is a dict ------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    SEVEN = 7


class Text(str):
    pass


class One:
    """Equal to 1, and no number."""

    def __int__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return other == 1

    def __hash__(self) -> int:
        return hash(1)


class Seven(One):
    def __int__(self) -> int:
        raise KeyboardInterrupt  # nobody asks

    def __index__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return other == 7

    def __hash__(self) -> int:
        return hash(7)


class LikeOne(One):
    """Equal to 1, but in no dict the same key."""

    def __hash__(self) -> int:
        return 5


def nested(inmost: Any, levels: int) -> Any:
    for _ in range(levels):
        inmost = (inmost,)
    return inmost


Point = collections.namedtuple("Point", "x y")

KEYS: list[Any] = [
    *(
        "",
        "a",
        "b" * 200,
        "\udc80",
        b"a",
        b"",
        None,
        0,
        1,
        True,
        1.0,
        0.0,
        -0.0,
        False,
        2**63,
        2.0**63,
    ),
    *(-(2**70), -(2.0**70), 1.5, math.inf, -math.inf, (), (1, "x"), (True, "x"), (1.0, Text("x"))),
    *(
        (None, (1, 2)),
        (1, (2,)),
        Number.SEVEN,
        7,
        Text("a"),
        Point(1, "x"),
        Decimal(1),
        Decimal("1.5"),
    ),
    *(Fraction(3, 2), Decimal("0.1"), Fraction(1, 10), 0.1, complex(1, 0), complex(1, 1)),
    *(frozenset("abc"), frozenset("cba"), Colour.RED, uuid.UUID(int=5), uuid.UUID(int=5), int, str),
    *(One(), Seven(), LikeOne(), (One(), "x"), (LikeOne(), "x")),
    *(nested(value, levels) for value in (1, True, Text("x"), "x") for levels in (49, 50, 51, 90)),
    *((frozenset([1]), 2), (frozenset([1]), 2.0), range(3), "1", "b'a'", ("a", "b"), ("ab",)),
]


def same(shared: Dict[Any, Any], plain: dict[Any, Any]) -> None:
    """The same keys (as they were given), in the same order, with the same values."""
    assert [(type(k), k, v) for k, v in shared.items()] == [
        (type(k), k, v) for k, v in plain.items()
    ]
    assert len(shared) == len(plain)
    assert list(shared) == list(plain)
    assert list(shared.values()) == list(plain.values())


def test_each_pair_of_keys_is_one_key_exactly_if_they_are_equal() -> None:
    for a in KEYS:
        shared, plain = Dict({a: "old"}), {a: "old"}
        for b in KEYS:
            assert (b in shared) == (b in plain), (a, b)
            assert shared.get(b) == plain.get(b), (a, b)
    shared, plain = Dict(), {}
    for i, key in enumerate(KEYS):
        shared[key] = plain[key] = i
        same(shared, plain)
    for key in KEYS[::2]:
        assert shared.pop(key, None) == plain.pop(key, None)
        same(shared, plain)


def outcome(call: Callable[..., Any], *args: Any) -> Any:
    try:
        return call(*args)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        return type(error), error.args


DEEDS: list[Callable[[Any, Any, Any], Any]] = [
    lambda d, k, v: d.__setitem__(k, v),
    lambda d, k, v: d.__setitem__(k, v),
    lambda d, k, v: d.__setitem__(k, [v] * 5000),
    lambda d, k, v: d[k],
    lambda d, k, v: d.__delitem__(k),
    lambda d, k, v: k in d,
    lambda d, k, v: d.get(k),
    lambda d, k, v: d.get(k, v),
    lambda d, k, v: d.pop(k),
    lambda d, k, v: d.pop(k, v),
    lambda d, k, v: d.setdefault(k, v),
    lambda d, k, v: d.setdefault(k),
    lambda d, k, v: d.popitem(),
    lambda d, k, v: d.update({k: v, "more": v}),
    lambda d, k, v: d.update([(k, v)], named=v),
    lambda d, k, v: d.__ior__({k: v}) and None,
    lambda d, k, v: list(reversed(d)),
    lambda d, k, v: list((d | {k: v}).items()),
    lambda d, k, v: list(({k: v} | d).items()),
    lambda d, k, v: (d == {k: v}, d == dict(d)),
    lambda d, k, v: len(d),
    lambda d, k, v: d.keys() & {k, 1},
]


def test_any_series_of_calls_gives_what_a_dict_gives(rand: random.Random) -> None:
    for _ in range(12):
        shared, plain = Dict(), {}
        some = rand.sample(KEYS, 12) + [rand.randrange(100) for _ in range(rand.choice([5, 60]))]
        for step in range(250):
            deed, key = rand.choice(DEEDS), rand.choice(some)
            if step % 100 == 99:
                shared.clear()
                plain.clear()
            assert outcome(deed, shared, key, step) == outcome(deed, plain, key, step)
        same(shared, plain)


def test_it_is_a_mapping_and_says_what_it_holds() -> None:
    d = Dict({"a": [1]}, b=2)
    assert isinstance(d, MutableMapping)
    assert repr(d) == "Dict({'a': [1], 'b': 2})"
    assert d == {"a": [1], "b": 2} == d.copy()
    assert (type(d.copy()), type(d | {})) == (dict, dict)
    assert Dict.fromkeys("ab", 0) == {"a": 0, "b": 0}
    with pytest.raises(TypeError, match="unhashable"):
        hash(d)
    with pytest.raises(TypeError, match="unhashable"):
        d[["list"]] = 1
    with pytest.raises(TypeError, match="unhashable"):
        _ = ("tuple", ["list"]) in d
    with pytest.raises(TypeError, match="at least 1 argument, got 0"):
        d.get()  # type: ignore[call-overload]


def test_what_is_read_is_a_copy() -> None:
    d = Dict(a=[1])
    d["a"].append(2)
    assert d["a"] == [1]
    d.apply("a", lambda value: [*value, 2])
    assert d["a"] == [1, 2]


def test_a_nan_is_equal_to_no_key() -> None:
    d: Dict[Any, int] = Dict()
    d[math.nan] = 1
    d[math.nan] = 2
    d[(1, math.nan)] = 3
    assert (len(d), math.nan in d, d.get((1, math.nan))) == (3, False, None)
    assert sorted(d.values()) == [1, 2, 3]
    assert d.popitem()[1] == 3


def test_views_stay_and_iteration_notices_a_change_of_size() -> None:
    d = Dict(a=1, b=2)
    keys, values, items, iterator = d.keys(), d.values(), d.items(), iter(d)
    assert next(iterator) == "a"
    d["a"] = 5
    assert next(iterator) == "b"
    iterator = iter(d)
    d["c"] = 3
    with pytest.raises(RuntimeError, match="changed size"):
        next(iterator)
    assert (list(keys), list(values), list(items)) == (["a", "b"], [1, 2], [("a", 1), ("b", 2)])


def test_what_cannot_be_pickled_raises_and_changes_nothing() -> None:
    d: Dict[Any, Any] = Dict(a=1)
    with pytest.raises(TypeError, match="generator"):
        d["a"] = (x for x in ())
    with pytest.raises(TypeError, match="shared objects"):
        d[forkful.Lock()] = 1
    assert d == {"a": 1}
    items = List([1])
    with pytest.raises(TypeError, match="generator"):
        items.extend([2, (x for x in ())])
    with pytest.raises(TypeError, match="generator"):
        items[0] = (x for x in ())
    assert items == [1]


def test_a_key_that_memory_does_not_suffice_for_raises_and_changes_nothing() -> None:
    testcapi = pytest.importorskip("_testcapi")
    d: Dict[Any, int] = Dict(a=1)
    for size in range(
        100, 132
    ):  # at the end of what a key has without asking for memory, and past it
        key, raised = ("x" * size, None, None), 0
        for allowed in range(12):
            try:
                testcapi.set_nomemory(allowed, allowed + 1)
                d[key] = 1
            except MemoryError:
                raised += 1
            finally:
                testcapi.remove_mem_hooks()
            assert d.pop(key, 1) == 1
        assert raised
    assert d == {"a": 1}


# ---- a list is a list ------------------------------------------------------------------------------

LIST_DEEDS: list[Callable[[Any, int, int], Any]] = [
    lambda items, i, j: items.append(i),
    lambda items, i, j: items.append([i] * 5000),
    lambda items, i, j: items.extend(range(j)),
    lambda items, i, j: items.insert(i, j),
    lambda items, i, j: items[i],
    lambda items, i, j: items[i:j],
    lambda items, i, j: items[i : j : i - j or 2],
    lambda items, i, j: items.__setitem__(i, j),
    lambda items, i, j: items.__setitem__(slice(i, j), range(3)),
    lambda items, i, j: items.__setitem__(slice(i, j, 2), [1, 2]),
    lambda items, i, j: items.__setitem__(slice(None, None, -1), [0] * len(items)),
    lambda items, i, j: items.__delitem__(i),
    lambda items, i, j: items.__delitem__(slice(i, j)),
    lambda items, i, j: items.__delitem__(slice(i, None, 3)),
    lambda items, i, j: items.pop(),
    lambda items, i, j: items.pop(i),
    lambda items, i, j: items.remove(i),
    lambda items, i, j: items.reverse(),
    lambda items, i, j: items.sort(key=str, reverse=bool(j % 2)),
    lambda items, i, j: items.index(i),
    lambda items, i, j: items.count(i),
    lambda items, i, j: i in items,
    lambda items, i, j: items + [i],
    lambda items, i, j: [i] + items,
    lambda items, i, j: items * 2,
    lambda items, i, j: items.__iadd__((i, j)) and None,
    lambda items, i, j: items.__imul__(2 if len(items) < 60 else 0) is None,
    lambda items, i, j: (items == [i], items < [i], items >= [i]) if not items else None,
    lambda items, i, j: (len(items), bool(items), list(reversed(items))),
]


def test_any_series_of_calls_gives_what_a_list_gives(rand: random.Random) -> None:
    for _ in range(12):
        shared, plain = List([3, 1, 2]), [3, 1, 2]
        for step in range(200):
            deed, i, j = rand.choice(LIST_DEEDS), rand.randrange(-9, 14), rand.randrange(-9, 14)
            assert outcome(deed, shared, i, j) == outcome(deed, plain, i, j)
            assert len(shared) == len(plain)
            if step % 20 == 0:
                assert shared == plain
                assert list(shared) == plain
            if step % 70 == 69:
                shared.clear()
                plain.clear()


def test_a_list_is_a_sequence_and_says_what_it_holds() -> None:
    items = List("ab")
    assert isinstance(items, MutableSequence)
    assert (repr(items), repr(List())) == ("List(['a', 'b'])", "List([])")
    with pytest.raises(TypeError, match="list indices must be integers or slices, not str"):
        items["a"]  # type: ignore[call-overload]
    assert items.apply(-1, str.upper) == "B"
    with pytest.raises(IndexError):
        items.apply(2, str.upper)
    iterator = iter(items)
    items[0] = "changed"
    items.append("c")
    assert list(iterator) == ["changed", "B", "c"]


class Third:
    """An index that is no int, as NumPy's are."""

    def __index__(self) -> int:
        return 3


BOUNDS: list[Any] = [None, 0, 2, -2, 2**62, -(2**62), 2**64, -(2**64), 10**30, -(10**30), Third()]


def test_a_slice_has_the_bounds_that_a_lists_has() -> None:
    plain = list(range(5))
    for start in BOUNDS:
        for stop in BOUNDS:
            for step in (None, 1, -1, 10**30, -(10**30), Third()):
                part = slice(start, stop, step)
                assert List(plain)[part] == plain[part], part
            some, other = List(plain), [*plain]
            some[start:stop] = other[start:stop] = "ab"
            assert some == other
            del some[start:stop], other[start:stop]
            assert some == other
    for wrong in (slice("a"), slice(1.5, None), slice(0, 1, 0), slice(0, 1, "a")):
        assert outcome(List(plain).__getitem__, wrong) == outcome(plain.__getitem__, wrong)


def test_a_namespace_has_attributes() -> None:
    ns = Namespace(x=1, _hidden=2)
    ns.job = [1]
    ns.x += 1
    assert (ns.x, ns.job, ns._hidden, str(ns)) == (2, [1], 2, "Namespace(job=[1], x=2)")
    assert {"x", "job"} <= set(dir(ns))
    del ns.job
    for call in (lambda: ns.job, lambda: delattr(ns, "job")):
        with pytest.raises(AttributeError, match="no attribute 'job'"):
            call()
    assert not hasattr(ns, "__len__")


# ---- among processes ------------------------------------------------------------------------------


def count(d: Any, items: Any, ns: Any, n: int, done: Any) -> None:
    """Change each of them, at once with others that do the same."""
    for i in range(n):
        d.apply("sum", lambda value: value + 1, 0)
        d.apply(frozenset("ab"), lambda value: value + 1, 0)
        items.append(i)
        items.apply(0, lambda value: value + 1)
        d.setdefault(i, os.getpid())
    ns.mapping["inner"].append(os.getpid())
    done.put(len(pickle.dumps(d)))


def test_what_several_processes_do_at_once_is_all_there(ctx: Any) -> None:
    d, items, ns, done = Dict(), List([0]), Namespace(), ctx.Queue()
    ns.mapping = Dict(inner=List())
    with several(ctx, *[(count, d, items, ns, 150, done)] * 3) as children:
        pids = {child.pid for child in children}
        assert all(done.get(timeout=LONG) < 200 for _ in children)
    assert (d["sum"], d[frozenset("ba")], items[0]) == (450, 450, 450)
    assert sorted(items[1:]) == sorted([*range(150)] * 3)
    assert len(d) == 152
    assert {d[i] for i in range(150)} <= pids
    assert set(ns.mapping["inner"]) == pids


def use(d: Any) -> bool:
    with d["lock"]:
        d["array"][0] = 5
        d["queue"].put("from a task")
        d["large"] = bytes(d["large"][::-1])
    return isinstance(d["dict"], Dict)


def test_what_is_inside_lives_as_long_as_what_holds_it(fork: Any) -> None:
    before = used()
    d: Any = Dict(
        lock=forkful.Lock(), array=Array("i", 2), queue=forkful.Queue(), value=Value("i", 3)
    )
    d["dict"] = Dict(list=List([forkful.Event()]))
    d["large"] = b"x" * 100_000 + b"y"
    d["dict"]["list"][0].set()
    with fork.Pool(1) as pool:
        assert pool.apply(use, (d,))
        pool.close()
        pool.join()
    assert (d["array"][0], d["value"].value, d["queue"].get()) == (5, 3, "from a task")
    assert d["large"] == b"y" + b"x" * 100_000
    inner = d["dict"]["list"]
    d.clear()
    assert inner[0].is_set()
    del inner
    gc.collect()
    assert used() - before < 50_000  # what queues, pools and locks keep for the next use


def test_memory_is_given_back() -> None:
    d: Dict[int, bytes] = Dict()
    items: List[Any] = List()
    before = used()
    for n in range(3):
        for i in range(3000):
            d[i] = bytes(i % 300)
            items.append(d[i])
        for i in range(3000):
            del d[i]
        items.clear() if n else items.__delitem__(slice(None))
    d["large"] = bytes(10**7)  # type: ignore[index]
    d.clear()
    assert used() - before < 5_000


def test_one_that_holds_itself_can_be_shown() -> None:
    d: Dict[str, Any] = Dict()
    items: List[Any] = List([d])
    d["items"] = items
    assert repr(d) == "Dict({'items': List([Dict(...)])})"
    d.clear()


def test_a_manager_keeps_what_a_proxy_in_a_dict_stands_for(fork: Any) -> None:
    with fork.Manager() as manager:
        d: Any = Dict(events=[manager.Event()])
        items = List([manager.Queue()])
        gc.collect()
        d["events"][0].set()
        assert d["events"][0].is_set()
        items[0].put(1)
        assert items[0].get() == 1


def wait_inside(d: Any, entered: Any) -> None:
    def change(value: int) -> int:
        entered.set()
        forkful.Event().wait(LONG)
        return value + 1

    d.apply("key", change)


def test_a_process_killed_in_apply_leaves_the_old_value_and_nobody_waits(ctx: Any) -> None:
    d, entered = Dict(key=1), ctx.Event()
    with running(ctx, wait_inside, d, entered) as child:
        assert entered.wait(LONG)
        assert d.apply("key", lambda value: value + 10) == 11
        kill(child)
    assert d == {"key": 11}


def test_apply_begins_anew_when_another_was_quicker() -> None:
    d, seen = Dict(key=1), []

    def change(value: int) -> int:
        seen.append(value)
        if len(seen) < 3:
            d["key"] += 10
        return value + 1

    assert d.apply("key", change) == 22
    assert (seen, d["key"]) == ([1, 11, 21], 22)
    with pytest.raises(ZeroDivisionError):
        d.apply("key", lambda value: value // 0)
    with pytest.raises(KeyError, match="absent"):
        d.apply("absent", change)
    assert d == {"key": 22}


def test_apply_of_what_the_function_itself_sets_does_not_go_on_for_ever() -> None:
    d, numbers, noted = Dict(key=1, other=5), List([1, 2]), Dict()

    def bump(container: Any, key: Any) -> Callable[[int], int]:
        def set_and_return(value: int) -> int:
            container[key] = value + 1
            noted["last"] = value
            return value + 1

        return set_and_return

    def nest(container: Any, key: Any) -> Callable[[int], int]:
        return lambda _: container.apply(key, lambda n: n + 1)

    for container, key in (d, "key"), (numbers, -1):
        with pytest.raises(RuntimeError, match=r"set_and_return.* sets what it is to compute"):
            container.apply(key, bump(container, key))
        with pytest.raises(RuntimeError, match="sets what it is to compute"):
            container.apply(key, nest(container, key))
        container[key] = 1
        assert container.apply(key, lambda n: n + 1) == 2
    assert d.apply("key", lambda n: n + d.apply("other", lambda m: m + 1)) == 8
    assert d == {"key": 8, "other": 6}


def test_a_plain_copy_is_what_copy_and_a_mapping_see() -> None:
    d = Dict(a=1)
    assert isinstance(d, Mapping)
    assert {**d} == dict(d) == {"a": 1}
    assert copy.copy(d)["a"] == 1


class Unkind:
    def __getstate__(self) -> object:
        raise ValueError("does not like to travel")


def test_update_is_one_step() -> None:
    d: Dict[Any, Any] = Dict(a=0)
    with pytest.raises(ValueError, match="travel"):
        d.update({"a": 1, "b": Unkind()})
    assert d == {"a": 0}
    d.update([("x", 1), ("x", 2), ("a", 3)], y=4)
    d.update(Dict({(1, 2): 5, frozenset([1]): 6}))
    d.update([(1, "int"), (True, "bool"), (2.0, "float")])
    same(d, {"a": 3, "x": 2, "y": 4, (1, 2): 5, frozenset([1]): 6, 1: "bool", 2.0: "float"})
    for wrong in (5, [1], ["abc"]):
        with pytest.raises((TypeError, ValueError)):
            d.update(wrong)
    assert len(d) == 7
    many = {i: str(i) for i in range(5000)}
    d.update(many)
    assert d.copy().items() >= {k: v for k, v in many.items() if k not in (1, 2)}.items()


class Meddling:
    """As it is pickled, something else happens first."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self.deed = deed

    def __reduce__(self) -> Any:
        self.deed()
        return Point, (1, 2)

    def __eq__(self, other: object) -> bool:
        return other is self

    __hash__ = object.__hash__


def test_update_is_one_step_with_odd_keys_too() -> None:
    d: Dict[Any, Any] = Dict(a=0)
    odd, other = frozenset("a"), frozenset("b")
    for pairs in ({odd: 1, "b": Unkind()}, {odd: 1, (): 2, Unkind(): 3}, [(odd, 1), (other,)]):
        with pytest.raises(ValueError):
            d.update(pairs)
        assert d == {"a": 0}
    seen: list[Any] = []
    d.update({odd: 1, "b": Meddling(lambda: seen.append(d.copy())), other: 2}, c=3)
    assert seen == [{"a": 0}]
    same(d, {"a": 0, odd: 1, "b": Point(1, 2), other: 2, "c": 3})


def test_update_begins_anew_when_another_has_changed_an_odd_key() -> None:
    odd = frozenset("a")
    deeds: list[tuple[dict[Any, Any], Callable[[Dict[Any, Any]], object]]] = [
        ({}, lambda d: d.setdefault(odd, "another's")),
        ({odd: 0}, lambda d: d.pop(odd, None)),
    ]
    for first, deed in deeds:
        d: Dict[Any, Any] = Dict(first)
        d.update([(odd, 1), (Meddling(functools.partial(deed, d)), 2)])
        assert (len(d), d[odd]) == (2, 1)
        assert list(d.values()).count(1) == 1
