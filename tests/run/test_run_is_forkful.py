"""Under `forkful run`, whoever imports `multiprocessing` gets forkful, in every process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.run.conftest import Run

Program = Callable[..., str]

WHOSE = """
    import multiprocessing as mp
    from multiprocessing import Lock, Manager, Process, get_context
    import multiprocessing.queues, multiprocessing.pool, multiprocessing.connection
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event as EventClass
    import multiprocessing.synchronize as sync
    import importlib, pickle

    def whose():
        made = {
            "Lock": Lock(), "Event": mp.Event(), "Queue": mp.Queue(), "Pipe": mp.Pipe()[0],
            "context": mp.get_context(), "fork context": get_context("fork"),
        }
        found = {name: type(one).__module__.partition(".")[0] for name, one in made.items()}
        found["Process"] = Process.__module__.partition(".")[0]
        found["isinstance"] = isinstance(made["Queue"], Queue), isinstance(made["Event"], EventClass)
        found["by name"] = importlib.import_module("multiprocessing.queues").Queue is Queue
        found["of the package"] = mp.queues.Queue is Queue, mp.synchronize is sync
        found["pool"] = mp.pool.Pool.__module__.partition(".")[0]
        found["connection"] = mp.connection.Pipe is importlib.import_module("forkful.connection").Pipe
        found["by hand"] = type(sync.Lock(ctx=mp.get_context())).__module__.partition(".")[0]
        found["method"] = mp.get_start_method()
        return sorted(found.items())

    def put(q):
        q.put(whose())

    if __name__ == "__main__":
        mp.set_start_method({method!r})
        q = mp.Queue()
        p = Process(target=put, args=(q,))
        p.start()
        mine, its = whose(), q.get()
        p.join()
        print(its == mine)
        for name, value in mine:
            print(name, value)
        with mp.Pool(1) as pool:
            print(pool.apply(whose) == mine)
    """

EXPECTED = """\
True
Event forkful
Lock forkful
Pipe forkful
Process forkful
Queue forkful
by hand forkful
by name True
connection True
context forkful
fork context forkful
isinstance (True, True)
method {method}
of the package (True, True)
pool forkful
True
"""


def test_every_way_to_the_names_leads_to_forkful_in_parent_child_and_worker(
    program: Program, forkful_run: Run, start_method: str
) -> None:
    ran = forkful_run(program(WHOSE.replace("{method!r}", repr(start_method))))
    assert (ran.status, ran.out, ran.err) == (0, EXPECTED.format(method=start_method), "")


def test_names_that_forkful_has_not_are_the_standard_librarys(
    program: Program, forkful_run: Run
) -> None:
    name = program("""
        import multiprocessing.connection, multiprocessing.util, multiprocessing.pool
        from multiprocessing.connection import rebuild_connection, SocketListener
        from multiprocessing.reduction import ForkingPickler
        import pickle
        print(pickle.loads(pickle.dumps(rebuild_connection)) is rebuild_connection)
        print(SocketListener.__module__, multiprocessing.pool.ThreadPool.__name__)
        print("Pipe" in dir(multiprocessing.connection), hasattr(multiprocessing.pool, "nothing"))
        try:
            multiprocessing.pool.nothing
        except AttributeError as error:
            print(error)
        """)
    ran = forkful_run(name)
    assert ran.out == (
        "True\nmultiprocessing.connection ThreadPool\nTrue False\n"
        "module 'multiprocessing.pool' has no attribute 'nothing'\n"
    )


def test_patching_reaches_the_functions_that_use_the_name(
    program: Program, plain: Run, forkful_run: Run
) -> None:
    name = program("""
        import multiprocessing.connection as c
        from unittest import mock
        with mock.patch("multiprocessing.connection.arbitrary_address", lambda family: 1 / 0):
            try:
                c.Listener()
            except ZeroDivisionError:
                print("patched")
        with mock.patch.object(c, "Pipe", "mine"):
            print(c.Pipe)
        print(callable(c.Pipe), c.arbitrary_address("AF_INET"))
        """)
    expected = plain(name)
    assert expected.out == "patched\nmine\nTrue ('localhost', 0)\n"
    assert forkful_run(name) == expected


EXECUTOR = """
    import multiprocessing, os
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.pool import ThreadPool

    def whose(x):
        return x, type(multiprocessing.Lock()).__module__

    if __name__ == "__main__":
        for context in (None, multiprocessing.get_context("METHOD")):
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                print(list(executor.map(whose, range(3))))
                try:
                    executor.submit(len, 1).result()
                except TypeError as error:
                    print(error)
                print(type(executor.submit(whose, lambda: 0).exception()).__name__)
        with ThreadPool(2) as threads:
            print(threads.map(abs, [-1, -2]))
    """


def test_executors_and_thread_pools_work_on_it(
    program: Program, plain: Run, forkful_run: Run, start_method: str
) -> None:
    name = program(EXECUTOR.replace("METHOD", start_method))
    expected = plain(name)
    assert expected.status == 0
    ran = forkful_run(name)
    assert ran.out == expected.out.replace("multiprocessing.synchronize", "forkful.synchronize")
    assert (ran.status, ran.err) == (0, expected.err)


def test_preloaded_modules_of_the_fork_server_get_forkful(
    program: Program, forkful_run: Run
) -> None:
    program("from multiprocessing import Lock, Event\nlock = Lock()", "preloaded.py")
    name = program("""
        import multiprocessing

        def tell(q):
            import sys
            q.put(type(sys.modules["preloaded"].lock).__module__)

        if __name__ == "__main__":
            multiprocessing.set_start_method("forkserver")
            multiprocessing.set_forkserver_preload(["preloaded"])
            q = multiprocessing.SimpleQueue()
            p = multiprocessing.Process(target=tell, args=(q,))
            p.start()
            print(q.get())
            p.join()
        """)
    assert forkful_run(name).out == "forkful.synchronize\n"


@pytest.mark.parametrize("times", [1, 2])
def test_installing_once_more_changes_nothing(
    program: Program, forkful_run: Run, times: int
) -> None:
    name = program(f"""
        import sys, multiprocessing.queues
        before = sys.modules["multiprocessing.queues"], list(sys.meta_path)
        from forkful.run.install import install
        for _ in range({times}):
            install()
        print((sys.modules["multiprocessing.queues"], list(sys.meta_path)) == before)
        """)
    assert forkful_run(name).out == "True\n"


JOINS = """
    import multiprocessing as mp, os

    def look_at_parent():
        from forkful import snapshot
        waits = []
        while not waits:
            family = snapshot.take(os.getppid())
            waits = [w for m in family if m.pid == os.getppid() for w in m.waits if w.at_rest]
        print([(w.operation, w.joins == os.getpid(), w.left is not None) for w in waits])

    if __name__ == "__main__":
        mp.set_start_method("fork")
        p = mp.Process(target=look_at_parent)
        p.start()
        p.join(1000)
    """


def test_a_join_with_a_timeout_is_seen_to_be_one(program: Program, forkful_run: Run) -> None:
    ran = forkful_run(program(JOINS))
    assert (ran.status, ran.out, ran.err) == (0, "[('Process.join', True, True)]\n", "")
