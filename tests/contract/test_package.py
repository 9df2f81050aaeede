"""The package's own functions, in the parent and in children of each start method."""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import forkful
from tests.contract.children import running

ALIASES = [
    *("heap", "popen_fork", "popen_forkserver", "popen_spawn_posix", "reduction"),
    *("resource_sharer", "resource_tracker", "spawn", "util"),
]


def python(program: str, *options: str) -> str:
    """What a program prints, run by itself."""
    done = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- names are types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "Lock", "Process"),
        *("Queue", "RLock", "Semaphore", "SimpleQueue"),
    ],
)
def test_a_noun_is_a_type_and_what_contexts_make_is_one_of_it(name: str) -> None:
    noun = getattr(forkful, name)
    assert isinstance(noun, type)
    made = noun(2) if name == "Barrier" else noun()
    assert type(made) is noun
    if name != "Process":  # as with the standard library, each start method has its own
        ctx = forkful.get_context("spawn")
        assert type(ctx.Barrier(2) if name == "Barrier" else getattr(ctx, name)()) is noun


def test_a_pool_is_one_too() -> None:
    with forkful.Pool(1) as pool:
        assert isinstance(pool, forkful.Pool)
        assert forkful.Pool is forkful.pool.Pool
    with forkful.get_context("fork").Pool(1) as pool:
        assert isinstance(pool, forkful.Pool)


def test_a_pool_without_a_context_takes_the_default_one() -> None:
    with forkful.pool.Pool(1) as pool:
        assert pool.apply(os.getpid) != os.getpid()
        assert type(pool._pool[0]) is type(forkful.get_context().Process())


def test_nouns_serve_as_annotations() -> None:
    def use(
        q: forkful.Queue[int],
        j: forkful.JoinableQueue[str],
        s: forkful.SimpleQueue[bytes],
        lock: forkful.Lock | forkful.RLock,
        pool: forkful.Pool | None,
        p: forkful.Process,
    ) -> forkful.Event | None: ...

    signature = inspect.signature(use, eval_str=True)
    annotation = signature.parameters["q"].annotation
    assert (annotation.__origin__, annotation.__args__) == (forkful.Queue, (int,))
    q = forkful.Queue[int](3)
    q.put(1)
    assert (type(q), q.get()) == (forkful.Queue, 1)


@pytest.mark.parametrize("name", ["nouns", "dropin"])
def test_a_program_that_type_checks_runs(name: str) -> None:
    path = Path(__file__).parents[1] / "typing" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(path)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_help_tells_what_a_queue_does() -> None:
    text = python("import forkful; help(forkful.Queue)")
    for line in (
        "class Queue(_Queue)",
        "put(self, /, obj, block=True, timeout=None)",
        "get(self, /, block=True, timeout=None)",
        "queue.Full: no room (in that time).",
        "shutdown(self, /, immediate=False)",
    ):
        assert line in text


def test_importing_the_package_imports_neither_pools_nor_managers() -> None:
    dear = "'pool', 'managers', 'connection', 'sharedctypes', 'launch.fork', 'launch.spawn'"
    program = (
        f"import sys, forkful; print([m for m in [{dear}] if f'forkful.{{m}}' in sys.modules])"
    )
    assert python(program) == "[]\n"


def test_what_newer_pythons_have_is_there_on_each(fork: Any) -> None:
    for lock in (fork.Lock(), fork.RLock(), fork.Semaphore(), fork.BoundedSemaphore()):
        assert lock.locked() is False
        with lock:
            assert lock.locked() is True
        assert lock.locked() is False
    q = fork.Queue()
    q.put(1)
    q.shutdown()
    assert q.get() == 1
    with pytest.raises(forkful.ShutDown):
        q.get()
    assert callable(forkful.Process.interrupt)
    assert callable(forkful.managers.SyncManager.set)


# ---- modules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALIASES)
def test_a_module_in_which_nothing_is_new_is_the_standard_librarys(name: str) -> None:
    ours = importlib.import_module(f"forkful.{name}")
    assert ours is importlib.import_module(f"multiprocessing.{name}")
    assert getattr(forkful, name) is ours
    program = f"import forkful.{name} as m, multiprocessing.{name} as n; print(m is n, m.__name__)"
    assert python(program) == f"True multiprocessing.{name}\n"


def test_a_finalizer_of_the_same_registry() -> None:
    program = """
from forkful.util import Finalize
Finalize(None, print, ("finalized",), exitpriority=10)
"""
    assert python(program) == "finalized\n"


class Odd:
    def __reduce__(self) -> Any:
        raise TypeError("not this way")


def test_a_reducer_registered_here_is_used_everywhere(fork: Any) -> None:
    forkful.reduction.ForkingPickler.register(Odd, lambda odd: (str, ("reduced",)))
    try:
        q = fork.Queue()
        q.put(Odd())
        assert q.get() == "reduced"
        reader, writer = fork.Pipe(False)
        with reader, writer:
            writer.send(Odd())
            assert reader.recv() == "reduced"
        assert forkful.reducer is forkful.reduction
    finally:
        del multiprocessing.reduction.ForkingPickler._extra_reducers[Odd]  # type: ignore[attr-defined]


def test_what_a_module_does_not_have_is_an_attribute_error_of_its_own() -> None:
    for name in ("queues", "synchronize", "process", "connection", "managers", "pool"):
        module = importlib.import_module(f"forkful.{name}")
        with pytest.raises(AttributeError, match=f"module 'forkful.{name}' has no attribute 'no'"):
            module.no  # noqa: B018
    with pytest.raises(AttributeError, match="module 'forkful' has no attribute 'no'"):
        forkful.no  # noqa: B018
    with pytest.raises(ImportError):
        exec("from forkful.queues import nothing_there")


def test_names_that_programs_import_from_undocumented_places() -> None:
    import queue

    from forkful.context import TimeoutError, assert_spawning
    from forkful.managers import AcquirerProxy, MakeProxyType
    from forkful.pool import RUN, mapstar
    from forkful.process import AuthenticationString
    from forkful.queues import Empty, Full

    assert (Empty, Full) == (queue.Empty, queue.Full)
    assert TimeoutError is multiprocessing.TimeoutError
    assert (RUN, mapstar((abs, [-1]))) == ("RUN", [1])
    assert AcquirerProxy is multiprocessing.managers.AcquirerProxy  # type: ignore[attr-defined]
    assert callable(MakeProxyType)
    assert callable(assert_spawning)
    assert issubclass(AuthenticationString, bytes)


# ---- functions ---------------------------------------------------------------------------------


def tell(answers: Any) -> None:
    """In a child: what the package's functions say."""
    me, parent = forkful.current_process(), forkful.parent_process()
    assert me is multiprocessing.current_process()
    seen = forkful.Event()
    grandchild = forkful.Process(target=tell_method, args=(answers, seen), name="grandchild")
    grandchild.start()
    alive = forkful.active_children()
    seen.set()
    grandchild.join()
    answers.put(
        {
            "name": me.name,
            "pid": me.pid == me.ident == os.getpid(),
            "parent": (parent.name, parent.pid, parent.is_alive()) if parent else None,
            "children": [child.name for child in alive],
            "after": forkful.active_children(),
            "method": forkful.get_start_method(),
            "context": type(forkful.get_context()).__name__,
            "cpus": forkful.cpu_count() == os.cpu_count(),
            "frozen": forkful.freeze_support(),
            "authkey": bytes(me.authkey),
        }
    )


def tell_method(answers: Any, seen: Any) -> None:
    answers.put(forkful.get_start_method())
    seen.wait()


def test_what_a_child_is_told(ctx: Any, start_method: str) -> None:
    answers = ctx.Queue()
    with running(ctx, tell, answers) as child:
        name = child.name
    assert answers.get() == start_method  # the grandchild's, by the default context of the child
    told = answers.get()
    authkey = told.pop("authkey")
    assert authkey == forkful.current_process().authkey
    assert told == {
        "name": name,
        "pid": True,
        "parent": ("MainProcess", os.getpid(), True),
        "children": ["grandchild"],
        "after": [],
        "method": start_method,
        "context": type(ctx).__name__,
        "cpus": True,
        "frozen": None,
    }


def test_the_main_process_has_no_parent_and_knows_its_children(ctx: Any) -> None:
    assert forkful.parent_process() is None
    assert forkful.current_process().name == "MainProcess"
    q = ctx.Queue()
    with running(ctx, q.get) as child:
        assert forkful.active_children() == multiprocessing.active_children() == [child]
        q.put(1)
    assert forkful.active_children() == []


SETTING = """
import forkful, multiprocessing
print(forkful.get_start_method(allow_none=True))
print(forkful.get_all_start_methods() == multiprocessing.get_all_start_methods())
forkful.set_start_method({method!r})
print(forkful.get_start_method(), forkful.get_context().get_start_method())
print(multiprocessing.get_start_method(allow_none=True))
try:
    forkful.set_start_method("spawn")
except RuntimeError as error:
    print(error)
try:
    forkful.get_context("fork").set_start_method("fork")
except ValueError as error:
    print(error)
try:
    forkful.get_context("thread")
except ValueError as error:
    print(error)
forkful.set_start_method("spawn", force=True)
print(forkful.get_start_method(), type(forkful.get_context()).__name__)
forkful.set_start_method(None, force=True)
print(forkful.get_start_method(allow_none=True), forkful.get_start_method())
"""


def test_the_start_method_is_set_once(start_method: str) -> None:
    default = multiprocessing.get_all_start_methods()[0]
    assert python(SETTING.format(method=start_method)).splitlines() == [
        "None",
        "True",
        f"{start_method} {start_method}",
        "None",
        "context has already been set",
        "cannot set start method of concrete context",
        "cannot find context for 'thread'",
        "spawn SpawnContext",
        f"None {default}",
    ]


PRELOADING = """
import forkful, sys

def loaded(q):
    q.put("this_is_preloaded" in sys.modules)

if __name__ == "__main__":
    forkful.set_start_method("forkserver")
    forkful.set_forkserver_preload(["this_is_preloaded"])
    q = forkful.Queue()
    p = forkful.Process(target=loaded, args=(q,))
    p.start()
    print(q.get())
    p.join()
    try:
        forkful.set_forkserver_preload([3])
    except TypeError as error:
        print(error)
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "import socket; socket.socket = None  # as gevent has its own",
        "import socket; socket.setdefaulttimeout(0)",
    ],
)
def test_the_fork_server_imports_what_it_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "this_is_preloaded.py").write_text(text)
    script = tmp_path / "script.py"
    script.write_text(PRELOADING)
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", str(script)],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.splitlines() == ["True", "module_names must be a list of strings"], done
    assert done.stderr == ""


LEAN = """
import os, sys
import forkful

def tell(q):
    brought = [name for name in ("tempfile", "random", "hashlib", "lzma") if name in sys.modules]
    from multiprocessing.connection import Client, Listener
    with Listener() as listener, Client(listener.address) as client:
        q.put((os.path.exists(listener.address), brought))
    import tempfile
    q.put(vars(tempfile).keys() >= {"mkdtemp", "tempdir"} and tempfile is sys.modules["tempfile"])

if __name__ == "__main__":
    context = forkful.get_context("forkserver")
    q = context.Queue()
    p = context.Process(target=tell, args=(q,))
    p.start()
    print(*q.get(), q.get())
    p.join()
"""


def test_a_child_of_the_fork_server_has_tempfile_and_random_when_it_uses_them(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(LEAN)
    done = subprocess.run([sys.executable, "-I", str(script)], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["True [] True"], done


EXECUTABLE = """
import forkful, sys

def tell(q):
    q.put(sys.orig_argv[0])

if __name__ == "__main__":
    forkful.set_start_method({method!r})
    forkful.set_executable({executable!r})
    q = forkful.Queue()
    p = forkful.Process(target=tell, args=(q,))
    p.start()
    print(q.get())
    p.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_run_the_interpreter_that_is_set(method: str, tmp_path: Path) -> None:
    other = tmp_path / "another-python"
    other.symlink_to(sys.executable)
    script = tmp_path / "script.py"
    script.write_text(EXECUTABLE.format(method=method, executable=str(other)))
    where = str(Path(forkful.__file__).parents[1])  # the other one has no virtual environment
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([where, *sys.path])},
    )
    assert done.stdout == f"{other}\n", done


def log_a_warning(answers: Any) -> None:
    sys.stderr = io.StringIO()
    logger = forkful.log_to_stderr(logging.WARNING)
    logger.warning("hello from a child")
    logger.info("not told")
    answers.put((logger is multiprocessing.get_logger(), sys.stderr.getvalue()))


def test_the_logger_is_multiprocessings(ctx: Any) -> None:
    assert forkful.get_logger() is multiprocessing.get_logger()
    answers = ctx.Queue()
    with running(ctx, log_a_warning, answers) as child:
        name = child.name
    assert answers.get() == (True, f"[WARNING/{name}] hello from a child\n")


def test_log_to_stderr_returns_the_logger() -> None:
    program = """
import forkful, logging
logger = forkful.log_to_stderr(logging.INFO)
print(logger is forkful.get_logger(), logger.level == logging.INFO, len(logger.handlers))
"""
    assert python(program) == "True True 1\n"


def test_a_process_in_a_record_of_logging_has_its_name(ctx: Any) -> None:
    answers = ctx.Queue()
    with running(ctx, log_and_send, answers) as child:
        name = child.name
    assert answers.get() == f"{name}: message\n"


def log_and_send(answers: Any) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(processName)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().warning("message")
    answers.put(out.getvalue())


def test_connection_pickling_is_allowed_already() -> None:
    assert forkful.allow_connection_pickling() is None
