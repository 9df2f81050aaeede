"""Programs of other people, unmodified: each plain and by `forkful run`, side by side.

`python -m third_party [NAME...]` from the project's root; `make third-party` makes its environment first.
Prints a table; exits with 1 if a program's results differ.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from third_party.programs import PROGRAMS, Program

LOGS = Path("build/third-party").resolve()
WORK = Path(tempfile.gettempdir(), f"third-party-{os.getpid()}")  # the same for both runs
LIMIT = 1200  # seconds for one run
ENDS = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
LEAKS = re.compile(r"^.*resource_tracker: There appear to be.*\n.*warnings.warn.*\n", re.MULTILINE)
"""What the standard library's resource tracker says of semaphores that were not unlinked."""
REPORT = re.compile(r"^forkful run: (\d+) process", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """How one run ended."""

    status: int | None  # None: it was still running when its time was up
    lines: list[str]  # what it said, without order and times
    files: str  # a digest of what it left
    processes: int  # that ran on forkful
    text: str

    def __str__(self) -> str:
        if self.status is None:
            return "hangs"
        counts: dict[str, int] = {}
        for line in self.lines:
            if match := ENDS.match(line):
                counts[match[1].lower()] = counts.get(match[1].lower(), 0) + 1
        said = ", ".join(f"{n} {what}" for what, n in counts.items())
        return f"exit {self.status}, {said or f'{len(self.lines)} lines'}"

    def same(self, other: Run) -> bool:
        return (self.status, self.lines, self.files) == (other.status, other.lines, other.files)


def unpack(program: Program, folder: Path) -> None:
    """Fill the folder with the program's source archive."""
    archives = LOGS / "archives" / program.name
    if not archives.is_dir():
        what = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(archives)]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *what, program.package], check=True
        )
    (archive,) = archives.iterdir()
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    for path in top.iterdir():
        path.rename(folder / path.name)
    top.rmdir()


def run(program: Program, on_forkful: bool) -> Run:
    """Run the program in a folder made anew."""
    shutil.rmtree(WORK, ignore_errors=True)
    folder, home = WORK / "files", WORK / "home"
    folder.mkdir(parents=True)
    home.mkdir()
    if program.sdist:
        unpack(program, folder)
    program.prepare(folder)
    start = ["-m", "forkful", "run", "--report"] if on_forkful else []
    env = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
    env |= {"HOME": str(home), "COLUMNS": "200", "TERM": "dumb"}
    output = LOGS / f"{program.name}.{'forkful' if on_forkful else 'plain'}.log"
    with open(output, "w") as log:
        process = subprocess.Popen(
            [sys.executable, *start, *program.words],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            status = None
    text = output.read_text(errors="replace")
    if not on_forkful:
        text = LEAKS.sub("", text)
    report = REPORT.search(text)
    if report:
        text = text[: report.start()] + text[text.find("\n\n", report.start()) :][2:]
    return Run(status, _lines(text), _digest(folder), int(report[1]) if report else 0, text)


def _lines(text: str) -> list[str]:
    """What was said, sorted, for workers end in any order; of tests only how each ended."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ends = [re.sub(r" - .*|\[\d+\]", "", line) for line in lines if ENDS.match(line)]
    if ends:
        return sorted(ends)
    lines = [re.sub(r"\b\d+\.\d+ ?s(econds?)?\b", "x s", line) for line in lines]
    return sorted(re.sub(r"\d{4}-\d\d-\d\d[ T][\d:.]+Z?", "a time", line) for line in lines)


def _digest(folder: Path) -> str:
    """Of what is in the Python and HTML files of a folder: what these programs write."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".html")):
        found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def main(names: list[str]) -> int:
    """Run all programs, or those that are named."""
    chosen = [p for p in PROGRAMS if not names or p.name in names]
    if missing := set(names) - {p.name for p in chosen}:
        print(f"no such program: {', '.join(missing)}", file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    print("| program | what was run | uses | plain | `forkful run` | processes | |")
    print("|---|---|---|---|---|---|---|", flush=True)
    differ = 0
    for program in chosen:
        plain, ours = run(program, False), run(program, True)
        same = plain.same(ours)
        differ += not same
        name = program.package.replace("==", " ")
        words = " ".join(program.words)
        print(
            f"| {name} | `python {words}` | {program.uses} | {plain} | {ours} | {ours.processes} | "
            f"{'the same' if same else 'DIFFERS'} |",
            flush=True,
        )
    shutil.rmtree(WORK, ignore_errors=True)
    return 1 if differ else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--requirements"]:
        print("\n".join(sorted({r for p in PROGRAMS for r in (p.package, *p.also)} | {"pytest"})))
    else:
        sys.exit(main(sys.argv[1:]))
