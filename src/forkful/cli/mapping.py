"""One run of ``forkful map``, from its options to its exit status.

This file says in which order things happen: everything that can be checked is checked (`gather`)
before the first file is written and the first worker started.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from itertools import chain
from signal import SIGHUP, SIGINT, SIGTERM, Signals
from typing import Any

from forkful.cli import gather, output, screen, streams
from forkful.cli.drive import Drive
from forkful.cli.errors import CommandError
from forkful.cli.inputs import Source
from forkful.cli.interrupts import Interrupted, Interrupts
from forkful.cli.output import Output, ReaderGone
from forkful.cli.worker import Work
from forkful.report import summary

_READER_GONE = 141
"""The exit status of a program that writes into a closed pipe: 128 + SIGPIPE."""

_MOST_FAILURES = 101
"""The exit status for more than 100 failures."""


def run(given: Mapping[str, Any]) -> int:
    """Run, and return the exit status.

    Args:
        given: The attributes of `gather.Options`.

    Raises:
        CommandError: What was given cannot be run.
    """
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
