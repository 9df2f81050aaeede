"""``--shell 'COMMAND {}'``: a command for each item, run without a shell and never left behind.

The command is cut into words once, here; an item replaces ``{}`` inside a word and stays inside it,
whatever characters it holds. With ``--use-shell`` the command line is a script of ``sh``, which
receives the item as its first parameter: still one argument, never script.

**No command outlives its worker.** A worker may be killed at any instant (a timeout, ``--halt
now``, Ctrl-C, the death of the parent), and then nobody is left in it to kill what it started. So
each worker has a *guardian*, a three-line ``sh`` that reads a pipe of which only the worker holds
the other end. A command leads a session of its own and writes its process id into that pipe before
it becomes the command; the guardian kills the last named group when the pipe ends, which is when
the worker has died.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import IO, TypedDict

from forkful.cli.encode import encode
from forkful.cli.errors import CommandError

_SHELL = "/bin/sh"

_GUARDIAN = 'while read -r group; do last=$group; done; [ -z "$last" ] || kill -KILL "-$last"'
"""Remembers the last line read; an empty line means that nothing runs."""

_STARTER = 'echo $$ >&0; exec "$@" </dev/null'
"""Names itself to the guardian (whose pipe it was given as standard input), lets go of the pipe,
and becomes the command."""

_TAIL_LINES = 5
"""How many last lines of standard error the text of a `CommandFailed` quotes."""

_OPERATORS = re.compile(r"[|&;<>()]+|\$\(.*|`.*", re.DOTALL)
"""Words of a command line that only a shell gives a meaning to."""


class Finished(TypedDict):
    """What a command that succeeded gave: the result of its item."""

    stdout: str
    stderr: str
    returncode: int


class CommandFailed(Exception):
    """A command ended with another exit status than 0, or by a signal.

    Attributes:
        returncode: Its exit status; -N if signal N ended it.
        stdout: What it wrote to standard output.
        stderr: What it wrote to standard error.
    """

    def __init__(self, returncode: int, stdout: str, stderr: str) -> None:
        super().__init__(returncode, stdout, stderr)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        how = (
            f"exit status {self.returncode}"
            if self.returncode >= 0
            else f"ended by signal {-self.returncode}"
        )
        said = "\n".join(self.stderr.rstrip().splitlines()[-_TAIL_LINES:])
        return f"{how}: {said}" if said else how


@dataclass(frozen=True)
class CommandLine:
    """A command with a place for the item; pickles to its words.

    Attributes:
        text: The command as the user wrote it.
        words: The words to execute, with ``{}`` where the item goes.
        uses_shell: Whether ``sh`` reads the command as a script.
    """

    text: str
    words: tuple[str, ...]
    uses_shell: bool = False

    @classmethod
    def parse(cls, text: str, use_shell: bool) -> CommandLine:
        """Cut a command line into words, or make it a script of ``sh``.

        Where no ``{}`` stands, the item becomes the last argument.

        Raises:
            CommandError: The quotes do not match, the command is empty or does not exist, it holds
                an operator that needs ``--use-shell``, or with ``--use-shell`` a ``{}`` stands
                inside single quotes.
        """
        if use_shell:
            return cls(text, (_SHELL, "-c", _script(text), _SHELL, "{}"), uses_shell=True)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise CommandError(f"--shell {text!r}: {str(error).lower()}") from error
        if not words:
            raise CommandError("--shell: the command is empty")
        for word in words:
            if _OPERATORS.fullmatch(word):
                raise CommandError(
                    f"--shell {text!r}: {word!r} would be passed as an argument;"
                    " add --use-shell to let sh run the command"
                )
        if "{}" not in words[0] and shutil.which(words[0]) is None:
            raise CommandError(f"--shell: {words[0]!r}: command not found")
        if not any("{}" in word for word in words):
            words.append("{}")
        return cls(text, tuple(words))

    def words_for(self, item: object) -> list[str]:
        """Return the words to execute for `item`; a JSON value that is no string is put in as its
        JSON text.
        """
        text = item if isinstance(item, str) else encode(item).decode()
        return [word.replace("{}", text) for word in self.words]

    def says(self, item: object) -> str:
        """Return the words for `item`, quoted so that a shell would read them as they are."""
        return shlex.join(self.words_for(item))


def _script(text: str) -> str:
    """Put the first parameter where ``{}`` stands, quoted as the place demands.

    Raises:
        CommandError: A ``{}`` stands where a shell puts in no parameter.
    """
    if not text.strip():
        raise CommandError("--shell: the command is empty")
    script, quote, found, at = [], "", False, 0
    while at < len(text):
        char = text[at]
        if text.startswith("{}", at):
            if quote == "'":
                raise CommandError(
                    f"--shell {text!r}: sh puts nothing into single quotes;"
                    " write {} outside them or in double quotes"
                )
            script.append("${1}" if quote else '"${1}"')
            found, at = True, at + 2
            continue
        if char == "\\" and quote != "'":
            script.append(text[at : at + 2])
            at += 2
            continue
        if char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        script.append(char)
        at += 1
    return "".join(script) if found else f'{text} "${{1}}"'


class Runner:
    """Runs a command line for one item after another, in a worker.

    Args:
        command: What to run.
    """

    def __init__(self, command: CommandLine) -> None:
        self._command = command
        self._guardian = subprocess.Popen(
            [_SHELL, "-c", _GUARDIAN],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C and hang-up are not for the guardian
        )

    def __call__(self, item: object) -> Finished:
        """Run the command for `item` and return what it wrote.

        Blocks until the command has ended and everybody who holds its standard output and error has
        closed them. If this process dies meanwhile, the command's whole process group is killed.

        Raises:
            CommandFailed: The command failed; 126 and 127 mean that it could not be started.
            ValueError: The item holds a NUL character, which no argument can.
        """
        pipe = self._pipe
        process = subprocess.Popen(
            [_SHELL, "-c", _STARTER, _SHELL, *self._command.words_for(item)],
            stdin=pipe,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
        stdout, stderr = process.communicate()
        os.write(pipe.fileno(), b"\n")
        if process.returncode:
            raise CommandFailed(process.returncode, stdout, stderr)
        return {"stdout": stdout, "stderr": stderr, "returncode": 0}

    @property
    def _pipe(self) -> IO[bytes]:
        pipe = self._guardian.stdin
        assert pipe is not None, "the guardian was started with a pipe"
        return pipe
