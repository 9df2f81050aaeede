"""The one exception that a command ends with on purpose."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot go on: `main` prints the text as one line on standard error and exits.

    Args:
        message: One line that says what is wrong, where, and what to do.
        exit_status: The exit status of the program.
    """

    def __init__(self, message: str, exit_status: int = 2) -> None:
        super().__init__(message)
        self.exit_status = exit_status
