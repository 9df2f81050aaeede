"""``forkful map``: a function or a command over many inputs, on every CPU.

This file says what the command line looks like, and imports little: who asks for help, or has
mistyped an option, is not to wait for what a run needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from forkful.cli import values
from forkful.cli.plan import Halt
from forkful.cpus import usable_cpus

_HELP = """Run a function over many inputs, on every CPU.

\b
  forkful map mymodule:check --files 'data/**/*.csv' -o results.jsonl
  forkful map tools.py:fetch --lines urls.txt --timeout 30 --retries 2
  forkful map mymodule:simulate --jsonl cases.jsonl --kwargs -j 50%
  forkful map --shell 'gzip -k {}' --files '*.log'
  seq 1000 | forkful map mymodule:work | jq .result

A long run, killed and resumed, gives each item exactly one outcome:

\b
  forkful map tools.py:fetch --lines urls.txt -o out.jsonl --journal run.db
  forkful map tools.py:fetch --lines urls.txt -o out.jsonl --journal run.db --resume

FUNC is package.module:function or path/to/file.py:function. It is called with one input and
returns the result.

Each item gives one line of JSON: seq, input, ok, result, seconds, attempts, pid. A failure has
error (type, message, traceback) and no result. What JSON cannot say is given as
{"__repr__": "..."}. A failure, a crash or an item that takes too long costs that item only.
"""
"""``\\b`` lets the lines below it stand as they are."""


class _Value(click.ParamType[Any]):
    """An option's value, read by a function that raises `ValueError`."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_SECONDS = _Value("seconds", values.seconds)
_DELAY = _Value("seconds", values.delay)
_SIZE = _Value("size", values.size)
_JOBS = _Value("n", lambda text: values.jobs(text, usable_cpus()))
_PATH = click.Path(path_type=Path)
_AT_LEAST_0 = click.IntRange(min=0)
_AT_LEAST_1 = click.IntRange(min=1)


@click.command(
    "map",
    options_metavar="[OPTIONS]",
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 all succeeded; 1 to 100 that many failed, 101 more; 2 wrong usage or "
    "bad input; 130 interrupted (Ctrl-C); 143 terminated (SIGTERM).",
)
@click.argument("words", nargs=-1, metavar="FUNC [INPUT]...")
@click.option(
    "--shell",
    metavar="COMMAND",
    help="Run this command instead of FUNC; each input replaces {} in it, as one argument.",
)
@click.option(
    "--use-shell",
    is_flag=True,
    help="Let sh read the COMMAND, for pipes and redirections. The input stays one argument.",
)
@click.option(
    "--files",
    multiple=True,
    metavar="GLOB",
    help="Inputs: the files that match, sorted; ** matches any depth. Repeatable.",
)
@click.option(
    "--lines",
    metavar="FILE|-",
    help="Inputs: the lines of FILE. Standard input is read so when nothing else is given.",
)
@click.option("--jsonl", metavar="FILE|-", help="Inputs: the JSON value on each line of FILE.")
@click.option(
    "--kwargs",
    is_flag=True,
    help="With --jsonl: the members of each object are FUNC's keyword arguments.",
)
@click.option(
    "-j",
    "--jobs",
    type=_JOBS,
    help="Workers: 4, or relative to the usable CPUs: +1, -1, 50%.  [default: the usable CPUs]",
)
@click.option(
    "--timeout",
    type=_SECONDS,
    help="Time for each try of an item, such as 10, 2m, 1.5h; then its worker is killed.",
)
@click.option(
    "--retries",
    type=_AT_LEAST_0,
    default=0,
    metavar="N",
    help="Try a failed item up to N more times.",
)
@click.option(
    "--retry-on",
    multiple=True,
    metavar="EXC",
    help="Retry this exception only: OSError, package.Error. Repeatable.",
)
@click.option(
    "--backoff",
    type=_DELAY,
    default="0.5",
    help="Wait before the first retry; doubles with each.  [default: 0.5]",
)
@click.option(
    "--halt",
    type=click.Choice([h.value for h in Halt]),
    default="never",
    help="At the first failure: go on, start nothing more, or kill the rest.",
)
@click.option(
    "-k", "--keep-order", is_flag=True, help="Write the lines in the order of the inputs."
)
@click.option(
    "--max-tasks-per-worker", type=_AT_LEAST_1, metavar="N", help="Replace a worker after N items."
)
@click.option(
    "--max-memory-per-worker",
    type=_SIZE,
    help="Replace a worker that has grown beyond this: bytes, 500M, 2G.",
)
@click.option(
    "--start-method",
    type=click.Choice(["fork", "spawn", "forkserver"]),
    help="How workers start.  [default: Python's own]",
)
@click.option(
    "-o",
    "--output",
    type=_PATH,
    metavar="FILE",
    help="Write the lines to FILE, which is emptied first (but see --resume).",
)
@click.option(
    "--journal",
    type=_PATH,
    metavar="FILE",
    help="Record each outcome in FILE, so that a run can be resumed.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the journal's job: skip what has succeeded, append to the output.",
)
@click.option(
    "--resume-failed",
    is_flag=True,
    help="Run again what has failed according to the journal, and nothing else.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Show the progress on standard error.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be run, and run nothing.")
def command(**given: Any) -> int:
    """Run ``forkful map``; the parameters are the attributes of `gather.Options`."""
    from forkful.cli import mapping  # here: it brings the pool, the journal and all else with it

    if given["output"] == Path("-"):
        given["output"] = None
    return mapping.run(given)
