"""Managers: every type that they offer, one's own, remote ones, and the end of their servers."""

from __future__ import annotations

import copy
import gc
import multiprocessing.managers
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import forkful
from forkful import managers
from tests.contract.children import LONG, is_gone, kill, running, until
from tests.kit import procs

# ---- what it offers ----------------------------------------------------------------------------


def use_all(lent: dict[str, Any], turn: Any) -> None:
    """In another process: do something to each object."""
    lent["dict"]["two"] = 2
    del lent["dict"]["one"]
    lent["list"].append(4)
    lent["list"] *= 2
    lent["array"][0] = 5
    lent["value"].value += 1
    lent["namespace"].x = lent["namespace"].x + "y"
    lent["queue"].put("put")
    lent["joinable"].get()
    lent["joinable"].task_done()
    with lent["lock"], lent["rlock"], lent["semaphore"], lent["bounded"]:
        lent["set"].add("added")
    with lent["condition"]:
        turn.value = 1
        lent["condition"].notify_all()
    assert lent["event"].wait(LONG)
    lent["barrier"].wait()


def test_each_type_is_shared_with_another_process(ctx: Any) -> None:
    with ctx.Manager() as manager:
        lent = {
            "dict": manager.dict(one=1),
            "list": manager.list([1, 2]),
            "array": manager.Array("i", [1, 2]),
            "value": manager.Value("i", 6),
            "namespace": manager.Namespace(x="x"),
            "queue": manager.Queue(),
            "joinable": manager.JoinableQueue(),
            "lock": manager.Lock(),
            "rlock": manager.RLock(),
            "semaphore": manager.Semaphore(1),
            "bounded": manager.BoundedSemaphore(1),
            "condition": manager.Condition(),
            "event": manager.Event(),
            "barrier": manager.Barrier(2, timeout=LONG),
            "set": manager.set(["given"]),
        }
        turn = manager.Value("i", 0)
        lent["joinable"].put("work")
        with running(ctx, use_all, lent, turn):
            with lent["condition"]:
                assert lent["condition"].wait_for(lambda: turn.value == 1, LONG)
            lent["event"].set()
            lent["barrier"].wait()
        lent["joinable"].join()
        assert lent["dict"].copy() == {"two": 2}
        assert lent["list"][:] == [1, 2, 4, 1, 2, 4]
        assert list(lent["array"]) == [5, 2]
        assert lent["value"].value == 7
        assert lent["namespace"].x == "xy"
        assert lent["queue"].get(timeout=LONG) == "put"
        with pytest.raises(queue.Empty):
            lent["queue"].get_nowait()
        assert sorted(lent["set"]) == ["added", "given"]


def test_every_registered_type_is_tested() -> None:
    tested = {"dict", "list", "Array", "Value", "Namespace", "Queue", "JoinableQueue", "Lock"}
    tested |= {"RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier", "set"}
    tested |= {"Pool", "Iterator", "AsyncResult"}
    assert tested == {name for name in managers.SyncManager._registry if name[0] != "_"}


def test_a_set_has_the_operators_of_a_set(fork: Any) -> None:
    with fork.Manager() as manager:
        s = same = manager.set({1, 2})
        s |= {3}
        s -= {1}
        s ^= {9}
        s &= {2, 3, 9}
        assert s is same
        assert (len(s), 3 in s, s <= {2, 3, 9, 10}) == (3, True, True)
        assert (s | {0}, {0} | s, s & {2}, s - {9}) == ({0, 2, 3, 9}, {0, 2, 3, 9}, {2}, {2, 3})
        s.update([4])
        s.discard(9)
        assert s.copy() == {2, 3, 4}
        assert s.isdisjoint({5})
        with pytest.raises(KeyError):
            s.remove(77)


def test_lists_and_dicts_have_what_python_3_14_added(fork: Any) -> None:
    with fork.Manager() as manager:
        items, d = manager.list([1, 2]), manager.dict(a=1)
        assert items.copy() == [1, 2]
        items.clear()
        assert items[:] == []
        assert (d | {"b": 2}, {"a": 0, "c": 3} | d) == ({"a": 1, "b": 2}, {"a": 1, "c": 3})
        same = d
        d |= {"b": 2}
        assert d is same
        assert sorted(d.keys()) == sorted(d) == ["a", "b"]
        assert isinstance(items, multiprocessing.managers.ListProxy)


def test_proxies_travel_through_forkfuls_queues_and_inside_one_another(ctx: Any) -> None:
    with ctx.Manager() as manager:
        q, outer = ctx.Queue(), manager.dict()
        outer["inner"] = manager.list()
        with running(ctx, extend_inner, q):
            q.put(outer)
        assert outer["inner"][:] == ["from the child"]


def extend_inner(q: Any) -> None:
    q.get(timeout=LONG)["inner"].append("from the child")


def test_errors_in_the_server_are_raised_in_the_client(fork: Any) -> None:
    with fork.Manager() as manager:
        with pytest.raises(KeyError, match="absent"):
            manager.dict()["absent"]
        with pytest.raises(IndexError):
            manager.list().pop()


def test_dicts_lists_and_namespaces_look_like_proxies(module: Any) -> None:
    with module.Manager() as manager:
        d, items, ns = manager.dict({"a": 1}), manager.list([1]), manager.Namespace(x=1)
        ns._own = 2
        for thing, kind, typeid in (
            (d, "Dict", "dict"),
            (items, "List", "list"),
            (ns,) + ("Namespace",) * 2,
        ):
            assert isinstance(thing, getattr(multiprocessing.managers, f"{kind}Proxy"))
            assert repr(thing).startswith(f"<{kind}Proxy object, typeid {typeid!r} at 0x")
            assert thing in {thing: 1}
        assert (str(d), str(items), str(ns)) == ("{'a': 1}", "[1]", "Namespace(x=1)")
        assert (d.keys(), d.values(), d.items()) == (["a"], [1], [("a", 1)])
        assert (d._getvalue(), items._getvalue(), ns._getvalue().x) == ({"a": 1}, [1], 1)
        assert (d == {"a": 1}, items == [1], d == manager.dict(d)) == (False, False, False)
        assert (type(copy.deepcopy(d)), type(copy.deepcopy(items))) == (dict, list)
        assert d._callmethod("get", ("a",)) == 1
        ns.x += 1
        del d["a"]
        items *= 2
        assert (ns.x, len(d), items[:]) == (2, 0, [1, 1])
        with pytest.raises(AttributeError, match="no attribute 'y'"):
            ns.y  # noqa: B018


def test_nobody_but_a_manager_makes_its_dicts_and_lists(fork: Any) -> None:
    with fork.Manager() as manager:
        d, items = manager.dict(a=1), manager.list([1])
        for make in (type(d), type(d).fromkeys, d.fromkeys, type(items)):
            with pytest.raises(
                TypeError, match=r"only a manager makes its .*manager\.(dict|list)\("
            ):
                make("")
        assert manager.dict(dict.fromkeys("ab", 0)).copy() == {"a": 0, "b": 0}


def be_a_stranger(d: Any, items: Any, ns: Any) -> None:
    assert d["inner"]["number"] == 1
    d["inner"]["number"] += 1
    d["list"].append(d["large"][-1])
    items.extend(["from a stranger"])
    items[0].set()
    ns.x = sorted(d.keys())
    assert type(d) is managers.DictProxy


def test_a_process_that_is_not_of_the_family_uses_them_by_way_of_the_server(fork: Any) -> None:
    with fork.Manager() as manager:
        d, items, ns = manager.dict(), manager.list(), manager.Namespace()
        d["inner"], d["list"], d["large"] = (
            manager.dict(number=1),
            manager.list(),
            bytes(50_000) + b"!",
        )
        items.append(manager.Event())
        stranger = multiprocessing.get_context("spawn").Process(
            target=be_a_stranger, args=(d, items, ns)
        )
        stranger.start()
        stranger.join(LONG)
        assert stranger.exitcode == 0
        stranger.close()
        assert (d["inner"]["number"], d["list"][:], items[1]) == (2, [33], "from a stranger")
        assert items[0].is_set()
        assert ns.x == ["inner", "large", "list"]


def test_a_client_by_address_shares_with_itself_only_what_is_in_the_server(fork: Any) -> None:
    with fork.Manager() as manager:
        client = managers.SyncManager(
            manager.address, bytes(multiprocessing.current_process().authkey)
        )
        client.connect()
        d = client.dict(a=1)
        assert type(d) is managers.DictProxy
        assert d["a"] == 1
    with pytest.raises(AssertionError, match="not yet started"):
        managers.SyncManager().dict()


# ---- its pool ----------------------------------------------------------------------------------


def end(status: int) -> None:
    os._exit(status)


def fail(x: int) -> None:
    raise LookupError(f"no {x}")


def test_its_pool_is_forkfuls(ctx: Any) -> None:
    with ctx.Manager() as manager, manager.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
        assert pool.apply_async(abs, (-3,)).get(LONG) == 3
        assert list(pool.imap(abs, [-4])) == [4]
        with pytest.raises(LookupError, match="no 5"):
            pool.apply(fail, (5,))
        with pytest.raises(forkful.WorkerDied, match="exited with code 3"):
            pool.apply(end, (3,))
        assert pool.apply(abs, (-6,)) == 6


# ---- managers of one's own, and remote ones ----------------------------------------------------


class Sums:
    def __init__(self, start: int = 0) -> None:
        self.total = start

    def add(self, n: int) -> int:
        self.total += n
        return self.total

    def where(self) -> tuple[int, str | None]:
        return os.getpid(), forkful.get_start_method()

    def _hidden(self) -> None:
        raise AssertionError


class OwnManager(managers.BaseManager):
    pass


OwnManager.register("Sums", Sums)
OwnManager.register("Quiet", Sums, exposed=("add",))


def test_a_manager_of_ones_own(ctx: Any) -> None:
    with OwnManager(ctx=ctx) as manager:
        sums = manager.Sums(10)
        with running(ctx, sums.add, 5):
            pass
        assert sums.add(1) == 16
        assert sums.where() == (manager._process.pid, ctx.get_start_method())
        assert not hasattr(sums, "_hidden")
        assert not hasattr(manager.Quiet(), "where")


def test_a_manager_without_a_context_uses_forkfuls_default_one() -> None:
    with OwnManager() as manager:
        assert isinstance(manager._ctx, forkful.context.Context)
        assert isinstance(manager._process, forkful.process.Process)
        assert manager.Sums(1).add(1) == 2
    with managers.SyncManager() as manager:
        assert isinstance(manager._process, forkful.process.Process)
    with managers.SharedMemoryManager() as manager:
        assert isinstance(manager._process, forkful.process.Process)


def set_mark(mark: Any) -> None:
    mark.set()


def test_an_initializer_runs_in_the_server(ctx: Any) -> None:
    mark = ctx.Event()
    manager = OwnManager(ctx=ctx)
    manager.start(set_mark, (mark,))
    with manager:
        assert mark.is_set()


_tasks: queue.Queue[str] = queue.Queue()


def the_tasks() -> queue.Queue[str]:
    return _tasks


class Serving(managers.BaseManager):
    pass


class Using(managers.BaseManager):
    pass


Serving.register("tasks", the_tasks)
Using.register("tasks")


def serve_at_a_free_port(ready: Any) -> None:
    server = Serving(("127.0.0.1", 0), b"secret").get_server()
    ready.put(server.address)
    server.serve_forever()


def use_remotely(address: Any) -> None:
    manager = Using(address, b"secret")
    manager.connect()
    manager.tasks().put(f"from {os.getpid()}")


def test_a_remote_manager_is_used_from_several_processes(ctx: Any) -> None:
    ready = ctx.Queue()
    server = ctx.Process(target=serve_at_a_free_port, args=(ready,))
    server.start()
    address = ready.get(timeout=LONG)
    with running(ctx, use_remotely, address) as client:
        pid = client.pid
    manager = Using(address, b"secret")
    manager.connect()
    assert manager.tasks().get(timeout=LONG) == f"from {pid}"
    with pytest.raises(forkful.AuthenticationError):
        Using(address, b"wrong").connect()
    server.terminate()
    server.join()
    server.close()


def test_shared_memory_of_a_manager_goes_with_it(ctx: Any) -> None:
    with managers.SharedMemoryManager(ctx=ctx) as manager:
        block, numbers = manager.SharedMemory(16), manager.ShareableList([1, "two", None])
        with running(ctx, write_into, block, numbers):
            pass
        assert bytes(block.buf[:3]) == b"abc"
        assert list(numbers) == [1, "three", None]
        name = block.name
        block.close()
        numbers.shm.close()
    assert not os.path.exists(f"/dev/shm/{name}")


def write_into(block: Any, numbers: Any) -> None:
    block.buf[:3] = b"abc"
    numbers[1] = "three"
    block.close()
    numbers.shm.close()


# ---- the end -----------------------------------------------------------------------------------


def start_and_pause(ctx: Any, pids: Any) -> None:
    manager = ctx.Manager()
    pool = manager.Pool(1)
    pids.put([manager._process.pid, pool.apply(os.getpid)])
    signal.pause()


def test_the_server_ends_when_its_parent_is_killed(ctx: Any) -> None:
    pids = ctx.Queue()
    with running(ctx, start_and_pause, ctx, pids) as parent:
        found = pids.get(timeout=LONG)
        assert not any(map(is_gone, found))
        kill(parent)
    for pid in found:
        until(lambda pid=pid: is_gone(pid))


def test_a_killed_server_is_an_error_for_its_clients(fork: Any) -> None:
    manager = fork.Manager()
    event, d = manager.Event(), manager.dict(a=1)
    assert not event.is_set()
    pid = manager._process.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_gone(pid))
    with pytest.raises((EOFError, OSError)):
        event.is_set()
    with pytest.raises(forkful.ManagerEnded, match=f"this dict .*pid {pid}") as caught:
        d["a"]
    assert caught.value.pid == pid
    with pytest.raises(forkful.ManagerEnded):
        manager.dict()
    manager._process.join(LONG)
    with pytest.raises(forkful.ManagerEnded):
        d["a"]
    manager.shutdown()


def uses(d: Any, items: Any, ns: Any) -> dict[str, Callable[[], object]]:
    """Something of every kind that can be done with a manager's containers."""
    return {
        "get": lambda: d["x"],
        "get or none": lambda: d.get("absent"),
        "set": lambda: d.__setitem__("x", 1),
        "delete": lambda: d.__delitem__("x"),
        "in": lambda: "x" in d,
        "len": lambda: len(d),
        "iter": lambda: next(iter(d)),
        "update": lambda: d.update(x=1),
        "keys": d.keys,
        "copy": d.copy,
        "pop": lambda: d.pop("x", None),
        "popitem": d.popitem,
        "setdefault": lambda: d.setdefault("x"),
        "clear": d.clear,
        "apply": lambda: d.apply("x", str),
        "an odd key": lambda: d.get(frozenset()),
        "item": lambda: items[0],
        "slice": lambda: items[:],
        "set item": lambda: items.__setitem__(0, 1),
        "set slice": lambda: items.__setitem__(slice(0, 0), [1]),
        "append": lambda: items.append(1),
        "extend": lambda: items.extend([1]),
        "length": lambda: len(items),
        "items": lambda: list(items),
        "sort": items.sort,
        "in it": lambda: 1 in items,
        "attribute": lambda: ns.x,
        "set attribute": lambda: setattr(ns, "x", 1),
        "delete attribute": lambda: delattr(ns, "x"),
    }


def raises_ended(use: Callable[[], object]) -> bool:
    try:
        use()
    except ConnectionRefusedError as error:
        return isinstance(error, forkful.ManagerEnded)
    return False


def hold_on(d: Any, items: Any, ns: Any, ready: Any, ended: Any) -> None:
    inner = d["inner"]
    ready.set()
    assert ended.wait(LONG)
    assert [name for name, use in uses(d, items, ns).items() if not raises_ended(use)] == []
    assert "failed" in str(d)
    assert "failed" in str(ns)
    inner["number"]  # raises


@pytest.mark.parametrize("end", ["shutdown", "with"])
def test_what_a_manager_made_ends_with_it_in_every_process(end: str, ctx: Any) -> None:
    ready, ended = ctx.Event(), ctx.Event()
    with ctx.Manager() as manager:
        d, items, ns = manager.dict(x=2), manager.list([1]), manager.Namespace(x=1)
        pid, d["inner"] = manager._process.pid, manager.dict(number=1)
        child = ctx.Process(target=hold_on, args=(d, items, ns, ready, ended))
        child.start()
        assert ready.wait(LONG)
        if end == "shutdown":
            manager.shutdown()
            with pytest.raises(forkful.ManagerEnded, match="this dict lived with its manager"):
                d["x"]
    ended.set()
    child.join(LONG)
    assert child.exitcode == 1
    error = child.exception()
    assert (type(error), error.pid) == (forkful.ManagerEnded, pid)
    child.close()
    assert [name for name, use in uses(d, items, ns).items() if not raises_ended(use)] == []
    with pytest.raises(forkful.ManagerEnded, match="this Namespace lived"):
        ns.x  # noqa: B018
    with pytest.raises(forkful.ManagerEnded, match="this list lived"):
        pickle.loads(pickle.dumps(items)).append(1)


def test_what_is_made_by_oneself_outlives_the_manager_that_it_was_in(fork: Any) -> None:
    mine = forkful.shared.Dict(a=1)
    with fork.Manager() as manager:
        theirs = manager.dict(mine=mine)
        again = theirs["mine"]
    again["a"] += 1
    assert mine["a"] == 2


def test_a_manager_lives_as_long_as_what_it_made_has_a_name_where_it_was_made(fork: Any) -> None:
    d, items, ns = fork.Manager().dict(a=1), fork.Manager().list([1]), fork.Manager().Namespace(x=1)
    gc.collect()
    assert (d["a"], items[0], ns.x) == (1, 1, 1)
    for thing in (d, items, ns._shared):
        thing._manager.shutdown()


def test_sigterm_ends_the_server_in_order(fork: Any) -> None:
    manager = fork.Manager()
    process = manager._process
    os.kill(process.pid, signal.SIGTERM)
    process.join(LONG)
    assert process.exitcode == 0
    manager.shutdown()


def test_a_client_that_is_killed_costs_the_others_nothing(ctx: Any) -> None:
    with ctx.Manager() as manager:
        d, ready = manager.dict(), ctx.Event()
        with running(ctx, use_and_pause, d, ready) as child:
            assert ready.wait(LONG)
            kill(child)
        assert d["used"] is True
        d["again"] = True
        assert len(d) == 2


def use_and_pause(d: Any, ready: Any) -> None:
    d["used"] = True
    ready.set()
    signal.pause()


def test_two_managers_are_two_servers(fork: Any) -> None:
    with fork.Manager() as one, fork.Manager() as two:
        assert one._process.pid != two._process.pid
        assert one.dict(a=1).copy() == two.dict(a=1).copy()
        assert procs.look(one._process.pid) is not None
    assert threading.active_count() == 1
