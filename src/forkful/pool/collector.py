"""The thread that drives a pool for what nobody waits for.

Started by the first call that may need it (`*_async`, `imap`). It drives all the time while callbacks
are due; else it only steps in when nobody has driven for a moment, so that it does not compete with
a caller that waits for its results itself.
"""

from __future__ import annotations

import functools
import threading
import weakref

from forkful import _native
from forkful.pool.engine import TERMINATE, Engine
from forkful.pool.kill import GRACE
from forkful.pool.turns import make_bell

__all__ = ["Collector"]

PATIENCE = 0.02  # seconds without a driver after which the collector steps in


class Collector:
    """Drives `engine` when nobody else does; ends when the engine is ended or gone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._wake = make_bell()
        self._stopped = make_bell()
        self._thread: threading.Thread | None = None
        self._runs = False

    def need(self) -> None:
        """There is something to collect. Under the engine's lock."""
        if not self._runs:
            self._runs = True
            try:
                self._thread = threading.Thread(
                    target=self._run, name="forkful-collector", daemon=True
                )
                self._thread.start()
            except BaseException:
                self._runs = False
                raise
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        """Let the thread end; wait for it unless called from it, or it is held up by a callback."""
        thread = self._thread
        self._wake.set()
        self._stopped.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(GRACE)

    def _run(self) -> None:
        try:
            self._drive()
        finally:
            self._runs = False

    def _drive(self) -> None:
        steps, standing = -1, 0  # standing: see Engine._step
        while True:
            engine = self._engine()
            if engine is None or engine.state == TERMINATE:
                return
            if not engine.open_jobs:
                with engine.lock:
                    if not engine.open_jobs:
                        self._wake.clear()
                del engine
                standing = min(standing + 1, 2)
                self._wake._stand(1.0, _native.OP_POOL, standing)  # and look if the pool is there
            elif any(job.callbacks for job in tuple(engine.open_jobs)):
                engine.wait_for(functools.partial(_nothing_due, engine))
                standing = 0
                del engine
            else:
                idle = True
                if engine.steps == steps and not engine.driven:
                    idle = engine.poll()
                steps = engine.steps
                del engine
                standing = min(standing + 1, 2) if idle else 0
                self._stopped._stand(PATIENCE, _native.OP_POOL, standing)


def _nothing_due(engine: Engine) -> bool:
    return engine.state == TERMINATE or not any(j.callbacks for j in tuple(engine.open_jobs))
