"""`forkful why` on programs that hang: the verdict, in golden text."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forkful import snapshot
from forkful.snapshot import Member
from tests.contract.children import until
from tests.kit import procs

PROGRAMS = str(Path(__file__).with_name("hanging.py"))
PROGRAM = Path(PROGRAMS).read_text().splitlines()


def why(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "forkful", "why", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def told(*words: object) -> list[str]:
    """The lines that are printed."""
    ran = why(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def refusal(*words: object) -> str:
    ran = why(*words)
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    return line


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program of hanging.py; all of its processes are killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "FORKFUL_DEADLOCK": "off"}  # else it would not hang for long

    def run(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, PROGRAMS, *words]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, env=environment, **pipes)
        started.append(process)
        return process

    yield run
    for process in started:
        family = procs.descendants(process.pid)
        process.kill()
        procs.kill(family)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


def family_when(pid: int, so: Callable[[list[Member]], bool]) -> list[Member]:
    """Look until the family is so."""
    while True:
        try:
            family = list(snapshot.take(pid))
        except snapshot.Unseen:  # it has only just begun
            continue
        if so(family):
            return family


def rest_in(*operations: str) -> Callable[[list[Member]], bool]:
    """Whether those are the operations that the family rests in."""
    return lambda family: (
        sorted(w.operation for m in family for w in m.waits if w.at_rest) == sorted(operations)
    )


def golden(lines: list[str], family: list[Member]) -> str:
    """The text without what is different each time; line numbers become the text of that line."""
    text = "\n".join(lines)
    for member in family:
        text = re.sub(rf"\b{member.pid}\b", f"<{member.name}>", text)
    text = re.sub(r"for [\d.:]+( ms| s|\b)", "for TIME", text)
    text = re.sub(r"at \d+ % of", "at N % of", text)
    # How much the kernel tells of a read from a pipe differs between kernels.
    text = re.sub(
        r"(?<=for )(a pipe(?!,? whose)|something outside forkful \(.*?\))(, in \w+)?",
        "WHAT A READ WAITS FOR",
        text,
    )
    return re.sub(
        r"hanging\.py:(\d+)", lambda match: f"[{PROGRAM[int(match[1]) - 1].strip()}]", text
    )


def test_two_processes_with_crossed_locks(start: Start) -> None:
    program = start("crossed")
    family = family_when(program.pid, rest_in("Process.join", "Lock.acquire", "Lock.acquire"))

    assert golden(told(program.pid), family) == (
        "deadlocked: Process-1 (pid <Process-1>) and Process-2 (pid <Process-2>) wait for each other's "
        "locks, and MainProcess (pid <MainProcess>) for them\n"
        "MainProcess (pid <MainProcess>): in Process.join at [child.join()], of Process-1 "
        "(pid <Process-1>), for TIME\n"
        "|- Process-1 (pid <Process-1>): in Lock.acquire at [with second:], held by Process-2 "
        "(pid <Process-2>) (taken at [with first:] in take_both), for TIME; "
        "holds what Process-2 (pid <Process-2>) waits for\n"
        "`- Process-2 (pid <Process-2>): in Lock.acquire at [with second:], held by Process-1 "
        "(pid <Process-1>) (taken at [with first:] in take_both), for TIME; "
        "holds what Process-1 (pid <Process-1>) waits for\n"
        "what to do: take locks in the same order everywhere, by `with`, and wait for nothing else "
        "while holding one; or wait with a timeout"
    )


def test_a_consumer_with_no_producer_left(start: Start) -> None:
    program = start("no_producer")
    family = family_when(program.pid, rest_in("Process.join", "Queue.get"))

    assert golden(told(program.pid), family) == (
        "deadlocked: Process-1 (pid <Process-1>) waits for an item of an empty queue, and nobody is left "
        "who could put one: all 2 processes of the family wait\n"
        "MainProcess (pid <MainProcess>): in Process.join at [start(consume, queue).join()], of Process-1 "
        "(pid <Process-1>), for TIME\n"
        "`- Process-1 (pid <Process-1>): in Queue.get at [while queue.get() is not None:], empty, for TIME\n"
        "what to do: let whoever puts say when nothing more comes: put a last item for each consumer, "
        "or call the queue's shutdown(); or wait with a timeout"
    )


def test_a_join_before_the_queue_is_drained(start: Start) -> None:
    program = start("join_first")
    family = family_when(program.pid, rest_in("Process.join", "Queue.put"))

    assert golden(told(program.pid), family) == (
        "deadlocked: Process-1 (pid <Process-1>) waits for room in a full queue (2 of 2), and MainProcess "
        "(pid <MainProcess>), which joins it before it takes what is in the queue, never will\n"
        "MainProcess (pid <MainProcess>): in Process.join at [start(produce, queue).join()], of Process-1 "
        "(pid <Process-1>), for TIME\n"
        "`- Process-1 (pid <Process-1>): in Queue.put at [queue.put(item)], 2 of 2 inside, for TIME\n"
        "what to do: take everything out of the queue before join(), or give the queue room for all of it"
    )


def test_a_worker_in_an_endless_loop(start: Start) -> None:
    program = start("endless")

    def loops(family: list[Member]) -> bool:
        return rest_in("Pool results", "Pool task")(family) and any(m.active for m in family)

    family = family_when(program.pid, loops)
    (loop,) = (m.name for m in family if m.active)
    (idle,) = (m.name for m in family if m.name not in (loop, "MainProcess"))
    text = golden(told(program.pid), family)
    first, main, *workers, advice = text.splitlines()

    assert first == f"busy: {loop} (pid <{loop}>) computes, and 2 other processes wait"
    assert main == (
        "MainProcess (pid <MainProcess>): in Pool results at [pool.map(for_ever, [1], chunksize=1)], "
        "empty, for TIME"
    )
    assert sorted(line[3:] for line in workers) == sorted(
        [
            f"{loop} (pid <{loop}>): runs, at N % of a processor",
            f"{idle} (pid <{idle}>): an idle pool worker, for TIME",
        ]
    )
    assert advice == (
        "what to do: if it computes too long it may be a loop without an end: see where it is, by --stacks"
    )


def test_a_stopped_process_which_then_goes_on_as_if_nobody_had_looked(start: Start) -> None:
    program = start("stopped")
    family = family_when(program.pid, lambda family: any(m.state == "T" for m in family))
    (child,) = (m.pid for m in family if m.state == "T")

    assert golden(told(program.pid), family) == (
        "stopped: Process-1 (pid <Process-1>) is stopped by a signal, and 1 other process waits\n"
        "MainProcess (pid <MainProcess>): in Queue.get at [print(queue.get(), flush=True)], empty, for TIME\n"
        "`- Process-1 (pid <Process-1>): stopped by a signal\n"
        "what to do: let it go on: kill -CONT <Process-1>"
    )
    os.kill(child, signal.SIGCONT)
    assert program.communicate()[0] == "went on\n"
    assert program.returncode == 0


# ---- pipes -------------------------------------------------------------------------------------------

CLOSE = (
    "what to do: close each end of a pipe in every process that does not use it: then whoever reads gets "
    "EOFError when the last one that could write has gone"
)


def test_two_that_wait_for_each_others_message(start: Start) -> None:
    program = start("answering")
    family = family_when(program.pid, rest_in("Connection.recv", "Connection.recv"))

    first, main, child, advice = golden(told(program.pid), family).splitlines()
    assert first == (
        "deadlocked: MainProcess (pid <MainProcess>) waits for a pipe, whose other end only processes of "
        "the family have: all 2 processes of the family wait"
    )
    assert main == (
        "MainProcess (pid <MainProcess>): in Connection.recv at [mine.recv()], for a pipe whose other end "
        "Process-1 (pid <Process-1>) has, for TIME"
    )
    assert child == (
        "`- Process-1 (pid <Process-1>): in Connection.recv at [pipe.recv()], for a pipe whose other end "
        "MainProcess (pid <MainProcess>) and Process-1 (pid <Process-1>) have, for TIME"
    )
    assert advice == CLOSE


def test_a_reader_that_keeps_the_writing_end_open_itself(start: Start) -> None:
    program = start("kept_open")
    family = family_when(program.pid, rest_in("Connection.recv"))

    assert golden(told(program.pid), family).splitlines() == [
        "deadlocked: MainProcess (pid <MainProcess>) waits for a pipe whose other end only it itself has",
        "MainProcess (pid <MainProcess>): in Connection.recv at [reader.recv()], for a pipe whose other end "
        "MainProcess (pid <MainProcess>) has, for TIME",
        CLOSE,
    ]


def test_a_reader_of_a_pipe_that_a_stranger_writes_to(start: Start) -> None:
    program = start("reading_pipe")
    assert program.stdout
    cat = program.stdout.readline().strip()
    family = family_when(program.pid, rest_in("Connection.recv"))

    assert golden(told(program.pid), family).splitlines() == [
        f"waiting for I/O: MainProcess (pid <MainProcess>) waits for a pipe whose other end process {cat} has",
        "MainProcess (pid <MainProcess>): in Connection.recv at [reader.recv_bytes()], for a pipe whose "
        f"other end process {cat} has, for TIME",
    ]


def waits_outside(family: list[Member]) -> bool:
    return any(m.unlisted and not m.active for m in family)


def test_idle_workers_whose_producer_waits_for_its_input(start: Start) -> None:
    program = start("starved")
    rest = rest_in("Pool task", "Pool task")
    family = family_when(program.pid, lambda f: rest(f) and waits_outside(f))

    first, main, *workers, advice = golden(told(program.pid), family).splitlines()
    assert first == (
        "starved: all 2 workers are idle, because MainProcess (pid <MainProcess>), from which tasks come, "
        "waits for WHAT A READ WAITS FOR"
    )
    assert main == "MainProcess (pid <MainProcess>): waits for WHAT A READ WAITS FOR"
    assert all(": an idle pool worker, for TIME" in line for line in workers)
    assert advice == (
        "what to do: find what keeps it from handing out tasks: reading its input, or work that could be a task"
    )
    assert program.communicate("line\n")[0] == "[5]\n"
    assert program.returncode == 0


def test_a_process_that_reads_from_a_pipe(start: Start) -> None:
    program = start("reading")
    rest = rest_in("Queue.get")
    family = family_when(program.pid, lambda f: rest(f) and waits_outside(f))

    first, main, child = golden(told(program.pid), family).splitlines()
    assert first == (
        "waiting for I/O: Process-1 (pid <Process-1>) waits for WHAT A READ WAITS FOR, and 1 other process "
        "waits"
    )
    assert main == (
        "MainProcess (pid <MainProcess>): in Queue.get at [print(queue.get(), flush=True)], empty, for TIME"
    )
    assert child == "`- Process-1 (pid <Process-1>): waits for WHAT A READ WAITS FOR"
    assert program.communicate("line")[0] == "line\n"


def test_any_process_may_be_asked_and_so_may_one_whose_parent_was_killed(start: Start) -> None:
    program = start("crossed")
    family = family_when(program.pid, rest_in("Process.join", "Lock.acquire", "Lock.acquire"))
    children = [procs.look(m.pid) for m in family if m.parent]
    one, other = (child.pid for child in children if child)
    try:
        assert told(one)[0] == told(program.pid)[0]
        program.kill()
        program.wait()
        text = golden(told(other), family)
    finally:
        procs.kill([child for child in children if child])

    assert text.splitlines()[0] == (
        "deadlocked: Process-1 (pid <Process-1>) and Process-2 (pid <Process-2>) wait for each other's locks"
    )
    assert text.count(", an orphan: in Lock.acquire at [with second:], held by Process-") == 2


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_program_may_start_its_processes_otherwise(start: Start, method: str) -> None:
    program = start("crossed", method)
    family = family_when(program.pid, rest_in("Process.join", "Lock.acquire", "Lock.acquire"))

    first, *tree, _ = golden(told(program.pid), family).splitlines()
    assert first.startswith(
        "deadlocked: Process-1 (pid <Process-1>) and Process-2 (pid <Process-2>) wait for each other's locks"
    )
    assert any("forkserver" in line and line.endswith(": idle") for line in tree) == (
        method == "forkserver"
    )


# ---- stacks ------------------------------------------------------------------------------------------


def test_the_stack_of_each_thread_is_told_by_the_process_itself(start: Start) -> None:
    """Of a lock, of a read, of several threads; and all go on as if nobody had asked."""
    program = start("lines_and_threads")
    rest = rest_in("Process.join", "Queue.get")
    family = family_when(program.pid, lambda f: rest(f) and waits_outside(f))

    for _ in range(3):
        text = golden(told("--stacks", program.pid), family)
        _, main, *lines = text.splitlines()
        assert main == "MainProcess (pid <MainProcess>): 2 threads"
        stacks = "\n".join(line[5:] for line in lines if not line.startswith("what to do"))
        first, second, child = re.split(r"stack.*, innermost first:\n", stacks)[1:]
        by_main, by_thread = sorted((first, second), key=lambda stack: "consume" in stack)
        assert by_main.splitlines()[:3] == [
            "  [child.join()] in lines_and_threads",
            "  [globals()[sys.argv[1]]()] in <module>",
            by_main.splitlines()[2],
        ]
        assert by_thread.splitlines()[0] == "  [while queue.get() is not None:] in consume"
        assert child.splitlines() == [
            "     [queue.put(os.read(source, 100).decode())] in read_line"
        ]
    assert program.communicate("second\n")[0] == "done\n"
    assert program.returncode == 0


def test_the_stack_of_an_endless_loop_under_each_start_method(
    start: Start, start_method: str
) -> None:
    program = start("endless", start_method)

    def loops(family: list[Member]) -> bool:
        return rest_in("Pool results", "Pool task")(family) and any(m.active for m in family)

    family_when(program.pid, loops)
    answer: dict[str, Any] = json.loads("\n".join(told("--json", "--stacks", program.pid)))
    assert answer["kind"] == "busy"
    (loop,) = (p for p in answer["processes"] if p["pid"] in answer["pids"])
    ((inner, *_),) = loop["stacks"]
    assert (inner["file"], inner["function"], loop["mute"]) == (PROGRAMS, "for_ever", "")
    assert PROGRAM[inner["line"] - 1].strip() in ("while True:", "pass")
    assert all(p["stacks"] for p in answer["processes"])


def test_a_stopped_process_tells_no_stack_and_is_not_asked(start: Start) -> None:
    program = start("stopped")
    family = family_when(program.pid, lambda family: any(m.state == "T" for m in family))
    (child,) = (m.pid for m in family if m.state == "T")

    *_, before, mute, advice = told("--stacks", program.pid)
    assert before.endswith("stopped by a signal")
    assert mute.strip() == "no stack: it is stopped, and cannot tell them"
    assert advice == f"what to do: let it go on: kill -CONT {child}"
    os.kill(child, signal.SIGCONT)
    assert program.communicate()[0] == "went on\n"


def test_a_process_that_waits_for_a_signal_is_not_asked(start: Start) -> None:
    program = start("pausing")
    family = family_when(program.pid, waits_outside)

    assert "no stack: it waits for a signal, which the question would end" in "\n".join(
        told("--stacks", program.pid)
    )
    os.kill(family[0].pid, signal.SIGUSR1)
    assert program.communicate()[0] == "went on\n"


def test_json_says_the_same(start: Start) -> None:
    program = start("join_first")
    family_when(program.pid, rest_in("Process.join", "Queue.put"))

    def answered() -> dict[str, Any]:
        read: dict[str, Any] = json.loads("\n".join(told("--json", program.pid)))
        return read

    # Who waits looks round once a second, and runs in that instant.
    until(lambda: answered()["processes"][1]["state"] == "S")
    answer = answered()
    main, child = answer["processes"]
    assert answer["kind"] == "deadlocked"
    assert answer["text"].startswith(f"deadlocked: Process-1 (pid {child['pid']}) waits for room")
    assert answer["pids"] == [main["pid"], child["pid"]]
    assert (main["pid"], child["parent"]) == (program.pid, program.pid)
    assert main["waits"][0]["joins"] == child["pid"]
    (put,) = child["waits"]
    assert (put["operation"], put["size"], put["bound"], put["left"]) == ("Queue.put", 2, 2, None)
    assert PROGRAM[put["line"] - 1].strip() == "queue.put(item)"


# ---- where there is nothing to see ------------------------------------------------------------------


def test_a_program_of_plain_multiprocessing_is_refused() -> None:
    code = "import multiprocessing as m; m.Queue(); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as plain:
        assert plain.stdout
        plain.stdout.readline()
        line = refusal(plain.pid)
        plain.communicate(b"\n")

    assert line == (
        f"forkful why: process {plain.pid} is no forkful program, or has not used forkful so far: it has "
        "none of its shared memory. A program written for multiprocessing gets it by `forkful run`"
    )
    assert plain.returncode == 0


def told_no(code: str) -> str:
    """How a program that runs `code` and then waits for a line is refused, less its pid."""
    command = [sys.executable, "-c", f"import os, forkful; {code}; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout
        program.stdout.readline()
        line = refusal(program.pid)
        program.communicate(b"\n")
    return line.replace(str(program.pid), "PID")


def test_a_program_that_has_closed_what_leads_to_its_memory_is_refused() -> None:
    assert told_no("q = forkful.Queue(); os.closerange(3, 100)") == (
        "forkful why: process PID has closed the descriptor of its family's shared memory: ask about "
        "another process of the family"
    )


def test_shared_memory_of_another_make_is_refused() -> None:
    assert told_no("os.write(os.memfd_create('forkful'), b'forkful' * 1000)") == (
        "forkful why: process PID runs another version of forkful: use the command of its environment"
    )


def test_a_process_that_has_ended_is_refused() -> None:
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        zombie = refusal(ended.pid)
    gone = refusal(ended.pid)

    assert zombie == (
        f"forkful why: process {ended.pid} has ended (its parent has not taken its exit status)"
    )
    assert gone == f"forkful why: there is no process {ended.pid}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")
def test_the_process_of_another_user_is_refused(start: Start) -> None:
    program = start("no_producer")
    family_when(program.pid, rest_in("Process.join", "Queue.get"))
    code = (
        "import os, sys; from forkful import snapshot; os.setgid(65534); os.setuid(65534)\n"
        "try: snapshot.take(int(sys.argv[1]))\n"
        "except snapshot.Unseen as e: print(e)"
    )
    command = [sys.executable, "-c", code, str(program.pid)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.stdout.startswith(f"process {program.pid} may not be looked at: "), ran.stderr


def test_a_pid_that_is_no_number_is_refused() -> None:
    assert refusal("one").startswith("forkful why: Invalid value for 'PID': ")
