"""pytest runs files of tests that use forkful, or multiprocessing on forkful."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.children import LONG

TESTS = """
import os, pytest, sys
{imports}

@pytest.fixture(params=["fork", "spawn", "forkserver"])
def ctx(request):
    return multiprocessing.get_context(request.param)

def square(x):
    return x * x

def answer(q, x):
    print("said in a child", flush=True)
    q.put((os.getpid(), square(x)))

def fail():
    assert square(2) == 5

def test_a_pool(ctx):
    with ctx.Pool(2) as pool:
        assert pool.map(square, range(10)) == [x * x for x in range(10)]

def test_a_process_and_a_queue(ctx, capfd):
    q = ctx.Queue()
    p = ctx.Process(target=answer, args=(q, 7))
    p.start()
    pid, value = q.get()
    p.join()
    assert (p.pid, p.exitcode, value) == (pid, 0, 49)
    if ctx.get_start_method() != "forkserver":  # whose output is where it was when the server began
        assert "said in a child" in capfd.readouterr().out

def test_an_assertion_in_a_child(ctx):
    with ctx.Pool(1) as pool:
        with pytest.raises(AssertionError) as caught:
            pool.apply(fail)
    if ctx.get_start_method() == "fork":  # pytest rewrites assertions in its own process
        assert "assert 4 == 5" in str(caught.value)

def test_it_is_forkful(ctx):
    assert type(ctx.Lock()).__module__ == "forkful.synchronize"
    assert multiprocessing.Queue()
"""


@pytest.mark.limit(2 * LONG)
@pytest.mark.parametrize("run", [False, True], ids=["import forkful", "forkful run"])
def test_a_file_of_tests_passes(tmp_path: Path, run: bool) -> None:
    """Of each start method, with captured output, and pytest's words on a failed assertion."""
    imports = "import multiprocessing" if run else "import forkful as multiprocessing"
    (tmp_path / "test_it.py").write_text(TESTS.format(imports=imports))
    start = [sys.executable, "-m", "forkful", "run"] if run else [sys.executable]
    ended = subprocess.run(
        [*start, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=2 * LONG,
    )
    assert "12 passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 0
