"""Items on their way to the workers, in lots: as many as take about two milliseconds together.

A lot whose end is not reached (an item failed, its worker was killed, it took longer than expected)
gives its rest back, which is sent again before anything new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import islice
from typing import Any

from forkful.cli.errors import CommandError
from forkful.cli.inputs import Run, Source
from forkful.cli.journal import Journal, Place
from forkful.cli.tally import Tally
from forkful.cli.trays import MOST_ITEMS, Tray
from forkful.cli.worker import Message
from forkful.pool.state import ChunkSizer

_TARGET = 0.002
"""Seconds that the items of a lot should take together."""

_SKIPS = 4096
"""Items to skip before the pool is asked whether an outcome has come meanwhile."""


class Lot:
    """Items that go to a worker together.

    Args:
        first: The place of its first item in the order of lines; the others follow.
        seqs: Their numbers in the input.
        ids: Their rows in the journal; None without one.
        items: The items.

    Attributes:
        alone: Whether each of them must be sent by itself.
        tray: Where their lines are put; None if each item is sent by itself.
        taken: How many items' lines the parent has taken.
        size: The bytes of these lines.
    """

    alone = False
    tray: Tray | None = None
    taken = 0
    size = 0

    def __init__(
        self, first: int, seqs: Sequence[int], ids: Sequence[int] | None, items: Sequence[Any]
    ) -> None:
        self.first, self.seqs, self.ids, self.items = first, seqs, ids, items

    def __len__(self) -> int:
        return len(self.items)

    def part(self, begin: int, end: int) -> Lot:
        """Return a lot of some of the items, which has not been sent."""
        ids = None if self.ids is None else self.ids[begin:end]
        return Lot(self.first + begin, self.seqs[begin:end], ids, self.items[begin:end])

    def place(self, index: int) -> Place | None:
        """Return where the journal records an item."""
        return None if self.ids is None else Place(self.ids[index], self.seqs[index])

    def message(self, index: int) -> Message:
        """Return what is sent to the worker: all with a tray, without one the item at `index`."""
        if self.tray is None:
            return None, 0, [self.items[index]]
        seqs = self.seqs.start if isinstance(self.seqs, range) else list(self.seqs)
        return self.tray.number, seqs, list(self.items)

    def current(self, index: int) -> Any:
        """Return the item that the worker is at, if it was sent what `message` says."""
        if self.tray is not None:
            index = min(self.tray.read()[0], len(self) - 1)
        return self.items[index]


class Nothing(Enum):
    """Why there is no lot."""

    NOW = "no input at the moment, or no tray"
    ANY_MORE = "the input is used up"


class Feed:
    """Makes lots.

    Args:
        source: The items.
        journal: What says which of them are to be run, if anything does.
        trays: All trays; none if each item must be sent by itself.
        tally: Counts the items that are not run because the journal has their outcome.
        is_awaited: Tells whether outcomes are on their way, or waiting to be written.

    Attributes:
        numbered: How many items to be run have been read.
        bad_input: What is wrong with the input at the place where it ended, if anything is.
    """

    def __init__(
        self,
        source: Source,
        journal: Journal | None,
        trays: list[Tray],
        tally: Tally,
        is_awaited: Callable[[], bool],
    ) -> None:
        self.numbered = 0
        self.bad_input: CommandError | None = None
        self._sizer = ChunkSizer(1, target=_TARGET, most=MOST_ITEMS) if trays else None
        self._source = source
        self._journal = journal
        self._free = trays
        self._tally = tally
        self._is_awaited = is_awaited
        self._waiting: deque[Lot] = deque()
        self._begin = 0  # items of the first of them have been sent
        self._run: Run = ()
        self._at = 0
        self._seq = 0
        self._is_used_up = False
        source.impatient = is_awaited

    def next(self, only_read: bool = False) -> tuple[Lot, int] | Nothing:
        """Return the next lot with a tray, and 0; or a lot without, and which of its items is next.
        Blocks while the input does, unless outcomes are awaited.

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
        left = len(head) - begin
        count = 1 if self._sizer is None or head.alone else min(self._sizer.size, left)
        if count > 1 and not self._free:
            return Nothing.NOW
        self._begin += count
        if count == left:
            self._waiting.popleft()
            self._begin = 0
        if count == 1:
            return head, begin
        lot = head.part(begin, begin + count)
        lot.tray = self._free.pop()
        lot.tray.clear()
        return lot, 0

    def send_again(self, rest: Lot) -> None:
        """Take back the rest of a lot."""
        if self._begin:
            self._waiting[0] = self._waiting[0].part(self._begin, len(self._waiting[0]))
            self._begin = 0
        self._waiting.appendleft(rest)

    def took(self, items: int, seconds: float) -> None:
        """Learn from how long some items took how many make a lot."""
        if items and self._sizer is not None:
            self._sizer.took(items, seconds)

    def free(self, tray: Tray) -> None:
        """Take back the tray of a lot whose outcome is known."""
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
                lot = Lot(self.numbered, seqs, None, items)
            elif self._journal.is_new:
                lot = Lot(self.numbered, seqs, self._journal.new_ids(len(items)), items)
            else:
                lot = self._not_done(self._journal, seqs, items)
                skipped += len(items) - len(lot)
                self._tally.skipped += len(items) - len(lot)
            self.numbered += len(lot)
            if lot.items:
                self._waiting.append(lot)
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

    def _not_done(self, journal: Journal, seqs: range, items: Run) -> Lot:
        """Leave out what the journal says is not to be run."""
        places = [journal.place(seq, item) for seq, item in zip(seqs, items, strict=True)]
        to_run = [
            (place.seq, place.id, item)
            for place, item in zip(places, items, strict=True)
            if place is not None
        ]
        return Lot(
            self.numbered,
            [seq for seq, _, _ in to_run],
            [row for _, row, _ in to_run],
            [item for _, _, item in to_run],
        )
