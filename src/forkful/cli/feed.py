"""Items on their way to the workers, in blocks: as many as take about two milliseconds together.

A block whose end is not reached (an item failed, its worker was killed, it took longer than expected)
gives its rest back, which is sent again before anything new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any

from forkful.cli.errors import CommandError
from forkful.cli.inputs import Run, Source
from forkful.cli.journal import Journal, Place
from forkful.cli.trays import MOST_ITEMS, Tray
from forkful.cli.worker import Block as Message
from forkful.pool.state import ChunkSizer

_TARGET = 0.002
"""Seconds that the items of a block should take together."""

_SKIPS = 4096
"""Items to skip before the pool is asked whether an outcome has come meanwhile."""


@dataclass(slots=True)
class Block:
    """Items that go to a worker together.

    Attributes:
        first: The place of its first item in the order of lines; the others follow.
        seqs: Their numbers in the input.
        ids: Their rows in the journal; None without one.
        items: The items.
        alone: Whether each of them must be sent by itself.
        tray: Where their lines are put; None for a block of one item.
        taken: How many items' lines the parent has taken.
        size: The bytes of these lines.
    """

    first: int
    seqs: Sequence[int]
    ids: Sequence[int] | None
    items: Sequence[Any]
    alone: bool = False
    tray: Tray | None = None
    taken: int = 0
    size: int = 0

    def __len__(self) -> int:
        return len(self.items)

    def part(self, begin: int, end: int) -> Block:
        """Return a block of some of the items, which has not been sent."""
        ids = None if self.ids is None else self.ids[begin:end]
        seqs, items = self.seqs[begin:end], self.items[begin:end]
        return Block(self.first + begin, seqs, ids, items, self.alone)

    def place(self, index: int) -> Place | None:
        """Return where the journal records an item."""
        return None if self.ids is None else Place(self.ids[index], self.seqs[index])

    @property
    def message(self) -> Message:
        """What is sent to the worker."""
        if self.tray is None:
            return None, 0, [self.items[0]]
        seqs = self.seqs.start if isinstance(self.seqs, range) else list(self.seqs)
        return self.tray.number, seqs, list(self.items)

    @property
    def current(self) -> Any:
        """The item that the worker is at."""
        if self.tray is None:
            return self.items[0]
        return self.items[min(self.tray.read()[0], len(self) - 1)]


class Nothing(Enum):
    """Why there is no block."""

    NOW = "no input at the moment, or no tray"
    ANY_MORE = "the input is used up"


class Feed:
    """Makes blocks.

    Args:
        source: The items.
        journal: What says which of them are to be run, if anything does.
        trays: All trays; none if each item must be sent by itself.
        is_awaited: Tells whether outcomes are on their way, or waiting to be written.

    Attributes:
        skipped: How many items were not run because the journal has their outcome.
        numbered: How many items to be run have been read.
        bad_input: What is wrong with the input at the place where it ended, if anything is.
    """

    def __init__(
        self,
        source: Source,
        journal: Journal | None,
        trays: list[Tray],
        is_awaited: Callable[[], bool],
    ) -> None:
        self.skipped = 0
        self.numbered = 0
        self.bad_input: CommandError | None = None
        self._sizer = ChunkSizer(1, target=_TARGET, most=MOST_ITEMS) if trays else None
        self._source = source
        self._journal = journal
        self._free = trays
        self._is_awaited = is_awaited
        self._waiting: deque[Block] = deque()
        self._begin = 0  # items of the first of them have been sent
        self._run: Run = ()
        self._at = 0
        self._seq = 0
        self._is_used_up = False
        source.impatient = is_awaited

    def next(self, only_read: bool = False) -> Block | Nothing:
        """Return the next block. Blocks while the input does, unless outcomes are awaited.

        Args:
            only_read: Read nothing more: give what has come back or was read before.
        """
        if not self._waiting:
            if only_read:
                return Nothing.NOW
            nothing = self._read()
            if nothing is not None:
                return nothing
        head, begin = self._waiting[0], self._begin
        end = min(begin + (1 if self._sizer is None or head.alone else self._sizer.size), len(head))
        if end - begin > 1 and not self._free:
            return Nothing.NOW
        if end == len(head):
            self._waiting.popleft()
            self._begin = 0
        else:
            self._begin = end
        block = head.part(begin, end)
        if end - begin > 1:
            block.tray = self._free.pop()
            block.tray.clear()
        return block

    def send_again(self, rest: Block) -> None:
        """Take back the rest of a block."""
        if self._begin:
            self._waiting[0] = self._waiting[0].part(self._begin, len(self._waiting[0]))
            self._begin = 0
        self._waiting.appendleft(rest)

    def took(self, items: int, seconds: float) -> None:
        """Learn from how long some items took how many make a block."""
        if items and self._sizer is not None:
            self._sizer.took(items, seconds)

    def free(self, tray: Tray) -> None:
        """Take back the tray of a block whose outcome is known."""
        self._free.append(tray)

    def _read(self) -> Nothing | None:
        """Read some items of which some at least are to be run; None if there are such."""
        skipped = 0
        while not self._waiting:
            if self._at == len(self._run):
                nothing = self._read_run()
                if nothing is not None:
                    return nothing
            items = self._run[self._at : self._at + MOST_ITEMS]
            self._at += len(items)
            seqs = range(self._seq, self._seq + len(items))
            self._seq += len(items)
            if self._journal is None:
                block = Block(self.numbered, seqs, None, items)
            elif self._journal.is_new:
                block = Block(self.numbered, seqs, self._journal.new_ids(len(items)), items)
            else:
                block = self._not_done(self._journal, seqs, items)
                skipped += len(items) - len(block)
                self.skipped += len(items) - len(block)
            self.numbered += len(block)
            if block.items:
                self._waiting.append(block)
            elif skipped >= _SKIPS and self._is_awaited():
                return Nothing.NOW
        return None

    def _read_run(self) -> Nothing | None:
        try:
            runs = [] if self._is_used_up else list(islice(self._source.runs, 1))
        except CommandError as error:
            self.bad_input = error
            runs = []
        if not runs:
            self._is_used_up = True
            return Nothing.ANY_MORE
        self._run, self._at = runs[0], 0
        return None if self._run else Nothing.NOW

    def _not_done(self, journal: Journal, seqs: range, items: Run) -> Block:
        """Leave out what the journal says is not to be run."""
        places = [journal.place(seq, item) for seq, item in zip(seqs, items, strict=True)]
        to_run = [
            (place.seq, place.id, item)
            for place, item in zip(places, items, strict=True)
            if place is not None
        ]
        return Block(
            self.numbered,
            [seq for seq, _, _ in to_run],
            [row for _, row, _ in to_run],
            [item for _, _, item in to_run],
        )
