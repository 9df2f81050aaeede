"""``forkful run``: a program written for `multiprocessing`, unchanged, on forkful."""

from __future__ import annotations

import os
import sys

import click

from forkful.cli.errors import CommandError
from forkful.run.command import command as interpreter

_HELP = """Run a program written for multiprocessing, unchanged, on forkful.

\b
  forkful run script.py ARGS...
  forkful run -m module ARGS...
  forkful run --report script.py

The program is run by this Python as by "python script.py": its arguments, output, exit status and
signals are its own. Wherever it, or a library, imports multiprocessing it gets forkful, and so do
all processes that it starts through it.
"""


@click.command(
    help=_HELP,
    context_settings={
        "allow_interspersed_args": False,  # what follows the program belongs to it
        "help_option_names": ["-h", "--help"],
    },
    options_metavar="[OPTIONS]",
)
@click.option("-m", "module", is_flag=True, help="The program is a module, as with python -m.")
@click.option("-c", "code", is_flag=True, help="The program is given as text, as with python -c.")
@click.option(
    "--report",
    is_flag=True,
    help="At the end, tell on standard error of each process: how it ended, its CPU time, its "
    "peak memory, its errors.",
)
@click.argument("program", metavar="SCRIPT [ARGS]...", nargs=-1, type=click.UNPROCESSED)
def command(module: bool, code: bool, report: bool, program: tuple[str, ...]) -> int:
    """Become the program; with a report, be its parent until it ends."""
    if module and code:
        raise click.UsageError("-m and -c exclude one another")
    if not program:
        what = "a module's name" if module else "the text" if code else "a script"
        raise click.UsageError(f"{what} is missing")
    if sys.flags.ignore_environment:
        raise CommandError("cannot work in an interpreter with -E or -I: start it without")
    words = [*(["-m"] if module else ["-c"] if code else []), *program]
    arguments, environment = interpreter(words, _interpreter_options())
    sys.stdout.flush()
    sys.stderr.flush()
    if report:
        from forkful.cli import supervise  # here: help needs no reports

        return supervise.run(arguments, environment)
    os.execve(arguments[0], arguments, environment)


def _interpreter_options() -> list[str]:
    """What stood between `python` and this program: `-O`, `-X dev`."""
    ours = len(sys.argv) - 1
    head = sys.orig_argv[1 : len(sys.orig_argv) - ours]
    named = 2 if len(head) > 1 and head[-2] in ("-m", "-c") else 1
    return head[:-named]
