"""The ``forkful`` command: finds the sub-command, runs it, and turns every way it can end into an
exit status and at most one line.
"""

from __future__ import annotations

from importlib import import_module

import click

from forkful import __version__
from forkful.cli.errors import CommandError
from forkful.cli.streams import say

_COMMANDS = {"map": "forkful.cli.map", "run": "forkful.cli.run", "why": "forkful.cli.why"}
"""Sub-commands and the modules that define them as ``command``; a module is imported when its
command is run."""


class _Commands(click.Group):
    """A group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[cmd_name]).command
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="forkful", message="%(prog)s %(version)s")
def forkful() -> None:
    """Python's multiprocessing without the hangs."""


def run(arguments: list[str]) -> int:
    """Run the command line.

    Args:
        arguments: The words after the name of the program.

    Returns:
        The exit status: that of the command, 2 for a wrong command line, 130 for Ctrl-C.
    """
    try:
        status = forkful.main(arguments, prog_name="forkful", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = (
            context.command_path
            if context is not None
            else f"forkful {_command(arguments)}".strip()
        )
        _complain(f"{path}: {error.format_message()} (see {path} --help)")
        return 2
    except CommandError as error:
        _complain(f"forkful {_command(arguments)}: {error}")
        return error.exit_status
    except (KeyboardInterrupt, click.Abort):
        _complain("forkful: interrupted")
        return 130


def _command(arguments: list[str]) -> str:
    return next((word for word in arguments if word in _COMMANDS), "")


def _complain(line: str) -> None:
    """Say it in one line, whatever the message quotes."""
    say(" ".join(line.split("\n")))
