"""Where result lines go: a file or standard output, by plain writes of whole lines.

Its one invariant: when `write` returns, the lines are with the kernel and `size` counts them. With
a journal the pair (journal, output file) always agrees after `recover`: the file then holds exactly
the lines of the outcomes that will not be run again.
"""

from __future__ import annotations

import json
import os
import select
import stat
from pathlib import Path

from forkful.cli.errors import CommandError
from forkful.cli.interrupts import Interrupts
from forkful.cli.journal import Journal, OutputMark

_PATIENCE_MS = 100
"""How often a writer that waits for its reader looks whether the run is to end."""

_PIPE_ATOM = 4096
"""PIPE_BUF: what a pipe that polls writable takes without blocking."""


class ReaderGone(Exception):
    """Nobody reads standard output any more."""


class Output:
    """An open output.

    Args:
        descriptor: Where to write.
        name: What messages call it.
        interrupts: Whose signals end a wait for a reader that does not read.
    """

    def __init__(self, descriptor: int, name: str, interrupts: Interrupts) -> None:
        self._descriptor = descriptor
        self._name = name
        self._interrupts = interrupts
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self.is_terminal = os.isatty(descriptor)
        self.size: int = os.lseek(descriptor, 0, os.SEEK_CUR) if self._is_file else 0
        """The offset after the last line written; meaningful for a file."""

    def write(self, lines: bytes) -> None:
        """Write whole lines. Blocks while the reader of a pipe is slow.

        Raises:
            ReaderGone: The other end of the pipe is closed.
            Interrupted: Nobody reads, and the run has been asked to end; the rest is not written.
            CommandError: Anything else, such as a full disk.
        """
        rest = memoryview(lines)
        try:
            while rest:
                if not self._is_file:
                    self._wait_for_reader()
                written = os.write(self._descriptor, rest if self._is_file else rest[:_PIPE_ATOM])
                rest = rest[written:]
                self.size += written
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError as error:
            raise CommandError(f"cannot write to {self._name}: {error.strerror}") from error

    def _wait_for_reader(self) -> None:
        """Wait until a write does not block, or the run is to end."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while not poll.poll(_PATIENCE_MS):
            self._interrupts.check()

    def sync(self) -> None:
        """Force a file's lines to the disk."""
        if self._is_file:
            os.fdatasync(self._descriptor)


def check_writable(path: Path, others: tuple[str, ...]) -> None:
    """Check what can be known about an output file without touching it.

    Args:
        path: The file.
        others: Files of this run, which must not be the same.

    Raises:
        CommandError: It cannot be written.
    """
    if path.is_dir():
        raise CommandError(f"--output {str(path)!r}: is a folder")
    if path.resolve() in {Path(name).resolve() for name in others}:
        raise CommandError(f"--output {str(path)!r}: is another file of this run, too")
    if path.exists():
        if not os.access(path, os.W_OK):
            raise CommandError(f"--output {str(path)!r}: permission denied")
        return
    if not path.parent.is_dir():
        raise CommandError(f"--output {str(path)!r}: there is no folder {str(path.parent)!r}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CommandError(
            f"--output {str(path)!r}: the folder {str(path.parent)!r} cannot be written to"
        )


def open_file(path: Path, journal: Journal | None) -> int:
    """Open an output file: emptied for a new run, continued where the journal already holds
    outcomes.

    A resumed run that names the file of the run before first brings it to where the journal is
    (`recover`). Another file that is not empty is appended to, never emptied.

    Raises:
        CommandError: The file cannot be opened, or is shorter than the journal says.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        resumes = journal is not None and journal.recorded > 0
        if journal is not None and resumes:
            known = journal.output
            if known is not None and known.path == str(path.resolve()):
                recover(path, known, journal)
        descriptor = os.open(path, flags if resumes else flags | os.O_TRUNC, 0o666)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if journal is not None:
                journal.set_output(OutputMark(str(path.resolve()), size))
    except OSError as error:
        raise CommandError(f"--output {str(path)!r}: {error.strerror}") from error
    return descriptor


def recover(path: Path, known: OutputMark, journal: Journal) -> None:
    """Leave in an output file exactly the lines of the outcomes that stand: what succeeded and is
    recorded.

    Lines written after the journal's last commit are cut off, as their items will be run again. So
    are the lines of failures, which need the file to be written anew beside itself. A kill at any
    moment leaves a state that this function completes when it is called again.

    Raises:
        CommandError: The file is shorter than the journal says.
        OSError: The file cannot be read or written.
    """
    copy = path.with_name(path.name + ".rewriting")
    size = known.size
    if known.rewritten is not None and not copy.exists():
        size = known.rewritten  # the rename came through, the journal's last word did not
    copy.unlink(missing_ok=True)
    there = path.stat().st_size if path.exists() else 0
    if there < size:
        raise CommandError(
            f"--output {str(path)!r} has {there:,} bytes, but the journal recorded {size:,}:"
            " lines are missing;"
            " give another --output for what is left to do, or start over with a new journal"
        )
    if there > size:
        os.truncate(path, size)
    known = OutputMark(known.path, size)
    journal.set_output(known)
    if journal.has_failures:
        rewritten = _copy_successes(path, copy)
        journal.set_output(OutputMark(known.path, size, rewritten))
        copy.replace(path)
        journal.set_output(OutputMark(known.path, rewritten))


def _copy_successes(path: Path, copy: Path) -> int:
    """Write the lines that report no failure to `copy`, on disk. Return its length."""
    with path.open("rb") as old, copy.open("xb") as new:
        os.fchmod(new.fileno(), stat.S_IMODE(os.fstat(old.fileno()).st_mode))
        new.writelines(line for line in old if not _is_failure(line))
        new.flush()
        os.fsync(new.fileno())
        return new.tell()


def _is_failure(line: bytes) -> bool:
    """Tell whether this is our line of a failure. Lines of anybody else are none of our business
    and stay.
    """
    if b'"ok": false' not in line:
        return False
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("ok") is False and "error" in said
