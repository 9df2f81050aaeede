"""A manager's `Value` and `Array`: the standard library's meaning, in shared memory."""

from __future__ import annotations

import copy
import multiprocessing.managers
import os
import pickle
import random
from array import array, typecodes
from collections.abc import Callable
from typing import Any

import pytest

import forkful
from forkful import managers, wire
from forkful.shared import Dict, List
from tests.contract.children import LONG, is_gone, kill, running, several, until, used

CHARACTERS = "w" if "w" in typecodes else "u"  # "u" is told to be old where there is the other

# ---- as the standard library's ---------------------------------------------------------------------


def test_a_value_holds_any_object(module: Any) -> None:
    with module.Manager() as manager:
        v = manager.Value("i", 5, lock=False)
        assert isinstance(v, multiprocessing.managers.ValueProxy)
        assert (str(v), v.value, v.get()) == ("Value('i', 5)", 5, 5)
        assert repr(v).startswith("<ValueProxy object, typeid 'Value' at 0x")
        v.value = {"no": ["int"]}
        v.value["no"].append("lost")
        assert v.get() == {"no": ["int"]}
        v.set(None)
        assert v.value is None
        assert v._callmethod("get") is None
        plain = copy.deepcopy(v)
        assert (type(plain), repr(plain)) == (multiprocessing.managers.Value, "Value('i', None)")
        assert (v in {v: 1}, v == manager.Value("i", None)) == (True, False)
        v.value = manager.list([1])
        v.value.append(2)
        assert v.value[:] == [1, 2]
        assert str(manager.Value(None, "x")) == "Value(None, 'x')"
        assert type(v)[int].__origin__ is type(v)
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            v.value = (x for x in ())
        assert v.value[:] == [1, 2]


def test_an_array_is_one_of_the_array_module(module: Any) -> None:
    with module.Manager() as manager:
        a = manager.Array("h", [1, 2, 3], lock=False)
        assert isinstance(a, multiprocessing.managers.ArrayProxy)
        assert (str(a), len(a), a[-1], a[1:]) == (
            "array('h', [1, 2, 3])",
            3,
            3,
            array("h", [2, 3]),
        )
        assert repr(a).startswith("<ArrayProxy object, typeid 'Array' at 0x")
        assert (type(a[:]), type(copy.deepcopy(a)), list(a), 2 in a) == (
            array,
            array,
            [1, 2, 3],
            True,
        )
        assert a._callmethod("__len__") == 3
        assert (a in {a: 1}, a == array("h", [1, 2, 3])) == (True, False)
        a[0] = True
        a[1:1] = array("h", [7, 8])
        assert list(a) == [1, 7, 8, 2, 3]
        for absent in ("append", "__delitem__", "__add__", "__iter__", "tolist"):
            assert not hasattr(a, absent)
        assert str(manager.Array(CHARACTERS, "añ")) == f"array('{CHARACTERS}', 'añ')"
        assert list(manager.Array("b", b"\x01\xff")) == [1, -1]
        assert len(manager.Array("d", [])) == 0


def outcome(call: Callable[..., Any], *args: Any) -> Any:
    try:
        return call(*args)
    except (IndexError, ValueError, TypeError, OverflowError) as error:
        return type(error), error.args


DEEDS: list[Callable[[Any, Any, Any, Any], Any]] = [
    lambda a, i, j, some: a[i],
    lambda a, i, j, some: a[i:j],
    lambda a, i, j, some: a[i : j : i - j or 2],
    lambda a, i, j, some: a[j:i:-7],
    lambda a, i, j, some: a.__setitem__(i, some[0]),
    lambda a, i, j, some: a.__setitem__(i, 2**70),
    lambda a, i, j, some: a.__setitem__(i, "text"),
    lambda a, i, j, some: a.__setitem__(slice(i, j), some),
    lambda a, i, j, some: a.__setitem__(slice(i, j), a[j:i]),
    lambda a, i, j, some: a.__setitem__(slice(i, j), a[i:j][::-1]),
    lambda a, i, j, some: a.__setitem__(slice(i, j, 3), a[i:j:3][::-1]),
    lambda a, i, j, some: a.__setitem__(slice(j, i, -2), a[j:i:-2][::-1]),
    lambda a, i, j, some: a.__setitem__(slice(i, j, 2), some),
    lambda a, i, j, some: a.__setitem__(slice(i, j), [1]),
    lambda a, i, j, some: a.__setitem__(slice(i, j), array("f", [1])),
    lambda a, i, j, some: a.__setitem__(slice(i, j, 0), some),
    lambda a, i, j, some: (a["x"], i),
    lambda a, i, j, some: a[1.0],
    lambda a, i, j, some: len(a),
]


@pytest.mark.parametrize("typecode", [*"bBhHiIlLqQd", CHARACTERS])
def test_any_series_of_calls_gives_what_an_array_gives(
    typecode: str, fork: Any, rand: random.Random
) -> None:
    def items(n: int) -> Any:
        some = [rand.randrange(100) for _ in range(n)]
        return array(typecode, "".join(map(chr, some)) if typecode == CHARACTERS else some)

    with fork.Manager() as manager:
        for length in (0, 5, 895, 2000):
            plain = items(length)
            shared = manager.Array(typecode, plain)
            for _ in range(60):
                deed, most = rand.choice(DEEDS), len(plain) + 3
                i, j = rand.randrange(-most, most), rand.randrange(-most, most)
                some = items(rand.choice([1, 2, rand.randrange(1, 700)]))
                assert outcome(deed, shared, i, j, some) == outcome(deed, plain, i, j, some)
                if len(plain) > 5000:
                    shared[1000:] = plain[1000:] = items(3)
            assert shared[:] == plain
            assert [shared[i] for i in range(-len(plain), 0)] == plain.tolist()


def test_an_array_takes_little_more_memory_than_its_items(fork: Any) -> None:
    with fork.Manager() as manager:
        before = used()
        a = manager.Array("d", bytes(8 * 100_000))
        assert len(a) == 100_000
        assert used() - before < 1_300_000
        a[:] = array("d")
        assert used() - before < 5_000


def test_bytes_are_put_into_a_value_only_if_it_begins_as_told() -> None:
    body = b"0123456789" * 50
    items = List([body, body * 50, None])
    data = wire.dumps(body)
    start = data.partition(body)[0]
    at = len(start)
    assert items._patch(-3, start + b"01", at + 3, b"ab")
    assert items._patch(0, start, at + 498, b"z!")
    assert items._patch(0, b"", at, b"")
    new = b"012ab" + body[5:498] + b"z!"
    for place, begins, where, what in (
        (0, start + b"02", at, b"x"),
        (0, data + b"longer", at, b"x"),
        (0, start, len(data), b"x"),
        (0, start, 2**62, b"x"),
        (0, start, -1, b"x"),
        (0, start, at, bytes(1000)),
        (1, b"", 0, b""),
        (3, b"", 0, b""),
        (-4, b"", 0, b""),
    ):
        assert not items._patch(place, begins, where, what)
    assert items[:] == [new, body * 50, None]


# ---- in one step -----------------------------------------------------------------------------------


def test_apply_of_what_the_function_itself_sets_does_not_go_on_for_ever(fork: Any) -> None:
    with fork.Manager() as manager:
        v, a = manager.Value("i", 1), manager.Array("i", [1, 2])

        def set_the_item(old: int) -> int:
            a[1] = old + 1
            return old + 1

        with pytest.raises(RuntimeError, match="sets what it is to compute"):
            v.apply(lambda old: v.set(old + 1) or old)
        with pytest.raises(RuntimeError, match="sets what it is to compute"):
            a.apply(1, set_the_item)
        a[1] = 5
        assert a.apply(1, lambda old: old + 1) == a[1] == 6


def test_apply_begins_anew_when_another_was_quicker(fork: Any) -> None:
    with fork.Manager() as manager:
        v, a, seen = manager.Value("i", 1), manager.Array("i", [0, 1]), []

        def change(old: int, set_it: Callable[[int], None]) -> int:
            seen.append(old)
            if len(seen) < 3:
                set_it(old + 10)
            return old + 1

        assert v.apply(lambda old: change(old, v.set)) == v.value == 22
        assert seen == [1, 11, 21]
        seen.clear()
        assert a.apply(-1, lambda old: change(old, lambda new: a.__setitem__(1, new))) == 22
        assert (seen, list(a)) == ([1, 11, 21], [0, 22])
        seen.clear()
        assert a.apply(0, lambda old: change(old, lambda new: a.__setitem__(1, new))) == 1
        assert seen == [0], "what happens to its neighbours is nothing to an item"
        with pytest.raises(ZeroDivisionError):
            a.apply(0, lambda old: old // 0)
        with pytest.raises(IndexError, match="out of range"):
            a.apply(2, abs)
        with pytest.raises(OverflowError):
            a.apply(0, lambda old: 2**40)
        assert list(a) == [1, 10]


def change_all(v: Any, a: Any, n: int) -> None:
    """Change both, at once with others that do the same."""
    for i in range(n):
        v.apply(lambda old: old + 1)
        a.apply(-1, lambda old: old + 1)
        a[1:300] = array("q", [os.getpid()] * 299)
        a[300:600:3] = array("q", [i] * 100)
        assert len(set(a[1:300])) == 1
        assert len(set(a[300:600:3])) == 1


def test_what_several_processes_do_at_once_is_all_there(ctx: Any) -> None:
    with ctx.Manager() as manager:
        v, a = manager.Value("i", 0), manager.Array("q", [0] * 601)
        with several(ctx, *[(change_all, v, a, 100)] * 3) as children:
            pids = {child.pid for child in children}
        assert (v.value, a[600], a[0]) == (300, 300, 0)
        assert set(a[1:300]) < pids


def test_a_signal_handler_may_change_what_is_being_changed(fork: Any) -> None:
    with fork.Manager() as manager:
        a = manager.Array("i", [1, 2])
        with a._the_lock():  # as in the midst of a change
            a[0] = 3
            a[1:] = array("i", [4, 5])
            assert a.apply(-1, lambda old: old + 1) == 6
        assert list(a) == [3, 4, 6]


def set_for_ever(a: Any, ready: Any) -> None:
    while True:
        for i in range(len(a)):
            a[i] = i
        ready.set()


def test_a_slice_is_set_although_another_sets_items_without_a_pause(fork: Any) -> None:
    with fork.Manager() as manager:
        a, ready = manager.Array("q", [0] * 600), fork.Event()
        with several(fork, *[(set_for_ever, a, ready)] * 2) as children:
            assert ready.wait(LONG)
            for _ in range(50):
                a[10:500] = array("q", [-1] * 490)
                a[::2] = array("q", [-2] * 300)
            for child in children:
                kill(child)


def die_in_a_change(a: Any, ready: Any) -> None:
    a[0] = 1
    with a._the_lock():
        ready.set()
        forkful.Event().wait(LONG)


def test_who_is_killed_in_a_change_is_waited_for_by_nobody(ctx: Any) -> None:
    with ctx.Manager() as manager:
        a, ready = manager.Array("i", [1, 2]), ctx.Event()
        with running(ctx, die_in_a_change, a, ready) as child:
            assert ready.wait(LONG)
            assert a[0] == 1
            kill(child)
        a[0] = 5
        a[1:] = array("i", [6, 7])
        assert list(a) == [5, 6, 7]


# ---- others' managers ------------------------------------------------------------------------------


def be_a_stranger(v: Any, a: Any, items: Any) -> None:
    assert type(v) is multiprocessing.managers.ValueProxy
    assert type(a) is multiprocessing.managers.ArrayProxy
    assert (str(v), str(a), str(items)) == ("Value('i', 1)", "array('i', [1, 2])", "[0]")
    assert (type(copy.deepcopy(a)), type(copy.deepcopy(items))) == (array, list)
    assert copy.deepcopy(v).value == 1
    v.value += 1
    a[1:] = array("i", [3, 4, 5])
    a[-1] = len(a)
    items.append(a[0])
    with pytest.raises(OverflowError):
        a[0] = 2**40


def test_a_process_that_is_not_of_the_family_uses_them_by_way_of_the_server(fork: Any) -> None:
    with fork.Manager() as manager:
        v, a, items = manager.Value("i", 1), manager.Array("i", [1, 2]), manager.list([0])
        stranger = multiprocessing.get_context("spawn").Process(
            target=be_a_stranger, args=(v, a, items)
        )
        stranger.start()
        stranger.join(LONG)
        assert stranger.exitcode == 0
        stranger.close()
        assert (v.value, list(a), items[:]) == (2, [1, 3, 4, 4], [0, 1])


def test_a_client_by_address_has_them_in_the_server(fork: Any) -> None:
    with fork.Manager() as manager:
        client = managers.SyncManager(
            manager.address, bytes(multiprocessing.current_process().authkey)
        )
        client.connect()
        v, a = client.Value("i", 1), client.Array("i", [1])
        v.value += 1
        a[0] = 5
        assert (type(v), type(a)) == (managers.ValueProxy, multiprocessing.managers.ArrayProxy)
        assert (v.value, a[:]) == (2, array("i", [5]))
    with pytest.raises(AssertionError, match="not yet started"):
        managers.SyncManager().Value("i", 1)


def test_wrong_arguments_are_told_where_they_are_given(fork: Any) -> None:
    with fork.Manager() as manager:
        with pytest.raises(ValueError, match="typecode"):
            manager.Array("x", [])
        with pytest.raises(OverflowError):
            manager.Array("b", [1, 1000])
        with pytest.raises(TypeError, match="value"):
            manager.Value("i")


class OwnValue:
    def __init__(self, start: int) -> None:
        self.start = start

    def where(self) -> int:
        return os.getpid() + self.start


class Registers(managers.SyncManager):
    pass


class Overrides(managers.SyncManager):
    def Value(self, typecode: Any, value: Any) -> Any:  # type: ignore[override]
        return super().Value(typecode, value * 2)


Registers.register("Value", OwnValue)
Registers.register("Array", list, managers.ListProxy)


def test_a_subclass_has_its_own_types_instead(ctx: Any) -> None:
    with Registers(ctx=ctx) as manager:
        a: Any = manager.Array([1, 2])
        assert manager.Value(0).where() == manager._process.pid
        assert (type(a), a[:]) == (managers.ListProxy, [1, 2])
    with Overrides(ctx=ctx) as manager:
        assert manager.Value("i", 4).value == 8


# ---- the end ---------------------------------------------------------------------------------------


def uses(v: Any, a: Any) -> dict[str, Callable[[], object]]:
    """Something of every kind that can be done with them."""
    return {
        "value": lambda: v.value,
        "set value": lambda: v.set(1),
        "change value": lambda: v.apply(abs),
        "item": lambda: a[0],
        "last item": lambda: a[-1],
        "slice": lambda: a[:],
        "set item": lambda: a.__setitem__(0, 1),
        "set slice": lambda: a.__setitem__(slice(0, 1), array("i", [1])),
        "change item": lambda: a.apply(0, abs),
        "length": lambda: len(a),
        "copy value": lambda: copy.deepcopy(v),
        "copy array": lambda: copy.deepcopy(a),
    }


def not_ended(v: Any, a: Any) -> list[str]:
    found = []
    for name, use in uses(v, a).items():
        try:
            use()
            found.append(name)
        except forkful.ManagerEnded:
            pass
    return found


def hold_on(v: Any, a: Any, ready: Any, ended: Any) -> None:
    a[0] = v.value
    ready.set()
    assert ended.wait(LONG)
    assert not_ended(v, a) == []


def test_they_end_with_their_manager_in_every_process(ctx: Any) -> None:
    ready, ended = ctx.Event(), ctx.Event()
    with ctx.Manager() as manager:
        v, a = manager.Value("i", 7), manager.Array("i", [1])
        child = ctx.Process(target=hold_on, args=(v, a, ready, ended))
        child.start()
        assert ready.wait(LONG)
        assert a[0] == 7
    ended.set()
    child.join(LONG)
    assert child.exitcode == 0
    child.close()
    assert not_ended(v, a) == []
    assert "failed" in str(v)
    assert "failed" in str(a)
    with pytest.raises(ConnectionRefusedError, match="this Value lived with its manager"):
        pickle.loads(pickle.dumps(v)).get()
    with pytest.raises(ConnectionRefusedError, match="this Array lived with its manager"):
        pickle.loads(pickle.dumps(a))[0] = 1


def test_they_end_when_the_server_is_killed(fork: Any) -> None:
    manager = fork.Manager()
    v, a, kept = manager.Value("i", 7), manager.Array("i", [1]), Dict()
    kept["both"] = v, a
    pid = manager._process.pid
    os.kill(pid, 9)
    until(lambda: is_gone(pid))
    assert not_ended(v, a) == not_ended(*kept["both"]) == []
    with pytest.raises(forkful.ManagerEnded):
        manager.Value("i", 1)
    manager.shutdown()
