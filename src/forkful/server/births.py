"""When to start the next worker, if workers die before they can work. Pure: no clock, no process."""

from __future__ import annotations

__all__ = ["Births"]

_FIRST = 0.1  # seconds of pause after the first failure, doubled by each further one
_LONGEST = 5.0
_LONGEST_KILLED = 1.0  # the next one may fare better
_ENOUGH = 5


class Births:
    """Counts the failures since the last success.

    After a failure one worker is tried at a time, after a growing pause.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._own = 0  # of these, those that were not brought about from outside
        self._not_before = 0.0

    def succeeded(self) -> None:
        """A worker is ready."""
        self.failures = self._own = 0
        self._not_before = 0.0

    def failed(self, now: float, *, killed: bool = False) -> float:
        """A worker died before it was ready. Return the seconds until the next is tried.

        Args:
            now: The time, in seconds.
            killed: Somebody has killed it, which does not tell that the next one will fare no better.
        """
        pause = min(_FIRST * 2.0**self.failures, _LONGEST_KILLED if killed else _LONGEST)
        self.failures += 1
        self._own += not killed
        self._not_before = now + pause
        return pause

    @property
    def hopeless(self) -> bool:
        """Whether to give up, if nobody works."""
        return self._own >= _ENOUGH

    def allowed(self, missing: int, being_born: int, now: float) -> int:
        """Return how many to start now of those that are missing."""
        if not self.failures:
            return max(0, missing)
        return int(missing > 0 and not being_born and now >= self._not_before)
