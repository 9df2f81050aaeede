"""A test that leaves something behind fails, and says what; what is excused does not count."""

from __future__ import annotations

import textwrap
import uuid
from pathlib import Path

from tests.kit.conftest import Run

LEAKS = {
    "descriptor": ("kept.append(open('/dev/null'))", "-> /dev/null"),
    "pipe": ("os.pipe()", "-> pipe:["),
    "second arena": ("os.memfd_create('forkful'); os.memfd_create('forkful')", "/memfd:forkful"),
    "thread": (
        "threading.Thread(target=threading.Event().wait, name='lost', daemon=True).start()",
        "thread 'lost'",
    ),
    "child": ("kept.append(subprocess.Popen(['sleep', '1000']))", "child process"),
    "zombie": (
        "os.waitid(os.P_PID, os.spawnlp(os.P_NOWAIT, 'true', 'true'), os.WEXITED | os.WNOWAIT)",
        "zombie",
    ),
    "orphan": ("subprocess.run(['sh', '-c', 'sleep 1000 &'])", "orphaned process"),
    "forked orphan": (
        """
        if os.fork() == 0:
            if os.fork() == 0:
                signal.pause()
            os._exit(0)
        os.wait()
        """,
        "orphaned process",
    ),
}

FINE = {
    "resource tracker": "multiprocessing.resource_tracker.ensure_running()",
    "fork server": """
        p = multiprocessing.get_context("forkserver").Process(target=print)
        p.start()
        p.join()
        p.close()
    """,
    "arena": "os.memfd_create('forkful')",
    "closed a little later": """
        closing = threading.Timer(0.3, open("/dev/null").close)
        closing.start()
    """,
    "in a cycle of garbage": """
        cycle = [open("/dev/null")]
        cycle.append(cycle)
        warnings.simplefilter("ignore")
    """,
}


def a_file(bodies: dict[str, str]) -> str:
    """One test for each body, and after each a test that does nothing."""
    return textwrap.dedent(
        """
        import multiprocessing, multiprocessing.resource_tracker
        import os, signal, subprocess, threading, warnings
        kept = []
        """
    ) + "".join(
        f"def test_{name.replace(' ', '_')}():\n"
        f"{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        f"def test_after_{name.replace(' ', '_')}():\n    pass\n"
        for name, body in bodies.items()
    )


def test_each_kind_of_leak_is_reported_once(run_tests: Run) -> None:
    done = run_tests(a_file({name: LEAKS[name][0] for name in LEAKS}), "-o", "leak_grace=0.2")
    sections = done.stdout.split("ERROR at teardown of ")[1:]
    reports = {section.split(" ")[0]: section for section in sections}
    for name, (_, said) in LEAKS.items():
        report = reports["test_" + name.replace(" ", "_")]
        assert "The test left behind" in report
        assert said in report
    summary = done.stdout.splitlines()[-1]  # from Python 3.12 on, it counts warnings too
    assert f" {2 * len(LEAKS)} passed, " in summary
    assert f" {len(LEAKS)} errors in " in summary


def test_what_is_no_leak_is_not_reported(run_tests: Run) -> None:
    done = run_tests(a_file(FINE))
    assert f"{2 * len(FINE)} passed in" in done.stdout


def test_a_file_in_shared_memory_is_reported(run_tests: Run) -> None:
    file = Path(f"/dev/shm/kit-{uuid.uuid4()}")
    try:
        done = run_tests(
            a_file({"shm": f"open({str(file)!r}, 'w').close()"}), "-o", "leak_grace=0.2"
        )
    finally:
        file.unlink()
    assert f"shared memory {file}" in done.stdout


def test_shared_memory_that_a_stranger_uses_is_not_ours(run_tests: Run) -> None:
    file = Path(f"/dev/shm/kit-{uuid.uuid4()}")
    with file.open("w"):  # this process is a stranger to the run
        try:
            done = run_tests(
                f"""
                from tests.kit.holdings import Shm, used_by_strangers
                def test_one():
                    ours, theirs = Shm("/dev/shm/nobody-has-it"), Shm({str(file)!r})
                    assert used_by_strangers([ours, theirs]) == {{theirs}}
                """
            )
        finally:
            file.unlink()
    assert "1 passed" in done.stdout


def test_a_failed_test_is_not_blamed_for_its_leaks(run_tests: Run) -> None:
    done = run_tests(a_file({"bad": "kept.append(open('/dev/null')); assert not kept"}))
    assert "1 failed, 1 passed in" in done.stdout
