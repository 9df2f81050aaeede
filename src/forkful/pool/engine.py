"""The pool's engine: sends tasks, takes answers, does what follows from a worker's end.

It has no thread of its own. Whoever waits for a result drives: it becomes the one driver, takes answers
until what it waits for is there, and hands the role on. What nobody waits for is driven by the
collector (`collector.py`), a thread that is started when something needs it.

All state is guarded by `lock`. User code never runs under it, save the pickling of arguments.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

from forkful import _native, errors, remote
from forkful.launch import sigterm
from forkful.launch.defaults import defaults
from forkful.pool import messages as m
from forkful.pool.crew import Crew
from forkful.pool.kill import end_processes, kill_tree
from forkful.pool.state import POISON_DEATHS, Doom, Job, Retry, Task, WorkerRecord, plan_loss
from forkful.pool.turns import Books, Role, hang_bell, ring, take_down
from forkful.pool.underway import UnderWay
from forkful.queues import SimpleQueue
from forkful.statistics import PoolStatistics, WorkerStatistics

__all__ = ["CLOSE", "RUN", "TERMINATE", "Engine"]

RUN: Final = "RUN"
CLOSE: Final = "CLOSE"
TERMINATE: Final = "TERMINATE"

LOOK_EVERY = 0.05  # seconds between two looks at the workers: how late a death is noticed at most
_ANSWERS = 256

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _disown_all() -> None:
    for engine in tuple(_engines):
        engine.disown()


os.register_at_fork(after_in_child=_disown_all)

# Its bases cannot be imported once the interpreter waits for threads.
defaults.departures.append(lambda: errors.WorkerDied)


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
        self.bells: list[_native.Event] = []
        self.state: str = RUN
        self.size = processes
        self.open_jobs: dict[Job, None] = {}  # in the order in which they were called
        self._fed: dict[Job, None] = {}  # those of them that have more than one task
        self.shaken = False  # an exception has left the books half written
        self.books = Books(self)
        self.steps = 0  # how often somebody has driven
        self.pid = os.getpid()
        self.inherited = False  # a copy, in a process that was forked from the pool's own
        self.under_way: UnderWay = UnderWay()
        self.send = self.under_way.send
        self.send_all = self.under_way.send_all
        self.send_later = self.under_way.send_later
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self.crew: Crew = Crew(
            processes,
            make_process,
            self.under_way.queue,
            self._answers,
            initializer,
            initargs,
            max_tasks,
            max_memory,
        )
        self._inbox: list[tuple[int, int, m.Message]] = []
        self.driver: int | None = None
        self._calls: deque[Callable[[], None]] = deque()
        self._called: dict[Callable[[], None], int] = {}  # those under way, and in which threads
        self._next_look = 0.0
        self._broken: BaseException | None = None  # no worker can work: why
        self._start_error: BaseException | None = None  # the same, not told to anybody yet
        self._stops_sent = False
        _engines.add(self)

    # -- whose it is -----------------------------------------------------------------------------------

    def disown(self) -> None:
        """In a child by fork: leave all to the parent, whose answers, callbacks and workers these are.

        Its other threads, which may have held the lock, are not here. The jobs stay as they were, as
        to go through them would copy them.
        """
        self.inherited = True
        self.state = TERMINATE
        self.lock = threading.RLock()
        self.driver = None
        self.bells, self._calls, self._called, self._start_error = [], deque(), {}, None

    def check_ours(self) -> None:
        """Raise ValueError in a child by fork."""
        if self.inherited:
            raise ValueError(
                f"a pool can only be used in the process that made it (pid {self.pid}), and this is"
                f" another one (pid {os.getpid()}), forked from it"
            )

    # -- sending -------------------------------------------------------------------------------------

    def check_running(self) -> None:
        """Raise ValueError if no more calls are taken; the initializer's exception, once, if it raised."""
        error, self._start_error = self._start_error, None
        if error is not None:
            raise error
        if self.state != RUN:
            self.check_ours()
            raise ValueError("Pool not running")

    # -- driving -------------------------------------------------------------------------------------

    def wait_for(
        self,
        done: Callable[[], Any],
        timeout: float | None = None,
        call: Callable[[], None] | None = None,
    ) -> bool:
        """Drive, or wait while another thread does, until `done()` is true.

        Args:
            done: Whether that is so.
            timeout: Seconds.
            call: What of the user's makes it so, if the answer is there. That may be under way, or due,
                though the pool was terminated.

        Returns:
            False if that was not so after `timeout` seconds, or the pool was terminated before.

        Raises:
            ValueError: This is not the pool's process, but was forked from it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self.poll()
                return bool(done())
            if self.state == TERMINATE:
                self.check_ours()
                if call is None or not self.is_calling(call):
                    return bool(done())
                self._run_calls()
                if not self._is_called_elsewhere(call):
                    return bool(done())
                self._stand_by(done, left)
                continue
            role = Role(self)
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
            self._stand_by(done, left)
        return True

    def _stand_by(self, done: Callable[[], Any], left: float | None) -> None:
        """Wait for what another thread does, `left` seconds at most."""
        with self.lock:
            busy = self.driven or self.state == TERMINATE
            bell = hang_bell(self.bells) if busy and not done() else None
        if bell is not None:
            try:
                bell._stand(left, _native.OP_RESULT, 0)
            finally:
                with self.lock:
                    take_down(self.bells, bell)

    def poll(self, *, calls: bool = True) -> bool:
        """Deal with what is there, without waiting, unless another thread is at it.

        Args:
            calls: Also call the user's callbacks that are due. If not, the collector does.

        Returns:
            Whether nothing was due, and nothing will be before an answer comes or a worker dies.

        Raises:
            ValueError: This is not the pool's process, but was forked from it.
        """
        self.check_ours()
        if not calls and self._calls and self.driver != threading.get_ident():
            return False  # the collector is to call first: it would hardly ever find the role free
        role = Role(self)
        try:
            return self._step(0, calls=calls) if role.take() else True
        finally:
            role.give()

    @property
    def driven(self) -> bool:
        """Whether some thread drives."""
        return self.driver is not None

    def _step(self, wait: float, standing: int = 0, *, calls: bool = True) -> bool:
        """Wait for answers, and do what is due.

        Args:
            wait: Seconds, at most.
            standing: 0, or as a part of a wait without end: 1 the first, 2 one that follows.
            calls: Whether to call the user's callbacks.

        Returns:
            Whether nothing was due, and nothing will be before an answer comes or a worker dies.
        """
        if self.state == TERMINATE:
            return False
        if self._calls:
            wait = 0  # another thread has left them
        took = self._answers._take_bytes(
            self._inbox, _ANSWERS, wait, None, 0, _native.OP_RESULTS, standing
        )
        with self.lock, self.books:
            if self.state == TERMINATE:  # meanwhile: the deaths to be seen are its doing
                return False
            self.steps += 1
            self._read_inbox()
            now = time.monotonic()
            if not took or now >= self._next_look:
                self._look(now)
            if self._broken is None:
                for job in tuple(self._fed):
                    job.feed()
            idle = not (took or self._calls or self.under_way.timed)
        if self._broken is not None:
            self.end(self._broken, failed=True)
            idle = False
        if calls:
            self._run_calls()
        return idle

    def _run_calls(self) -> None:
        """Callbacks of the user: not under the lock."""
        while self._calls:
            call = None
            try:
                with self.lock:
                    if not self._calls:
                        return
                    call = self._calls[0]
                    self._called[call] = threading.get_ident()  # first: it is always in one of them
                    self._calls.popleft()
                call()
            finally:  # also of Ctrl-C before the call
                if call is not None:
                    self._called.pop(call, None)

    def is_calling(self, call: Callable[[], None]) -> bool:
        """Whether this is due, or under way."""
        return call in self._calls or call in self._called

    def _is_called_elsewhere(self, call: Callable[[], None]) -> bool:
        """Whether another thread is at it."""
        return self._called.get(call, threading.get_ident()) != threading.get_ident()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Let the driver call this, when it does not hold the lock."""
        self._calls.append(call)

    def opened_job(self, job: Job) -> None:
        """A job is to be fed until it is complete. Under the lock."""
        self._fed[job] = None
        self.open_jobs[job] = None

    def closed_job(self, job: Job) -> None:
        """A job is complete. Under the lock."""
        self.open_jobs.pop(job, None)
        if self._fed:
            self._fed.pop(job, None)
        if self.bells:
            ring(self.bells)
        if self.state == CLOSE:
            self._stop_if_done()

    # -- answers -------------------------------------------------------------------------------------

    def _read_inbox(self) -> None:
        inbox, tasks = self._inbox, self.under_way.tasks
        result, timed_result = m.RESULT, m.TIMED_RESULT  # the many
        read = 0
        try:
            for _, meta, data in inbox:
                seq, kind = meta >> 4, meta & 15
                if kind == result:
                    task = tasks.pop(seq, None)
                    if task is not None:
                        task.job.result(task, data)
                elif kind == timed_result:
                    task = tasks.pop(seq, None)
                    if task is not None:
                        task.job.timed_result(task, data)
                elif kind in (m.ITEM_DONE, m.ITEM_ERROR):
                    self._item(seq, kind, data)
                elif kind == m.ERROR:
                    task = tasks.pop(seq, None)
                    if task is not None:
                        self._error(task, remote.unpack(m.head(data)))
                else:
                    self._about_worker(seq, kind, m.head(data))
                read += 1
        finally:
            # After Ctrl-C the rest is for the next reader. To read an answer twice does no harm.
            del inbox[:read]

    def _item(self, seq: int, kind: int, data: m.Message) -> None:
        task = self.under_way.tasks.get(seq)
        if task is None or task.items is None:
            return
        index, seconds, making, pid = m.ITEM.unpack_from(m.head(data))
        if index < task.next:
            return
        task.next = index + 1
        if task.next == len(task.items):
            del self.under_way.tasks[seq]
        if kind == m.ITEM_DONE:
            task.job.item(task, index, seconds, making, pid, data)
        else:
            error = remote.unpack(m.head(data)[m.ITEM.size :])
            self._failed(task, index, error, seconds, pid)

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
            self.crew.is_ready(number)
        elif kind == m.RETIRED:
            worker = self.crew.roster.workers.get(number)
            if worker is not None:
                worker.retired = True
                self._next_look = 0.0
        elif kind == m.FAILED_START:
            self._break(remote.unpack(data))

    def _failed(
        self,
        task: Task,
        item: int | None,
        error: BaseException,
        seconds: float,
        pid: int | None,
        *,
        died: bool = False,
    ) -> None:
        """An attempt failed: try again, or give up."""
        delay = task.retry.delay(task.attempts, error, _luck(task.retry))
        poison = died and task.deaths >= POISON_DEATHS
        if delay is None or poison:
            if poison or task.deaths >= task.attempts > 1:
                error = errors.PoisonTask(attempts=task.attempts, deaths=task.deaths, last=error)
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

    def look(self) -> None:
        """Look after the workers now, and not only when it is time for it."""
        with self.lock, self.books:
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        """Look after the workers, late tasks and those to be tried again. Under the lock."""
        self._next_look = now + LOOK_EVERY
        if self.shaken:
            self.under_way.put_back()
            self._recount()
        dead = self.crew.dead()
        if dead:
            # What they had answered comes first.
            while self._answers._take_bytes(self._inbox, _ANSWERS, 0):
                self._read_inbox()
            for worker in dead:
                self._lost(worker)
        self._kill_late(now)
        self.under_way.send_due(now)
        if self._broken is None and (self.state == RUN or (self.state == CLOSE and self.open_jobs)):
            if sigterm.begun() and threading.current_thread() is not threading.main_thread():
                # Only what the main thread does at its end may need others.
                self._break(
                    errors.WorkerDied("SIGTERM ends this process, and has ended its workers")
                )
            else:
                self.crew.start_missing()

    def _recount(self) -> None:
        """Ctrl-C may come between any two steps: a call that has lost an answer to it is given up."""
        self.shaken = False
        tasks: dict[Job, list[Task]] = {job: [] for job in self.open_jobs}
        for task in self.under_way:
            tasks.get(task.job, []).append(task)
        for job, its in tasks.items():
            if job.done:
                self.closed_job(job)  # it was cut short between being done and saying so
            elif job.called_off:
                self._end_if_cancelled(job)
            elif job.has_lost(its):
                self.under_way.drop(job)
                job.abandon(
                    errors.ForkfulError(
                        "an exception such as KeyboardInterrupt came while the pool took this "
                        "call's answers, and one of them is lost; the pool itself is whole"
                    )
                )

    # -- ending what is under way ----------------------------------------------------------------------

    def unfinished(self) -> list[str]:
        """Name the calls that are not done, and that somebody may still wait for."""
        self.poll()
        with self.lock:
            return [name for job in self.open_jobs if (name := job.wanted())]

    def cancel(self, job: Job) -> bool:
        """Let what of a job is queued not run, and kill who runs it, with all that they started.

        Returns:
            False if it has ended already.
        """
        with self.lock, self.books:
            if job not in self.open_jobs or not job.call_off():
                return False
            self.under_way.take_back()
            for worker in self.crew:
                claim = None if worker.doom else self._claim(worker)
                if claim is not None and claim[1].job is job:
                    worker.doom = Doom(claim[0], job=job)
                    kill_tree(worker.process)
            self.under_way.drop(job)
            self.under_way.put_back()
            self._next_look = 0.0
            self._end_if_cancelled(job)
        return True

    def _end_if_cancelled(self, job: Job) -> None:
        if not any(worker.doom is not None and worker.doom.job is job for worker in self.crew):
            job.cancelled()

    def _kill_late(self, now: float) -> None:
        """Kill whoever is over its task's timeout; its end is noticed as any other."""
        if not any(self._is_late(worker, now) for worker in self.crew):
            return
        # It may be done by now, and have begun another: that one must not be hurt.
        self.under_way.take_back()
        for worker in self.crew:
            late = self._is_late(worker, now)
            if late is not None:
                worker.doom = late
                kill_tree(worker.process)
        self.under_way.put_back()

    def _is_late(self, worker: WorkerRecord, now: float) -> Doom | None:
        claim = None if worker.doom else self._claim(worker)
        if claim is None:
            return None
        seq, task, since = claim
        if task.timeout is None or not since:
            return None
        left = since / 1e9 + task.timeout - now
        if left <= 0:
            return Doom(seq, seconds=task.timeout)
        self._next_look = min(self._next_look, now + left)
        return None

    # -- workers that have ended -----------------------------------------------------------------------

    def _claim(self, worker: WorkerRecord) -> tuple[int, Task, int] | None:
        """Return (number, task, since) of what a worker has taken and not answered."""
        seq, since = self.crew.claim(worker)
        task = self.under_way.taken(seq)
        return None if task is None else (seq, task, since)

    def _lost(self, worker: WorkerRecord) -> None:
        process = worker.process
        claim = self._claim(worker)
        process.join()
        go_on = self.crew.roster.ended(worker)
        doom = worker.doom
        if doom is not None and doom.job is not None:
            self._end_if_cancelled(doom.job)
        if claim is not None:
            seq, task, since = claim
            del self.under_way.tasks[seq]
            timeout = doom.seconds if doom is not None and doom.task == seq else None
            self._lost_task(worker.process, task, since, timeout)
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

    def _lost_task(self, process: Any, task: Task, since: int, timeout: float | None) -> None:
        plan = plan_loss(task, begun=since != 0)
        if plan.again:
            self._send_items(task, plan.again, 0)
        if timeout is None:
            task.deaths += 1
        for item in plan.alone:
            self._send_items(task, [item], 0)
        if not plan.blame:
            return
        what = task.job.describe(task, plan.item)
        error: BaseException
        if timeout is not None:
            error = errors.TaskTimeout(seconds=timeout, task=what, pid=process.pid)
        else:
            popen = getattr(process, "_popen", None)  # a program's own kind of process has none
            error = errors.WorkerDied(
                pid=process.pid,
                exitcode=process.exitcode,
                task=what,
                name=process.name,
                stack=getattr(popen, "stack", None),
                reason=getattr(popen, "reason", None),
            )
        seconds = (time.monotonic_ns() - since) / 1e9 if since else 0.0
        self._failed(task, plan.item, error, seconds, process.pid, died=timeout is None)

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
                for job in tuple(self._fed):
                    job.feed()
                self._stop_if_done()

    def _stop_if_done(self) -> None:
        if not self.open_jobs and not self._stops_sent:
            self._stops_sent = True
            self.under_way.stop(len(self.crew.roster.workers))

    def end(self, error: BaseException, *, failed: bool = False) -> None:
        """End the workers at once, whatever they do.

        Args:
            error: What whoever waits for a job that is open gets.
            failed: Whether such a job has failed. If not, it is not done, and never will be.
        """
        with self.lock:
            if self.state == TERMINATE:
                return
            self.state = TERMINATE
            jobs, self.open_jobs, self._fed = tuple(self.open_jobs), {}, {}
            self.under_way.clear()
            for job in jobs:
                if failed:
                    job.abandon(error)
                else:
                    job.cut_off(error)
            workers = self.crew.processes()
            ring(self.bells)
        try:
            end_processes(workers)
        finally:
            self._run_calls()  # last: what the user does there may take for ever
            with self.lock:
                self.crew.forget()

    def join(self) -> None:
        """Wait until all is done and the workers have ended.

        Raises:
            ValueError: This is not the pool's process, but was forked from it.
            Exception: What the initializer raised, if nobody was told yet.
        """
        self.check_ours()
        self.wait_for(lambda: not self.open_jobs or self.state == TERMINATE)
        if self.state != TERMINATE:
            with self.lock:
                self._stop_if_done()
        for process in self.crew.processes():
            process.join()
        self.poll()  # for what the initializer raised, if nothing was called
        with self.lock:
            self.crew.forget()
        error, self._start_error = self._start_error, None
        if error is not None:
            raise error

    # -- what is going on ------------------------------------------------------------------------------

    def statistics(self) -> PoolStatistics:
        """Return what the pool's workers do at this moment."""
        with self.lock:
            now = time.monotonic()
            workers = []
            for w in self.crew:
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
                tuple(workers),
                self.under_way.queue.qsize(),
                self.crew.roster.died,
                self.crew.roster.retired,
            )


def _luck(retry: Retry) -> float:
    if not retry.backoff:
        return 0.0
    import random  # on first use: it brings much

    return random.random()
