"""How many processes can be alive at once, how long does it take, and what does each weigh?

    python bench/many.py [--quick] [--json FILE]

What is asked of each package runs in a program of its own that imports little: `crowd_program.py`. Besides what
the kernel takes for a bare fork stands what it takes for one that writes to as much memory as a child of
`multiprocessing` does: on a virtual machine the first use of a page may cost more than all else. Where so many
processes of a kind need more than the free memory or the limit of open files, they are left out, and the table says so.
"""

import functools
import resource
from pathlib import Path

import machine
from question import Bound, Curve, Entry, Question
from side_by_side import main
from startup import seconds_told_by

KINDS = (
    "forkful, forkserver",
    "forkful, fork",
    "multiprocessing, forkserver",
    "multiprocessing, fork",
)
MOST_OF_MULTIPROCESSING = 1000  # each start asks all that are alive: minutes above that
PROGRAM = str(Path(__file__).with_name("crowd_program.py"))
MIB_EACH = {"fork": 2, "forkserver": 3}  # that must be free, with page tables and all
DESCRIPTORS_EACH = {
    "forkful, fork": 0,
    "forkful, forkserver": 1,
}  # of the starting process; others: 2
WRITTEN_KIB = 1280  # by a child of `multiprocessing`
LEFT_OUT = "Where so many need more memory than is free, or more open files than are allowed, they are left out."


def ask(look: str, kind: str, count: int) -> float:
    allow_descriptors(kind, count)
    return seconds_told_by(PROGRAM, look, *kind.split(", "), str(count))


def allow_descriptors(kind: str, count: int) -> bool:
    """Let what this process starts have as many open as it needs; return whether that is allowed."""
    need = count * DESCRIPTORS_EACH.get(kind, 2) + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), max(hard, need)))
    except (OSError, ValueError):
        return False
    return True


def bare_fork(kib: int, count: int) -> float:
    return seconds_told_by(PROGRAM, "time", "os.fork", str(kib), str(count))


def too_many(kind: str, count: int) -> str:
    """Return why so many are not asked of it, or nothing."""
    if not allow_descriptors(kind, count):
        return "left out: the limit of open files is too low"
    if count * MIB_EACH[kind.split(", ")[1]] << 20 > machine.available_bytes():
        return "left out: needs more memory than is free"
    if kind.startswith("multiprocessing") and count > MOST_OF_MULTIPROCESSING:
        return "left out: takes minutes"
    return ""


def alive(curve: Curve, count: int) -> Question:
    bounds = [Bound("forkful, forkserver", 2), Bound("forkful, fork", 2)] if count > 100 else []
    entries = {
        k: Entry(functools.partial(ask, "time", k), absent=too_many(k, count)) for k in KINDS
    }
    return Question(
        name=f"many.{curve.name}.{count}",
        title=f"{curve.title}: {count:,}",
        unit="ms",
        per="process",
        fair=f"Each waits for an event of its package; time until the last one is there. {LEFT_OUT}",
        entries=entries
        | {
            "os.fork": Entry(functools.partial(bare_fork, 0), aside="floor: fork, pipes"),
            f"os.fork, {WRITTEN_KIB} KiB": Entry(
                functools.partial(bare_fork, WRITTEN_KIB),
                aside="floor: and write to so much memory",
                absent=too_many("forkful, fork", count),
            ),
        },
        count=count,
        quick=count,
        bounds=bounds,
        baseline="multiprocessing, forkserver",
        rounds=1 if count > 1000 else 3,
        limit=400,
    )


def weigh(count: int) -> Question:
    return Question(
        name=f"many.weight_{count}",
        title=f"What each of {count:,} waiting processes weighs",
        unit="MiB",
        per="process",
        fair="Mean proportional set size; what the children share is divided among them.",
        entries={
            k: Entry(functools.partial(ask, "weight", k), absent=too_many(k, count)) for k in KINDS
        },
        count=count,
        quick=count,
        bounds=[Bound("forkful, forkserver", 1.2), Bound("forkful, fork", 1.2)],
        baseline="multiprocessing, forkserver",
        rounds=1,
        limit=400,
    )


def idle(count: int) -> Question:
    return Question(
        name=f"many.idle_{count}",
        title=f"What {count:,} waiting processes take",
        unit="ms of CPU",
        per="second",
        fair="As they wait for an event; over 5 s, which begin when all have waited for 2.",
        entries={
            k: Entry(functools.partial(ask, "idle", k), absent=too_many(k, count)) for k in KINDS
        },
        count=count,
        quick=count,
        baseline="multiprocessing, forkserver",
        rounds=1,
        limit=400,
    )


CURVES = [
    Curve("alive", "Processes alive at once", "processes", (1, 10, 100, 1000, 3000, 10_000), alive)
]
QUESTIONS = [
    *(question for curve in CURVES for question in curve.questions()),
    weigh(300),
    idle(250),
    idle(1000),
]

if __name__ == "__main__":
    main(QUESTIONS)
