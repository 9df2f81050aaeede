"""``forkful why``: what a program that hangs is waiting for."""

from __future__ import annotations

import click

from forkful.cli.errors import CommandError

_HELP = """Say why a forkful program hangs.

PID is any of its processes. Shows the verdict in one sentence (deadlocked, stopped, busy, starved,
waiting for I/O), what each process does or waits for, at which line, for how long, who holds it; and what to do.

The program needs no preparation and is not changed: it may hang, be stopped, or have lost its parent.
With --stacks a thread of each process runs a signal handler (SIGURG) for a moment.
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="The same for programs, as one JSON object.")
@click.option("--stacks", is_flag=True, help="Show the Python stack of each thread, too.")
@click.argument("pid", type=click.IntRange(1))
def command(pid: int, as_json: bool, stacks: bool) -> None:
    """Look, judge, tell."""
    import json

    from forkful import snapshot  # here, and so are the others: help needs none of it
    from forkful.report import why
    from forkful.report.verdict import judge

    try:
        family = snapshot.take(pid)
    except snapshot.Unseen as unseen:
        raise CommandError(str(unseen)) from None
    verdict = judge(family)
    if stacks:
        family = snapshot.with_stacks(family)
    if as_json:
        click.echo(json.dumps(why.as_json(family, verdict), indent=2))
    else:
        click.echo("\n".join(why.lines(family, verdict)))
