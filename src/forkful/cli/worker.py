"""The worker's side: load the function once, then turn items into their lines.

The lines are made here and not in the parent, so that the part of a run that cannot be divided, the
parent's, only moves bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from forkful.cli.encode import encode
from forkful.cli.keys import key_of
from forkful.cli.shell import CommandLine, Runner
from forkful.cli.success import line
from forkful.cli.target import Target
from forkful.cli.trays import Tray, Trays


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


Message = tuple[int | None, int | list[int], list[Any]]
"""What is sent to a worker: the tray for its lines, the items' numbers in the input (the first one if
they follow each other), the items. Without a tray it is one item, whose number does not matter.
"""

Done = tuple[bytes, bytes]
"""An item and its result, as JSON: the parts of a line that only the worker can make."""

NOT_BEGUN = False
"""What `run` returns when it has left items unbegun because the run has been halted."""


@dataclass(frozen=True)
class Duty:
    """What a worker is told when it is started.

    Attributes:
        work: What to do.
        trays: Where lots put their lines; None if each item travels by itself.
        longest: Seconds after which no further item of a lot is begun.
        keyed: Whether the journal's key of each item is wanted.
        halted: An event; once it is set, no further item is begun. None if failures halt nothing.
        is_final: Whether the first exception is the failure of the item, as there are no retries:
            then it halts the run from here, at once.
    """

    work: Work
    trays: Trays | None
    longest: float
    keyed: bool
    halted: Any
    is_final: bool


_duty: Duty
_call: Callable[[Any], Any]
_trays: list[Tray] = []


def begin(duty: Duty) -> None:
    """Prepare this worker process: the pool's initializer.

    Raises:
        CommandError: The function cannot be loaded here.
    """
    global _duty, _call, _trays
    _duty, _call = duty, duty.work.load()
    _trays = [] if duty.trays is None else duty.trays.views()


def run(message: Message) -> Done | bool | None:
    """Do the work for each item of a message, in order.

    Returns:
        None: what was finished is in the tray, and that is less than all if it has taken longer
        than expected. A `Done` of the item that was begun last, for whose line there is no room in the
        tray, or no tray. `NOT_BEGUN`: the run was halted.

    Raises:
        BaseException: What the function raises; what was finished before it is in the tray.
    """
    tray, seqs, items = message
    try:
        if tray is None:
            return NOT_BEGUN if _is_halted() else _single(items[0])
        return _several(_trays[tray], seqs, items)
    except BaseException:
        if _duty.halted is not None and _duty.is_final:
            _duty.halted.set()
        raise


def _is_halted() -> bool:
    return _duty.halted is not None and _duty.halted.is_set()


def _single(item: Any) -> Done:
    said = encode(item)  # before the call, which may change the item
    return said, encode(_call(item))


def _several(tray: Tray, seqs: int | list[int], items: list[Any]) -> Done | bool | None:
    call, begin, finish = _call, tray.begin, tray.finish
    keyed, halts, pid = _duty.keyed, _duty.halted is not None, os.getpid()
    numbers = range(seqs, seqs + len(items)) if isinstance(seqs, int) else seqs
    tray.take_up(pid)
    key, end, before = None, 0, perf_counter()
    too_late = before + _duty.longest
    for index, (seq, item) in enumerate(zip(numbers, items, strict=True)):
        if halts and _is_halted():
            return NOT_BEGUN
        if before > too_late:
            return None
        begin(index, end)
        said = encode(item)  # before the call, which may change the item
        if keyed:
            key = key_of(item, said)
        result = encode(call(item))
        now = perf_counter()
        seconds = now - before
        end = finish(index, end, line(seq, said, result, seconds, 1, pid), seconds, key)
        if end < 0:
            return said, result
        before = now
    return None
