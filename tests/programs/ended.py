"""States in which a process with a child gets SIGTERM. Each is run in a child of a test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forkful
from forkful.launch import sigterm
from tests.programs import deeds


def have_a_child(folder: str) -> Any:
    child = forkful.get_context("fork").Process(target=deeds.sleep_long, args=(f"{folder}/child",))
    child.start()
    deeds.wait_for_file(f"{folder}/child")
    Path(folder, "pid").write_text(str(child.pid))
    return child


def ready(folder: str) -> None:
    Path(folder, "ready").touch()


def sleep(folder: str) -> None:
    have_a_child(folder)
    ready(folder)
    time.sleep(1000)  # sleep: until the signal comes


def join(folder: str) -> None:
    child = have_a_child(folder)
    ready(folder)
    child.join()


def map_with_a_pool(folder: str) -> None:
    have_a_child(folder)
    with forkful.get_context("fork").Pool(2) as pool:
        pool.map(deeds.sleep_long, [f"{folder}/ready"])


def wait_for_a_thread(folder: str) -> None:
    """The thread has started the child, so that the handler is set from afar."""
    go_on = threading.Event()

    def start() -> None:
        have_a_child(folder)
        go_on.wait()

    thread = threading.Thread(target=start)
    thread.start()
    try:
        deeds.wait_for_file(f"{folder}/pid")
        ready(folder)
        thread.join()
    finally:
        go_on.set()


def end(folder: str) -> Callable[[], None]:
    """The program is over, and waits for its child."""
    have_a_child(folder)
    return lambda: ready(folder)


def end_with_a_thread(folder: str) -> None:
    """The program is over, its child too, but a thread goes on and has another child."""

    def start() -> None:
        have_a_child(folder)
        deeds.wait_for_file(f"{folder}/finally")
        ready(folder)
        time.sleep(1000)  # sleep: until the process ends

    have_a_child(folder).kill()
    threading.Thread(target=start).start()


def swallow(folder: str) -> None:
    have_a_child(folder)
    ready(folder)
    while True:
        try:
            time.sleep(1000)  # sleep: until the signal comes
        except SystemExit:
            Path(folder, "swallowed").touch()


def wait_in_finally(folder: str) -> None:
    """For a child that ignores the signal."""
    child = forkful.get_context("fork").Process(target=ignore, args=(folder,))
    child.start()
    try:
        deeds.wait_for_file(f"{folder}/child")
        Path(folder, "pid").write_text(str(child.pid))
        ready(folder)
        time.sleep(1000)  # sleep: until the signal comes
    finally:
        child.join()


def ignore(folder: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deeds.sleep_long(f"{folder}/child")


def catch(folder: str) -> None:
    """The program's handler is not replaced; it may be set before or after."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    child = have_a_child(folder)
    try:
        ready(folder)
        time.sleep(1000)  # sleep: until the signal comes
    finally:
        child.kill()


def catch_later(folder: str) -> None:
    child = have_a_child(folder)
    assert callable(signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)))
    try:
        ready(folder)
        time.sleep(1000)  # sleep: until the signal comes
    finally:
        child.kill()


def switched_off(folder: str) -> None:
    sigterm.GRACE = 0.0
    child = have_a_child(folder)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    child.kill()
    ready(folder)
    time.sleep(1000)  # sleep: until the signal comes


def native(folder: str) -> None:
    forkful.get_context("fork").Process(target=time.sleep, args=(0,)).start()
    Path(folder, "pid").write_text("0")
    deeds.sleep_in_c(f"{folder}/ready")


def sleep_below_a_handler(folder: str, grace: float) -> int | None:
    """How a process ends that was forked by one whose program handles SIGTERM, and now does not itself."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    child = forkful.get_context("fork").Process(target=run, args=(sleep, folder, grace))
    child.start()
    try:
        deeds.wait_for_file(f"{folder}/ready")
        subprocess.run(["sh", "-c", f"kill -TERM {child.pid}"], check=True)  # not by terminate()
        child.join()
    finally:
        child.kill()
        child.join()
    return child.exitcode


def bear(folder: str) -> list[int]:
    """Children that are terminated as soon as they are there."""
    codes = []
    for _ in range(300):
        child = forkful.get_context("fork").Process(target=time.sleep, args=(1000,))
        child.start()
        child.terminate()
        child.join()
        codes.append(child.exitcode)
    return codes


IN_ORDER = [sleep, join, map_with_a_pool, wait_for_a_thread, end, end_with_a_thread]
AFTER_THE_GRACE = [swallow, wait_in_finally]
THE_PROGRAMS_OWN = [catch, catch_later]


def run(state: Callable[[str], Any], folder: str, grace: float) -> Any:
    """Let a state be; what it returns is called when it is over."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing of what the test's process has
    sigterm.GRACE = grace
    try:
        then = state(folder)
    finally:
        Path(
            folder, "finally"
        ).touch()  # if the signal came in the midst of this, it would not be done
    return then() if callable(then) else then


def signal_a_newborn(signum: int, born: str) -> tuple[int | None, list[int]]:
    """How a child ends that gets a signal amid what was registered for a fork; and what stays blocked."""

    def wait_for_it() -> None:
        Path(born).touch()
        while signum not in signal.sigpending():
            time.sleep(0.002)  # sleep: for a signal that is held back is polled

    ctx, blocked = forkful.get_context("fork"), (signal.pthread_sigmask, (signal.SIG_BLOCK, ()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    other = ctx.Process(target=blocked[0], args=blocked[1])
    other.start()
    in_other = other.result()
    other.join()
    os.register_at_fork(after_in_child=wait_for_it)
    child = ctx.Process(target=os._exit, args=(9,))
    child.start()
    while not os.path.exists(born):
        time.sleep(0.002)  # sleep: a file's appearance is polled for
    os.kill(child.pid or 0, signum)
    child.join()
    return child.exitcode, [*in_other, *signal.pthread_sigmask(signal.SIG_BLOCK, ())]


def interrupt_a_start(go: str) -> tuple[bool, int | None]:
    """Whether a start raises what Ctrl-C means, with a child that is known; and how that ends."""
    ctx, interrupt = forkful.get_context("fork"), (os.getpid(), signal.SIGINT)
    os.register_at_fork(after_in_parent=lambda: os.kill(*interrupt))
    child = ctx.Process(target=deeds.wait_for_file, args=(go,))
    try:
        child.start()
    except KeyboardInterrupt:
        known = child in ctx.active_children()
        Path(go).touch()
        child.join()
        return known, child.exitcode
    return False, None


def blocked() -> list[int]:
    """Signals, in this thread."""
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def handle_amid_a_start() -> tuple[list[list[int]], list[int]]:
    """What is blocked where a handler runs that was called amid a start; and in the child, which has blocked one."""
    seen: list[list[int]] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    signal.signal(signal.SIGCHLD, lambda *_: seen.append(blocked()))
    os.register_at_fork(
        before=lambda: signal.raise_signal(signal.SIGCHLD),
        after_in_child=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2,)),
    )
    child = forkful.get_context("fork").Process(target=blocked)
    child.start()
    of_the_start = list(seen)
    return of_the_start, child.result()
