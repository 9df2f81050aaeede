"""Who descends from this process, and what each of them is doing: read from /proc.

Imports nothing of forkful, and nothing that could block: it is used while something hangs.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Proc:
    """A process as it was when it was looked at; (pid, started) is never used twice."""

    pid: int
    started: int  # clock ticks since boot
    parent: int
    session: int
    state: str  # one letter, as in ps: Z is a zombie

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.started

    def __str__(self) -> str:
        return f"{self.pid} [{self.state}] {command(self.pid)} (child of {self.parent})"


def look(pid: int) -> Proc | None:
    """Read one process; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return Proc(pid, int(fields[19]), int(fields[1]), int(fields[3]), fields[0])


def lives(proc: Proc) -> bool:
    """Whether that very process is there, and no zombie."""
    now = look(proc.pid)
    return now is not None and now.identity == proc.identity and now.state not in "ZX"


def everyone() -> dict[int, Proc]:
    """All processes that can be seen, by pid."""
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {proc.pid: proc for proc in found if proc}


def descendants(root: int, among: dict[int, Proc] | None = None) -> list[Proc]:
    """Children of ``root``, their children and so on, parents first. Zombies are among them."""
    among = everyone() if among is None else among
    found, layer = [], [root]
    while layer:
        below = [proc for proc in among.values() if proc.parent in layer]
        found += below
        layer = [proc.pid for proc in below]
    return found


def command(pid: int) -> str:
    """The command line, or the kernel's short name in brackets where there is none (a zombie)."""
    for name, form in (("cmdline", "{}"), ("comm", "[{}]")):
        try:
            text = Path(f"/proc/{pid}/{name}").read_text(errors="replace")
        except OSError:
            continue
        if text.strip("\0\n"):
            return form.format(" ".join(text.strip("\0\n").split("\0")))
    return "[gone]"


def describe(root: int) -> str:
    """The tree below and with ``root``: each thread's state and where in the kernel it sleeps."""
    among = everyone()
    top = among.get(root)
    lines = []
    for proc in ([top] if top else []) + descendants(root, among):
        lines.append(str(proc))
        for task in sorted(Path(f"/proc/{proc.pid}/task").glob("*"), key=lambda p: int(p.name)):
            thread = look(int(task.name))
            try:
                wchan = (task / "wchan").read_text()
            except OSError:
                wchan = "?"
            if thread:
                lines.append(f"    thread {task.name} [{thread.state}] in {wchan or '?'}")
    return "\n".join(lines)


def kill(procs: list[Proc], signum: int = signal.SIGKILL) -> None:
    """Send a signal to those that are still the processes they were."""
    for proc in procs:
        if lives(proc):
            try:
                os.kill(proc.pid, signum)
            except ProcessLookupError:
                pass
