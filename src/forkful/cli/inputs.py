"""Where items come from: arguments, file names, lines, JSON values. All but file names are read as
they are needed, in runs of what a read has brought: so an item costs a part of a run, and not a way
through several iterators.

A `Source` is checked as far as its first item before anything else is started or written, and reads
no further than the pool asks for. What is wrong later (a line that is no JSON) is a `CommandError`
raised from the iterator at that place.
"""

from __future__ import annotations

import glob
import itertools
import json
import os
import select
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from forkful.cli.errors import CommandError
from forkful.cli.streams import say

Run = Sequence[Any]
"""Items that are there at once."""

_CHUNK = 1 << 16

_SLICE_MS = 100
"""How often whoever waits for input looks whether a signal has come."""

_COUNTABLE = 1 << 30
"""Bytes of a file whose lines are counted for the sake of a progress bar: a second's reading."""


@dataclass
class Source:
    """The items of a run.

    Attributes:
        name: What a journal remembers of it, such as ``lines in.txt``.
        runs: The items, once, in runs. An empty run comes instead of blocking while somebody is
            `impatient`: there is no item now, ask again.
        total: How many there are, where that is known beforehand.
        path: The file with an item on each line, if they come from one.
        impatient: Asked before a read that could block: true if the caller would rather have an
            empty run.
    """

    name: str
    runs: Iterator[Run]
    total: int | None = None
    path: str | None = None
    impatient: Callable[[], bool] = lambda: False

    def check_first(self) -> None:
        """Read the first item, so that what is wrong with it is known now. Blocks until there is
        one or the input ends.

        Raises:
            CommandError: The first item is bad.
        """
        first = list(itertools.islice(self.runs, 1))
        self.runs = itertools.chain(first, self.runs)

    def count(self) -> None:
        """Find the total for a progress display, where that takes little: the lines of a file that
        is not huge.
        """
        if (
            self.total is None
            and self.path is not None
            and os.path.isfile(self.path)
            and os.path.getsize(self.path) <= _COUNTABLE
        ):
            with open(self.path, "rb", buffering=0) as file:
                self.total = sum(
                    chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b"")
                )


def from_arguments(words: tuple[str, ...]) -> Source:
    """Take each argument as an item."""
    return Source("arguments", iter([words]), len(words))


def from_globs(patterns: tuple[str, ...]) -> Source:
    """Take each regular file that a pattern matches, once, sorted by name within a pattern. ``**``
    matches folders at any depth.

    Raises:
        CommandError: A pattern matches no file.
    """
    names: dict[str, None] = {}
    for pattern in patterns:
        found = sorted(
            name
            for name in glob.iglob(os.path.expanduser(pattern), recursive=True)
            if os.path.isfile(name)
        )
        if not found:
            raise CommandError(f"--files {pattern!r}: no file matches")
        names.update(dict.fromkeys(found))
    return Source("files " + " ".join(patterns), iter([list(names)]), len(names))


def from_lines(path: str, standard_input: int) -> Source:
    r"""Take each line of a file as an item, without its ``\n`` or ``\r\n``. Bytes that are no UTF-8
    are kept as surrogate escapes.

    Args:
        path: The file, or ``-``.
        standard_input: The descriptor that ``-`` means.

    Raises:
        CommandError: The file cannot be opened.
    """
    source = Source(f"lines {path}", iter(()), path=path)
    chunks = _chunks(path, _open(path, standard_input, "--lines"), source)
    source.runs = map(_text_lines, chunks)
    return source


def _text_lines(chunk: bytes) -> Run:
    lines = chunk.decode("utf-8", "surrogateescape").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines] if b"\r" in chunk else lines


def greet_terminal(standard_input: int) -> None:
    """Tell a person at a terminal, who may have forgotten the inputs, that they are awaited."""
    if standard_input >= 0 and os.isatty(standard_input):
        say("forkful map: reading inputs from the terminal, one a line; Ctrl-D ends them")


def from_json_lines(path: str, standard_input: int, kwargs: bool) -> Source:
    """Take the JSON value on each line of a file as an item. Blank lines are skipped.

    Args:
        path: The file, or ``-``.
        standard_input: The descriptor that ``-`` means.
        kwargs: Each value must be an object.

    Raises:
        CommandError: The file cannot be opened. From the iterator: a line is not JSON, or no object
            where one is needed; names file and line.
    """
    source = Source(f"jsonl {path}", iter(()), path=path)
    chunks = _chunks(path, _open(path, standard_input, "--jsonl"), source)
    source.runs = _values(chunks, _said(path), kwargs)
    return source


def _values(chunks: Iterator[bytes], name: str, kwargs: bool) -> Iterator[Run]:
    """Yield the values of each chunk; of one with a bad line, those before it."""
    number = 0
    for chunk in chunks:
        values: list[Any] = []
        lines = chunk.split(b"\n")
        if not lines[-1]:
            lines.pop()
        try:
            _decode(lines, number, name, kwargs, values)
        except CommandError:
            if values:
                yield values
            raise
        number += len(lines)
        if values or not chunk:
            yield values


def _decode(lines: list[bytes], number: int, name: str, kwargs: bool, values: list[Any]) -> None:
    """Add the values of lines to `values`, up to the first bad one; `number` lines were before."""
    decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
    for line in lines:
        number += 1
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if not text or text.isspace():
                continue
            value = decode(text)
        except json.JSONDecodeError as error:
            raise CommandError(
                f"{name}:{number}: bad JSON at column {error.colno}: {error.msg}"
            ) from error
        except UnicodeDecodeError as error:
            raise CommandError(
                f"{name}:{number}: not UTF-8: byte {line[error.start]:#04x} at offset {error.start}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{name}:{number}: bad JSON: {error}") from error
        if kwargs and not isinstance(value, dict):
            raise CommandError(
                f"{name}:{number}: --kwargs needs a JSON object on each line,"
                f" not {line[:40].decode(errors='replace')!r}"
            )
        values.append(value)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _said(path: str) -> str:
    return "standard input" if path == "-" else path


def _open(path: str, standard_input: int, option: str) -> int:
    """Open a file for reading; the descriptor lives as long as the process."""
    if path == "-":
        if standard_input < 0:
            raise CommandError(f"{option} -: standard input is closed")
        return standard_input
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError(f"{option} {path!r}: {error.strerror}") from error
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise CommandError(f"{option} {path!r}: is a folder")
    return descriptor


def _chunks(path: str, descriptor: int, source: Source) -> Iterator[bytes]:
    r"""Yield what is there of a descriptor, cut after the last ``\n`` of each read; a last line may
    lack its end. Nothing (``b""``) comes instead of blocking while the source's user is impatient.
    """
    may_block = not stat.S_ISREG(os.fstat(descriptor).st_mode)
    poll = select.poll()
    if may_block:
        poll.register(descriptor, select.POLLIN)
    begun: list[bytes] = []
    while True:
        # In slices, and never in the read itself: a signal that comes right before a system call does
        # not interrupt it, and would have to wait for the input.
        while may_block and not poll.poll(0 if source.impatient() else _SLICE_MS):
            if source.impatient():
                yield b""
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError as error:
            raise CommandError(f"{_said(path)}: {error.strerror}") from error
        if not chunk:
            break
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            begun.append(chunk)
            continue
        begun.append(chunk[:cut])
        yield b"".join(begun)
        begun = [chunk[cut:]]
    if last_line := b"".join(begun):
        yield last_line
