"""What a process has by a fork from the one that made it: it does its parent no harm, and waits for nobody who is not
there. For pools see `test_pool_inherited`.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import (
    active_children,
    connection,
    reduction,
    resource_sharer,
    resource_tracker,
    util,
)
from pathlib import Path
from typing import Any

import pytest

import forkful
from forkful.launch import forkserver
from tests.contract.children import LONG, is_gone, running, until, until_blocked
from tests.contract.serving import serving
from tests.programs import deeds

pauses: dict[str, tuple[threading.Event, threading.Event]] = {}
"""By module: what its import sets, and waits for."""

BOTH_SERVERS = pytest.mark.parametrize("kind", ["Server", "ProcessServer"])


def in_fork(what: Callable[[], Any]) -> Any:
    """What this returns, or raises, in a child by plain `os.fork()`, which has ended then."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(LONG)  # who waits for ever here is not to leave the test waiting
        try:
            os.close(r)
            try:
                told = True, what()
            except BaseException as e:
                told = False, e
            with open(w, "wb") as answer:
                pickle.dump(told, answer)
        finally:
            os._exit(0)
    os.close(w)
    with open(r, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    assert data, "the child has ended before it could tell"
    fine, value = pickle.loads(data)
    if not fine:
        raise value
    return value


@contextmanager
def held_by_a_thread(lock: Any) -> Iterator[None]:
    """Another thread has the lock meanwhile."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(LONG)
    try:
        yield
    finally:
        release.set()
        thread.join()


def printed(text: str, folder: Path) -> tuple[str, str]:
    """What a program prints, to either stream."""
    program = folder / "program.py"
    program.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=LONG, check=True
    )
    return done.stdout, done.stderr


# ---- processes -----------------------------------------------------------------------------------


def test_a_forked_process_ends_and_leaves_its_parents_children_alone(
    start_method: str, tmp_path: Path
) -> None:
    """The standard library terminates those that are daemonic: its parent's workers, for example."""
    text = f"""
        import os, sys, time, forkful
        if __name__ == "__main__":
            ctx = forkful.get_context("{start_method}")
            with ctx.Pool(1) as pool:
                worker = pool.apply(os.getpid)
                other, daemon = (ctx.Process(target=time.sleep, args=(1000,), daemon=d) for d in (False, True))
                other.start()
                daemon.start()
                if (pid := os.fork()) == 0:
                    sys.exit(7)
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                print(other.is_alive(), daemon.is_alive(), pool.apply(os.getpid) == worker)
                other.kill()
        """
    assert printed(text, tmp_path) == ("7\nTrue True True\n", "")


def test_a_forked_process_has_no_children_of_its_parents(ctx: Any) -> None:
    event = ctx.Event()
    with running(ctx, event.wait) as child:
        assert active_children() == [child]
        assert in_fork(active_children) == []
        assert active_children() == [child]
        event.set()


def test_sigterm_to_a_forked_process_spares_its_parents_children(ctx: Any) -> None:
    event = ctx.Event()

    def be_terminated() -> None:
        child = ctx.Process(target=event.wait)
        child.start()
        os.kill(os.getpid(), signal.SIGTERM)
        event.wait()

    with running(ctx, event.wait) as child:
        until_blocked(child.pid)
        with pytest.raises(SystemExit):
            in_fork(be_terminated)
        # A signal to it would have been sent before the forked process ended.
        event.set()
        child.join(LONG)
        assert child.exitcode == 0


@pytest.mark.parametrize("way", ["exitcode", "active_children", "start", "close"])
def test_the_status_of_a_fork_servers_child_is_its_parents(way: str) -> None:
    """It can be read once."""
    ctx = forkful.get_context("forkserver")
    child = ctx.Process(target=deeds.exit_hard, args=(7,))
    child.start()
    assert connection.wait([child.sentinel], LONG)

    def look() -> object:
        if way == "start":
            other = ctx.Process(target=deeds.square, args=(3,))
            other.start()
            return other.result(LONG)
        if way == "close":
            with pytest.raises(ValueError, match="still running"):
                child.close()
            return None
        return child.exitcode if way == "exitcode" else len(active_children())

    assert in_fork(look) == {"exitcode": None, "active_children": 0, "start": 9, "close": None}[way]
    child.join(LONG)
    assert child.exitcode == 7
    child.close()


@pytest.mark.parametrize("how", ["exit", "raise", "return"])
def test_a_process_that_a_target_has_forked_reports_nothing(ctx: Any, how: str) -> None:
    """As with the standard library it ends where it comes out of the target; the result is the child's."""
    child = ctx.Process(target=deeds.fork_and_come_out, args=(how,))
    child.start()
    assert child.result(LONG) == {"exit": 3, "raise": 1, "return": 0}[how]
    child.close()


@pytest.mark.parametrize("which", ["fork server", "resource tracker"])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_starts_where_a_thread_of_its_parent_held_a_lock(method: str, which: str) -> None:
    ctx = forkful.get_context(method)
    with running(ctx, deeds.square, 2):
        pass
    tracker: Any = resource_tracker._resource_tracker  # type: ignore[attr-defined]
    lock = forkserver.server._lock if which == "fork server" else tracker._lock  # type: ignore[attr-defined]

    def start() -> object:
        child = ctx.Process(target=deeds.square, args=(3,))
        child.start()
        return child.result(LONG)

    with held_by_a_thread(lock):
        assert in_fork(start) == 9


@pytest.mark.parametrize("who", ["fork", "forkserver"])
def test_where_a_fork_server_has_died_who_has_inherited_it_starts_another(who: str) -> None:
    ctx = forkful.get_context("forkserver")
    with running(ctx, deeds.square, 2):
        pass
    go, results = ctx.Event(), ctx.Queue()
    child = forkful.get_context(who).Process(target=deeds.start_after, args=(go, ctx, results))
    child.start()
    until_blocked(child.pid)
    os.kill(forkserver.server._forkserver_pid, signal.SIGKILL)
    until(forkserver.server._has_ended)
    go.set()
    assert results.get(True, LONG) == 9
    until(lambda: is_gone(child.pid))  # its status may have been lost with its server
    child.join(LONG)
    child.close()


def test_the_end_of_a_fork_server_shows_though_a_process_was_forked_amid_a_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That one has none of the descriptors whose ends others wait for."""
    ctx = forkful.get_context("forkserver")
    with running(ctx, deeds.square, 2):
        pass
    event = ctx.Event()
    forked: list[Any] = []
    sendfds = reduction.sendfds

    def fork_first(*args: Any) -> None:
        if not forked:
            forked.append(forkful.get_context("fork").Process(target=event.wait))
            forked[0].start()
        sendfds(*args)

    monkeypatch.setattr(reduction, "sendfds", fork_first)
    child = ctx.Process(target=event.wait)
    child.start()
    pid = forkserver.server._forkserver_pid
    os.kill(pid, signal.SIGKILL)
    child.join(LONG)
    assert child.exitcode == 255, "its status was lost with its server"
    event.set()
    forked[0].join(LONG)
    assert forked[0].exitcode == 0
    for process in (child, *forked):
        process.close()


def test_a_child_by_spawn_that_dies_at_once_though_a_process_was_forked_amid_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it is to do cannot be written: nobody else has the other end."""
    ctx = forkful.get_context("spawn")
    resource_tracker.ensure_running()
    event = ctx.Event()
    forked: list[Any] = []
    spawnv_passfds = util.spawnv_passfds

    def spawn_and_kill(*args: Any) -> int:
        forked.append(forkful.get_context("fork").Process(target=event.wait))
        forked[0].start()
        pid: int = spawnv_passfds(*args)
        os.kill(pid, signal.SIGKILL)
        return pid

    monkeypatch.setattr(util, "spawnv_passfds", spawn_and_kill)
    child = ctx.Process(target=deeds.size_of, args=(bytes(1 << 20),))
    child.start()
    child.join(LONG)
    assert child.exitcode == -signal.SIGKILL
    event.set()
    forked[0].join(LONG)
    for process in (child, *forked):
        process.close()


@pytest.mark.parametrize("who", ["Process", "os.fork"])
def test_what_a_thread_of_the_parent_was_importing_is_imported_anew(
    fork: Any, who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()
    name = f"slow_{who.replace('.', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(f"from {name} import part\n")
    (tmp_path / name / "part.py").write_text(
        f"import {__name__} as test\ntest.pauses[{name!r}][0].set()\n"
        f"test.pauses[{name!r}][1].wait()\nX = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(pauses, name, (begun, go))
    with running(fork, deeds.square, 2):
        pass
    thread = threading.Thread(target=importlib.import_module, args=(name,))
    thread.start()
    assert begun.wait(LONG)

    def use() -> object:
        go.set()
        return importlib.import_module(name).part.X

    if who == "os.fork":
        assert in_fork(use) == 3
    else:
        child = fork.Process(target=use)
        child.start()
        assert child.result(LONG) == 3
        child.close()
    assert not go.is_set()
    go.set()
    thread.join()
    assert importlib.import_module(name).part.X == 3
    for module in (name, f"{name}.part"):
        del sys.modules[module]


def have_it_imported(name: str) -> None:
    """By a process that another thread than the importing one forks."""
    child = forkful.get_context("fork").Process(target=lambda: importlib.import_module(name).X)
    child.start()
    assert child.result(LONG) == 3
    child.close()


def test_a_module_that_forks_in_its_body_is_made_anew_once(
    fork: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in each process that it forks then: there would be no end of them."""
    name, bodies = "forking_module", tmp_path / "bodies"
    (tmp_path / f"{name}.py").write_text(
        textwrap.dedent(f"""
        import pathlib, threading, {__name__} as test
        X, bodies = 3, pathlib.Path({str(bodies)!r})
        with bodies.open("a") as file:
            file.write("x")
        if bodies.stat().st_size < 5:
            thread = threading.Thread(target=test.have_it_imported, args=(__name__,))
            thread.start()
            thread.join()
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module(name)
    del sys.modules[name]
    assert bodies.read_text() == "xx"


# ---- locks ---------------------------------------------------------------------------------------


GUARDS = pytest.mark.parametrize("noun", ["Lock", "RLock", "Condition", "Value", "Semaphore"])


def guard(ctx: Any, noun: str) -> Any:
    return ctx.Value("i", 0) if noun == "Value" else getattr(ctx, noun)()


def is_free(guard: Any) -> bool:
    """Whether another process could take it."""

    def take() -> bool:
        taken: bool = getattr(guard, "get_lock", lambda: guard)().acquire(False)
        if taken:
            getattr(guard, "get_lock", lambda: guard)().release()
        return taken

    return bool(in_fork(take))


@GUARDS
@pytest.mark.parametrize("way", ["exception", "end"])
def test_a_process_that_was_forked_in_a_with_block_leaves_it_to_its_parent(
    fork: Any, noun: str, way: str
) -> None:
    """With the standard library it releases what its parent holds, and two are inside."""
    held = guard(fork, noun)
    with held:

        def come_out() -> str:
            try:
                if way == "exception":
                    held.__exit__(SystemExit, SystemExit(), None)
                else:
                    held.__exit__(None, None, None)
            except Exception as e:
                return repr(e)
            return "out"

        assert in_fork(come_out) == "out"
        assert not is_free(held)
    assert is_free(held)
    if noun == "Semaphore":
        assert held.get_value() == 1


@GUARDS
def test_what_passes_through_an_inherited_with_block_is_what_was_raised(
    fork: Any, noun: str
) -> None:
    """Also when its parent has come out before, and there is nothing to release."""
    held, left = guard(fork, noun), fork.Event()

    def come_out() -> str:
        left.wait()
        try:
            held.__exit__(KeyError, KeyError(), None)
        except Exception as e:
            return repr(e)
        return "out"

    child = fork.Process(target=come_out)
    with held:
        child.start()
    left.set()
    assert child.result(LONG) == "out"
    child.close()
    assert is_free(held)


@pytest.mark.parametrize("noun", ["Lock", "RLock"])
def test_a_with_block_of_ones_own_that_has_lost_its_lock_ends_as_ever(fork: Any, noun: str) -> None:
    """It was released too early, and is another process's: no inherited block, but a mistake."""
    lock, taken, go = getattr(fork, noun)(), fork.Event(), fork.Event()

    def take() -> None:
        lock.acquire()
        taken.set()
        go.wait()

    lock.acquire()
    lock.release()
    other = fork.Process(target=take)
    other.start()
    assert taken.wait(LONG)
    if noun == "RLock":
        with pytest.raises(AssertionError):
            lock.__exit__(None, None, None)
    else:
        lock.__exit__(None, None, None)
        assert is_free(lock)
    go.set()
    other.join()
    other.close()


def test_a_lock_that_a_thread_of_the_parent_holds_is_waited_for(fork: Any) -> None:
    for noun in ("Lock", "RLock", "Semaphore", "Condition"):
        lock = guard(fork, noun)
        with held_by_a_thread(lock):
            assert in_fork(lambda lock=lock: (lock.acquire(False), lock.acquire(True, 0.01))) == (
                False,
                False,
            )
        assert is_free(lock)


# ---- descriptors ---------------------------------------------------------------------------------


def test_a_descriptor_that_a_forked_process_sends_is_its_own(fork: Any) -> None:
    """They are taken at an address, by number. A process that has its parent's would be asked there for others."""
    queue, theirs = fork.Queue(), fork.Queue()
    ours, sent = fork.Pipe()
    queue.put(sent)
    first = queue.get()  # since then there is an address
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            near, far = fork.Pipe()
            theirs.put(far)
            near.send("from the forked process")
            code = int(near.poll(LONG) and near.recv() != "from its parent")
        finally:
            os._exit(code)
    queue.put(ours)  # of the number that the forked process's has
    got = theirs.get(True, LONG)
    assert got.recv() == "from the forked process"
    got.send("from its parent")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    second = queue.get(True, LONG)
    second.send("here")
    assert first.recv() == "here"
    resource_sharer.stop()
    for end in (ours, sent, first, second, got):
        end.close()


# ---- managers ------------------------------------------------------------------------------------


def test_a_forked_process_asks_a_manager_by_a_connection_of_its_own(fork: Any) -> None:
    """By its parent's one gets what the other is answered."""
    with fork.Manager() as manager:
        queue, barrier = manager.Queue(), manager.Barrier(2)
        queue.put(3)  # this thread has a connection now
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                barrier.wait(LONG)
                code = queue.get(True, LONG)
            finally:
                os._exit(code)
        until(lambda: barrier.n_waiting == 1)
        assert queue.qsize() == 1
        barrier.wait(LONG)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        assert queue.empty()


def test_a_proxy_is_made_where_a_thread_of_the_parent_held_their_lock(fork: Any) -> None:
    from multiprocessing.managers import BaseProxy

    def make() -> object:
        queue = manager.Queue()
        queue.put(3)
        return queue.get()

    with fork.Manager() as manager, held_by_a_thread(BaseProxy._mutex):  # type: ignore[attr-defined]
        assert in_fork(make) == 3


# ---- servers -------------------------------------------------------------------------------------


@BOTH_SERVERS
@pytest.mark.parametrize("how", ["exit", "raise", "return"])
def test_a_process_that_a_handler_has_forked_serves_nobody(
    kind: str, how: str, tmp_path: Path
) -> None:
    """It ends where it comes out of the handler, and does not end the connection."""
    options = {"workers": 1} if kind == "Server" else {}
    with serving(tmp_path, kind, "fork", **options) as server:
        client = server.client()
        pid = client.ask("pid")
        assert client.ask(f"unwind {how}") == {"exit": "3", "raise": "1", "return": "0"}[how]
        assert client.ask("pid") == pid
        client.close()
        until(lambda: len(server.pids()) == len(options))
        if options:
            assert server.ask("pid") == pid
        assert ("KeyError: 'forked'" in server.log()) == (how == "raise")
