"""``forkful map``: a function or a command over many inputs, on every CPU.

This file says what the command line looks like, and in which order things happen: everything that
can be checked is checked (`gather`) before the first file is written and the first worker started.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, Signals
from typing import Any

import click

from forkful.cli import gather, output, screen, streams, values
from forkful.cli.drive import Drive
from forkful.cli.errors import CommandError
from forkful.cli.inputs import Source
from forkful.cli.interrupts import Interrupted, Interrupts
from forkful.cli.output import Output, ReaderGone
from forkful.cli.plan import Halt
from forkful.cli.worker import Work
from forkful.cpus import usable_cpus
from forkful.report import summary

_READER_GONE = 141
"""The exit status of a program that writes into a closed pipe: 128 + SIGPIPE."""

_MOST_FAILURES = 101
"""The exit status for more than 100 failures."""


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
    if given["output"] == Path("-"):
        given["output"] = None
    options = gather.Options(**given)
    with Interrupts() as interrupts:
        try:
            return _map(options, interrupts)
        except Interrupted as interruption:  # before the run began
            streams.say(f"forkful map: {_said(interruption)}")
            return interruption.exit_status


def _map(options: gather.Options, interrupts: Interrupts) -> int:
    """Check everything, then run. Return the exit status."""
    work, words = gather.work(options)
    standard = streams.take()
    plan = gather.plan(options, work)
    source = gather.source(options, words, standard.items)
    if options.output is not None:
        output.check_writable(options.output, gather.other_files(options))
    elif standard.results < 0:
        raise CommandError("standard output is closed; name a file with --output")
    source.check_first()
    if options.dry_run:
        return _dry_run(
            options, plan.work, source, Output(standard.results, "standard output", interrupts)
        )
    journal = gather.journal(options, work, source)
    with journal or nullcontext():
        if options.output is None:
            lines = Output(standard.results, "standard output", interrupts)
        else:
            lines = Output(
                output.open_file(options.output, journal), str(options.output), interrupts
            )
        shown = screen.choose(options.progress, shares_terminal=lines.is_terminal)
        if shown.interval is not None:
            source.count()
        return _run(Drive(plan, source, lines, journal, shown, interrupts), shown)


def _dry_run(options: gather.Options, work: Work, source: Source, lines: Output) -> int:
    """Print what would be run."""
    if options.journal is not None and options.journal.exists():
        journal = gather.journal(options, work, source)
    else:
        journal = None
    with journal or nullcontext(), suppress(ReaderGone):
        for seq, item in enumerate(chain.from_iterable(source.runs)):
            if journal is None or journal.place(seq, item) is not None:
                lines.write(work.says(item).encode("utf-8", "surrogateescape") + b"\n")
    return 0


def _run(drive: Drive, shown: screen.Screen) -> int:
    """Run, say how it ended, and return the exit status."""
    tally = drive.tally
    complaint: tuple[str, ...] = ()
    try:
        ended = drive.run()
        status = min(tally.failed, _MOST_FAILURES)
    except Interrupted as interruption:
        ended, status = _said(interruption), interruption.exit_status
        complaint = (f"forkful map: {ended}",)
    except CommandError as error:
        ended, status = "the rest was not run", error.exit_status
        complaint = (f"forkful map: {' '.join(str(error).splitlines())}",)
    except ReaderGone:
        return _READER_GONE
    finally:
        shown.close(drive.progress())
    streams.say(*summary.lines(tally.summary(drive.elapsed, ended)), *complaint)
    return status


def _said(interruption: Interrupted) -> str:
    """Say a signal in a word."""
    return {SIGINT: "interrupted", SIGTERM: "terminated", SIGHUP: "the terminal was closed"}[
        Signals(interruption.signum)
    ]
