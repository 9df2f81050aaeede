"""What is known of a process that a signal has ended: the stack it wrote, the kernel's reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import forkful
from forkful import oom
from tests.contract.children import LONG
from tests.programs import deeds

# A program of its own: pytest has its own faulthandler, which a forked child of it would keep.
PROGRAM = """
    import json, os, sys
    import forkful
    import tests.programs.deeds as deeds

    def memory_files():
        fds = map("/proc/self/fd/{}".format, os.listdir("/proc/self/fd"))
        return sum(os.path.exists(fd) and "lastwords" in os.readlink(fd) for fd in fds)

    def error_of(process):
        process.start()
        return process.exception()

    def main(method):
        ctx = forkful.get_context(method)
        told = {}
        with ctx.Pool(1) as pool:
            for deed in (deeds.segfault, deeds.abort, deeds.kill_self):
                try:
                    pool.apply(deed)
                except forkful.WorkerDied as error:
                    told[deed.__name__] = error.signal.name, error.stack, str(error), error.reason
            pool.terminate()
            pool.join()
        for _ in range(2):  # the second has the first one's place
            error = error_of(ctx.Process(target=deeds.segfault))
            told["process"] = error.signal.name, error.stack, str(error), error.reason
        with ctx.Pool(1) as pool:
            told["nested"] = pool.apply(deeds.stack_of_a_grandchild, (method,))
        json.dump(told, sys.stdout)

    if __name__ == "__main__":
        main(sys.argv[1])
        assert memory_files() == 0
"""


def run(tmp_path: Path, method: str, **env: str) -> tuple[dict[str, Any], str]:
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(PROGRAM))
    done = subprocess.run(
        [sys.executable, str(file), method],
        env=os.environ | {"PYTHONPATH": os.getcwd()} | env,
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_crash_tells_its_stack(start_method: str, tmp_path: Path) -> None:
    told, err = run(tmp_path, start_method)
    assert err == ""
    for who, name, where in [
        ("segfault", "SIGSEGV", "in segfault"),
        ("abort", "SIGABRT", "in abort"),
        ("process", "SIGSEGV", "in segfault"),
    ]:
        signum, stack, text, reason = told[who]
        assert (signum, reason) == (name, None)
        assert stack.count("Fatal Python error") == stack.count(where) == 1
        assert "forkful/pool/worker.py" not in stack  # the task's own frames are shown
        assert text.endswith(stack.rstrip())
    assert told["kill_self"][:2] == ["SIGKILL", None]
    assert "in segfault" in told["nested"]


def test_a_faulthandler_of_the_programs_own_is_left_alone(tmp_path: Path) -> None:
    told, err = run(tmp_path, "fork", PYTHONFAULTHANDLER="1")
    assert told["segfault"][1] is None
    assert "PYTHONFAULTHANDLER" in told["segfault"][2]
    assert "in segfault" in err


def test_the_kernels_reason_is_told_of_a_kill_that_was_not_ours(
    ctx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel:
        """Stands for one that has run out of memory: that cannot be had here without harm."""

        def explains(self) -> bool:
            return True

    monkeypatch.setattr(oom, "watch", Kernel)
    victim = ctx.Process(target=deeds.kill_self)
    victim.start()
    error = victim.exception()
    assert error.reason == "out of memory"
    assert "(out of memory)" in str(error)
    ours = ctx.Process(target=signal.pause)
    ours.start()
    ours.kill()
    assert ours.exception().reason is None
    with ctx.Pool(1) as pool:
        with pytest.raises(forkful.WorkerDied, match="raise the memory limit") as caught:
            pool.apply(deeds.kill_self)
        assert caught.value.reason == "out of memory"
        pool.terminate()
        pool.join()
