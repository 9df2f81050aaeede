"""Trays: shared memory into which a worker puts each finished line before it begins the next item.

What an item has given is safe there from whatever the next one does to the process, as in a message
of its own, but for a store instead of a system call; and the parent writes the lines as they lie
there. A tray belongs to one lot of items, from when the parent sends it until its outcome is
known: so at any moment one worker at most writes to it, and the parent only reads.

The words of a tray::

    STEP   2i          the first i items are finished, and none is begun
           2i + 1      the first i are finished, and the next is begun
           The bits from END_SHIFT on: how many bytes the finished items' lines have together.
           Set to 0 by the parent before it sends the lot, then changed by the worker alone.
           /* release: tray.step */ in `Tray.finish`, after line, seconds and key;
           /* acquire: tray.step */ in `Tray.read`
    PID    the worker that has begun the lot; 0 until one has

When the worker is killed, STEP says what it had finished and whether an item is to blame.
"""

from __future__ import annotations

from dataclasses import dataclass

from forkful.family import Words
from forkful.sharedctypes.memory import Memory

MOST_ITEMS = 256
"""Items in a lot at most."""

KEY_SIZE = 16
"""Bytes of the hash by which a journal knows an item."""

_SIZE = 1 << 17
_KEYS = 8 * MOST_ITEMS
_LINES = _KEYS + KEY_SIZE * MOST_ITEMS
_WORDS = 2
_STEP, _PID = range(_WORDS)
_END_SHIFT = 32

ROOM = _SIZE - _LINES
"""Bytes of lines that a tray holds."""


class Tray:
    """One tray, seen from any process. Its methods do not block.

    Args:
        words: The words of all trays.
        memory: The memory of all trays.
        number: Which one this is, from 0.
    """

    def __init__(self, words: Words, memory: memoryview, number: int) -> None:
        self.number = number
        mine = memory[number * _SIZE : (number + 1) * _SIZE]
        self._seconds = mine[:_KEYS].cast("d")
        self._keys = mine[_KEYS:_LINES]
        self._lines = mine[_LINES:]
        self._load, self._store = words.load, words.store
        self._step, self._pid = number * _WORDS + _STEP, number * _WORDS + _PID

    # -- the parent's ----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Make it ready for another lot, which no worker has yet."""
        self._store(self._step, 0)
        self._store(self._pid, 0)

    def read(self) -> tuple[int, bool, int]:
        """Return how many items are finished, whether the next is begun, and the bytes of lines."""
        word = self._load(self._step)
        step = word & ((1 << _END_SHIFT) - 1)
        return step >> 1, bool(step & 1), word >> _END_SHIFT

    @property
    def pid(self) -> int:
        """The worker that has begun the lot; 0 before."""
        return self._load(self._pid)

    def lines(self, begin: int, end: int) -> bytes:
        """Return these bytes of the finished items' lines."""
        return bytes(self._lines[begin:end])

    def seconds(self, first: int, last: int) -> list[float]:
        """Return how long each of the finished items from `first` to before `last` took."""
        taken: list[float] = list(self._seconds[first:last])
        return taken

    def keys(self, first: int, last: int) -> bytes:
        """Return the keys of these items, one after the other, if the run has a journal."""
        return bytes(self._keys[first * KEY_SIZE : last * KEY_SIZE])

    # -- the worker's ----------------------------------------------------------------------------------

    def take_up(self, pid: int) -> None:
        """Begin the lot."""
        self._store(self._pid, pid)

    def begin(self, index: int, end: int) -> None:
        """Say that an item is begun.

        Args:
            index: Its place in the lot.
            end: Where the lines before it end.
        """
        self._store(self._step, end << _END_SHIFT | 2 * index + 1)

    def finish(self, index: int, end: int, line: bytes, seconds: float, key: bytes | None) -> int:
        """Put down what the item has given.

        Args:
            index: Its place in the lot.
            end: Where the lines before it end.
            line: Its line.
            seconds: How long it took.
            key: What the journal knows it by, if there is one.

        Returns:
            Where its line ends; -1 if there is no room for it. Then nothing has been put down.
        """
        after = end + len(line)
        if after > ROOM:
            return -1
        self._lines[end:after] = line
        self._seconds[index] = seconds
        if key is not None:
            self._keys[index * KEY_SIZE : (index + 1) * KEY_SIZE] = key
        self._store(self._step, after << _END_SHIFT | 2 * index + 2)
        return after


@dataclass(frozen=True)
class Trays:
    """All trays of a run; pickles to handles of its memory.

    Attributes:
        words: The words of all trays.
        memory: Their seconds, keys and lines.
        number: How many there are.
    """

    words: Words
    memory: Memory
    number: int

    @classmethod
    def make(cls, number: int) -> Trays:
        """Make trays."""
        return cls(Words(_WORDS * number), Memory(_SIZE * number), number)

    def views(self) -> list[Tray]:
        """Return each of them, to be used in this process."""
        memory = memoryview(self.memory)
        return [Tray(self.words, memory, number) for number in range(self.number)]
