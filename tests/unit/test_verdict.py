"""What is the matter with a family, from made-up looks at it."""

from __future__ import annotations

from typing import Any

import pytest

from forkful.report import why
from forkful.report.verdict import Verdict, judge
from forkful.snapshot import Member, Wait


def wait(operation: str, thread: int = 0, **known: Any) -> Wait:
    facts: dict[str, Any] = {"left": None, "at_rest": True, **known}
    return Wait(thread, operation, "/home/u/program.py", 7, 12.0, **facts)


def member(pid: int, *waits: Wait, name: str = "", **known: Any) -> Member:
    """A process whose main thread is in the first wait."""
    listed = tuple(
        Wait(**{**w.__dict__, "thread": w.thread or pid + i}) for i, w in enumerate(waits)
    )
    return Member(
        pid, name or ("MainProcess" if pid == 1 else f"Process-{pid}"), waits=listed, **known
    )


def running(pid: int, **known: Any) -> Member:
    return member(pid, **{"state": "R", "cpu": 0.97, "active": True, "unlisted": 1, **known})


def outside(pid: int, **known: Any) -> Member:
    return member(pid, **{"unlisted": 1, **known})


def idle(pid: int) -> Member:
    return member(pid, wait("Pool task", size=0, bound=0), name=f"PoolWorker-{pid}", parent=1)


def lock(holder: int, **known: Any) -> Wait:
    return wait("Lock.acquire", holder=holder, **known)


def verdict(*family: Member) -> Verdict:
    return judge(family)


# ---- deadlocks -----------------------------------------------------------------------------------------


def test_a_circle_of_locks_is_a_deadlock_while_others_run() -> None:
    found = verdict(running(1), member(2, lock(3)), member(3, lock(2)))

    assert found.kind == "deadlocked"
    assert found.pids == (2, 3)
    assert found.text == (
        "deadlocked: Process-2 (pid 2) and Process-3 (pid 3) wait for each other's locks; "
        "1 more process is no part of it, unless it releases a lock that another one holds"
    )


def test_nobody_else_can_release_a_re_entrant_lock() -> None:
    first, second = (wait("RLock.acquire", holder=pid) for pid in (3, 2))
    found = verdict(running(1), member(2, first), member(3, second))

    assert found.text.endswith("'s locks; 1 more process is no part of it")


def test_who_only_waits_behind_a_circle_is_not_named_as_a_part_of_it() -> None:
    found = verdict(
        *(member(pid, lock(holder)) for pid, holder in ((1, 2), (2, 3), (3, 4), (4, 2)))
    )

    assert found.pids == (2, 3, 4)
    assert found.text == (
        "deadlocked: Process-2 (pid 2), Process-3 (pid 3), Process-4 (pid 4) wait in a circle, each for "
        "the next one's locks, and MainProcess (pid 1) for them"
    )


def test_a_lock_and_a_join_make_a_circle() -> None:
    found = verdict(member(1, wait("Process.join", joins=2)), member(2, lock(1)))

    assert found.kind == "deadlocked"
    assert "MainProcess (pid 1) and Process-2 (pid 2) wait for each other" in found.text
    assert found.advice.startswith("take locks in the same order")


def test_a_lock_that_one_holds_oneself() -> None:
    assert verdict(running(1), member(2, lock(2))).text.startswith(
        "deadlocked: Process-2 (pid 2) waits for a lock that it holds itself"
    )


def test_no_circle_is_closed_by_who_gives_up_runs_or_has_just_come() -> None:
    assert verdict(member(1, lock(2)), member(2, lock(1, left=3.0))).kind == "timed"
    assert verdict(member(1, lock(2)), member(2, lock(1, at_rest=False))).kind == "moving"
    assert verdict(member(1, lock(2)), running(2)).kind == "busy"
    two_threads = member(2, lock(1), wait("Event.wait"))
    assert verdict(member(1, lock(2)), two_threads, running(3)).kind == "busy"


def test_a_family_in_which_all_wait_is_deadlocked_by_what_could_end_it() -> None:
    for operation, words in {
        "Event.wait": "nobody is left who could set it",
        "Semaphore.acquire": "nobody is left who could release it",
        "Condition.wait": "nobody is left who could do that",
        "Queue.get": "nobody is left who could put one",
    }.items():
        found = verdict(member(1, wait(operation)), idle(2))
        assert found.kind == "deadlocked"
        assert words in found.text
        assert found.advice


def test_items_that_nobody_reports_as_done() -> None:
    found = verdict(member(1, wait("Queue.join", size=1, bound=0)))

    assert found.text == (
        "deadlocked: MainProcess (pid 1) waits until 1 item of a queue is done, and nobody is left who "
        "could say so: the family has only this process"
    )


def test_a_fork_server_that_sleeps_and_the_dead_are_left_out() -> None:
    server = member(2, name="fork server", unlisted=1, server=True)
    dead = member(3, state="X")
    assert verdict(member(1, wait("Queue.get", size=0)), server, dead).kind == "deadlocked"
    assert verdict(member(1, wait("Queue.get", size=0)), running(2, server=True)).kind == "busy"


def test_what_else_could_end_it_is_said() -> None:
    handling = verdict(member(1, wait("Event.wait"), handlers=True))
    assert handling.text.endswith(", unless a signal handler of MainProcess (pid 1) ends it")
    threads = verdict(member(1, lock(2), unlisted=3), member(2, lock(1)))
    assert threads.text.endswith(
        ", unless the 3 other threads of MainProcess (pid 1), of which forkful knows nothing, can end it"
    )


def test_a_thread_that_forkful_does_not_know_could_still_put() -> None:
    found = verdict(member(1, wait("Queue.get", size=0), unlisted=1))

    assert found.kind == "io"
    assert "If that is only an idle thread of a library, this is a deadlock" in found.text


# ---- the others -------------------------------------------------------------------------------------------


def test_workers_are_starved_while_the_producer_computes() -> None:
    found = verdict(running(1), idle(2), idle(3))

    assert (found.kind, found.pids) == ("starved", (1,))
    assert found.text == (
        "starved: all 2 workers are idle, because MainProcess (pid 1), from which tasks come, computes"
    )


def test_workers_are_starved_while_the_producer_waits_for_its_input() -> None:
    assert verdict(outside(1), idle(2)).text == (
        "starved: the pool's only worker is idle, because MainProcess (pid 1), from which tasks come, "
        "waits for something outside forkful (I/O, a sleep, a program)"
    )


def test_workers_are_not_starved_while_one_of_them_works() -> None:
    works = running(2, name="ForkPoolWorker-2")
    found = verdict(member(1, wait("Pool results", size=0)), works, idle(3))

    assert found.text == "busy: ForkPoolWorker-2 (pid 2) computes, and 2 other processes wait"


def test_a_process_neither_on_the_board_nor_running_waits_for_io() -> None:
    found = verdict(member(1, wait("Queue.get", size=0)), outside(2))

    assert (found.kind, found.pids) == ("io", (2,))
    assert found.text == (
        "waiting for I/O: Process-2 (pid 2) waits for something outside forkful (I/O, a sleep, a "
        "program), and 1 other process waits"
    )


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"state": "D"}, "waiting for I/O: MainProcess (pid 1) waits for a disk"),
        ({"kernel": "anon_pipe_read"}, "waiting for I/O: MainProcess (pid 1) waits for a pipe"),
        ({"kernel": "do_poll"}, "waiting for I/O: MainProcess (pid 1) waits for I/O, by poll"),
        (
            {"kernel": "hrtimer_nanosleep"},
            "waiting outside forkful: MainProcess (pid 1) waits for the end of a sleep",
        ),
        (
            {"kernel": "do_wait"},
            "waiting outside forkful: MainProcess (pid 1) waits for the end of a program",
        ),
    ],
)
def test_the_kernel_tells_what_it_waits_for(known: dict[str, str], words: str) -> None:
    assert verdict(outside(1, **known)).text == words


def test_a_stopped_process_is_told_before_who_waits_for_it() -> None:
    found = verdict(member(1, wait("Process.join", joins=2)), member(2, lock(1), state="T"))

    assert (
        found.text == "stopped: Process-2 (pid 2) is stopped by a signal, and 1 other process waits"
    )
    assert found.advice == "let it go on: kill -CONT 2"
    assert "stopped by a debugger" in verdict(member(1, state="t")).text


def test_who_gives_up_first_is_told() -> None:
    found = verdict(
        member(1, wait("Queue.get", left=9.0)), member(2, wait("Event.wait", left=2.5)), idle(3)
    )

    assert found.text == "waiting: Process-2 (pid 2) gives up in 2.5 s, and then it goes on"


def test_what_is_in_another_pid_namespace_is_not_judged() -> None:
    assert verdict(member(1, lock(2)), member(2, lock(1), state="?")).text == (
        "not known: 1 process is in another PID namespace, of which /proc tells nothing here"
    )


def test_a_stuck_process_beside_a_circle_waits_too() -> None:
    found = verdict(member(1, wait("Process.join")), member(2, lock(3)), member(3, lock(2)))

    assert found.text.endswith("wait for each other's locks; 1 more process waits")


# ---- the tree ---------------------------------------------------------------------------------------------


def test_the_tree_shows_each_state() -> None:
    family = (
        member(1, lock(2), wait("Queue.join", size=3, bound=0)),
        member(2, wait("Queue.put", size=4, bound=4, left=1.0), parent=1),
        running(3, parent=1, cpu=0.5),
        outside(4, parent=3, kernel="pipe_read"),
        member(5, parent=3, state="X"),
        member(6, orphan=True, state="?"),
        Member(0, "Process-7", parent=1, state="R", active=True, unlisted=1),
    )

    assert why.lines(family, Verdict("moving", "going on", "", ())) == [
        "going on",
        "MainProcess (pid 1): 2 threads",
        "|    in Lock.acquire at program.py:7, held by Process-2 (pid 2), for 12.0 s",
        "|    in Queue.join at program.py:7, 3 not done, for 12.0 s",
        "|- Process-2 (pid 2): in Queue.put at program.py:7, 4 of 4 inside, for 12.0 s, 1.00 s left; "
        "holds what MainProcess (pid 1) waits for",
        "|- Process-3 (pid 3): runs, at 50 % of a processor",
        "|  |- Process-4 (pid 4): waits for a pipe, in pipe_read",
        "|  `- Process-5 (pid 5): has ended",
        "`- Process-7 (pid ?): is being started",
        "Process-6 (pid 6), an orphan: in another PID namespace",
    ]
