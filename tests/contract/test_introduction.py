"""Programs as an introduction to multiprocessing has them give the same with forkful as without.

Each runs as a script of its own, with each start method, once with the standard library and once with
forkful under its name, and must print the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FRAME = """\
import {module} as multiprocessing
from {module} import *

{program}

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    main()
"""

PROGRAMS = {
    "a process for a function": """
        def greet(name, punctuation="!"):
            print("hello", name + punctuation, flush=True)

        def main():
            p = Process(target=greet, args=("bob",), kwargs={"punctuation": "?"})
            print(p.is_alive(), p.exitcode, p.daemon)
            p.start()
            p.join()
            print(p.is_alive(), p.exitcode, multiprocessing.active_children())
        """,
    "a process as a subclass": """
        class Square(multiprocessing.Process):
            def __init__(self, number, answers):
                super().__init__(name=f"square of {number}")
                self.number, self.answers = number, answers

            def run(self):
                here = multiprocessing.current_process()
                self.answers.put((here.name, self.number ** 2))

        def main():
            answers = Queue()
            squares = [Square(n, answers) for n in range(4)]
            for p in squares:
                p.start()
            print(sorted(answers.get() for _ in squares))
            for p in squares:
                p.join()
            print([p.exitcode for p in squares])
        """,
    "parents and pids": """
        import os

        def tell(conn):
            conn.send((os.getppid(), os.getpid(), parent_process().pid, parent_process().name))

        def main():
            mine, its = Pipe()
            p = Process(target=tell, args=(its,))
            p.start()
            ppid, pid, parent, name = mine.recv()
            p.join()
            fork_server = multiprocessing.get_start_method() == "forkserver"
            print((ppid == os.getpid()) or fork_server, pid == p.pid, parent == os.getpid(), name)
        """,
    "start methods and contexts": """
        def put(q):
            q.put(multiprocessing.get_start_method())

        def main():
            print(multiprocessing.get_start_method(), sorted(multiprocessing.get_all_start_methods()))
            for method in ("fork", "spawn", "forkserver"):
                ctx = multiprocessing.get_context(method)
                q = ctx.Queue()
                p = ctx.Process(target=put, args=(q,))
                p.start()
                print(ctx.get_start_method(), q.get() in (method, multiprocessing.get_start_method()))
                p.join()
            try:
                multiprocessing.set_start_method("spawn")
            except RuntimeError as error:
                print("RuntimeError:", error)
            try:
                multiprocessing.get_context("teleport")
            except ValueError as error:
                print("ValueError:", error)
        """,
    "an exit code, an exception, a signal": """
        import io, signal, sys, time

        def leave(code):
            sys.exit(code)

        def fail():
            sys.stderr = io.StringIO()
            raise RuntimeError("on purpose")

        def stay(q):
            q.put("here")
            time.sleep(1000)

        def main():
            for target, args in [(leave, (7,)), (leave, ("words",)), (leave, (None,)), (fail, ())]:
                p = Process(target=target, args=args)
                p.start()
                p.join()
                print(p.exitcode)
            for end in ("terminate", "kill"):
                q = SimpleQueue()
                p = Process(target=stay, args=(q,), daemon=True)
                p.start()
                q.get()
                getattr(p, end)()
                p.join()
                print(p.exitcode == -(signal.SIGTERM if end == "terminate" else signal.SIGKILL))
                p.close()
                try:
                    p.is_alive()
                except ValueError as error:
                    print("ValueError:", error)
        """,
    "a queue from a child": """
        def fill(q):
            q.put([42, None, "hello"])

        def main():
            q = Queue()
            p = Process(target=fill, args=(q,))
            p.start()
            print(q.get())
            p.join()
            print(q.empty())
        """,
    "producer and consumer": """
        def produce(q, n):
            for i in range(n):
                q.put(f"item {i}")
            q.put(None)

        def consume(q, done):
            seen = 0
            while (item := q.get()) is not None:
                seen += 1
                print("got", item, flush=True)
            done.put(seen)

        def main():
            q, done = Queue(2), Queue()
            both = [Process(target=produce, args=(q, 5)), Process(target=consume, args=(q, done))]
            for p in both:
                p.start()
            print("in all", done.get())
            for p in both:
                p.join()
        """,
    "a joinable queue": """
        def work(tasks, results):
            while True:
                n = tasks.get()
                if n is not None:
                    results.put(n * n)
                tasks.task_done()
                if n is None:
                    return

        def main():
            tasks, results = JoinableQueue(), Queue()
            workers = [Process(target=work, args=(tasks, results)) for _ in range(3)]
            for w in workers:
                w.start()
            for n in range(20):
                tasks.put(n)
            tasks.join()
            print(sorted(results.get() for _ in range(20)))
            for _ in workers:
                tasks.put(None)
            tasks.join()
            for w in workers:
                w.join()
            try:
                tasks.task_done()
            except ValueError as error:
                print("ValueError:", error)
        """,
    "a pipe": """
        def answer(conn):
            while (question := conn.recv()) != "bye":
                conn.send(question.upper())
            conn.close()

        def main():
            here, there = Pipe()
            p = Process(target=answer, args=(there,))
            p.start()
            there.close()
            for question in ("how", "are", "you"):
                here.send(question)
                print(here.recv())
            here.send("bye")
            p.join()
            try:
                here.recv()
            except EOFError:
                print("the end")
        """,
    "a one-way pipe for bytes": """
        import array
        from multiprocessing import connection

        def send(writer):
            writer.send_bytes(b"thank you")
            writer.send_bytes(array.array("i", range(5)))
            writer.close()

        def main():
            reader, writer = Pipe(duplex=False)
            p = Process(target=send, args=(writer,))
            p.start()
            writer.close()
            print(reader.recv_bytes())
            numbers = array.array("i", [0] * 10)
            print(reader.recv_bytes_into(numbers), numbers.tolist())
            print(connection.wait([reader], 30) == [reader])
            try:
                reader.recv_bytes()
            except EOFError:
                print("EOFError")
            p.join()
        """,
    "a lock guards the output and a counter": """
        def count(lock, counter):
            for _ in range(300):
                with lock:
                    counter.value += 1

        def say(lock, n):
            lock.acquire()
            try:
                print("line", end=" ", flush=True)
                print("whole", flush=True)
            finally:
                lock.release()

        def main():
            for lock in (Lock(), RLock()):
                counter = RawValue("i", 0)
                ps = [Process(target=count, args=(lock, counter)) for _ in range(3)]
                ps += [Process(target=say, args=(lock, n)) for n in range(3)]
                for p in ps:
                    p.start()
                for p in ps:
                    p.join()
                print(counter.value)
        """,
    "a semaphore lets two in": """
        def visit(room, inside, most):
            with room:
                with inside.get_lock():
                    inside.value += 1
                    most.value = max(most.value, inside.value)
                with inside.get_lock():
                    inside.value -= 1

        def main():
            room, inside, most = Semaphore(2), Value("i", 0), Value("i", 0)
            ps = [Process(target=visit, args=(room, inside, most)) for _ in range(6)]
            for p in ps:
                p.start()
            for p in ps:
                p.join()
            print(1 <= most.value <= 2, inside.value, room.get_value())
            bounded = BoundedSemaphore(1)
            try:
                bounded.release()
            except ValueError as error:
                print("ValueError:", error)
        """,
    "an event starts them all": """
        def run(start, q):
            q.put("ready")
            print(start.wait(60), start.is_set(), flush=True)

        def main():
            start, q = Event(), Queue()
            ps = [Process(target=run, args=(start, q)) for _ in range(3)]
            for p in ps:
                p.start()
            print([q.get() for _ in ps], start.is_set(), start.wait(0.01), flush=True)
            start.set()
            for p in ps:
                p.join()
        """,
    "a condition and a barrier": """
        def wait_for_turn(cond, turn, n):
            with cond:
                cond.wait_for(lambda: turn.value == n)
                print("turn of", n, flush=True)
                turn.value += 1
                cond.notify_all()

        def meet(barrier, q):
            q.put(barrier.wait())

        def main():
            cond, turn = Condition(), RawValue("i", 0)
            ps = [Process(target=wait_for_turn, args=(cond, turn, n)) for n in (2, 0, 1)]
            barrier, q = Barrier(3), Queue()
            ps += [Process(target=meet, args=(barrier, q)) for _ in range(3)]
            for p in ps:
                p.start()
            for p in ps:
                p.join()
            print(sorted(q.get() for _ in range(3)))
        """,
    "shared values and arrays": """
        import ctypes

        class Point(ctypes.Structure):
            _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]

        def change(number, array, points, text):
            number.value = 3.25
            for i in range(len(array)):
                array[i] = -array[i]
            for point in points:
                point.x, point.y = point.y, point.x
            text.value = text.value.upper()

        def main():
            lock = Lock()
            number, array = Value("d", 0.0), Array("i", range(5))
            points = Array(Point, [(1, 2), (3, 4)], lock=lock)
            text = Array("c", b"shout", lock=False)
            p = Process(target=change, args=(number, array, points, text))
            p.start()
            p.join()
            print(number.value, array[:], [(q.x, q.y) for q in points], text.value)
            with number.get_lock():
                number.value += 1
            print(number.value, RawArray("h", 3)[:], RawValue("h", 9).value)
        """,
    "a manager's objects": """
        def change(d, l, lock, ns):
            with lock:
                d[1] = "1"
                d["two"] = 2
                l.reverse()
                ns.x += 1

        def main():
            with Manager() as manager:
                d, l = manager.dict(), manager.list(range(5))
                lock, ns = manager.Lock(), manager.Namespace(x=1)
                p = Process(target=change, args=(d, l, lock, ns))
                p.start()
                p.join()
                print(dict(d), list(l), ns.x)
                q, event = manager.Queue(), manager.Event()
                q.put("through a manager")
                event.set()
                print(q.get(), event.is_set(), manager.Value("i", 7).value)
                with manager.Pool(2) as pool:
                    print(pool.map(abs, [-1, -2]))
        """,
    "a manager of one's own": """
        from multiprocessing.managers import BaseManager

        class Sums:
            def add(self, a, b):
                return a + b

        class MyManager(BaseManager):
            pass

        MyManager.register("Sums", Sums)

        def main():
            with MyManager(ctx=multiprocessing.get_context()) as manager:
                print(manager.Sums().add(4, 3))
        """,
    "shared memory by name": """
        from multiprocessing import shared_memory

        def change(name):
            block = shared_memory.SharedMemory(name=name)
            block.buf[:5] = b"HELLO"
            block.close()

        def main():
            block = shared_memory.SharedMemory(create=True, size=5)
            block.buf[:5] = b"hello"
            p = Process(target=change, args=(block.name,))
            p.start()
            p.join()
            print(bytes(block.buf[:5]))
            block.close()
            block.unlink()
            print(multiprocessing.shared_memory is shared_memory)
        """,
    "a listener and a client": """
        from multiprocessing.connection import Client, Listener

        def serve(ready):
            with Listener(None, authkey=b"secret") as listener:
                ready.send(listener.address)
                with listener.accept() as conn:
                    conn.send([2.25, None, "junk", float])
                    conn.send_bytes(b"hello")
                    conn.send(sum(conn.recv()))

        def main():
            mine, its = Pipe()
            p = Process(target=serve, args=(its,))
            p.start()
            with Client(mine.recv(), authkey=b"secret") as conn:
                print(conn.recv(), conn.recv_bytes())
                conn.send([1, 2, 3])
                print(conn.recv())
            p.join()
        """,
    "a pool": """
        def f(x):
            return x * x

        def add(x, y):
            return x + y

        def fail(x):
            raise ValueError(f"no {x}")

        def main():
            with Pool(3) as pool:
                print(pool.map(f, range(10)), pool.starmap(add, [(1, 2), (3, 4)]))
                print(list(pool.imap(f, range(5))), sorted(pool.imap_unordered(f, range(5))))
                print(pool.apply(f, (20,)), pool.apply(add, (1,), {"y": 5}))
                result = pool.apply_async(f, (10,))
                print(result.get(timeout=60), result.ready(), result.successful())
                print([r.get() for r in [pool.apply_async(f, (i,)) for i in range(4)]])
                try:
                    pool.apply(fail, (3,))
                except ValueError as error:
                    print("ValueError:", error)
                try:
                    pool.map(fail, [4])
                except ValueError as error:
                    print("ValueError:", error)
                print(pool.map_async(f, range(3)).get(60))
            try:
                pool.map(f, [1])
            except ValueError as error:
                print("ValueError:", error)
        """,
    "a pool with callbacks": """
        def f(x):
            return 10 // x

        def main():
            good, bad = [], []
            pool = Pool(2)
            for x in (1, 2, 5, 0):
                pool.apply_async(f, (x,), callback=good.append, error_callback=bad.append)
            many = pool.map_async(f, [1, 2], callback=good.append)
            many.wait()
            pool.close()
            pool.join()
            print(sorted(good, key=str), [type(e).__name__ for e in bad])
        """,
    "a pool with an initializer": """
        import time

        def setup(word):
            global greeting
            greeting = word

        def greet(name):
            return f"{greeting} {name}"

        def main():
            with Pool(2, initializer=setup, initargs=("hello",), maxtasksperchild=2) as pool:
                print(pool.map(greet, ["a", "b", "c", "d", "e"], chunksize=1))
            with multiprocessing.get_context("spawn").Pool(1, setup, ("hi",)) as pool:
                print(pool.apply(greet, ("spawn",)))
            with Pool(1) as pool:
                result = pool.apply_async(time.sleep, (1000,))
                try:
                    result.get(timeout=0.05)
                except multiprocessing.TimeoutError as error:
                    print("TimeoutError", error)
        """,
    "a pool of threads": """
        from multiprocessing.pool import ThreadPool

        def main():
            with ThreadPool(2) as pool:
                print(pool.map(abs, [-1, -2]))
        """,
    "logging": """
        import io, logging

        def log():
            multiprocessing.get_logger().warning("from a child")

        def main():
            logger = multiprocessing.get_logger()
            handler = logging.StreamHandler(io.StringIO())
            logger.addHandler(handler)
            logger.warning("from %s", current_process().name)
            multiprocessing.log_to_stderr(logging.CRITICAL)
            print(logger.name, len(logger.handlers), multiprocessing.cpu_count() >= 1)
            multiprocessing.freeze_support()
        """,
    "queues in a process pool executor's initializer": """
        from concurrent.futures import ProcessPoolExecutor

        def setup(given):
            global q
            q = given

        def put(x):
            q.put(x)
            return -x

        def main():
            q = Queue()
            ctx = multiprocessing.get_context()
            with ProcessPoolExecutor(2, mp_context=ctx, initializer=setup, initargs=(q,)) as executor:
                print(list(executor.map(put, range(4))))
            print(sorted(q.get() for _ in range(4)))
        """,
}


def run(script: Path, module: str, method: str, program: str) -> str:
    program = textwrap.dedent(program).replace("from multiprocessing", f"from {module}")
    script.write_text(FRAME.format(module=module, method=method, program=program))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(script)],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment,
    )
    assert ended.returncode == 0, f"{module}, {method}:\n{ended.stdout}{ended.stderr}"
    assert "Traceback" not in ended.stderr, f"{module}, {method}:\n{ended.stderr}"
    assert "Warning" not in ended.stderr, f"{module}, {method}:\n{ended.stderr}"
    return ended.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_the_same_as_with_the_standard_library(
    name: str, start_method: str, tmp_path: Path
) -> None:
    program = PROGRAMS[name]
    expected = run(tmp_path / "stdlib_program.py", "multiprocessing", start_method, program)
    assert expected, "the program prints nothing"
    assert run(tmp_path / "program.py", "forkful", start_method, program) == expected
