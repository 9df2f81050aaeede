"""One measurement in a fresh process, which nothing it does can outlive or hold up."""

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from question import PER_SECOND, Question

HERE = str(Path(__file__).parent)
# Run as -c, the process has no main file: children that are spawned import nothing of ours, and
# functions are pickled by their name by those who would otherwise pickle them whole.
PROGRAM = "import fresh; fresh.measure_here()"


class MeasurementError(Exception):
    """A measurement gave no figure; the text says why, in one line."""


def measure(question: Question, entry: str, count: int) -> float:
    """Measure one entry once, in the question's unit.

    Blocks until the figure is there, at most `question.limit` seconds. Whatever the measurement
    started is killed afterwards.

    Raises:
        MeasurementError: It raised, died, or took too long.
    """
    path = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as result, tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, question.name, entry, str(count), str(result.fileno())],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=[result.fileno()],
            start_new_session=True,
        )
        ended = wait_then_kill_all(child, question.limit)
        result.seek(0)
        said.seek(0)
        answer = result.read()
        last_line = said.read().decode(errors="replace").strip().rpartition("\n")[2]
    if answer:
        known = json.loads(answer)
        if "failure" in known:
            raise MeasurementError(known["failure"])
        return float(known["figure"]) * PER_SECOND.get(question.unit, 1.0)
    if not ended:
        raise MeasurementError(
            f"hung: no result in {question.limit:g} s; last said: {last_line or 'nothing'}"
        )
    raise MeasurementError(
        f"ended without a result, {_how_ended(child.returncode)}: {last_line or 'no message'}"
    )


def wait_then_kill_all(child: subprocess.Popen[bytes], limit: float) -> bool:
    """Wait for the process, kill what is left of its session, reap it; tell whether it ended."""
    watch = os.pidfd_open(child.pid)
    try:
        ended = bool(select.select([watch], [], [], limit)[0])
    finally:
        os.close(watch)
        os.killpg(child.pid, signal.SIGKILL)  # before it is reaped, so the number is still its own
        child.wait()
    return ended


def _how_ended(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"


def measure_here() -> None:
    """Be the fresh process: measure what the arguments name, write the figure, leave at once."""
    name, entry, count, out = sys.argv[1:]
    try:
        questions = importlib.import_module(name.partition(".")[0]).QUESTIONS
        question = next(each for each in questions if each.name == name)
        answer: dict[str, object] = {"figure": question.entries[entry].measure(int(count))}
    except ModuleNotFoundError as error:
        answer = {"failure": f"not installed: {error}"}
    except BaseException as error:
        traceback.print_exc()
        answer = {"failure": " ".join(f"{type(error).__name__}: {error}".split())}
    os.write(int(out), json.dumps(answer).encode())
    os._exit(0)  # how long a peer takes to end, or whether it does, is not what is asked
