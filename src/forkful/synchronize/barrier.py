"""Barrier: words in shared memory under a condition's lock, so that a death leaves them whole."""

from __future__ import annotations

import time
from threading import BrokenBarrierError

from forkful import _native
from forkful.errors import DeadlockError, LockOwnerDied
from forkful.family import Words
from forkful.synchronize.conditions import Condition
from forkful.synchronize.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import BaseContext

    from forkful.statistics import BarrierStatistics

__all__ = ["Barrier"]

# Words of a barrier, all changed under the condition's lock. A generation is one round: it ends
# when its last party has come (TRIPPED), or broken. Those that wait need only see that it ended.
_GENERATION, _ARRIVED, _STATE, _ACTOR = range(4)
_FILLING, _ACTING, _BROKEN = range(3)
_ROUNDS = 64  # how the last rounds ended, by generation modulo this: 1 tripped, 2 broken
_OUTCOME = 4

_PAUSE = 0.05  # seconds after which the first of those that wait looks whether somebody has died
_LONGEST_PAUSE = 0.5


class Barrier:
    """Lets `parties` processes wait for one another.

    Args:
        parties: How many must call `wait` for all to go on.
        action: Called by one of them each time, before the others go on.
        timeout: Default for `wait`, in seconds.

    If a process is killed while it runs the action, the barrier breaks. One that is killed while
    it waits had arrived, and is counted.
    """

    __module__ = "forkful.synchronize"

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: BaseContext | None = None,
    ) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._parties, self._action, self._timeout = parties, action, timeout
        self._cond = Condition(Lock(ctx=ctx), ctx=ctx)
        self._words = Words(_OUTCOME + _ROUNDS)

    def _enter(self) -> None:
        """Take the lock; what a dead owner left is a broken barrier."""
        try:
            self._cond.acquire()
        except LockOwnerDied:
            if not self._cond._lock.recover():
                return self._enter()
            self._break()

    def _break(self) -> None:
        self._end_round(broken=True)
        self._words.store(_STATE, _BROKEN)

    def _end_round(self, *, broken: bool) -> None:
        w = self._words
        generation = w.load(_GENERATION)
        w.store(_OUTCOME + generation % _ROUNDS, 2 if broken else 1)
        w.store(_ARRIVED, 0)
        w.store(_STATE, _FILLING)
        w.store(_OUTCOME + (generation + 1) % _ROUNDS, 0)
        w.store(_GENERATION, generation + 1)
        self._cond.notify_all()

    def _look_after_actor(self) -> None:
        w = self._words
        if w.load(_STATE) == _ACTING and not _native.alive(w.load(_ACTOR)):
            self._break()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have come, at most `timeout` seconds.

        Returns:
            A number from 0 to parties - 1, another one for each party.

        Raises:
            threading.BrokenBarrierError: The barrier is or was broken: by abort(), a timeout, an
                action that raised, or a process that died in the action.
        """
        if timeout is None:
            timeout = self._timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        self._enter()
        try:
            w = self._words
            self._look_after_actor()
            if w.load(_STATE) == _BROKEN:
                raise BrokenBarrierError
            part = 1
            while w.load(_STATE) == _ACTING:  # the round before has not ended yet
                self._sleep(deadline, part, w.load(_ARRIVED))
                part = 2
                if w.load(_STATE) == _BROKEN:
                    raise BrokenBarrierError
            index = w.add(_ARRIVED, 1) - 1
            if index + 1 == self._parties:
                self._trip()
            else:
                self._wait_for_end(w.load(_GENERATION), deadline, index)
            return index
        except DeadlockError:
            self._break()  # one party less: the others cannot come through either
            raise
        finally:
            self._cond.release()

    def _trip(self) -> None:
        """The last party: run the action with the lock free, then let all go on."""
        w = self._words
        if self._action is not None:
            w.store(_ACTOR, _native.me())
            w.store(_STATE, _ACTING)
            generation = w.load(_GENERATION)
            self._cond.release()
            try:
                self._action()
            except BaseException:
                self._enter()
                self._break()
                raise
            self._enter()
            if w.load(_GENERATION) != generation:  # abort() or reset() meanwhile
                raise BrokenBarrierError
        self._end_round(broken=False)

    def _sleep(self, deadline: float | None, part: int, before: int) -> None:
        """One bounded sleep: one that runs the action, or is in here, may die, and then nobody notifies.

        Args:
            deadline: When the whole wait ends; None: never.
            part: 1 for its first sleep, 2 for one that follows.
            before: How many have come before this one and look round, too. The first one does so
                often, and the others the less: it is enough that one of them does.
        """
        pause = min(_LONGEST_PAUSE, _PAUSE * (1 + before))
        left = pause if deadline is None else min(pause, deadline - time.monotonic())
        if left <= 0:
            self._break()
            raise BrokenBarrierError
        try:
            if deadline is None:
                self._cond._waiters._wait(self._cond._lock, left, part)
            else:
                self._cond.wait(left)
        except LockOwnerDied:  # it was to be taken again, and is not
            self._enter()
        self._look_after_actor()

    def _wait_for_end(self, generation: int, deadline: float | None, index: int) -> None:
        w = self._words
        part = 1
        while w.load(_GENERATION) == generation:
            self._sleep(deadline, part, index)
            part = 2
        if w.load(_OUTCOME + generation % _ROUNDS) == 2:
            raise BrokenBarrierError

    def reset(self) -> None:
        """Start anew; whoever waits gets BrokenBarrierError."""
        self._enter()
        try:
            if self._words.load(_ARRIVED) or self._words.load(_STATE) == _ACTING:
                self._end_round(broken=True)
            self._words.store(_STATE, _FILLING)
        finally:
            self._cond.release()

    def abort(self) -> None:
        """Break the barrier: whoever waits, and will wait until reset(), gets BrokenBarrierError."""
        self._enter()
        try:
            self._break()
        finally:
            self._cond.release()

    def statistics(self) -> BarrierStatistics:
        """Return how many have come, of how many, for the how-manieth time, and who runs the action."""
        from forkful.synchronize import figures

        w = self._words
        actor = w.load(_ACTOR) if w.load(_STATE) == _ACTING else 0
        return figures.of_barrier(
            self.parties, self.n_waiting, w.load(_GENERATION), self.broken, actor
        )

    @property
    def parties(self) -> int:
        """How many must come."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many have come and wait."""
        return self._words.load(_ARRIVED) if self._words.load(_STATE) == _FILLING else 0

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        return self._words.load(_STATE) == _BROKEN

    def __repr__(self) -> str:
        cls = self.__class__
        where = f"{cls.__module__}.{cls.__qualname__} at {id(self):#x}"
        if self.broken:
            return f"<{where}: broken>"
        return f"<{where}: waiters={self.n_waiting}/{self.parties}>"
