"""SIGTERM to a process that has children, in each state that it may be in; see `docs/design/ending.md`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import forkful
from tests.contract.children import LONG, is_gone, until
from tests.programs import ended

State = Callable[[str], None]


def terminated(state: State, folder: Path, grace: float) -> tuple[int | None, int]:
    """How a process in that state ended by SIGTERM, and the pid of its child."""
    parent = forkful.get_context("fork").Process(target=ended.run, args=(state, str(folder), grace))
    parent.start()
    try:
        until(lambda: (folder / "ready").exists() or parent.exitcode is not None)
        # Not by terminate(), which means this one process only.
        subprocess.run(["sh", "-c", f"kill -TERM {parent.pid}"], check=True)
        parent.join(LONG)
        return parent.exitcode, int((folder / "pid").read_text())
    finally:
        parent.kill()
        parent.join()


@pytest.mark.parametrize("state", ended.IN_ORDER, ids=lambda state: state.__name__)
def test_it_ends_in_order_with_its_child(state: State, tmp_path: Path) -> None:
    code, child = terminated(state, tmp_path, LONG)
    assert code == -signal.SIGTERM
    assert (tmp_path / "finally").exists()
    until(lambda: is_gone(child))


def test_a_parent_that_handles_it_does_not_hinder_a_child_that_does_not(tmp_path: Path) -> None:
    """Its start is not under way in the child: a fresh process, which has set no handler of forkful's, forks it."""
    args = str(tmp_path), LONG
    parent = forkful.get_context("spawn").Process(target=ended.sleep_below_a_handler, args=args)
    parent.start()
    try:
        assert parent.result(LONG) == -signal.SIGTERM
        assert (tmp_path / "finally").exists()
        until(lambda: is_gone(int((tmp_path / "pid").read_text())))
    finally:
        parent.terminate(tree=True)
        parent.join()


@pytest.mark.parametrize("state", ended.AFTER_THE_GRACE, ids=lambda state: state.__name__)
def test_what_does_not_end_in_order_ends_after_the_grace(state: State, tmp_path: Path) -> None:
    code, child = terminated(state, tmp_path, 0.5)
    assert code == -signal.SIGTERM
    until(lambda: is_gone(child))


def test_native_code_does_not_hinder_it(tmp_path: Path) -> None:
    assert terminated(ended.native, tmp_path, 0.3)[0] == -signal.SIGTERM


@pytest.mark.parametrize("state", ended.THE_PROGRAMS_OWN, ids=lambda state: state.__name__)
def test_a_handler_of_the_program_is_the_programs_affair(state: State, tmp_path: Path) -> None:
    code, child = terminated(state, tmp_path, LONG)
    assert code == 7
    until(lambda: is_gone(child))


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    code, child = terminated(ended.switched_off, tmp_path, LONG)
    assert code == -signal.SIGTERM
    assert not (tmp_path / "finally").exists()
    until(lambda: is_gone(child))


def test_terminate_means_that_one_process_at_once(tmp_path: Path) -> None:
    parent = forkful.get_context("fork").Process(
        target=ended.run, args=(ended.sleep, str(tmp_path), LONG)
    )
    parent.start()
    until((tmp_path / "ready").exists)
    child = int((tmp_path / "pid").read_text())
    parent.terminate()
    parent.join(LONG)
    assert parent.exitcode == -signal.SIGTERM
    parent.close()
    assert not (tmp_path / "finally").exists()
    assert not is_gone(child)
    os.kill(child, signal.SIGKILL)
    until(lambda: is_gone(child))


def test_a_child_that_is_terminated_at_its_birth_ends_at_once(tmp_path: Path) -> None:
    """Then it has its parent's handler still, which is none of its own."""
    args = ended.bear, str(tmp_path), 2.0 * LONG
    parent = forkful.get_context("fork").Process(target=ended.run, args=args)
    parent.start()
    try:
        assert parent.result(LONG) == [-signal.SIGTERM] * 300
    finally:
        parent.kill()
        parent.join()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 3), (signal.SIGINT, 1)])
def test_a_newborn_hears_what_comes_amid_its_birth(
    signum: int, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a handler raises in a function that a module has registered for a fork is lost."""
    args = signum, str(tmp_path / "born")
    parent = forkful.get_context("fork").Process(target=ended.signal_a_newborn, args=args)
    parent.start()
    assert parent.result(LONG) == (code, [])
    parent.join()
    assert capfd.readouterr().err == ""


def test_ctrl_c_amid_a_start_comes_when_the_child_is_known(tmp_path: Path) -> None:
    args = (str(tmp_path / "go"),)
    parent = forkful.get_context("fork").Process(target=ended.interrupt_a_start, args=args)
    parent.start()
    assert parent.result(LONG) == (True, 0)
    parent.join()


def test_no_signal_is_blocked_in_what_a_handler_starts_amid_a_start() -> None:
    """Another program, which would never hear SIGTERM. What the program itself blocks in its children stays so."""
    parent = forkful.get_context("fork").Process(target=ended.handle_amid_a_start)
    parent.start()
    assert parent.result(LONG) == ([[]], [signal.SIGUSR2])
    parent.join()


def test_children_do_not_act_for_the_parent(tmp_path: Path) -> None:
    """By the parent's handler (a pool's workers), or through its event loop (any child)."""
    seen = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, seen.append, "the parent's")
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "the child's")
        ctx = forkful.get_context("fork")
        with ctx.Pool(1) as pool:
            assert pool.apply(signal.getsignal, (signal.SIGTERM,)) is signal.SIG_DFL
        child = ctx.Process(target=signal.raise_signal, args=(signal.SIGUSR1,))
        child.start()
        child.join()
        os.kill(os.getpid(), signal.SIGTERM)
        while not seen:
            await asyncio.sleep(0.001)  # sleep: the loop takes the signal meanwhile

    asyncio.run(serve())
    assert seen == ["the parent's"]
