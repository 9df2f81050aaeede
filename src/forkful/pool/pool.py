"""`Pool`: `multiprocessing.pool.Pool` in which a worker's death costs its own task and nothing else."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from multiprocessing import util
from typing import TYPE_CHECKING, Any, TypeVar

from forkful import errors
from forkful.cpus import usable_cpus
from forkful.launch.defaults import defaults
from forkful.pool import messages as m
from forkful.pool.calls import dump, dump_to_keep, function_part
from forkful.pool.collector import Collector
from forkful.pool.engine import CLOSE, RUN, TERMINATE, Engine
from forkful.pool.imap import IMapIterator, IMapJob, IMapUnorderedIterator
from forkful.pool.outcomes import OutcomeJob, Outcomes
from forkful.pool.results import AsyncResult, MapResult
from forkful.pool.state import EXCEPTION, NO_RETRY, Retry, RetryOn, Task, retrying, seconds
from forkful.statistics import PoolStatistics

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = ["Pool"]

_SHOWN = 3  # unfinished calls that a warning names

_S = TypeVar("_S")
_T = TypeVar("_T")


def _end(engine: Engine, collector: Collector) -> None:
    """What is left to do when a pool ends, also by being forgotten, or with the interpreter."""
    why = "the pool was terminated before this was done"
    if util.is_exiting() and "WorkerDied" not in vars(errors):
        # Nobody catches it any more. Its import would run code made from text, after which Python
        # forgets that Ctrl-C has ended the program, and its exit status would be 1.
        error: Exception = errors.ForkfulError(why)
    else:
        try:
            error = errors.WorkerDied(why)
        except RuntimeError:  # its bases cannot be imported any more: the interpreter is ending
            error = errors.ForkfulError(why)
    engine.end(error)
    collector.stop()


def _abandoned(calls: list[str]) -> str:
    several = len(calls) != 1
    shown = "; ".join(calls[:_SHOWN])
    if len(calls) > _SHOWN:
        shown += f"; and {len(calls) - _SHOWN} more"
    return (
        f"the end of the pool's with block has cut off {len(calls)} {'calls' if several else 'call'} "
        f"that {'were' if several else 'was'} not done: {shown}. To let "
        f"{'them' if several else 'it'} finish, get the results inside of the block, or end it by "
        "close() and join(); to drop them without this warning, by terminate()"
    )


class Pool:
    """A pool of worker processes.

    Args:
        processes: How many; None: as many as there are usable CPUs.
        initializer: Called once in each worker before its first task. If it raises, that exception
            reaches the caller, once, and the pool is closed.
        initargs: Its arguments.
        maxtasksperchild: A worker that has done so many tasks is replaced by a new one.
        context: Whose processes to use; None: the default context's.
        max_memory_per_child: A worker that holds more resident bytes than this after a task is
            replaced by a new one.

    A worker that dies is replaced; the task that it had fails with `WorkerDied`. Tasks may be given a
    `timeout` in seconds (then `TaskTimeout`, and the worker is replaced) and `retries`, the number
    of extra attempts: after errors of `retry_on`, with `backoff` seconds before the first. One that
    has killed three workers is not tried again: `PoisonTask`.
    """

    _wrap_exception = True

    @staticmethod
    def Process(ctx: BaseContext, *args: Any, **kwds: Any) -> Any:
        """Make a worker's process object."""
        return ctx.Process(*args, **kwds)  # type: ignore[attr-defined]

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        max_memory_per_child: int | None = None,
    ) -> None:
        self._engine: Engine | None = None
        if processes is None:
            processes = usable_cpus()
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (
            not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0
        ):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if max_memory_per_child is not None and max_memory_per_child <= 0:
            raise ValueError("max_memory_per_child must be a positive number of bytes or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if context is None:
            context = defaults.context.get_context()
        self._ctx = context
        make = self.Process

        def make_process(**kwds: Any) -> Any:
            return make(context, **kwds)

        engine = Engine(
            processes,
            initializer,
            tuple(initargs),
            maxtasksperchild,
            max_memory_per_child,
            make_process,
        )
        self._collector = Collector(engine)
        self._terminate = util.Finalize(self, _end, (engine, self._collector), exitpriority=15)
        self._engine = engine
        try:
            with engine.lock, engine.books:
                engine.crew.start_missing()
        except BaseException:
            self._terminate()
            raise

    def __del__(self, _warn: Any = warnings.warn, _run: str = RUN) -> None:
        engine = self._engine
        if engine is not None and engine.state == _run and engine.pid == os.getpid():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        cls = self.__class__
        state = self._engine.state if self._engine else "INIT"
        return f"<{cls.__module__}.{cls.__qualname__} state={state} pool_size={self._size}>"

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    @property
    def _size(self) -> int:
        return self._engine.size if self._engine else 0

    @property
    def _pool(self) -> list[Any]:
        """The workers' process objects."""
        return self._engine.crew.processes() if self._engine else []

    @property
    def _state(self) -> str:
        return self._engine.state if self._engine else "INIT"

    @_state.setter
    def _state(self, state: str) -> None:  # for subclasses that manage a pool's life themselves
        if self._engine is not None:
            self._engine.state = state

    def _repopulate_pool(self) -> None:
        """Put new workers in the place of those that have ended, now."""
        self._running().look()

    def _running(self) -> Engine:
        engine = self._engine
        assert engine is not None
        engine.check_running()
        return engine

    # -- one call ----------------------------------------------------------------------------------------

    def apply(
        self,
        func: Callable[..., _T],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] = {},  # noqa: B006 - the stdlib's signature
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> _T:
        """Call `func(*args, **kwds)` in a worker and return what it returns."""
        return self._apply(
            func, args, kwds, None, None, timeout, retrying(retries, retry_on, backoff)
        ).get()

    def apply_async(
        self,
        func: Callable[..., _T],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] = {},  # noqa: B006 - the stdlib's signature
        callback: Callable[[_T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> AsyncResult[_T]:
        """Call `func(*args, **kwds)` in a worker; return at once with an `AsyncResult`."""
        result = self._apply(
            func,
            args,
            kwds,
            callback,
            error_callback,
            timeout,
            retrying(retries, retry_on, backoff),
        )
        self._collector.need()
        return result

    def _apply(
        self,
        func: Callable[..., _T],
        args: Iterable[Any],
        kwds: dict[str, Any],
        callback: Any,
        error_callback: Any,
        timeout: float | None,
        retry: Retry,
    ) -> AsyncResult[_T]:
        engine = self._engine
        assert engine is not None
        timeout = seconds(timeout)
        args = tuple(args)
        job: AsyncResult[_T] = AsyncResult(engine, self, func, args, callback, error_callback)
        try:
            to_message = dump_to_keep if retry.retries else dump
            function, common = function_part(func)
            message, held = to_message((args, kwds), function)
        except Exception as e:
            with engine.lock, engine.books:
                engine.check_running()
                engine.open_jobs[job] = None
                job.abandon(e)
            return job
        task = Task(job, m.APPLY, message)
        if held or common:
            task.held = held + common
        if timeout is not None:
            task.timeout = timeout
        if retry is not NO_RETRY:
            task.retry = retry
        with engine.lock, engine.books:
            engine.check_running()
            engine.send(task)
            engine.open_jobs[job] = None  # last: nobody waits for a call that Ctrl-C prevented
        return job

    # -- many inputs, one list -----------------------------------------------------------------------------

    def map(
        self,
        func: Callable[[_S], _T],
        iterable: Iterable[_S],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> list[_T]:
        """Return `[func(x) for x in iterable]`, computed by the workers.

        Args:
            func: What to call with each input.
            iterable: The inputs; read at once.
            chunksize: How many inputs to send in one message; None: as suits the time they take.
            timeout: Seconds that one message's inputs may take in a worker.
            retries: Extra attempts of a message that failed.
            retry_on: Only after errors of this class, or of one of these.
            backoff: Seconds before the first extra attempt; twice as long before each further one,
                up to a minute, and by chance up to a quarter more.
        """
        job = self._map(
            m.MAP,
            func,
            iterable,
            chunksize,
            None,
            None,
            timeout,
            retrying(retries, retry_on, backoff),
        )
        values: list[_T] = job.get()
        return values

    def map_async(
        self,
        func: Callable[[_S], _T],
        iterable: Iterable[_S],
        chunksize: int | None = None,
        callback: Callable[[list[_T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> MapResult[_T]:
        """Like `map`; return at once with an `AsyncResult` of the list."""
        job = self._map(
            m.MAP,
            func,
            iterable,
            chunksize,
            callback,
            error_callback,
            timeout,
            retrying(retries, retry_on, backoff),
        )
        self._collector.need()
        return job

    def starmap(
        self,
        func: Callable[..., _T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> list[_T]:
        """Return `[func(*x) for x in iterable]`, computed by the workers. Arguments as of `map`."""
        job = self._map(
            m.STARMAP,
            func,
            iterable,
            chunksize,
            None,
            None,
            timeout,
            retrying(retries, retry_on, backoff),
        )
        values: list[_T] = job.get()
        return values

    def starmap_async(
        self,
        func: Callable[..., _T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[_T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> MapResult[_T]:
        """Like `starmap`; return at once with an `AsyncResult` of the list."""
        job = self._map(
            m.STARMAP,
            func,
            iterable,
            chunksize,
            callback,
            error_callback,
            timeout,
            retrying(retries, retry_on, backoff),
        )
        self._collector.need()
        return job

    def _map(
        self,
        kind: int,
        func: Callable[..., _T],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Any,
        error_callback: Any,
        timeout: float | None,
        retry: Retry,
    ) -> MapResult[_T]:
        engine = self._running()
        timeout = seconds(timeout)
        # Not the list itself, which may change before all of it is sent.
        inputs = iterable if isinstance(iterable, (tuple, range)) else list(iterable)
        if chunksize is None and (timeout is not None or retry is not NO_RETRY):
            chunksize = 1  # both are then of an input
        if chunksize is not None and chunksize < 1:
            chunksize = 1
        function: tuple[bytes, list[Any]] = b"", []
        refusal = None
        try:
            function = function_part(func)
        except Exception as e:
            refusal = e
        if chunksize is None:  # their time tells how many inputs the next chunks shall have
            kind = m.TIMED_MAP if kind == m.MAP else m.TIMED_STARMAP
        job: MapResult[_T] = MapResult(
            engine,
            self,
            func,
            inputs,
            chunksize,
            kind,
            function,
            dump_to_keep if retry.retries else dump,
            timeout,
            retry,
            callback,
            error_callback,
        )
        with engine.lock, engine.books:
            engine.check_running()
            if refusal is not None:
                job.abandon(refusal)
            else:
                job.feed()
                if not inputs:
                    job.finish_if_empty()
            if not job._done:
                engine.opened_job(job)
        return job

    # -- many inputs, one at a time ------------------------------------------------------------------------

    def imap(
        self,
        func: Callable[[_S], _T],
        iterable: Iterable[_S],
        chunksize: int = 1,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> IMapIterator[_T]:
        """Iterate over `func(x)` for x in `iterable`, in that order, as they become ready.

        Inputs are read lazily, a bounded way ahead of the consumer. Once the iterator is dropped in
        the middle, no more are read, unless they are a list or the like: the calls for that are
        all made. Arguments as of `map`.
        """
        return self._imap(
            IMapIterator,
            True,
            func,
            iterable,
            chunksize,
            timeout,
            retrying(retries, retry_on, backoff),
        )

    def imap_unordered(
        self,
        func: Callable[[_S], _T],
        iterable: Iterable[_S],
        chunksize: int = 1,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
    ) -> IMapIterator[_T]:
        """Like `imap`, with the results in the order in which they become ready."""
        return self._imap(
            IMapUnorderedIterator,
            False,
            func,
            iterable,
            chunksize,
            timeout,
            retrying(retries, retry_on, backoff),
        )

    def _imap(
        self,
        make: type[IMapIterator[_T]],
        ordered: bool,
        func: Callable[[_S], _T],
        iterable: Iterable[_S],
        chunksize: int,
        timeout: float | None,
        retry: Retry,
    ) -> IMapIterator[_T]:
        engine = self._running()
        timeout = seconds(timeout)
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        job = IMapJob(
            engine,
            self,
            func,
            iterable,
            ordered,
            function_part(func),
            dump_to_keep if retry.retries else dump,
            timeout,
            retry,
            chunksize=chunksize,
            kind=m.MAP,
        )
        with engine.lock, engine.books:
            engine.check_running()
            job.feed()
            if not job._done:
                engine.opened_job(job)
            self._collector.need()
        return make(job)

    def outcomes(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn = EXCEPTION,
        backoff: float = 0.0,
        ordered: bool = False,
        inline: bool = False,
    ) -> Outcomes:
        """Iterate over the outcome of `func(x)` for each x in `iterable`; a failure is an outcome, too.

        Args:
            func: What to call with each input.
            iterable: The inputs; read lazily, a bounded way ahead of the consumer. What reading
                them raises is raised here, after the outcomes of those before.
            timeout: Seconds that an input may take in a worker.
            retries: Extra attempts of an input that failed.
            retry_on: Only after errors of this class, or of one of these.
            backoff: Seconds before the first extra attempt; as of `map`.
            ordered: Whether to yield in the order of the inputs, and not as they become ready.
            inline: Read the inputs in the calling thread, while it asks for outcomes, and not
                in a thread of their own. They should not block then; `LATER` among them says
                that there is none at the moment.

        Returns:
            An iterator over an `Outcome` for each input, with `next(timeout)` beside `next()`, and
            `close()`, which reads no more inputs.
        """
        engine = self._running()
        timeout = seconds(timeout)
        job = OutcomeJob(
            engine,
            self,
            func,
            iterable,
            ordered,
            function_part(func),
            dump,
            timeout,
            retrying(retries, retry_on, backoff),
            inline=inline,
        )
        with engine.lock, engine.books:
            engine.check_running()
            job.feed()
            if not job._done:
                engine.opened_job(job)
            self._collector.need()
        return Outcomes(job)

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more calls; the workers end when all that was called is done."""
        if self._engine is not None:
            self._engine.close()

    def terminate(self) -> None:
        """End the workers at once; who waits for what is not done gets `WorkerDied`.

        They get SIGTERM, and whoever is still there a second later, because it ignores that, is
        stopped or busy in native code, gets SIGKILL. Returns when all have ended.
        """
        self._terminate()

    def join(self) -> None:
        """Wait until the workers have ended, after `close` or `terminate`.

        Raises:
            ValueError: Neither was called before; or this is not the process that made it.
            Exception: What the initializer raised, if no call was made that could tell.
        """
        engine = self._engine
        assert engine is not None
        if engine.state == RUN:
            raise ValueError("Pool is still running")
        assert engine.state in (CLOSE, TERMINATE)
        engine.join()

    def statistics(self) -> PoolStatistics:
        """Return what the workers do at this moment."""
        assert self._engine is not None
        self._engine.poll(calls=False)
        return self._engine.statistics()

    def __enter__(self) -> Pool:
        self._running()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        engine = self._engine
        unfinished: list[str] = []
        try:
            if kind is None and engine is not None and engine.pid == os.getpid():
                unfinished = engine.unfinished()
        finally:
            self.terminate()
        if unfinished:
            # Of a program that knows nothing of forkful, Python shows it only if it is asked to.
            category = ResourceWarning if defaults.unchanged else RuntimeWarning
            warnings.warn(_abandoned(unfinished), category, stacklevel=2)
