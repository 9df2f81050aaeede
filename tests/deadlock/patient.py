"""Programs that wait long and rightly: `python -m tests.deadlock.patient NAME START_METHOD`.

In each, something that forkful does not see ends the wait after LONG seconds, in which everybody else is
blocked on forkful objects. Each prints what became of it; `EXPECTED` says what that must be.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import forkful

LONG = 4.5  # seconds: more than it takes to find a deadlock

EXPECTED: dict[str, str] = {}


def ends_with(result: str) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    def note(program: Callable[[Any], object]) -> Callable[[Any], object]:
        EXPECTED[program.__name__] = result
        return program

    return note


def doze() -> None:
    time.sleep(LONG)  # sleep: the length of the wait is what is tested


def started(ctx: Any, target: Callable[..., object], *args: object) -> Any:
    process = ctx.Process(target=target, args=args)
    process.start()
    return process


def after_long(command: str) -> subprocess.Popen[str]:
    """A shell, which is no member of the family, does something after the wait."""
    return subprocess.Popen(
        ["sh", "-c", f"sleep {LONG}; {command}"], stdout=subprocess.PIPE, text=True
    )


def get(q: Any) -> object:
    return q.get()


def put(q: Any, item: object = "item") -> None:
    q.put(item)


def put_late(q: Any) -> None:
    doze()
    q.put("item")


def served(ctx: Any, wait: Callable[[], object]) -> object:
    """A consumer waits while this process waits otherwise, and gets an item afterwards."""
    q = ctx.Queue()
    consumer = started(ctx, get, q)
    wait()
    q.put("item")
    return consumer.result()


# ---- the parent waits for something else ---------------------------------------------------------


@ends_with("item")
def sleeping_parent(ctx: Any) -> object:
    return served(ctx, doze)


@ends_with("item")
def accepting_parent(ctx: Any) -> object:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket, time; time.sleep({LONG}); socket.create_connection(('127.0.0.1', {port}))"
        with subprocess.Popen([sys.executable, "-c", code]):
            return served(ctx, server.accept)


@ends_with("item")
def parent_that_reads_a_pipe(ctx: Any) -> object:
    with after_long("echo line") as shell:
        assert shell.stdout
        return served(ctx, shell.stdout.readline)


@ends_with("item")
def parent_that_waits_for_a_program(ctx: Any) -> object:
    with after_long(":") as shell:
        return served(ctx, shell.wait)


@ends_with("item")
def pausing_parent(ctx: Any) -> object:
    signal.signal(signal.SIGUSR1, lambda *_: None)

    def pause() -> None:
        with after_long(f"kill -USR1 {os.getpid()}"):
            signal.pause()

    return served(ctx, pause)


@ends_with("item")
def parent_with_a_loop(ctx: Any) -> object:
    async def main() -> object:
        q = ctx.Queue()
        consumer = started(ctx, get, q)
        await asyncio.sleep(LONG)  # sleep: the length of the wait is what is tested
        q.put("item")
        return await asyncio.to_thread(consumer.result)

    return asyncio.run(main())


@ends_with("item")
def parent_whose_thread_waits_elsewhere(ctx: Any) -> object:
    """The main thread waits for its own consumer; another one will put."""
    q, go = ctx.Queue(), threading.Event()
    threading.Thread(target=lambda: go.wait(LONG) or q.put("item")).start()
    consumer = started(ctx, get, q) if ctx._name != "fork" else None
    return consumer.result() if consumer else q.get()


@ends_with("item")
def timer_thread(ctx: Any) -> object:
    q = ctx.Queue()
    threading.Timer(LONG, q.put, ("item",)).start()
    return q.get()


# ---- signals and timers -------------------------------------------------------------------------------


def set_by(ctx: Any, signum: signal.Signals) -> object:
    event = ctx.Event()
    signal.signal(signum, lambda *_: event.set())
    with after_long(f"kill -{signum} {os.getpid()}"):
        return event.wait()


@ends_with("True")
def event_set_by_a_handler(ctx: Any) -> object:
    return set_by(ctx, signal.SIGUSR1)


@ends_with("True")
def event_set_by_ctrl_c(ctx: Any) -> object:
    return set_by(ctx, signal.SIGINT)


@ends_with("True")
def event_set_at_sigterm(ctx: Any) -> object:
    return set_by(ctx, signal.SIGTERM)


@ends_with("True")
def event_set_by_an_alarm(ctx: Any) -> object:
    event = ctx.Event()
    signal.signal(signal.SIGALRM, lambda *_: event.set())
    signal.setitimer(signal.ITIMER_REAL, LONG)
    return event.wait()


def wait_with_an_alarm(event: Any) -> None:
    signal.alarm(5)
    event.wait()


@ends_with(str(-signal.SIGALRM))
def child_that_an_alarm_ends(ctx: Any) -> object:
    child = started(ctx, wait_with_an_alarm, ctx.Event())
    child.join()
    return child.exitcode


def handle_in_child(event: Any, ready: Any) -> object:
    signal.signal(signal.SIGUSR2, lambda *_: event.set())
    ready.set()
    return event.wait()


@ends_with("True")
def child_with_a_handler(ctx: Any) -> object:
    ready = ctx.Event()
    child = started(ctx, handle_in_child, ctx.Event(), ready)
    ready.wait()
    with after_long(f"kill -USR2 {child.pid}"):
        return child.result()


# ---- timeouts --------------------------------------------------------------------------------------------


@ends_with("Empty")
def get_with_a_timeout(ctx: Any) -> object:
    q = ctx.Queue()
    consumer = started(ctx, get, ctx.Queue())
    try:
        q.get(timeout=LONG)
    except queue.Empty:
        return "Empty"
    finally:
        consumer.kill()
        consumer.join()


@ends_with("None")
def join_with_a_timeout(ctx: Any) -> object:
    consumer = started(ctx, get, ctx.Queue())
    consumer.join(LONG)
    code = consumer.exitcode
    consumer.kill()
    consumer.join()
    return code


def wait_with_timeout(event: Any, q: Any) -> None:
    event.wait(LONG)
    q.put("item")


@ends_with("item")
def somebody_elses_timeout(ctx: Any) -> object:
    q = ctx.Queue()
    child = started(ctx, wait_with_timeout, ctx.Event(), q)
    item = q.get()
    child.join()
    return item


@ends_with("BrokenBarrierError")
def barrier_with_a_timeout(ctx: Any) -> object:
    try:
        ctx.Barrier(2, timeout=LONG).wait()
    except threading.BrokenBarrierError:
        return "BrokenBarrierError"
    return "passed"


# ---- somebody of the family is busy, late or stopped -----------------------------------------------------


def produced(ctx: Any, producer: Callable[..., object], *args: object) -> object:
    q = ctx.Queue()
    child = started(ctx, producer, q, *args)
    item = q.get()
    child.join()
    return item


@ends_with("item")
def sleeping_producer(ctx: Any) -> object:
    return produced(ctx, put_late)


def compute(q: Any) -> None:
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        sum(range(1000))
    q.put("item")


@ends_with("item")
def computing_producer(ctx: Any) -> object:
    return produced(ctx, compute)


def stop(q: Any) -> None:
    with after_long(f"kill -CONT {os.getpid()}"):
        os.kill(os.getpid(), signal.SIGSTOP)
    q.put("item")


@ends_with("item")
def stopped_producer(ctx: Any) -> object:
    return produced(ctx, stop)


def receive(q: Any, connection: Any) -> None:
    q.put(connection.recv())


def send_late(connection: Any) -> None:
    doze()
    connection.send("item")


@ends_with("item")
def producer_that_reads_a_pipe(ctx: Any) -> object:
    reader, writer = ctx.Pipe(duplex=False)
    sender = started(ctx, send_late, writer)
    item = produced(ctx, receive, reader)
    sender.join()
    return item


def start_late(q: Any, ctx: Any) -> None:
    doze()
    started(ctx, put, q).join()


@ends_with("item")
def producer_that_is_started_late(ctx: Any) -> object:
    return produced(ctx, start_late, ctx)


@ends_with("item")
def plainly_forked_producer(ctx: Any) -> object:
    q = ctx.Queue()
    pid = os.fork()
    if pid == 0:
        put_late(q)
        os._exit(0)
    item = q.get()
    os.waitpid(pid, 0)
    return item


def hold(lock: Any, held: Any) -> None:
    with lock:
        held.set()
        doze()


@ends_with("True")
def long_held_lock(ctx: Any) -> object:
    lock, held = ctx.Lock(), ctx.Event()
    holder = started(ctx, hold, lock, held)
    held.wait()
    got = lock.acquire()
    lock.release()
    holder.join()
    return got


def come_late(barrier: Any) -> None:
    doze()
    barrier.wait()


@ends_with("passed")
def late_party(ctx: Any) -> object:
    barrier = ctx.Barrier(2)
    party = started(ctx, come_late, barrier)
    barrier.wait()
    party.join()
    return "passed"


def notify_late(condition: Any) -> None:
    doze()
    with condition:
        condition.notify()


@ends_with("True")
def late_notifier(ctx: Any) -> object:
    condition = ctx.Condition()
    with condition:
        notifier = started(ctx, notify_late, condition)
        notified = condition.wait()
    notifier.join()
    return notified


def die_late() -> None:
    doze()
    os.kill(os.getpid(), signal.SIGKILL)


def hold_until_killed(semaphore: Any, held: Any) -> None:
    with semaphore:
        held.set()
        die_late()


@ends_with("True")
def permit_of_one_that_is_killed(ctx: Any) -> object:
    semaphore, held = ctx.Semaphore(1), ctx.Event()
    holder = started(ctx, hold_until_killed, semaphore, held)
    held.wait()
    got = semaphore.acquire()
    holder.join()
    return got


# ---- pools and managers ------------------------------------------------------------------------------------


def slow(x: int) -> int:
    doze()
    return x


@ends_with("[0, 1, 2]")
def idle_pool(ctx: Any) -> object:
    with ctx.Pool(2) as pool:
        doze()
        return pool.map(int, range(3))


@ends_with("[0, 1]")
def slow_tasks(ctx: Any) -> object:
    with ctx.Pool(2) as pool:
        return pool.map(slow, range(2))


_queue: Any = None


def set_queue(q: Any) -> None:
    global _queue
    _queue = q


def get_in_task() -> object:
    return _queue.get()


@ends_with("TaskTimeout")
def task_with_a_timeout(ctx: Any) -> object:
    with ctx.Pool(1, set_queue, (ctx.Queue(),)) as pool:
        try:
            return pool.apply(get_in_task, timeout=LONG)
        except forkful.TaskTimeout:
            return "TaskTimeout"


@ends_with("item")
def result_that_is_not_waited_for(ctx: Any) -> object:
    q = ctx.Queue()
    with ctx.Pool(1, set_queue, (q,)) as pool:
        result = pool.apply_async(get_in_task)
        doze()
        q.put("item")
        return result.get()


@ends_with("item")
def manager_at_hand(ctx: Any) -> object:
    with ctx.Manager() as manager:
        shared = manager.dict()
        item = produced(ctx, put_late_by, shared)
        return shared["item"] + item


def put_late_by(q: Any, shared: Any) -> None:
    doze()
    shared["item"] = ""
    q.put("item")


@ends_with("item")
def producer_fed_by_a_manager(ctx: Any) -> object:
    with ctx.Manager() as manager:
        inbox = manager.Queue()
        feeder = started(ctx, put_late, inbox)
        item = produced(ctx, pass_on, inbox)
        feeder.join()
        return item


def pass_on(q: Any, inbox: Any) -> None:
    q.put(inbox.get())


if __name__ == "__main__":
    print(globals()[sys.argv[1]](forkful.get_context(sys.argv[2])))
