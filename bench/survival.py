"""What becomes of a pool when something goes wrong in it: nine cases, side by side with the peers.

    python bench/survival.py [--limit 20] [--only forkful] [--case killed] [--page F] [--json F]

In each case a pool of two workers gets four tasks, the third of which is evil; in the last case the
evil is the initializer. Each pool meets each case in a fresh process with a time limit. The words:

    ok       the right error, of that call only; the other tasks have their results, and so has a fifth
    vague    that call only, but its error does not tell the cause
    broken   the others, or the pool, are lost too
    ignored  no error at all
    crash    the program that owns the pool ended
    hang     no answer within the limit

Exit status: 0, or 1 if forkful is not ok in all.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from fresh import wait_then_kill_all
from write_docs import between_marks

MARK = "the true cause"

# ---- the evil ---------------------------------------------------------------------------------


class CannotArrive(Exception):
    """Pickles, and does not unpickle: its arguments are not those of __init__."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)


class OwnBase(BaseException):
    pass


def _refuse(text: str) -> None:
    raise ValueError(text)


class CannotBeRebuilt:
    def __reduce__(self) -> Any:
        return _refuse, (MARK,)


def square(x: int) -> int:
    return x * x


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def odd_exception() -> None:
    raise CannotArrive(MARK, 1)


def base_exception() -> None:
    raise OwnBase(MARK)


def system_exit() -> None:
    sys.exit(MARK)


def result_unpickles_not() -> object:
    return CannotBeRebuilt()


def result_pickles_not() -> object:
    return threading.Lock()


def takes(argument: object) -> None:
    pass


def bad_initializer() -> None:
    raise ValueError(MARK)


# name: what is called, the words that its error must have one of (none: any error will do)
CASES: dict[str, tuple[str, Callable[..., Any], tuple[Any, ...], tuple[str, ...]]] = {
    "killed": ("the worker is killed", killed, (), ()),
    "exception": ("an exception does not unpickle", odd_exception, (), (MARK,)),
    "base": ("a BaseException", base_exception, (), ("OwnBase",)),
    "exit": ("SystemExit", system_exit, (), ()),
    "result-in": ("a result does not unpickle", result_unpickles_not, (), (MARK,)),
    "result-out": ("a result does not pickle", result_pickles_not, (), ("pickle",)),
    "argument-in": ("an argument does not unpickle", takes, (CannotBeRebuilt(),), (MARK,)),
    "argument-out": ("an argument does not pickle", takes, (threading.Lock(),), ("pickle",)),
    "initializer": ("the initializer raises", square, (2,), (MARK,)),
}

# ---- the pools ----------------------------------------------------------------------------------

Submit = Callable[..., Callable[[], Any]]
"""Give a task; returns what waits for its result."""


def _apply_async(pool: Any) -> Submit:
    return lambda f, *args: pool.apply_async(f, args).get


def _submit(pool: Any) -> Submit:
    return lambda f, *args: pool.submit(f, *args).result


def _multiprocessing_like(package: str, method: str | None = None) -> Callable[[Any], Submit]:
    def make(initializer: Any) -> Submit:
        module = import_module(package)
        context = module.get_context(method) if method else module
        return _apply_async(context.Pool(2, initializer))

    return make


def _concurrent(initializer: Any) -> Submit:
    from concurrent.futures import ProcessPoolExecutor

    return _submit(ProcessPoolExecutor(2, initializer=initializer))


def _loky(initializer: Any) -> Submit:
    from loky import ProcessPoolExecutor

    return _submit(ProcessPoolExecutor(2, initializer=initializer))


def _pebble(initializer: Any) -> Submit:
    from pebble import ProcessPool

    pool = ProcessPool(2, initializer=initializer)
    return lambda f, *args: pool.schedule(f, args).result


def _mpire(initializer: Any) -> Submit:
    from mpire import WorkerPool

    pool = WorkerPool(2)

    def submit(f: Any, *args: Any) -> Callable[[], Any]:
        extra = {"worker_init": initializer} if initializer else {}
        return pool.apply_async(f, args, **extra).get  # type: ignore[no-any-return]

    return submit


def _deadpool(initializer: Any) -> Submit:
    from deadpool import Deadpool

    return _submit(Deadpool(max_workers=2, initializer=initializer))


# name: (how to make it, the distribution whose version is told)
POOLS: dict[str, tuple[Callable[[Any], Submit], str | None]] = {
    "forkful fork": (_multiprocessing_like("forkful", "fork"), "forkful"),
    "forkful spawn": (_multiprocessing_like("forkful", "spawn"), "forkful"),
    "forkful forkserver": (_multiprocessing_like("forkful", "forkserver"), "forkful"),
    "multiprocessing": (_multiprocessing_like("multiprocessing"), None),
    "concurrent.futures": (_concurrent, None),
    "loky": (_loky, "loky"),
    "pebble": (_pebble, "pebble"),
    "mpire": (_mpire, "mpire"),
    "billiard": (_multiprocessing_like("billiard"), "billiard"),
    "multiprocess": (_multiprocessing_like("multiprocess"), "multiprocess"),
    "deadpool": (_deadpool, "deadpool-executor"),
}

# ---- one case, in a process of its own -------------------------------------------------------------


def meet(pool: str, case: str) -> str:
    """Let a pool meet a case; return the verdict."""
    _, evil, arguments, tells = CASES[case]
    broken_start = case == "initializer"
    try:
        submit = POOLS[pool][0](bad_initializer if broken_start else None)
    except BaseException as error:
        return _judge(error, tells)
    calls = [_given(submit, square, 0), _given(submit, square, 1)]
    calls += [_given(submit, evil, *arguments), _given(submit, square, 3)]
    ends = [_end(call) for call in calls]
    if broken_start:
        told = [_judge(end, tells) for end in ends if isinstance(end, BaseException)]
        return "ok" if "ok" in told else "vague" if told else "ignored"
    if ends[:2] + ends[3:] != [0, 1, 9] or _end(_given(submit, square, 4)) != 16:
        return "broken"
    if not isinstance(ends[2], BaseException):
        return "ignored"
    return _judge(ends[2], tells)


def _given(submit: Submit, f: Any, *args: Any) -> Callable[[], Any]:
    try:
        return submit(f, *args)
    except BaseException as error:  # some tell at once
        failure = error
        return lambda: failure


def _end(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BaseException as error:
        return error


def _judge(error: BaseException, tells: Sequence[str]) -> str:
    said = "".join(traceback.format_exception(error))
    return "ok" if not tells or any(word in said for word in tells) else "vague"


# ---- all of them ---------------------------------------------------------------------------------


def ask(pool: str, case: str, limit: float) -> str:
    """The verdict of one case, from a process of its own."""
    words = [sys.executable, __file__, "--meet", pool, case]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            words, stdout=said, stderr=subprocess.DEVNULL, start_new_session=True
        )
        if not wait_then_kill_all(process, limit):
            return "hang"
        said.seek(0)
        out = said.read()
    verdict = out.strip().rpartition("\n")[2]
    return verdict if verdict in VERDICTS else "crash"


VERDICTS = ("ok", "vague", "broken", "ignored")


def _version(distribution: str | None) -> str:
    if distribution is None:
        return sys.version.split()[0]
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def table(verdicts: dict[str, dict[str, str]], markdown: bool) -> list[str]:
    """Cases as rows and pools as columns."""
    head = ["case", *verdicts]
    rows = [["version", *(_version(POOLS[p][1]) for p in verdicts)]]
    for case, (words, *_) in CASES.items():
        if all(case in column for column in verdicts.values()):
            rows.append([words, *(column[case] for column in verdicts.values())])
    counts = [list(column.values()).count("hang") for column in verdicts.values()]
    rows.append(["hangs", *map(str, counts)])
    if markdown:
        return ["| " + " | ".join(r) + " |" for r in (head, ["---"] * len(head), *rows)]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for a case")
    parser.add_argument("--only", action="append", help="pools whose names contain this")
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--page", type=Path, help="a Markdown page to put the table into")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--meet", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.meet:
        print("\n" + meet(*options.meet), flush=True)
        os._exit(0)  # without waiting for pools that may hang at their end

    pools = [p for p in POOLS if not options.only or any(w in p for w in options.only)]
    cases = options.case or list(CASES)
    known = [p for p in pools if _version(POOLS[p][1]) != "not installed"]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        asked = {
            p: {c: threads.submit(ask, p, c, options.limit) for c in cases} if p in known else {}
            for p in pools
        }
        verdicts = {
            p: {c: asked[p][c].result() if asked[p] else "absent" for c in cases} for p in pools
        }
    print("\n".join(table(verdicts, markdown=False)))
    if options.page:
        text = "\n".join(table(verdicts, markdown=True))
        options.page.write_text(between_marks(options.page.read_text(), "survival", text))
    if options.json:
        options.json.write_text(json.dumps(verdicts, indent=1) + "\n")
    ours = [v for p in verdicts if p.startswith("forkful") for v in verdicts[p].values()]
    sys.exit(any(v != "ok" for v in ours))


if __name__ == "__main__":
    main()
