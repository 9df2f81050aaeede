"""Ctrl-C, SIGTERM and SIGHUP: an exception where the run waits, and only there.

Its one invariant: lines written and the journal that records them are never torn apart by a signal.
The run marks itself as busy while it handles an outcome; a signal that comes then is remembered and
raised at the next wait. A second signal ends the process at once.
"""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asks the run to end.

    Attributes:
        signum: The signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_status(self) -> int:
        """What a shell reports of a program that this signal ended."""
        return 128 + self.signum


class Interrupts:
    """Takes over the signals that end a run, for as long as the context lasts.

    A signal that is ignored when the run starts (``nohup``, a background job of a script) stays
    ignored. Workers that are forked meanwhile inherit the handler: in them Ctrl-C, which a terminal
    sends to everybody, means nothing, and the others have their own meaning.
    """

    def __init__(self) -> None:
        self.busy = False
        """True while an exception must not be raised."""
        self.pending: int | None = None
        """The signal that has come, if one has."""
        self._owner = os.getpid()
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Interrupts:
        for signum in _SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()

    def check(self) -> None:
        """Raise what came while the run was busy.

        Raises:
            Interrupted: A signal has come.
        """
        if self.pending is not None:
            raise Interrupted(self.pending)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if signum != signal.SIGINT:
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
            return
        if self.pending is not None:
            os._exit(128 + signum)  # asked twice: at once; the workers end with this process
        self.pending = signum
        if not self.busy:
            raise Interrupted(signum)
