"""How a run is to be made, when everything about it has been checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command line needs `Halt`, and no worker
    from forkful.cli.worker import Work

_LONGEST = 0.02
"""Ten times what a lot should take."""


class Halt(Enum):
    """What the first failure does to the rest."""

    NEVER = "never"
    SOON = "soon"
    NOW = "now"


@dataclass(frozen=True)
class Plan:
    """How a run is to be made.

    Attributes:
        work: What is done to each item.
        jobs: How many workers.
        timeout: Seconds for each try of an item.
        retries: Tries beyond the first.
        retry_on: The exceptions that are worth another try.
        backoff: Seconds before the first other try; it doubles with each.
        halt: What the first failure does.
        ordered: Whether lines come in the order of the input.
        max_tasks: Items after which a worker is replaced.
        max_memory: Bytes of resident memory beyond which a worker is replaced.
        start_method: How workers are started; None is Python's own choice.
    """

    work: Work
    jobs: int
    timeout: float | None
    retries: int
    retry_on: tuple[type[BaseException], ...]
    backoff: float
    halt: Halt
    ordered: bool
    max_tasks: int | None
    max_memory: int | None
    start_method: str | None

    @property
    def takes_lots(self) -> bool:
        """Whether workers may be given several items at once. What the pool does with an item (try it
        again, replace its worker after it) it does with each by itself.
        """
        return not self.retries and self.max_tasks is None and self.max_memory is None

    @property
    def longest_lot(self) -> float:
        """Seconds after which a worker begins no further item of a lot. The pool measures lots:
        what it gives them beyond the timeout is this, so no item has less than its time.
        """
        if not self.takes_lots:
            return 0.0
        return _LONGEST if self.timeout is None else min(_LONGEST, self.timeout / 10)
