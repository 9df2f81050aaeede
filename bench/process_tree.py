"""How much memory a command and all that it starts use at the most."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path


def peak_bytes(command: Sequence[str], every: float, **popen: object) -> int:
    """Run a command; return the greatest sum of its processes' memory that a look at them found.

    A process's share is its PSS: a page that n processes map counts 1/n for each, so shared memory
    is neither left out nor counted twice. Files in the page cache that nobody maps are not counted.
    Blocks until the command ends. Must be called from the leader of a session, because whatever
    belongs to the session, or descends from what does, is counted, except the caller itself.

    Args:
        command: The program and its arguments.
        every: Seconds between two looks.
        popen: More for `subprocess.Popen`.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    child = subprocess.Popen(command, **popen)  # type: ignore[call-overload]
    peak = 0
    while True:
        try:
            status = child.wait(every)
        except subprocess.TimeoutExpired:
            peak = max(peak, sum(map(_pss, set(_family(os.getsid(0))) - {os.getpid()})))
            continue
        if status:
            raise subprocess.CalledProcessError(status, command)
        if not peak:
            raise RuntimeError(f"{command[0]} ended before anybody could look at its memory")
        return peak


def _family(session: int) -> Iterator[int]:
    """Yield the processes of a session and all their descendants."""
    children: dict[int, list[int]] = {}
    todo = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold anything; what follows it is plain.
                after_name = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            children.setdefault(int(after_name[1]), []).append(int(entry.name))
            if int(after_name[3]) == session:
                todo.append(int(entry.name))
    seen = set(todo)
    while todo:
        pid = todo.pop()
        yield pid
        new = [each for each in children.get(pid, ()) if each not in seen]
        seen.update(new)
        todo += new


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended
    return 0
