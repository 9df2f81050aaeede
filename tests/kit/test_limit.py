"""A test that hangs is ended, and says where it hung."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kit import procs
from tests.kit.conftest import Run


def is_alive(pid: str) -> bool:
    proc = procs.look(int(pid))
    return proc is not None and procs.lives(proc)


def test_a_hung_test_fails_with_stacks_and_the_run_goes_on(run_tests: Run) -> None:
    done = run_tests(
        """
        import threading, time
        def test_hangs():
            def a_place_to_wait():
                threading.Event().wait()
            a_place_to_wait()
        def test_next():
            pass
        """,
        *("-o", "limit=1"),
    )
    assert "1 failed, 1 passed" in done.stdout
    assert "test_hangs (call) had 1 s" in done.stdout
    assert "in a_place_to_wait" in done.stdout
    assert done.returncode == 1


def test_children_of_a_hung_test_are_described_and_killed(run_tests: Run, tmp_path: Path) -> None:
    done = run_tests(
        f"""
        import multiprocessing, os, signal, time
        def child_waits_here(pid_of):
            with open(pid_of, "w") as f:
                f.write(str(os.getpid()))
            signal.pause()
        def test_hangs():
            p = multiprocessing.get_context("fork").Process(
                target=child_waits_here, args=({str(tmp_path / "pid")!r},))
            p.start()
            p.join()
        """,
        *("-o", "limit=1"),
    )
    pid = (tmp_path / "pid").read_text()
    assert "1 failed in" in done.stdout  # and no leak besides
    assert re.search(rf"stacks of {pid} \[S\]", done.stdout)
    assert "in child_waits_here" in done.stdout
    assert re.search(rf"thread {pid} \[S\] in \S*pause", done.stdout)
    assert not is_alive(pid)


def test_the_wait_board_is_shown(run_tests: Run) -> None:
    done = run_tests(
        """
        import signal, sys, types
        native = types.ModuleType("forkful._native")
        native.board_snapshot = lambda: ["pid 7 waits for a lock"]
        sys.modules["forkful._native"] = native
        def test_hangs():
            signal.pause()
        """,
        *("-o", "limit=1"),
    )
    assert "pid 7 waits for a lock" in done.stdout


def test_set_up_and_tear_down_have_the_limit_too(run_tests: Run) -> None:
    done = run_tests(
        """
        import signal, pytest
        @pytest.fixture
        def slow_to_come():
            signal.pause()
        @pytest.fixture
        def slow_to_go():
            yield
            signal.pause()
        def test_first(slow_to_come): pass
        def test_second(slow_to_go): pass
        """,
        *("-o", "limit=1"),
    )
    assert "test_first (set-up) had 1 s" in done.stdout
    assert "test_second (tear-down) had 1 s" in done.stdout
    assert "1 passed, 2 errors" in done.stdout


def test_the_mark_sets_the_limit(run_tests: Run) -> None:
    done = run_tests(
        """
        import signal, pytest
        @pytest.mark.limit(0.5)
        def test_hangs():
            signal.pause()
        """
    )
    assert "had 0.5 s" in done.stdout


def test_a_swallowed_failure_fails_the_test_all_the_same(run_tests: Run) -> None:
    done = run_tests(
        """
        import signal
        def test_hangs():
            try:
                signal.pause()
            except BaseException:
                pass
        """,
        *("-o", "limit=1"),
    )
    assert "1 failed" in done.stdout
    assert "had 1 s" in done.stdout


def test_a_run_that_is_beyond_help_is_ended_from_outside(run_tests: Run, tmp_path: Path) -> None:
    done = run_tests(
        f"""
        import signal, subprocess, sys
        def test_hangs_and_hears_nothing():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMAX - 1])
            child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
            open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
            while True:
                signal.pause()
        """,
        *("-o", "limit=1", "-o", "limit_grace=1"),
    )
    assert done.returncode == -9
    assert "did not come back to its senses" in done.stdout
    assert "in test_hangs_and_hears_nothing" in done.stdout
    assert not is_alive((tmp_path / "pid").read_text())


def test_a_stopped_run_is_ended_from_outside(run_tests: Run) -> None:
    done = run_tests(
        """
        import os, signal
        def test_stops():
            os.kill(os.getpid(), signal.SIGSTOP)
        """,
        *("-o", "limit=1", "-o", "limit_grace=1"),
    )
    assert done.returncode == -9
    assert "it does not answer" in done.stdout
