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
_halted: Any = None
_is_final = False


def begin(work: Work, halted: Any, is_final: bool) -> None:
    """Prepare this worker process: the pool's initializer.

    Args:
        work: What to do.
        halted: An event; once it is set, no further item is begun. None if failures halt nothing.
        is_final: Whether the first exception is the failure of the item, as there are no retries:
            then it halts the run from here, at once.

    Raises:
        CommandError: The function cannot be loaded here.
    """
    global _call, _halted, _is_final
    _call, _halted, _is_final = work.load(), halted, is_final


def run(item: Any) -> bytes | None:
    """Do the work for one item and return the middle of its result line: input and result, as JSON.

    Raises:
        BaseException: What the function raises.
    """
    if _halted is not None and _halted.is_set():
        return NOT_BEGUN
    said = encode(item)  # before the call, which may change the item
    try:
        result = _call(item)
    except BaseException:
        if _halted is not None and _is_final:
            _halted.set()
        raise
    return b'"input": %b, "ok": true, "result": %b' % (said, encode(result))
