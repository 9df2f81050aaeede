"""The pool's engine: sends tasks, takes answers, looks after the workers.

It has no thread of its own. Whoever waits for a result drives: it becomes the one driver, takes answers
until what it waits for is there, and hands the role on. What nobody waits for is driven by the
collector (`collector.py`), a thread that is started when something needs it.

All state is guarded by `lock`. User code never runs under it, save the pickling of arguments.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, Literal, Protocol

from forkful import _native, errors, remote
from forkful.family import Words
from forkful.launch import ending
from forkful.launch.interrupts import interrupts_held
from forkful.pool import messages as m
from forkful.pool.outcome import PoolStatistics, WorkerStatistics
from forkful.pool.state import Doom, Job, Roster, Task, WorkerRecord, plan_loss
from forkful.pool.worker import WorkerConfig, work
from forkful.process import NESTS, Process
from forkful.queues import SimpleQueue

__all__ = ["CLOSE", "RUN", "TERMINATE", "Engine"]

RUN: Final = "RUN"
CLOSE: Final = "CLOSE"
TERMINATE: Final = "TERMINATE"

LOOK_EVERY = 0.05  # seconds between two looks at the workers: how late a death is noticed at most
GRACE = 1.0  # seconds that workers have to end at SIGTERM, before SIGKILL
_ANSWERS = 256


_forks = [
    0
]  # how often this process's ancestors have forked to get here: os.getpid() is a system call


def _count_fork() -> None:
    _forks[0] += 1


os.register_at_fork(after_in_child=_count_fork)


class OpenJob(Job, Protocol):
    """A job as the engine sees it."""

    callbacks: bool  # somebody is to be called when it is done

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def feed(self) -> None:
        """Send more of the inputs, as far as there is room."""

    def abandon(self, error: BaseException) -> None:
        """Nothing more will come: the pool has ended."""

    def has_lost(self, tasks: list[Task]) -> bool:
        """Whether an answer is missing, when these are the tasks that are not answered yet."""


class Engine:
    """See the module. Made and ended by `Pool`, in the process that owns it."""

    def __init__(
        self,
        processes: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        max_memory: int | None,
        make_process: Callable[..., Any],
    ) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.state: str = RUN
        self.size = processes
        self.open_jobs: set[OpenJob] = set()
        self.shaken = False  # an exception has left the books half written
        self.books = _Books(self)
        self.steps = 0  # how often somebody has driven
        self.pid = os.getpid()
        self._forks = _forks[0]
        self._initializer, self._initargs = initializer, initargs
        self.max_tasks, self._max_memory = max_tasks, max_memory
        self._make_process = make_process
        self._taskq: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._inbox: list[tuple[int, int, bytes]] = []
        self._tasks: dict[int, Task] = {}
        self._sent = 0
        self._later: list[tuple[float, int, Task]] = []
        self._later_number = itertools.count()
        self._roster = Roster(processes)
        self._claims = Words(self._roster.places * m.CLAIM_WORDS)
        self._driver: int | None = None
        self._waiting = 0
        self._calls: deque[Callable[[], None]] = deque()
        self._next_look = 0.0
        self._broken: BaseException | None = None  # no worker can work: why
        self._start_error: BaseException | None = None  # the same, not told to anybody yet
        self._stops_sent = False

    # -- sending -------------------------------------------------------------------------------------

    def check_running(self) -> None:
        """Raise ValueError if no more calls are taken; the initializer's exception, once, if it raised."""
        if self._forks != _forks[0]:
            raise ValueError("a pool can only be used in the process that made it")
        error, self._start_error = self._start_error, None
        if error is not None:
            raise error
        if self.state != RUN:
            raise ValueError("Pool not running")

    def send(self, task: Task) -> None:
        """Put a task into the workers' queue. Under the lock."""
        seq = self._taskq._put_bytes(task.data, task.kind)
        self._tasks[seq] = task
        self._sent = seq + 1
        if task.items is None and not task.retry.retries:
            task.data = b""

    def send_all(self, tasks: list[Task], messages: list[bytes]) -> None:
        """The same for several tasks of one kind, waking the workers once. Under the lock."""
        if not tasks:
            return
        first = self._taskq._put_many(messages, tasks[0].kind)
        self._tasks.update(zip(range(first, first + len(tasks)), tasks, strict=True))
        self._sent = first + len(tasks)

    def send_later(self, task: Task, delay: float) -> None:
        """The same after `delay` seconds. Under the lock."""
        if delay <= 0:
            self.send(task)
        else:
            when = time.monotonic() + delay
            heapq.heappush(self._later, (when, next(self._later_number), task))

    # -- driving -------------------------------------------------------------------------------------

    def wait_for(self, done: Callable[[], Any], timeout: float | None = None) -> bool:
        """Drive, or wait while another thread does, until `done()` is true.

        Returns:
            False if that was not so after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self.poll()
                return bool(done())
            if self.state == TERMINATE:
                return bool(done())
            role = _Role(self)
            standing = 0
            try:
                if role.take():
                    while not done() and self.state != TERMINATE:
                        left = LOOK_EVERY
                        if deadline is not None:
                            left = min(left, deadline - time.monotonic())
                            if left <= 0:
                                break
                        idle = self._step(left, standing)
                        standing = min(standing + 1, 2) if idle and deadline is None else 0
                    continue
            finally:
                role.give()
            with self.lock:
                if self.driven and not done():
                    self._waiting += 1
                    try:
                        self.changed.wait(left)
                    finally:
                        self._waiting -= 1
        return True

    def poll(self) -> None:
        """Deal with what is there, without waiting, unless another thread is at it."""
        role = _Role(self)
        try:
            if role.take():
                self._step(0)
        finally:
            role.give()

    @property
    def driven(self) -> bool:
        """Whether some thread drives."""
        return self._driver is not None

    def _step(self, wait: float, standing: int = 0) -> bool:
        """Wait for answers, and do what is due.

        Args:
            wait: Seconds, at most.
            standing: 0, or as a part of a wait without end: 1 the first, 2 one that follows.

        Returns:
            Whether nothing was due, and nothing will be before an answer comes or a worker dies.
        """
        if self.state == TERMINATE:
            return False
        took = self._answers._take_bytes(
            self._inbox, _ANSWERS, wait, None, 0, _native.OP_RESULTS, standing
        )
        with self.lock, self.books:
            self.steps += 1
            self._read_inbox()
            now = time.monotonic()
            if not took or now >= self._next_look:
                self._look(now)
            if self._broken is None:
                for job in tuple(self.open_jobs):
                    job.feed()
            idle = not (took or self._later or self._calls) and all(
                task.timeout is None for task in self._tasks.values()
            )
        if self._broken is not None:
            self.end(self._broken)
            idle = False
        self._run_calls()
        return idle

    def _run_calls(self) -> None:
        """Callbacks of the user: not under the lock."""
        while self._calls:
            with self.lock:
                if not self._calls:
                    return
                call = self._calls.popleft()
            call()

    def will_call(self, call: Callable[[], None]) -> bool:
        """Whether this is yet to be called."""
        return call in self._calls

    def call_soon(self, call: Callable[[], None]) -> None:
        """Let the driver call this, when it does not hold the lock."""
        self._calls.append(call)

    def closed_job(self, job: OpenJob) -> None:
        """A job is complete. Under the lock."""
        self.open_jobs.discard(job)
        if self._waiting:
            self.changed.notify_all()
        if self.state == CLOSE:
            self._stop_if_done()

    # -- answers -------------------------------------------------------------------------------------

    def _read_inbox(self) -> None:
        inbox, tasks = self._inbox, self._tasks
        read = 0
        try:
            for _, meta, data in inbox:
                seq, kind = meta >> 4, meta & 15
                if kind == m.RESULT:
                    task = tasks.pop(seq, None)
                    if task is not None:
                        task.job.result(task, data)
                elif kind == m.TIMED_RESULT:
                    task = tasks.pop(seq, None)
                    if task is not None:
                        task.job.timed_result(task, data)
                elif kind in (m.ITEM_DONE, m.ITEM_ERROR):
                    self._item(seq, kind, data)
                elif kind == m.ERROR:
                    task = tasks.pop(seq, None)
                    if task is not None:
                        self._error(task, remote.unpack(data))
                else:
                    self._about_worker(seq, kind, data)
                read += 1
        finally:
            # After Ctrl-C the rest is for the next reader. To read an answer twice does no harm.
            del inbox[:read]

    def _item(self, seq: int, kind: int, data: bytes) -> None:
        task = self._tasks.get(seq)
        if task is None or task.items is None:
            return
        index, seconds, pid = m.ITEM.unpack_from(data)
        if index < task.next:
            return
        task.next = index + 1
        if task.next == len(task.items):
            del self._tasks[seq]
        payload = data[m.ITEM.size :]
        if kind == m.ITEM_DONE:
            task.job.item(task, index, seconds, pid, payload)
        else:
            self._failed(task, index, remote.unpack(payload), seconds, pid)

    def _error(self, task: Task, error: BaseException) -> None:
        """The worker could not do the task; of a batch: could not read it."""
        if task.items is None:
            self._failed(task, None, error, 0.0, None)
        elif len(task.items) == 1:
            self._failed(task, 0, error, 0.0, None)
        else:
            for i in range(task.next, len(task.items)):
                self._send_items(task, [i], 0)

    def _about_worker(self, number: int, kind: int, data: bytes) -> None:
        if kind == m.READY:
            self._roster.ready(number)
            if number in self._roster.workers:
                self._roster.workers[number].since = time.monotonic()
        elif kind == m.RETIRED:
            worker = self._roster.workers.get(number)
            if worker is not None:
                worker.retired = True
                self._next_look = 0.0
        elif kind == m.FAILED_START:
            self._break(remote.unpack(data))

    def _failed(
        self, task: Task, item: int | None, error: BaseException, seconds: float, pid: int | None
    ) -> None:
        """An attempt failed: try again, or give up."""
        delay = task.retry.delay(task.attempts, error)
        if delay is None:
            if task.deaths >= task.attempts > 1:
                error = errors.PoisonTask(attempts=task.attempts, last=error)
            task.job.failed(task, item, error, seconds, pid)
        elif item is None:
            task.attempts += 1
            self.send_later(task, delay)
        else:
            self._send_items(task, [item], delay, attempts=task.attempts + 1)

    def _send_items(
        self, task: Task, which: list[int], delay: float, attempts: int | None = None
    ) -> None:
        """Send some items of a batch once more, in a batch of their own."""
        assert task.items is not None
        task.job.send_again(task, [task.items[i] for i in which], delay, attempts or task.attempts)

    # -- workers -------------------------------------------------------------------------------------

    def start_workers(self) -> None:
        """Start as many as are missing. Under the lock."""
        if ending.begun() and threading.current_thread() is not threading.main_thread():
            # Only what the main thread does at its end may need others.
            self._break(errors.WorkerDied("SIGTERM ends this process, and has ended its workers"))
            return
        for _ in range(self._roster.missing()):
            number, place = self._roster.place()
            for word in range(m.CLAIM_WORDS):
                self._claims.store(place * m.CLAIM_WORDS + word, 0)
            config = WorkerConfig(
                number,
                place * m.CLAIM_WORDS,
                self._taskq,
                self._answers,
                self._claims,
                self._initializer,
                self._initargs,
                self.max_tasks,
                self._max_memory,
            )
            process = self._make_process(target=work, args=(config,))
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            if isinstance(process, BaseProcess):  # and not a program's own kind of process
                process._config[NESTS] = True  # type: ignore[attr-defined]
            # Ctrl-C waits until the worker ignores it; one of a program's own kind never might.
            ours = isinstance(process, Process)
            with interrupts_held() if ours else contextlib.nullcontext():
                try:
                    process.start()
                except BaseException:
                    self._roster.give_back(place)
                    raise
                record = WorkerRecord(number, place, process, time.monotonic())
                self._roster.workers[number] = record

    def look(self) -> None:
        """Look after the workers now, and not only when it is time for it."""
        with self.lock, self.books:
            self._look(time.monotonic())

    def processes(self) -> list[Any]:
        """Return the workers' process objects."""
        return [w.process for w in self._roster.workers.values()]

    def _look(self, now: float) -> None:
        """Look after the workers, late tasks and those to be tried again. Under the lock."""
        self._next_look = now + LOOK_EVERY
        if self.shaken:
            self._recount()
        dead = [w for w in self._roster.workers.values() if w.process.exitcode is not None]
        if dead:
            # What they had answered comes first.
            while self._answers._take_bytes(self._inbox, _ANSWERS, 0):
                self._read_inbox()
            for worker in dead:
                self._lost(worker)
        self._kill_late(now)
        while self._later and self._later[0][0] <= now:
            self.send(heapq.heappop(self._later)[2])
        if self._broken is None and (self.state == RUN or (self.state == CLOSE and self.open_jobs)):
            self.start_workers()

    def _recount(self) -> None:
        """Ctrl-C may come between any two steps: a call that has lost an answer to it is given up."""
        self.shaken = False
        tasks: dict[OpenJob, list[Task]] = {job: [] for job in self.open_jobs}
        for task in [*self._tasks.values(), *(task for _, _, task in self._later)]:
            tasks.get(task.job, []).append(task)  # type: ignore[call-overload]
        for job, its in tasks.items():
            if job.done:
                self.closed_job(job)  # it was cut short between being done and saying so
            elif job.has_lost(its):
                self._tasks = {s: task for s, task in self._tasks.items() if task.job is not job}
                self._later = [entry for entry in self._later if entry[2].job is not job]
                heapq.heapify(self._later)
                job.abandon(
                    errors.ForkfulError(
                        "an exception such as KeyboardInterrupt came while the pool took this "
                        "call's answers, and one of them is lost; the pool itself is whole"
                    )
                )

    def _claim(self, worker: WorkerRecord) -> tuple[int, Task, int] | None:
        """Return (number, task, since) of what a worker has taken and not answered."""
        at = worker.place * m.CLAIM_WORDS
        seq = self._claims.load(at + m.CLAIM_SEQ) - 1
        task = self._tasks.get(seq)
        # A claim is written just before the take: a worker may have died in between.
        if task is None or seq >= self._sent - self._taskq.qsize():
            return None
        return seq, task, self._claims.load(at + m.CLAIM_SINCE)

    def _lost(self, worker: WorkerRecord) -> None:
        process = worker.process
        claim = self._claim(worker)
        process.join()
        go_on = self._roster.ended(worker)
        if claim is not None:
            seq, task, since = claim
            del self._tasks[seq]
            self._lost_task(worker, task, since)
        if not go_on:
            self._break(
                errors.WorkerDied(
                    f"the pool gives up: its workers end before they are ready, the last one "
                    f"({process.name}, pid {process.pid}) with exit code {process.exitcode}. What "
                    "they wrote to standard error says why",
                    pid=process.pid,
                    exitcode=process.exitcode,
                    name=process.name,
                )
            )

    def _lost_task(self, worker: WorkerRecord, task: Task, since: int) -> None:
        process = worker.process
        plan = plan_loss(task, begun=since != 0)
        task.deaths += 1
        if plan.again:
            self._send_items(task, plan.again, 0)
        for item in plan.alone:
            self._send_items(task, [item], 0)
        if not plan.blame:
            return
        what = task.job.describe(task, plan.item)
        error: BaseException
        if worker.doom is not None:
            error = errors.TaskTimeout(seconds=worker.doom.seconds, task=what, pid=process.pid)
        else:
            error = errors.WorkerDied(
                pid=process.pid, exitcode=process.exitcode, task=what, name=process.name
            )
        seconds = (time.monotonic_ns() - since) / 1e9 if since else 0.0
        self._failed(task, plan.item, error, seconds, process.pid)

    def _kill_late(self, now: float) -> None:
        """Kill whoever is over its task's timeout; its end is noticed as any other."""
        for worker in self._roster.workers.values():
            claim = None if worker.doom else self._claim(worker)
            if claim is None:
                continue
            _, task, since = claim
            if task.timeout is None or not since:
                continue
            left = since / 1e9 + task.timeout - now
            if left <= 0:
                worker.doom = Doom(task.timeout)
                worker.process.kill()
            else:
                self._next_look = min(self._next_look, now + left)

    def _break(self, error: BaseException) -> None:
        """No worker can work: everybody who waits gets `error`; if nobody does, the next call."""
        if self._broken is None:
            self._broken = error  # the driver ends the pool, once it does not hold the lock
            if not self.open_jobs:
                self._start_error = error

    # -- the end ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more calls; the workers end when all is done."""
        with self.lock, self.books:
            if self.state == RUN:
                self.state = CLOSE
                self.shaken = True  # nothing follows that could stumble over a lost answer: recount
                for job in tuple(self.open_jobs):
                    job.feed()
                self._stop_if_done()

    def _stop_if_done(self) -> None:
        if not self.open_jobs and not self._stops_sent:
            self._stops_sent = True
            for _ in self._roster.workers:
                self._taskq._put_bytes(b"", m.STOP)

    def end(self, error: BaseException) -> None:
        """End the workers at once, whatever they do; jobs that are open fail with `error`."""
        with self.lock:
            if self.state == TERMINATE:
                return
            self.state = TERMINATE
            jobs, self.open_jobs = tuple(self.open_jobs), set()
            self._tasks.clear()
            self._later.clear()
            for job in jobs:
                job.abandon(error)
            workers = self.processes()
            self.changed.notify_all()
        try:
            self._run_calls()
        finally:
            end_processes(workers)
            self._release_workers()

    def join(self) -> None:
        """Wait until all is done and the workers have ended.

        Raises:
            Exception: What the initializer raised, if nobody was told yet.
        """
        self.wait_for(lambda: not self.open_jobs or self.state == TERMINATE)
        if self.state != TERMINATE:
            with self.lock:
                self._stop_if_done()
        for process in self.processes():
            process.join()
        self.poll()  # for what the initializer raised, if nothing was called
        self._release_workers()
        error, self._start_error = self._start_error, None
        if error is not None:
            raise error

    def _release_workers(self) -> None:
        """Who has ended is forgotten: a pool that is over keeps no descriptor."""
        with self.lock:
            self._roster.workers.clear()

    # -- what is going on ------------------------------------------------------------------------------

    def statistics(self) -> PoolStatistics:
        """Return what the pool's workers do at this moment."""
        with self.lock:
            now = time.monotonic()
            workers = []
            for w in self._roster.workers.values():
                claim = self._claim(w)
                state: Literal["starting", "idle", "busy"] = "idle" if w.ready else "starting"
                task, seconds = None, now - w.since
                if claim is not None:
                    _, of, since = claim
                    state = "busy"
                    place = of.items[of.next][0] if of.items and of.next < len(of.items) else None
                    task = place if of.items else of.index
                    seconds = max(0.0, now - since / 1e9) if since else 0.0
                workers.append(
                    WorkerStatistics(w.process.pid, w.process.name, state, task, seconds)
                )
            return PoolStatistics(
                tuple(workers), self._taskq.qsize(), self._roster.died, self._roster.retired
            )


class _Books:
    """Says that an exception came while something under the lock was being changed.

    For `with engine.lock, engine.books:`. Not the lock itself: entering that must be one step, or
    Ctrl-C could come between taking it and knowing that it is taken.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        """Nothing has been changed yet."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._engine.shaken = True


class _Role:
    """A thread's being the driver. It may be so already: a callback may wait for a result."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._me = threading.get_ident()
        self._mine = engine._driver == self._me  # before this

    def take(self) -> bool:
        """Become the driver unless another thread is."""
        engine = self._engine
        with engine.lock:
            if engine._driver is None:
                engine._driver = self._me
            return engine._driver == self._me

    def give(self) -> None:
        """Be no more than before, whatever came in between (an interrupt, say)."""
        engine = self._engine
        if not self._mine and engine._driver == self._me:
            with engine.lock:
                engine._driver = None
                if engine._waiting:
                    engine.changed.notify_all()


def end_processes(processes: list[Any]) -> None:
    """End processes: SIGTERM, and SIGKILL for whoever is still there after GRACE seconds.

    A stopped process does not react to SIGTERM, one in native code may not. Returns when all
    have ended. What a program gives as processes of its own kind may lack `sentinel` and `kill`:
    the stdlib's pool asks for neither.
    """
    left = [p for p in processes if p.exitcode is None]
    for p in left:
        p.terminate()
    deadline = time.monotonic() + GRACE
    while left and (time_left := deadline - time.monotonic()) > 0:
        if not connection.wait([p.sentinel for p in left if hasattr(p, "sentinel")], time_left):
            break
        left = [p for p in left if p.exitcode is None]
    for p in left:
        if hasattr(p, "kill"):
            p.kill()
    for p in processes:
        p.join()
