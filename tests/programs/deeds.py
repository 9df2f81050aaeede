"""What workers and children do in the tests. A module of its own, so that spawn finds it by name."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from multiprocessing import current_process
from pathlib import Path
from typing import Any, NoReturn

# ---- good deeds --------------------------------------------------------------------------------


def square(x: int) -> int:
    return x * x


def add(x: int, y: int = 0) -> int:
    return x + y


def pid_of(_: object = None) -> int:
    return os.getpid()


def root(x: float) -> float:
    return math.sqrt(x)


def echo(x: Any) -> Any:
    return x


def size_of(x: Any) -> int:
    return len(x)


def negate_in_place(array: Any) -> Any:
    array *= -1
    return array


def value_of(handle: Any) -> Any:
    return handle.value


def look_at_value(handle: Any, x: int) -> int:
    assert handle.value is not None
    return x


def put_into_value(handle: Any, x: int) -> None:
    array, queue = handle.value
    queue.put(int(array[x]))


def item_of(common: Any, x: int) -> Any:
    item = common[x]
    return item if isinstance(item, int) else int(item)


def negated_item_in_place(array: Any, x: int) -> int:
    array *= -1
    return int(array[x])


def put_item_of(array: Any, queue: Any, x: int) -> None:
    queue.put(int(array[x]))


def arrive_with(array: Any, arrived: str, x: int) -> None:
    Path(arrived).touch()
    signal.pause()


def second(x: Any, y: Any) -> Any:
    return y


class SlowToMake:
    """Leaves a byte in a file each time it is made from a pickle."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)
        time.sleep(0.01)  # sleep: stands for the time that much data takes
        with open(self.path, "ab") as f:
            f.write(b".")


def item_or_death(array: Any, died: str, x: int) -> int:
    """The first to come dies."""
    try:
        Path(died).touch(exist_ok=False)
    except FileExistsError:
        return int(array[x])
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def kill_me_with_both(common: Any, x: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail_once(x: Any, failed: str) -> Any:
    if not os.path.exists(failed):
        Path(failed).touch()
        raise OSError("the first time")
    return x


def kill_me_with(x: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_run(folder: str, x: int) -> int:
    """Leave one byte for each run of `x`."""
    with open(Path(folder, str(x)), "ab") as f:
        f.write(b".")
    return x * x


def runs(folder: Path) -> dict[int, int]:
    return {int(p.name): p.stat().st_size for p in folder.iterdir() if p.name.isdigit()}


def wait_for_file(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.005)  # sleep: a file's appearance is polled for
    return path


def arrive_and_wait(arrived: str, go: str) -> str:
    Path(arrived).touch()
    return wait_for_file(go)


def sleep_in_c(arrived: str) -> None:
    """Block for ever in one C call, which holds the GIL and is not interrupted by signals."""
    libc = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(64)  # zeros: PTHREAD_MUTEX_INITIALIZER
    libc.pthread_mutex_lock(mutex)
    Path(arrived).touch()
    libc.pthread_mutex_lock(mutex)


def sleep_long(arrived: str) -> None:
    Path(arrived).touch()
    time.sleep(1000)  # sleep: stands for work that nobody wants to wait for


# ---- evil deeds --------------------------------------------------------------------------------


def ignore_sigterm_and_wait(arrived: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(arrived).touch()
    while True:
        signal.pause()


_hoard: list[bytes] = []


def hoard(size: int) -> int:
    """Hold so many resident bytes from now on."""
    _hoard.append(b"x" * size)
    return os.getpid()


def start_a_family_and_wait(folder: str) -> None:
    """Have a child and a grandchild that are programs, and one of ours; tell all pids, and wait."""
    import forkful

    shell = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    program = subprocess.Popen(shell, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    below = int(program.stdout.readline())
    ours = forkful.Process(target=signal.pause)
    ours.start()
    pids = [os.getpid(), program.pid, below, ours.pid]
    Path(folder, "pids").write_text(" ".join(map(str, pids)))
    Path(folder, "pids").rename(Path(folder, "family"))
    signal.pause()


class Awkward(Exception):
    """Pickles, but cannot be rebuilt by calling its class with its args."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} has {number}")
        self.number = number


class Unrebuildable(Exception):
    def __reduce__(self) -> Any:
        return explode, ("this exception does not unpickle",)


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class OwnBase(BaseException):
    pass


class DoesNotUnpickle:
    def __reduce__(self) -> Any:
        return explode, ("this value does not unpickle",)


class ExitsWhenUnpickled:
    def __reduce__(self) -> Any:
        return sys.exit, (5,)


class KillsWhenUnpickled:
    def __reduce__(self) -> Any:
        return kill_self, ()


class DoesNotPickle:
    def __reduce__(self) -> Any:
        raise TypeError("this value does not pickle")


def explode(text: str = "boom") -> NoReturn:
    raise ValueError(text)


def raise_awkward() -> NoReturn:
    raise Awkward("cat", 9)


def raise_unrebuildable() -> NoReturn:
    raise Unrebuildable("the true cause")


def raise_unpicklable() -> NoReturn:
    raise Unpicklable


def raise_base() -> NoReturn:
    raise OwnBase("not an Exception")


def raise_keyboard_interrupt() -> NoReturn:
    raise KeyboardInterrupt("as if")


def kill_self(_: object = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def stack_of_a_grandchild(method: str) -> str | None:
    import forkful

    process = forkful.get_context(method).Process(target=segfault)
    process.start()
    error = process.exception()
    assert isinstance(error, forkful.WorkerDied)
    return error.stack


def start_after(go: Any, ctx: Any, results: Any) -> None:
    """Put the result of a child that is started once the event is set."""
    go.wait()
    child = ctx.Process(target=square, args=(3,))
    child.start()
    results.put(child.result())


def fork_and_come_out(how: str) -> int:
    """Return how a forked process has ended, which comes out of here by sys.exit, an exception or -1."""
    pid = os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(3)
        if how == "raise":
            raise KeyError("forked")
        return -1
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def exit_hard(code: int) -> NoReturn:
    os._exit(code)


def return_lock() -> Any:
    return threading.Lock()


def return_not_unpickling() -> Any:
    return DoesNotUnpickle()


def return_exits() -> Any:
    return ExitsWhenUnpickled()


def square_but_die_at(poison: int, x: int) -> int:
    if x == poison:
        kill_self()
    return x * x


class DieAt:
    """`square` that kills its worker at one input; counts its runs in a folder if given one."""

    __qualname__ = "DieAt"

    def __init__(self, poison: int, folder: str | None = None) -> None:
        self.poison = poison
        self.folder = folder

    def __call__(self, x: int, y: int = 0) -> int:
        if self.folder:
            count_run(self.folder, x)
        if x == self.poison:
            kill_self()
        return x * x


class FailFirst:
    """Fails as often as told, counting its attempts in a file."""

    def __init__(self, file: str, times: int, deadly: bool = False) -> None:
        self.file = file
        self.times = times
        self.deadly = deadly

    def __call__(self, x: int) -> int:
        with open(self.file, "ab") as f:
            f.write(b".")
        if os.path.getsize(self.file) <= self.times:
            if self.deadly:
                kill_self()
            raise ValueError(f"attempt {os.path.getsize(self.file)}")
        return x * x


# ---- initializers ------------------------------------------------------------------------------

started_with: Any = None


def initialize(x: Any) -> None:
    global started_with
    started_with = x


def what_was_initialized(_: object = None) -> Any:
    return started_with


def count_and_explode(file: str) -> NoReturn:
    with open(file, "ab") as f:
        f.write(b".")
    raise LookupError("the initializer's own error")


# ---- handles -----------------------------------------------------------------------------------


def locked_put(lock: Any, queue: Any, event: Any, x: int) -> None:
    if not event.wait(60):
        raise TimeoutError("nobody set the event")
    with lock:
        queue.put(x)


def make_filled_queue(method: str, x: int) -> Any:
    import forkful

    made = forkful.get_context(method).Queue()
    made.put(x)
    return made


# ---- children ----------------------------------------------------------------------------------


def tell_names(queue: Any) -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    me = current_process()
    queue.put(
        (me.name, me.daemon, os.getpid(), parent and parent.pid, parent and parent.is_alive())
    )


def sys_exit(code: Any) -> NoReturn:
    sys.exit(code)


def ones(size: int) -> Any:
    import numpy

    return numpy.ones(size)


def big(size: int) -> bytes:
    return b"x" * size


def outer(x: int) -> None:
    inner(x)


def inner(x: int) -> None:
    raise KeyError(f"from the depth {x}")


def print_and_wait(arrived: str, text: str) -> None:
    print(text, end="")  # not flushed
    sleep_long(arrived)


def print_and_return(text: str) -> None:
    print(text, end="")


def start_a_child_and_wait(ctx: Any, folder: str) -> None:
    child = ctx.Process(target=sleep_long, args=(f"{folder}/grandchild",))
    child.start()
    Path(folder, "grandchild.pid").write_text(str(child.pid))
    wait_for_file(f"{folder}/grandchild")
    sleep_long(f"{folder}/child")


def nested_map(method: str, xs: Iterable[int]) -> list[int]:
    import forkful

    with forkful.get_context(method).Pool(2) as pool:
        return pool.map(square, xs)


def nested_process(method: str, x: int) -> int:
    import forkful

    child = forkful.get_context(method).Process(target=square, args=(x,))
    child.start()
    return child.result(60)


def end_with_hooks(folder: str) -> None:
    """Leave a file for each of the two ways to do something at a process's end that are run."""
    import atexit
    from multiprocessing import util

    util.Finalize(None, Path(folder, "finalizer").touch, exitpriority=1)
    atexit.register(Path(folder, "atexit").touch)


def have_children_whose_status_is_lost(ctx: Any) -> list[Any]:
    """Ignore SIGCHLD, and tell how children ended: exit code, alive or not, the error."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    told = []
    for target, args in (
        (square, (3,)),
        (nothing, ()),
        (sys_exit, (3,)),
        (explode, ()),
        (kill_self, ()),
    ):
        child = ctx.Process(target=target, args=args)
        child.start()
        child.join()
        told.append((child.exitcode, child.is_alive(), repr(child.exception())))
    with ctx.Pool(1) as pool:
        lost = pool.apply_async(exit_hard, (1,))
        lost.wait(60)
        told.append((lost.successful(), pool.apply(square, (4,))))
    told.append(len(multiprocessing.active_children()))
    return told


_left_open: Any = None


def leave_a_file_open(path: str) -> None:
    """Its module refers to it until that module goes."""
    global _left_open
    _left_open = open(path, "w")  # noqa: SIM115
    _left_open.write("written")


class Caller:
    """An object whose method calls a function."""

    def __init__(self, func: Any) -> None:
        self.func = func

    def call(self, *args: Any) -> Any:
        return self.func(*args)


def nothing() -> None:
    """Do it."""


def method_here() -> str | None:
    import forkful

    return forkful.get_start_method()
