"""What `import forkful` brings with it, which every child of spawn imports, too.

It is to cost little more than the modules of `multiprocessing` that it takes the place of. A time would
tell that on a quiet machine only; a list of modules tells it everywhere, and names what was added.

What only annotations need is imported under `TYPE_CHECKING`, which these modules define themselves: a
type checker knows it by its name, and importing it from `typing` would import `typing`. What few
programs use is imported by the function that uses it.
"""

from __future__ import annotations

import subprocess
import sys

from tests.house.imports import SRC

OURS = {
    "forkful",
    "forkful._native",
    "forkful.context",
    "forkful.errors",
    "forkful.errors.kinds",
    "forkful.family",
    "forkful.launch",
    "forkful.launch.defaults",
    "forkful.ledger",
    "forkful.process",
    "forkful.queues",
    "forkful.quiet",
    "forkful.stacks",
    "forkful.stdlib",
    "forkful.synchronize",
    "forkful.synchronize.barrier",
    "forkful.synchronize.conditions",
    "forkful.synchronize.locks",
    "forkful.wire",
    "forkful.wire.handles",
    "forkful.wire.pickling",
}
OTHERS = {"__future__", "atexit", "faulthandler", "fcntl", "queue", "_queue", "heapq", "_heapq"}

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import multiprocessing.context
before = set(sys.modules)
exec(sys.argv[2])
print(*sorted(set(sys.modules) - before))
"""


def brought_by(statement: str) -> set[str]:
    """Return the modules that a statement imports besides those of `import multiprocessing.context`."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(SRC), statement]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "forkful"


def test_import_brings_these_modules_of_forkful_and_no_others() -> None:
    assert {module for module in brought_by("import forkful") if is_ours(module)} == OURS


def test_import_brings_nothing_of_the_standard_library_but_this() -> None:
    others = {module for module in brought_by("import forkful") if not is_ours(module)}
    assert others - OTHERS == set()


def test_what_is_imported_besides_is_seen() -> None:
    assert {"forkful.statistics", "typing"} <= brought_by("import forkful.statistics")
