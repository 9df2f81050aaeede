"""The worker's side: load the function once, then turn items into the text of their results.

The text is made here and not in the parent, so that the part of a run that cannot be divided, the
parent's, only joins bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from forkful.cli.encode import encode
from forkful.cli.shell import CommandLine, Runner
from forkful.cli.target import Target


@dataclass(frozen=True)
class Work:
    """What is done to each item; pickles to names and words.

    Attributes:
        what: The function, or the command.
        kwargs: Whether an item's members are the function's keyword arguments.
    """

    what: Target | CommandLine
    kwargs: bool = False

    @property
    def name(self) -> str:
        """What a journal remembers of it."""
        if isinstance(self.what, CommandLine):
            return f"--shell {self.what.text!r}" + (" --use-shell" if self.what.uses_shell else "")
        return self.what.name + (" --kwargs" if self.kwargs else "")

    def load(self) -> Callable[[Any], Any]:
        """Return the callable that takes an item. Imports the function's module, or starts a
        guardian for commands.

        Raises:
            CommandError: The function cannot be loaded.
        """
        if isinstance(self.what, CommandLine):
            return Runner(self.what)
        function = self.what.load()
        return (lambda item: function(**item)) if self.kwargs else function

    def says(self, item: Any) -> str:
        """Say what would be run for an item, as ``--dry-run`` shows it."""
        if isinstance(self.what, CommandLine):
            return self.what.says(item)
        given = (
            ", ".join(f"{name}={value!r}" for name, value in item.items())
            if self.kwargs
            else repr(item)
        )
        return f"{self.what.name}({given})"


NOT_BEGUN = None
"""What `run` returns for an item that was not begun, because the run has been halted."""

_call: Callable[[Any], Any]
_is_halted: Callable[[], bool] | None = None


def begin(work: Work, halted: Any) -> None:
    """Prepare this worker process: the pool's initializer.

    Args:
        work: What to do.
        halted: An event; once it is set, no further item is begun. Or None.

    Raises:
        CommandError: The function cannot be loaded here.
    """
    global _call, _is_halted
    _call = work.load()
    _is_halted = None if halted is None else halted.is_set


def run(item: Any) -> bytes | None:
    """Do the work for one item and return the middle of its result line: input and result, as JSON.

    Raises:
        BaseException: What the function raises.
    """
    if _is_halted is not None and _is_halted():
        return NOT_BEGUN
    said = encode(item)  # before the call, which may change the item
    return b'"input": %b, "ok": true, "result": %b' % (said, encode(_call(item)))
