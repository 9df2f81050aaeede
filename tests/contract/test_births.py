"""What a child finds when it begins, and how its end is told, where a program does what few do."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from multiprocessing import active_children, connection
from pathlib import Path
from typing import Any

import pytest

import forkful
from forkful import _native
from forkful.launch import forkserver
from tests.contract.children import LONG
from tests.programs import deeds


def run(text: str, folder: Path, *, stdin: str = "", ignore_int: bool = False) -> str:
    """Run a program; what it printed, and nothing else may it have said."""
    file = folder / "program.py"
    file.write_text(textwrap.dedent(text))
    program = [sys.executable, str(file)]
    if ignore_int:
        program = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *program]
    done = subprocess.run(program, input=stdin, capture_output=True, text=True, timeout=LONG)
    assert done.stderr == ""
    return done.stdout


# ---- standard input ------------------------------------------------------------------------------


def test_a_child_has_no_input_and_can_open_its_parents(start_method: str, tmp_path: Path) -> None:
    """`sys.stdin = open(0)` is what debuggers do in a child."""
    text = f"""
        import forkful, os, sys

        def read():
            nothing = sys.stdin.read()
            sys.stdin = open(0)
            return nothing, sys.stdin.read()

        if __name__ == "__main__":
            child = forkful.get_context({start_method!r}).Process(target=read)
            child.start()
            print(child.result())
    """
    assert run(text, tmp_path, stdin="words") == "('', 'words')\n"


def test_descriptor_0_stays_what_it_is(tmp_path: Path) -> None:
    text = """
        import forkful, os

        def look():
            return os.readlink("/proc/self/fd/0")

        if __name__ == "__main__":
            os.dup2(os.open(__file__, os.O_RDONLY), 0)
            child = forkful.get_context("fork").Process(target=look)
            child.start()
            print(child.result() == os.path.realpath(__file__))
    """
    assert run(text, tmp_path) == "True\n"


# ---- the end -------------------------------------------------------------------------------------


@pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="exit functions run after the status is made"
)
def test_a_finalizer_that_fails_after_a_good_run_is_an_error(fork: Any) -> None:
    def work() -> None:
        from multiprocessing import util

        def fail() -> None:
            raise SystemExit("no good end")

        util.Finalize(None, fail, exitpriority=5)

    child = fork.Process(target=work)
    child.start()
    child.join(LONG)
    assert child.exitcode == 1


def test_what_a_tool_has_put_in_the_place_of_the_bootstrap_is_called(tmp_path: Path) -> None:
    """As coverage does, to measure what children do."""
    text = """
        import forkful
        from multiprocessing.process import BaseProcess
        original = BaseProcess._bootstrap

        def measured(self, *args, **kwargs):
            print("begins", flush=True)
            try:
                return original(self, *args, **kwargs)
            finally:
                print("ends", flush=True)

        BaseProcess._bootstrap = measured
        child = forkful.get_context("fork").Process(target=print, args=("works",))
        child.start()
        child.join()
        print(child.exitcode)
    """
    assert run(text, tmp_path) == "begins\nworks\nends\n0\n"


# ---- the tie and the sentinel ----------------------------------------------------------------------


def test_a_parent_that_closes_what_it_does_not_know_has_further_children(tmp_path: Path) -> None:
    text = """
        import forkful, os

        if __name__ == "__main__":
            ctx = forkful.get_context("fork")
            gate = ctx.Event()
            first = ctx.Process(target=gate.wait)
            first.start()
            os.closerange(3, 200)
            files = [os.open(__file__, os.O_RDONLY) for _ in range(20)]  # by the same numbers

            def count():
                return sum(os.path.exists(f"/proc/self/fd/{fd}") for fd in files)

            second = ctx.Process(target=count, daemon=True)
            second.start()
            print(second.result(), all(os.fstat(fd).st_size for fd in files))
            gate.set()
            first.join()
            print(first.exitcode, all(os.fstat(fd).st_size for fd in files))
    """
    assert run(text, tmp_path) == "20 True\n0 True\n"


def test_a_sibling_can_wait_for_the_end_of_a_process(fork: Any) -> None:
    gate = fork.Event()
    first = fork.Process(target=gate.wait)
    first.start()
    waiter = fork.Process(target=lambda: bool(connection.wait([first.sentinel], LONG)))
    waiter.start()
    gate.set()
    first.join(LONG)
    assert waiter.result(LONG) is True


# ---- the fork server -------------------------------------------------------------------------------


def test_a_handler_of_sigint_that_the_main_module_sets_is_its_childrens(tmp_path: Path) -> None:
    text = """
        import forkful, signal

        def handler(*_):
            pass

        signal.signal(signal.SIGINT, handler)

        def look():
            return signal.getsignal(signal.SIGINT) is handler

        if __name__ == "__main__":
            for _ in range(2):
                child = forkful.get_context("forkserver").Process(target=look)
                child.start()
                print(child.result())
    """
    assert run(text, tmp_path) == "True\nTrue\n"


def test_who_ignores_sigint_has_children_that_do(tmp_path: Path) -> None:
    text = """
        import forkful, signal

        def look():
            return signal.getsignal(signal.SIGINT) is signal.SIG_IGN

        if __name__ == "__main__":
            child = forkful.get_context("forkserver").Process(target=look)
            child.start()
            print(child.result())
    """
    assert run(text, tmp_path, ignore_int=True) == "True\n"


def test_a_directory_that_was_made_anew_is_the_childs(tmp_path: Path) -> None:
    """Under the same name: to the server it looks as if nothing had changed."""
    text = f"""
        import forkful, os

        def look():
            return os.stat(".").st_nlink > 0

        if __name__ == "__main__":
            place = {str(tmp_path / "place")!r}
            os.mkdir(place)
            os.chdir(place)
            ctx = forkful.get_context("forkserver")
            for _ in range(2):
                child = ctx.Process(target=look)
                child.start()
                print(child.result())
                os.chdir("/")
                os.rmdir(place)
                os.mkdir(place)
                os.chdir(place)
    """
    assert run(text, tmp_path) == "True\nTrue\n"


@pytest.mark.parametrize(
    "room", range(1, 5)
)  # 6 are enough, and one of the last child may come free
def test_a_request_for_which_there_is_not_room_enough_is_refused(room: int) -> None:
    """The kernel hands over as many descriptors as there is room for."""
    ctx = forkful.get_context("forkserver")
    child = ctx.Process(target=int)
    child.start()
    child.join(LONG)
    pid = forkserver.server._forkserver_pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    free = [fd for fd in range(len(taken) + room + 1) if fd not in taken]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[room], limits[1]))
    try:
        with pytest.raises((EOFError, ConnectionError)):
            ctx.Process(target=int).start()
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    child = ctx.Process(target=deeds.square, args=(3,))
    child.start()
    assert child.result(LONG) == 9
    assert forkserver.server._forkserver_pid == pid


# ---- names and last words ----------------------------------------------------------------------------


def test_a_name_that_cannot_be_encoded_is_a_name(ctx: Any) -> None:
    child = ctx.Process(target=deeds.square, args=(3,), name="odd \ud800")
    child.start()
    assert child.result(LONG) == 9


def test_a_stack_that_nobody_has_read_is_not_the_next_childs(tmp_path: Path) -> None:
    """A child forks another that crashes; its own end is good, and its stretch is given to the next."""
    text = """
        import ctypes, forkful, os

        def fork_one_that_crashes():
            if not os.fork():
                ctypes.string_at(0)
            os.wait()

        def crash():
            os.abort()

        if __name__ == "__main__":
            ctx = forkful.get_context("fork")
            gate = ctx.Event()
            keeps_the_file = ctx.Process(target=gate.wait)
            keeps_the_file.start()
            first = ctx.Process(target=fork_one_that_crashes)
            first.start()
            first.join()
            second = ctx.Process(target=crash)
            second.start()
            error = second.exception()
            print("in crash" in error.stack, "fork_one_that_crashes" in error.stack)
            gate.set()
            keeps_the_file.join()
    """
    assert run(text, tmp_path) == "True False\n"


@pytest.mark.parametrize("where", ["reserve_words", "last_child"])
def test_ctrl_c_in_the_midst_of_a_start_leaves_sigterm_as_it_was(
    fork: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        if os.getpid() == parent:
            raise KeyboardInterrupt

    parent, children = os.getpid(), active_children()
    child = fork.Process(target=int)
    with monkeypatch.context() as patch:
        patch.setattr(_native, where, interrupt)
        with pytest.raises(KeyboardInterrupt):
            child.start()
    assert not _native.sigterm_held()
    assert active_children() == children
    if child._popen is None and where == "last_child":
        os.wait()  # it was forked, and nobody knows it
