"""Process: as the standard library's, and what came of it can be known."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable
from multiprocessing import active_children, connection, current_process, parent_process
from multiprocessing import process as process_module
from pathlib import Path
from typing import Any

import pytest

import forkful
from forkful.launch import forkserver
from tests.contract.children import LONG, is_gone, until, used
from tests.programs import deeds


def ended(process: Any) -> Any:
    process.join(LONG)
    assert not process.is_alive()
    return process


def started(ctx: Any, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    process = ctx.Process(target=target, args=args, **kwargs)
    process.start()
    return process


# ---- the end of an interpreter ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["function", "bound"])
def test_what_a_module_has_open_is_written_at_the_end_of_a_spawned_child(
    how: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "left")
    target = (
        deeds.leave_a_file_open if how == "function" else deeds.Caller(deeds.leave_a_file_open).call
    )
    process = started(forkful.get_context("spawn"), target, path)
    process.join()
    assert process.exitcode == 0
    assert Path(path).read_text() == "written"
    process.close()


# ---- the start ----------------------------------------------------------------------------------


def test_a_lambda_and_a_closure_are_targets_under_each_start_method(ctx: Any) -> None:
    def outer(n: int) -> Callable[[int], int]:
        def inner(m: int) -> int:
            return n + m

        return inner

    first, second = started(ctx, lambda n: n * 2, 21), started(ctx, outer(1), 2)
    assert (first.result(LONG), second.result(LONG)) == (42, 3)


def test_what_cannot_be_pickled_is_named_and_leaves_nothing(ctx: Any) -> None:
    lock = threading.Lock()
    if ctx.get_start_method() == "fork":
        assert ended(started(ctx, deeds.square, 3)).exitcode == 0
        return
    with pytest.raises(
        TypeError, match=r"cannot pickle '_thread.lock' object: at process._args\[0\]"
    ):
        started(ctx, deeds.square, lock)
    assert active_children() == []


def children_known() -> set[Any]:
    """Those that were started and not joined; `active_children` would join those that have ended."""
    known: set[Any] = process_module._children  # type: ignore[attr-defined]
    return known


def await_end(process: Any) -> None:
    """Wait until it has ended and, of a fork server's, its status is here; and do not take it."""
    until(lambda: is_gone(process.pid))
    assert connection.wait([process.sentinel], LONG)


def test_a_start_joins_the_children_that_have_ended(ctx: Any) -> None:
    """As documented; also beside a child of somebody else's whose status nobody has taken."""
    gate = ctx.Event()
    lasting, first = started(ctx, gate.wait), started(ctx, deeds.square, 3)
    await_end(first)
    second = started(ctx, deeds.square, 3)
    assert first._popen.returncode == 0
    assert lasting._popen.returncode is None
    other = subprocess.Popen(["true"])
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    await_end(second)
    third = started(ctx, deeds.square, 3)
    assert second._popen.returncode == 0
    assert other.wait() == 0
    gate.set()
    for child in (lasting, first, second, third):
        assert ended(child).exitcode == 0


def test_a_start_joins_those_that_the_kernel_has_forgotten(ctx: Any) -> None:
    """With SIGCHLD ignored it keeps no status: of children beside a living one, and of the last."""
    gate = ctx.Event()
    started(ctx, int).join()  # a fork server has its children's statuses, whatever is ignored here
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        lasting, first = started(ctx, gate.wait), started(ctx, deeds.square, 3)
        await_end(first)
        second = started(ctx, deeds.square, 3)
        assert first not in children_known()
        assert lasting in children_known()
        gate.set()
        await_end(lasting)
        await_end(second)
        third = started(ctx, deeds.square, 3)
        assert {lasting, second}.isdisjoint(children_known())
        third.join()
    finally:
        signal.signal(signal.SIGCHLD, before)


def joins_the_last(fork: Any) -> bool:
    first = started(fork, deeds.square, 3)
    os.waitpid(first.pid, 0)
    started(fork, deeds.square, 3)
    return first not in children_known()


def test_a_start_joins_the_last_for_which_somebody_else_has_waited(fork: Any) -> None:
    """In a process of its own, which has no fork server for a child."""
    assert started(fork, joins_the_last, fork).result(LONG)


def test_a_fork_server_outlives_who_ends_before_it_asks() -> None:
    ctx = forkful.get_context("forkserver")
    gate = ctx.Event()
    child = started(ctx, gate.wait)
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(forkserver.server._forkserver_address)
    assert started(ctx, deeds.square, 3).result(LONG) == 9
    gate.set()
    child.join(LONG)
    assert child.exitcode == 0, "its status was lost with its server"


@pytest.mark.parametrize("left", range(12))
def test_a_start_for_which_descriptors_are_missing_leaves_none(ctx: Any, left: int) -> None:
    """However many there are: what it has made until the first is missing is given back."""
    started(ctx, int).join()  # a fork server and the resource tracker run
    gate = ctx.Event()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = set(os.listdir("/proc/self/fd"))
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + 1 + left, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for fd in taken[len(taken) - left :]:
            os.close(fd)
        del taken[len(taken) - left :]
        child = ctx.Process(target=gate.wait)
        failed = None
        try:
            child.start()
        except OSError as error:
            failed = error.errno
        if failed is None:
            gate.set()
            child.join()
            child.close()
        else:
            assert failed == errno.EMFILE
            assert child not in active_children()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    del child
    assert len(os.listdir("/proc/self/fd")) == len(before)


# ---- the standard library's interface ----------------------------------------------------------


def test_before_the_start(ctx: Any) -> None:
    process = ctx.Process(target=deeds.square, args=(3,), name="Bob")
    assert (process.name, process.pid, process.exitcode) == ("Bob", None, None)
    assert process.daemon is current_process().daemon
    assert not process.is_alive()
    assert "initial" in repr(process)


def test_a_function(ctx: Any) -> None:
    queue = ctx.SimpleQueue()
    process = started(ctx, deeds.tell_names, queue, name="Bob", daemon=True)
    assert queue.get() == ("Bob", True, process.pid, os.getpid(), True)
    ended(process)
    assert process.exitcode == 0
    assert "stopped" in repr(process)


def test_a_child_ends_with_its_hooks_as_this_python_has_it(either: Any, tmp_path: Path) -> None:
    method = either.get_start_method()
    ended(started(either, deeds.end_with_hooks, str(tmp_path))).close()
    by_atexit = sys.version_info >= (3, 13) or method == "spawn"
    assert {p.name for p in tmp_path.iterdir()} == {"finalizer"} | (
        {"atexit"} if by_atexit else set()
    )


def test_keyword_arguments(ctx: Any) -> None:
    process = ctx.Process(target=deeds.add, args=(1,), kwargs={"y": 2})
    process.start()
    assert process.result(LONG) == 3


class Subclass(forkful.Process):
    def __init__(self, number: int, name: str) -> None:
        super().__init__(name=name)
        self.number = number

    def run(self) -> Any:
        return self.number, self.name, current_process() is self


def test_a_subclass_of_the_default_process() -> None:
    process = Subclass(7, name="Sue")
    process.start()
    assert process.result(LONG) == (7, "Sue", True)


class ForkRun(forkful.get_context("fork").Process):  # type: ignore[misc]
    def run(self) -> Any:
        return type(self).__name__


class SpawnRun(forkful.get_context("spawn").Process):  # type: ignore[misc]
    run = ForkRun.run


class ForkServerRun(forkful.get_context("forkserver").Process):  # type: ignore[misc]
    run = ForkRun.run


@pytest.mark.parametrize("cls", [ForkRun, SpawnRun, ForkServerRun])
def test_a_subclass_with_its_own_run(cls: Any) -> None:
    process = cls()
    process.start()
    assert process.result(LONG) == cls.__name__
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("target", "args", "code"),
    [
        (deeds.square, (2,), 0),
        (deeds.explode, (), 1),
        (deeds.sys_exit, (None,), 0),
        (deeds.sys_exit, (0,), 0),
        (deeds.sys_exit, (5,), 5),
        (deeds.sys_exit, ("words",), 1),
        (deeds.exit_hard, (6,), 6),
        (deeds.kill_self, (), -signal.SIGKILL),
    ],
)
def test_exit_codes(ctx: Any, target: Any, args: Any, code: int) -> None:
    assert ended(started(ctx, target, *args)).exitcode == code


def test_join_with_a_timeout_and_is_alive(ctx: Any, tmp_path: Path) -> None:
    process = started(ctx, deeds.wait_for_file, str(tmp_path / "go"))
    process.join(0)
    process.join(0.01)
    process.join(-1)
    assert process.is_alive()
    assert process.exitcode is None
    with pytest.raises(forkful.TimeoutError, match="still running"):
        process.result(0)
    (tmp_path / "go").touch()
    ended(process)
    process.join()


def test_only_the_parent_may_join() -> None:
    process = forkful.get_context("fork").Process(target=deeds.square, args=(1,))
    with pytest.raises(AssertionError):
        process.join()
    process.start()
    with pytest.raises(AssertionError):
        process.start()
    ended(process)


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_terminate_and_kill(ctx: Any, tmp_path: Path, how: str) -> None:
    process = started(ctx, deeds.sleep_long, str(tmp_path / "there"))
    deeds.wait_for_file(str(tmp_path / "there"))
    getattr(process, how)()
    signum = signal.SIGTERM if how == "terminate" else signal.SIGKILL
    assert ended(process).exitcode == -signum
    getattr(process, how)()  # does no harm afterwards
    with pytest.raises(forkful.WorkerDied) as caught:
        process.result()
    assert caught.value.signal == signum
    assert caught.value.pid == process.pid
    assert signum.name in str(caught.value)
    assert process.name in str(caught.value)


def test_interrupt(ctx: Any, tmp_path: Path) -> None:
    process = started(ctx, deeds.sleep_long, str(tmp_path / "there"))
    deeds.wait_for_file(str(tmp_path / "there"))
    process.interrupt()
    ended(process)
    assert isinstance(process.exception(), KeyboardInterrupt)


def test_the_end_of_a_child_whose_status_is_lost_is_noticed(ctx: Any) -> None:
    """With SIGCHLD ignored the kernel keeps none. What the report says is known all the same."""
    parent = started(ctx, deeds.have_children_whose_status_is_lost, ctx)
    *processes, pool, left = parent.result(LONG)
    errors = [error for _, _, error in processes]
    codes = [code for code, _, _ in processes]
    server = ctx.get_start_method() == "forkserver"  # which knows the status
    assert codes == [0, 0, 3, 1, -signal.SIGKILL if server else 255]
    assert not any(alive for _, alive, _ in processes)
    assert errors[:2] == ["None", "None"]
    assert errors[3] == "ValueError('boom')"
    assert errors[4].startswith("WorkerDied(")
    assert "was killed by SIGKILL" in errors[4] if server else "taken by somebody else" in errors[4]
    assert pool == (False, 16)
    assert left == 0


def test_a_child_for_which_somebody_else_has_waited_has_ended(fork: Any) -> None:
    child = fork.Process(target=deeds.square, args=(5,))
    child.start()
    os.waitpid(child.pid, 0)
    child.join()
    assert (child.exitcode, child.result(), child.is_alive()) == (0, 25, False)


@pytest.mark.parametrize("first", ["the handler", "who is interrupted"])
def test_a_handler_that_asks_for_the_status_amid_the_same_question_spoils_none(
    fork: Any, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of SIGCHLD does that starts the next child: a start joins those that have ended."""
    child = fork.Process(target=os._exit, args=(3,))
    child.start()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    def interrupted(pid: int, flags: int) -> tuple[int, int]:
        monkeypatch.undo()
        if first == "the handler":
            child._popen.poll()
            return os.waitpid(pid, flags)
        status = os.waitpid(pid, flags)
        child._popen.poll()
        return status

    monkeypatch.setattr(os, "waitpid", interrupted)
    assert child._popen.poll() == child.exitcode == 3
    assert not child._popen.status_lost
    child.close()


def test_close(ctx: Any, tmp_path: Path) -> None:
    process = started(ctx, deeds.wait_for_file, str(tmp_path / "go"))
    with pytest.raises(ValueError, match="still running"):
        process.close()
    (tmp_path / "go").touch()
    ended(process)
    process.close()
    process.close()
    for use in (process.is_alive, process.join, process.terminate, process.kill, process.interrupt):
        with pytest.raises(ValueError, match="closed"):
            use()
    with pytest.raises(ValueError, match="closed"):
        process.exitcode  # noqa: B018 - the property raises


def test_the_sentinel_tells_the_end(ctx: Any, tmp_path: Path) -> None:
    process = started(ctx, deeds.wait_for_file, str(tmp_path / "go"))
    assert connection.wait([process.sentinel], 0.05) == []
    (tmp_path / "go").touch()
    assert connection.wait([process.sentinel], LONG) == [process.sentinel]
    ended(process)


def test_the_sentinel_is_not_kept_open_by_later_children(ctx: Any, tmp_path: Path) -> None:
    first = started(ctx, deeds.sleep_long, str(tmp_path / "first"))
    second = started(ctx, deeds.sleep_long, str(tmp_path / "second"))
    deeds.wait_for_file(str(tmp_path / "second"))
    first.kill()
    assert connection.wait([first.sentinel], LONG) == [first.sentinel]
    second.kill()
    ended(first), ended(second)


def test_active_children(ctx: Any, tmp_path: Path) -> None:
    process = started(ctx, deeds.wait_for_file, str(tmp_path / "go"))
    assert process in active_children()
    assert process in forkful.active_children()
    (tmp_path / "go").touch()
    ended(process)
    assert process not in active_children()


def test_the_parent_of_the_main_process() -> None:
    assert parent_process() is None
    assert forkful.current_process() is current_process()


def test_many_at_once(ctx: Any) -> None:
    processes = [started(ctx, deeds.square, x) for x in range(8)]
    assert [p.result(LONG) for p in processes] == [x * x for x in range(8)]


def test_a_child_starts_a_child(start_method: str, ctx: Any) -> None:
    assert started(ctx, deeds.nested_process, start_method, 5).result(LONG) == 25


# ---- what came of it ---------------------------------------------------------------------------


def test_the_result(ctx: Any) -> None:
    process = started(ctx, deeds.square, 4)
    assert process.result(LONG) == 16
    assert process.result() == 16
    assert process.exception() is None


def test_an_exception_has_its_traceback(ctx: Any, capfd: pytest.CaptureFixture[str]) -> None:
    process = started(ctx, deeds.outer, 4)
    ended(process)
    error = process.exception()
    assert type(error) is KeyError
    frames = traceback.extract_tb(error.__traceback__)
    names = [(Path(f.filename).name, f.name) for f in frames]
    assert names[-2:] == [("deeds.py", "outer"), ("deeds.py", "inner")]
    assert "raise KeyError" in (frames[-1].line or "")
    with pytest.raises(KeyError, match="from the depth 4"):
        process.result()
    assert process.exitcode == 1
    if ctx.get_start_method() != "forkserver":  # whose stderr is what it was when it started
        assert "KeyError: 'from the depth 4'" in capfd.readouterr().err  # also printed, as usual


def test_raising_the_same_exception_twice_shows_the_frames_once(ctx: Any) -> None:
    process = started(ctx, deeds.outer, 4)
    depths = []
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            process.result(LONG)
        depths.append(
            [f.name for f in traceback.extract_tb(caught.value.__traceback__)].count("inner")
        )
    assert depths == [1, 1, 1]


@pytest.mark.parametrize(
    ("raises", "kind", "text"),
    [
        (deeds.raise_awkward, deeds.Awkward, "cat has 9"),
        (deeds.raise_unpicklable, deeds.Unpicklable, "holds a lock"),
        (deeds.raise_base, deeds.OwnBase, "not an Exception"),
    ],
)
def test_exceptions_that_travel_badly(ctx: Any, raises: Any, kind: Any, text: str) -> None:
    error = ended(started(ctx, raises)).exception()
    assert type(error) is kind
    assert str(error) == text


def test_sys_exit_with_success_is_no_failure(ctx: Any) -> None:
    process = ended(started(ctx, deeds.sys_exit, 0))
    assert process.exception() is None
    assert process.result() is None


@pytest.mark.parametrize(("target", "code"), [(deeds.sys_exit, 3), (deeds.exit_hard, 3)])
def test_an_exit_status_is_a_death(ctx: Any, target: Any, code: int) -> None:
    process = ended(started(ctx, target, code))
    error = process.exception()
    assert isinstance(error, forkful.WorkerDied)
    assert (error.exitcode, error.signal, error.pid) == (3, None, process.pid)
    assert "status 3" in str(error)
    with pytest.raises(forkful.WorkerDied):
        process.result()


def test_os_exit_with_success_before_the_end_has_no_result(ctx: Any) -> None:
    process = ended(started(ctx, deeds.exit_hard, 0))
    assert process.exitcode == 0
    assert process.result() is None


@pytest.mark.parametrize(
    ("target", "signum"), [(deeds.kill_self, signal.SIGKILL), (deeds.segfault, signal.SIGSEGV)]
)
def test_a_signal_is_a_death(ctx: Any, target: Any, signum: signal.Signals) -> None:
    error = ended(started(ctx, target)).exception()
    assert isinstance(error, forkful.WorkerDied)
    assert error.signal == signum
    assert signum.name in str(error)


def test_a_result_that_does_not_pickle(ctx: Any) -> None:
    process = ended(started(ctx, deeds.return_lock))
    assert process.exitcode == 0  # who does not ask for the result is not bothered
    with pytest.raises(TypeError, match="lock"):
        process.result()


def test_a_result_that_does_not_unpickle(ctx: Any) -> None:
    process = ended(started(ctx, deeds.return_not_unpickling))
    for _ in range(2):
        with pytest.raises(ValueError, match="does not unpickle") as caught:
            process.result()
    assert process.name in "".join(caught.value.__notes__)


def test_a_large_result_is_read_after_the_join(ctx: Any) -> None:
    size = 50 << 20
    process = ended(started(ctx, deeds.big, size))
    assert process.exitcode == 0
    assert process.result() == b"x" * size


def test_a_large_array_comes_whole_and_is_the_askers_own(ctx: Any) -> None:
    process = ended(started(ctx, deeds.ones, 1 << 20))
    before = used()
    array = process.result()
    assert (array.sum(), array.flags.writeable) == (1 << 20, True)
    array[0] = 2
    assert process.result() is array
    del process
    assert (array[0], array.sum()) == (2, (1 << 20) + 1)
    del array
    assert used() < before - (8 << 20)


# ---- ends --------------------------------------------------------------------------------------


def test_terminate_with_the_tree(ctx: Any, tmp_path: Path) -> None:
    process = started(ctx, deeds.start_a_child_and_wait, ctx, str(tmp_path))
    deeds.wait_for_file(str(tmp_path / "child"))
    below = int((tmp_path / "grandchild.pid").read_text())
    process.terminate(tree=True)
    ended(process)
    until(lambda: is_gone(below))


@pytest.mark.limit(90)
def test_what_was_printed_survives_terminate(start_method: str, tmp_path: Path) -> None:
    text = program(
        f"""
        import forkful, tests.programs.deeds as deeds
        if __name__ == "__main__":
            ctx = forkful.get_context({start_method!r})
            p = ctx.Process(target=deeds.print_and_wait, args=({str(tmp_path / "there")!r}, "words\\n"))
            p.start()
            deeds.wait_for_file({str(tmp_path / "there")!r})
            p.terminate()
            p.join()
            q = ctx.Process(target=deeds.print_and_return, args=("and more",))
            q.start()
            q.join()
        """,
        tmp_path,
    )
    assert run(text).stdout == "words\nand more"


def test_terminate_ends_what_is_stuck_in_native_code(ctx: Any, tmp_path: Path) -> None:
    process = started(ctx, deeds.sleep_in_c, str(tmp_path / "there"))
    deeds.wait_for_file(str(tmp_path / "there"))
    process.terminate()
    assert ended(process).exitcode == -signal.SIGTERM


# ---- the parent's death ------------------------------------------------------------------------


def program(text: str, tmp_path: Path) -> Path:
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(text))
    return file


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return env | {"PYTHONPATH": os.getcwd()}


def run(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(file)], env=environment(), capture_output=True, text=True, timeout=LONG
    )


BARE = """
    import sys
    sys.path[:0] = {path!r}
    import forkful

    def square(x):
        return x * x

    if __name__ == "__main__":
        ctx = forkful.get_context(sys.argv[1])
        with ctx.Pool(1) as pool:
            print(pool.map(square, [1, 2, 3]))
"""


def test_children_find_forkful_where_their_parent_found_it(
    start_method: str, tmp_path: Path
) -> None:
    file = program(BARE.format(path=[p for p in sys.path if p]), tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(file), start_method],
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[1, 4, 9]\n", "", 0)


PARENT = """
    import forkful, os, sys, threading, time
    import tests.programs.deeds as deeds

    def main():
        ctx = forkful.get_context({method!r})
        p = ctx.Process(target=deeds.{deed}, args=({arrived!r},), daemon=True)
        def start():
            p.start()
        if {thread}:
            t = threading.Thread(target=start)
            t.start()
            t.join()
        else:
            start()
        deeds.wait_for_file({arrived!r})
        print(p.pid, flush=True)
        time.sleep(1000)

    if __name__ == "__main__":
        main()
"""


@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "other thread"])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("deed", ["sleep_long", "sleep_in_c"])
def test_a_daemonic_child_ends_with_its_parent(
    start_method: str, tmp_path: Path, signum: int, thread: bool, deed: str
) -> None:
    text = PARENT.format(
        method=start_method, deed=deed, thread=thread, arrived=str(tmp_path / "there")
    )
    parent = subprocess.Popen(
        [sys.executable, str(program(text, tmp_path))], env=environment(), stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not is_gone(child)
        parent.send_signal(signum)
        parent.wait(LONG)
        until(lambda: is_gone(child))
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout:
            parent.stdout.close()


# ---- the main module in a child ------------------------------------------------------------------


def test_a_program_may_import_modules_beside_it(start_method: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def answer(x): return x + 1")
    text = f"""
        import forkful
        from beside import answer

        def twice(x):
            return answer(x) * 2

        if __name__ == "__main__":
            with forkful.get_context({start_method!r}).Pool(1) as pool:
                print(pool.map(twice, range(3)))
    """
    done = run(program(text, tmp_path))
    assert (done.stdout, done.stderr) == ("[2, 4, 6]\n", "")


def test_a_child_has_the_directory_arguments_and_path_that_its_parent_has_now(
    start_method: str, tmp_path: Path
) -> None:
    """A fork server was prepared with those of its first client's."""
    text = f"""
        import forkful, os, sys

        def tell():
            return os.getcwd(), sys.argv[1:], sys.path[0], bytes(forkful.current_process().authkey)

        def told(ctx):
            child = ctx.Process(target=tell)
            child.start()
            return child.result()

        if __name__ == "__main__":
            ctx = forkful.get_context({start_method!r})
            assert told(ctx) == tell()
            os.chdir({str(tmp_path)!r})
            assert told(ctx) == tell()
            sys.argv.append("more")
            assert told(ctx) == tell()
            sys.path.insert(0, "/nowhere")
            assert told(ctx) == tell()
            forkful.current_process().authkey = b"new"
            assert told(ctx) == tell()
            print("told")
    """
    done = run(program(text, tmp_path))
    assert (done.stdout, done.stderr) == ("told\n", "")


def test_a_fork_server_has_the_main_module_that_is_run_by_its_name(tmp_path: Path) -> None:
    """`python -m`: imported by the server, once, and by no child."""
    (tmp_path / "byname.py").write_text(
        textwrap.dedent(
            f"""
            import forkful
            with open({str(tmp_path / "runs")!r}, "a") as f:
                f.write(".")

            def work():
                return __name__

            if __name__ == "__main__":
                ctx = forkful.get_context("forkserver")
                children = [ctx.Process(target=work) for _ in range(3)]
                for child in children:
                    child.start()
                print([child.result() for child in children])
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "byname"], cwd=tmp_path, capture_output=True, text=True, timeout=LONG
    )
    assert (done.stdout, done.stderr) == (f"{['__mp_main__'] * 3}\n", "")
    assert (tmp_path / "runs").read_text() == ".."


def test_a_main_module_that_fails_in_the_child_is_told_by_the_child(tmp_path: Path) -> None:
    """The fork server, which would import it once for all, goes on."""
    text = """
        import forkful
        if __name__ != "__main__":
            raise OSError("not here")
        ctx = forkful.get_context("forkserver")
        children = [ctx.Process(target=int) for _ in range(2)]
        for p in children:
            p.start()
            p.join()
        print([p.exitcode for p in children])
    """
    done = run(program(text, tmp_path))
    assert done.stdout == "[1, 1]\n"
    assert done.stderr.count("OSError: not here") == 2


# ---- a program without a main guard ------------------------------------------------------------


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize(
    "statement",
    [
        "p = ctx.Process(target=print, args=(1,)); p.start(); p.join(); sys.exit(p.exitcode)",
        "ctx.Pool(2).map(abs, range(3))",
    ],
    ids=["Process", "Pool"],
)
@pytest.mark.limit(90)
def test_no_main_guard_is_one_clear_error(method: str, statement: str, tmp_path: Path) -> None:
    log = tmp_path / "runs"
    text = f"""
        import forkful, os, sys
        with open({str(log)!r}, "a") as f:
            f.write(".")
        ctx = forkful.get_context({method!r})
        {statement}
    """
    done = run(program(text, tmp_path))
    assert done.returncode != 0
    assert "__main__" in done.stderr
    starts = 1 if "Process" in statement else 6  # a pool gives up after a few workers
    starts += method == "forkserver"  # the server tries as well
    assert len(log.read_text()) <= 1 + starts  # the parent, the first generation: no second one


def test_threads_start_processes_at_once(ctx: Any) -> None:
    results: list[int] = []

    def start(x: int) -> None:
        results.append(started(ctx, deeds.square, x).result(LONG))

    threads = [threading.Thread(target=start, args=(x,)) for x in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(LONG)
    assert sorted(results) == [0, 1, 4, 9, 16, 25]


# ---- children of daemons -----------------------------------------------------------------------


def start_a_child(ctx: Any) -> None:
    child = ctx.Process(target=int)
    child.start()
    child.join()


def test_a_daemonic_process_may_have_no_children(ctx: Any) -> None:
    """A pool's worker may: see test_pool.py."""
    p = ctx.Process(target=start_a_child, args=(ctx,), daemon=True)
    p.start()
    with pytest.raises(AssertionError, match="not allowed to have children"):
        p.result(LONG)


def test_what_a_worker_starts_may_have_children_too(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        assert pool.apply(start_a_grandchild, (ctx,)) == 0


def start_a_grandchild(ctx: Any) -> int | None:
    child = ctx.Process(target=start_a_child, args=(ctx,))
    child.start()
    child.join()
    code: int | None = child.exitcode
    return code
