"""forkful's exceptions: what catches them, what they say, and that they pickle whole."""

from __future__ import annotations

import builtins
import copy
import multiprocessing
import pickle
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import forkful
from forkful import errors, remote

DIED = errors.WorkerDied(
    pid=4711, exitcode=-9, task="task 12: f(7)", name="ForkPoolWorker-3", stack="File x", reason="?"
)
EXAMPLES = [
    errors.ForkfulError("it is so"),
    DIED,
    errors.WorkerDied("as was said", pid=3, exitcode=7),
    errors.TaskTimeout(seconds=2.5, task="task 3", pid=4),
    errors.PoisonTask(attempts=3, last=DIED),
    errors.RemoteError("pkg.mod.Class", "its text", "Traceback ..."),
    errors.LockOwnerDied(pid=5, name="Process-5", where="main.py:12"),
    errors.DeadlockError("A waits for B, which waits for A"),
    errors.ManagerEnded(pid=6),
    errors.ShutDown("the queue was shut down"),
]
KINDS = pytest.mark.parametrize("name", errors.__all__)
ALL = pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)


def state(error: BaseException) -> tuple[object, ...]:
    """All there is to an error; errors within count by what they are, not by identity."""
    attributes = {
        name: state(value) if isinstance(value, BaseException) else value
        for name, value in vars(error).items()
    }
    return type(error), error.args, str(error), attributes


@KINDS
def test_the_face_offers_each_under_its_own_name(name: str) -> None:
    kind = getattr(errors, name)
    assert getattr(forkful, name) is kind
    assert (kind.__module__, kind.__qualname__) == ("forkful", name)
    assert issubclass(kind, errors.ForkfulError)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("WorkerDied", BrokenProcessPool),
        ("WorkerDied", multiprocessing.ProcessError),
        ("TaskTimeout", multiprocessing.TimeoutError),
        ("TaskTimeout", builtins.TimeoutError),
        ("ShutDown", EOFError),
        ("ManagerEnded", ConnectionRefusedError),
        ("LockOwnerDied", multiprocessing.ProcessError),
    ],
)
def test_each_is_what_people_already_catch(name: str, base: type) -> None:
    assert issubclass(getattr(errors, name), base)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queue.ShutDown is new in Python 3.13")
def test_shut_down_is_the_queue_modules() -> None:
    import queue

    assert issubclass(errors.ShutDown, queue.ShutDown)


@ALL
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_pickles_whole(error: BaseException, protocol: int) -> None:
    assert state(pickle.loads(pickle.dumps(error, protocol))) == state(error)


@ALL
def test_it_can_be_copied(error: BaseException) -> None:
    assert state(copy.copy(error)) == state(error)


@ALL
def test_it_crosses_as_a_cause(error: BaseException) -> None:
    outer = ValueError("outer")
    outer.__cause__ = error
    assert state(remote.unpack(remote.pack(outer)).__cause__) == state(error)


def test_a_subclass_with_an_init_of_its_own_crosses() -> None:
    assert state(remote.unpack(remote.pack(Mine("secret")))) == state(Mine("secret"))


class Mine(errors.WorkerDied):
    def __init__(self, secret: str) -> None:
        super().__init__(pid=1, exitcode=2)
        self.secret = secret


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        (
            {"pid": 4711, "exitcode": -9, "task": "task 12: f(7)", "name": "ForkPoolWorker-3"},
            "worker ForkPoolWorker-3 (pid 4711) was killed by SIGKILL while it ran task 12: f(7); "
            "somebody sent that signal, or the kernel was out of memory (dmesg tells)",
        ),
        (
            {"pid": 4711, "exitcode": -9, "reason": "out of memory"},
            "worker 4711 was killed by SIGKILL (out of memory); "
            "run fewer processes, give each less to hold, or raise the memory limit",
        ),
        (
            {"name": "W", "exitcode": -11},
            "worker W was killed by SIGSEGV; "
            "native code crashed: run with PYTHONFAULTHANDLER=1 to see where",
        ),
        (
            {"exitcode": -11, "stack": "x"},
            "a worker was killed by SIGSEGV; native code crashed\nits last stack:\nx",
        ),
        ({"exitcode": -35}, "a worker was killed by signal 35; look for who sent that signal"),
        (
            {"exitcode": 3},
            "a worker exited with code 3; "
            "end a task by returning or raising: sys.exit() and os._exit() end its worker",
        ),
        (
            {},
            "a worker ended, and its exit code was taken by somebody else; "
            "look for who else calls os.wait() or ignores SIGCHLD in the parent",
        ),
    ],
)
def test_a_death_says_who_how_and_what_to_do(attributes: dict[str, object], text: str) -> None:
    assert str(errors.WorkerDied(**attributes)) == text


@pytest.mark.parametrize(
    ("exitcode", "expected"),
    [(-9, signal.SIGKILL), (-11, signal.SIGSEGV), (0, None), (1, None), (None, None), (-35, None)],
)
def test_the_signal_follows_from_the_exit_code(
    exitcode: int | None, expected: signal.Signals | None
) -> None:
    assert errors.WorkerDied(exitcode=exitcode).signal == expected


def test_the_fatal_stack_is_shown_below_the_message() -> None:
    assert str(DIED).endswith("\nits last stack:\nFile x")


def test_the_others_say_what_happened_too() -> None:
    assert str(errors.TaskTimeout(seconds=2.5, task="task 3", pid=4)) == (
        "task 3 took longer than its timeout of 2.5 s in process 4, which was ended; "
        "give it more time or less to do"
    )
    assert str(errors.PoisonTask(attempts=3, last=errors.WorkerDied("it died", task="task 3"))) == (
        "task 3 killed its worker on each of its 3 attempts and is given up; the last time: it died"
    )
    assert str(errors.LockOwnerDied(pid=5, name="Process-5", where="main.py:12")) == (
        "the lock is lost: process Process-5 (pid 5) died while it held it "
        "(taken at main.py:12); check what the lock protects, then call its recover()"
    )
    assert str(errors.ManagerEnded(pid=6)) == (
        "the manager 6 has ended, and what it made with it; let it live until all who use that are done"
    )
    assert str(errors.RemoteError("pkg.Class", "its text")) == "pkg.Class: its text"
    assert str(errors.RemoteError("pkg.Class")) == "pkg.Class"


def test_importing_forkful_does_not_bring_what_is_dear_and_seldom_needed() -> None:
    code = (
        "import sys, forkful; print([name for name in "
        "('concurrent.futures.process', 'logging', 'cloudpickle') if name in sys.modules])"
    )
    src = Path(forkful.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(src)}, capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"forkful\.errors.*Nonsense"):
        errors.Nonsense  # noqa: B018
