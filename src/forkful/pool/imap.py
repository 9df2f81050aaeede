"""What `imap` and `imap_unordered` iterate over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from forkful.pool.messages import Message
from forkful.pool.results import load
from forkful.pool.state import Task
from forkful.pool.stream import Stream

__all__ = ["IMapIterator", "IMapJob", "IMapUnorderedIterator"]

_T = TypeVar("_T")


class IMapJob(Stream):
    """The job of `imap` and `imap_unordered`. A unit is a chunk of `chunksize` inputs."""

    def __init__(self, *args: Any, chunksize: int, kind: int) -> None:
        super().__init__(*args)
        self._chunksize = chunksize
        self._kind = kind

    def _send_next(self) -> None:
        chunk = []
        error: BaseException | None = None
        try:
            for x in self._inputs:
                chunk.append(x)
                if len(chunk) == self._chunksize:
                    break
        except BaseException as e:
            if not self._is_landed(e):
                raise
            # It takes the place of the chunk that it cut short, as with the stdlib.
            error, chunk = e, []
        held: list[Any] = []
        message: Message = b""
        refusal: BaseException | None = None
        if chunk:
            try:
                message, held = self._dump(chunk, self._function)
            except BaseException as e:
                if not self._is_landed(e):
                    raise
                refusal = e
        with self._engine.lock, self._engine.books:
            if self._done:
                return
            if chunk:
                index = self._read
                self._read += 1
                if refusal is not None:
                    self._land(index, False, refusal)
                else:
                    task = Task(self, self._kind, message, index)
                    task.size = len(chunk)
                    task.timeout, task.retry, task.held = self._timeout, self._retry, held
                    self._engine.send(task)
            if error is not None or len(chunk) < self._chunksize:
                self._end_of_inputs(error)

    def result(self, task: Task, data: Message) -> None:
        """A chunk's values."""
        self._land(task.index, *load(data))

    def failed(
        self, task: Task, item: int | None, error: BaseException, seconds: float, pid: int | None
    ) -> None:
        """A chunk failed for good."""
        self._land(task.index, False, error)

    def drop(self) -> None:
        """Nobody has the iterator any more.

        Whoever never took a result wants what the calls do, as far as the inputs go. Whoever has
        left a loop over inputs that are made on demand, perhaps without end, wants no more of them.
        """
        if self._given and not self._inline:
            self.stop()
        else:
            self._left = self._given > 0
            self.forget()


# The engine holds a job until it is done. What the consumer holds is another object, so that it
# is known when there is no consumer any more.


class IMapIterator(Generic[_T]):
    """The iterator of `imap`.

    An exception takes the place of its chunk's results; the iteration goes on after it.
    """

    def __init__(self, job: IMapJob) -> None:
        self._job = job
        self._chunk: Iterator[_T] = iter(())

    def __iter__(self) -> IMapIterator[_T]:
        return self

    def next(self, timeout: float | None = None) -> _T:
        """Return the next result.

        Raises:
            StopIteration: There is none.
            multiprocessing.TimeoutError: Not there after `timeout` seconds.
            Exception: What the function raised for it.
        """
        for value in self._chunk:
            return value
        ok, values = self._job._take(timeout)
        if isinstance(values, StopIteration):  # or a loop would take it for the end
            raise RuntimeError("a task raised StopIteration") from values
        if not ok:
            raise values
        self._chunk = iter(values)
        return self.next(timeout)

    __next__ = next

    def __del__(self) -> None:
        self._job.drop()


class IMapUnorderedIterator(IMapIterator[_T]):
    """The iterator of `imap_unordered`: results in the order in which they come."""
