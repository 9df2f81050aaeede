"""Items on their way to the workers, in blocks: as many as take about two milliseconds together.

A block whose end is not reached (an item failed, its worker was killed, the parent wanted the rest
back) gives its rest back, which is sent again before anything new.
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
        was_begun: Whether a worker was at it when the parent last looked.
    """

    first: int
    seqs: Sequence[int]
    ids: Sequence[int] | None
    items: Sequence[Any]
    alone: bool = False
    tray: Tray | None = None
    taken: int = 0
    size: int = 0
    was_begun: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def part(self, begin: int, end: int | None = None) -> Block:
        """Return a block of some of the items, which has not been sent."""
        return Block(
            self.first + begin,
            self.seqs[begin:end],
            None if self.ids is None else self.ids[begin:end],
            self.items[begin:end],
            self.alone,
        )

    def place(self, index: int) -> Place | None:
        """Return where the journal records an item."""
        return None if self.ids is None else Place(self.ids[index], self.seqs[index])

    @property
    def message(self) -> Message:
        """What is sent to the worker."""
        seqs = self.seqs.start if isinstance(self.seqs, range) else list(self.seqs)
        return None if self.tray is None else self.tray.number, seqs, list(self.items)

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
        bad_input: What is wrong with the input at the place where it ended, if anything is.
        sizer: How many items a block has.
    """

    def __init__(
        self,
        source: Source,
        journal: Journal | None,
        trays: list[Tray],
        is_awaited: Callable[[], bool],
    ) -> None:
        self.skipped = 0
        self.bad_input: CommandError | None = None
        self.sizer = ChunkSizer(1, target=_TARGET, most=MOST_ITEMS if trays else 1)
        self._source = source
        self._journal = journal
        self._free = trays
        self._is_awaited = is_awaited
        self._again: deque[Block] = deque()
        self._run: Run = ()
        self._at = 0
        self._seq = 0
        self._number = 0
        self._is_used_up = False
        source.impatient = is_awaited

    @property
    def numbered(self) -> int:
        """How many items to be run have been read."""
        return self._number

    def next(self, only_again: bool = False) -> Block | Nothing:
        """Return the next block. Blocks while the input does, unless outcomes are awaited.

        Args:
            only_again: Give nothing new, only what has come back.
        """
        if not self._again:
            if only_again:
                return Nothing.NOW
            nothing = self._read(self.sizer.size)
            if nothing is not None:
                return nothing
        block = self._again.popleft()
        count = 1 if block.alone else self.sizer.size
        if count > 1 and len(block) > 1 and not self._free:
            self._again.appendleft(block)
            return Nothing.NOW
        if len(block) > count:
            self._again.appendleft(block.part(count))
            block = block.part(0, count)
        if len(block) > 1:
            block.tray = self._free.pop()
            block.tray.clear()
        return block

    def send_again(self, rest: Block) -> None:
        """Take back the rest of a block."""
        if rest.items:
            self._again.append(rest)

    def free(self, tray: Tray) -> None:
        """Take back the tray of a block whose outcome is known."""
        self._free.append(tray)

    def _read(self, count: int) -> Nothing | None:
        """Read about so many items, and have those that are to be run sent; None if there are."""
        skipped = 0
        while not self._again:
            if self._at == len(self._run):
                nothing = self._read_run()
                if nothing is not None:
                    return nothing
            if self._journal is not None and not self._journal.is_new:
                count = MOST_ITEMS  # many may be skipped; what is too many for a block waits
            items = self._run[self._at : self._at + count]
            self._at += len(items)
            seqs = range(self._seq, self._seq + len(items))
            self._seq += len(items)
            if self._journal is None:
                block = Block(self._number, seqs, None, items)
            elif self._journal.is_new:
                block = Block(self._number, seqs, self._journal.new_ids(len(items)), items)
            else:
                block = self._not_done(self._journal, seqs, items)
                skipped += len(items) - len(block)
                self.skipped += len(items) - len(block)
            self._number += len(block)
            self.send_again(block)
            if skipped >= _SKIPS and self._is_awaited():
                return None if self._again else Nothing.NOW
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
            self._number,
            [seq for seq, _, _ in to_run],
            [row for _, row, _ in to_run],
            [item for _, _, item in to_run],
        )
