"""A program that `forkful run` runs is that of a plain run in all that it can see of itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.run.conftest import FORKFUL_RUN, PATIENCE_S, Run

Program = Callable[..., str]

SELF = """
    import os, sys
    print(sys.argv, __name__, __file__, sys.path[:2], sys.orig_argv[1:])
    print(os.environ.get("PYTHONPATH"), sorted(k for k in os.environ if "FORKFUL" in k))
    print(sys.modules["__main__"].__dict__ is globals(), sys.flags.optimize, sys.executable)
    """

ENDINGS = {
    "returns": "print('done')",
    "an exception": "def f(): raise ValueError('no')\nf()",
    "sys.exit()": "import sys; sys.exit()",
    "sys.exit(7)": "import sys; sys.exit(7)",
    "sys.exit of text": "import sys; sys.exit('last words')",
    "os._exit": "import os; os._exit(9)",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "wrong syntax": "x = = 1",
    "a module that is not there": "import no_such_module",
    "an error at the end": "import atexit\natexit.register(int, 'x')",
    "hooks": "import sys; sys.excepthook = lambda *a: print('hook', a[1]); 1 / 0",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_status_and_streams_are_the_same(
    program: Program, plain: Run, forkful_run: Run, ending: str
) -> None:
    name = program(ENDINGS[ending])
    expected = plain(name)
    assert forkful_run(name) == expected
    assert (expected.status, expected.out, expected.err) != (0, "", "") or ending == "sys.exit()"


def test_arguments_path_and_environment_are_the_same(
    program: Program, plain: Run, forkful_run: Run
) -> None:
    name = program(SELF)
    words = (name, "-m", "--report", "-h", "x y", "")
    for env in ({}, {"PYTHONPATH": ""}, {"PYTHONPATH": f"one{os.pathsep}two"}):
        expected = plain(*words, **env)
        assert forkful_run(*words, **env) == expected
        assert expected.status == 0
        assert "'-m', '--report', '-h', 'x y', ''" in expected.out


def test_modules_and_packages_run_too(program: Program, plain: Run, forkful_run: Run) -> None:
    name = program(SELF)
    module = ("-m", name.removesuffix(".py"), "a", "-x")
    expected = plain(*module)
    assert forkful_run(*module) == expected
    assert expected.status == 0


def test_text_runs_too(plain: Run, forkful_run: Run) -> None:
    words = ("-c", "import sys; print(sys.argv)", "-c", "x")
    assert forkful_run(*words) == plain(*words)


def test_options_of_the_interpreter_are_kept(program: Program, tmp_path: Path) -> None:
    name = program("import sys; assert False; print(sys.flags.optimize, sys.warnoptions)")
    words = [sys.executable, "-O", "-W", "error", *FORKFUL_RUN[1:], name]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 ['error']\n", "")


def test_the_machines_own_sitecustomize_has_its_turn(
    program: Program, plain: Run, forkful_run: Run, tmp_path: Path
) -> None:
    program("import sys; sys.told = __name__, sys.path[0]", "sitecustomize.py")
    name = program("import sys; print(sys.told, sys.modules['sitecustomize'].__file__)")
    path = str(tmp_path)
    expected = plain(name, PYTHONPATH=path)
    assert expected.out.startswith("('sitecustomize', ")
    assert forkful_run(name, PYTHONPATH=path) == expected


def test_other_programs_that_it_starts_are_plain(
    program: Program, plain: Run, forkful_run: Run
) -> None:
    name = program("""
        import subprocess, sys
        code = "import multiprocessing, sys; print(multiprocessing.Lock(), 'forkful' in sys.modules)"
        print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True))
        """)
    expected = plain(name)
    assert "False" in expected.out
    assert forkful_run(name) == expected


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("report", [[], ["--report"]], ids=["", "report"])
def test_signals_reach_the_program_and_end_the_run_as_they_end_it(
    program: Program, tmp_path: Path, signum: signal.Signals, report: list[str]
) -> None:
    name = program("print('ready', flush=True); import time; time.sleep(1000)")
    words = [*FORKFUL_RUN, *report, name]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        try:
            assert run.stdout.readline() == "ready\n"
            run.send_signal(signum)
            _, err = run.communicate(timeout=PATIENCE_S)
        finally:
            run.kill()
    assert run.returncode == -signum
    assert ("KeyboardInterrupt" in err) == (signum == signal.SIGINT)
    assert ("MainProcess" in err) == bool(report)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "a script is missing"),
        (("-m",), "a module's name is missing"),
        (("-m", "-c", "x"), "exclude"),
        (("--no-such-option", "x.py"), "--no-such-option"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    forkful_run: Run, words: tuple[str, ...], says: str
) -> None:
    ran = forkful_run(*words)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert says in ran.err


def test_a_script_that_is_not_there_is_told_by_the_interpreter(
    plain: Run, forkful_run: Run
) -> None:
    assert forkful_run("none.py") == plain("none.py")


def test_an_interpreter_without_an_environment_is_refused(tmp_path: Path) -> None:
    words = [sys.executable, "-E", *FORKFUL_RUN[1:], "x.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "-E" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_that_cannot_begin_runs_nothing(program: Program, tmp_path: Path) -> None:
    """What goes wrong in the hook must not leave the program on the standard library."""
    name = program("print('ran')")
    hook = Path(sys.modules["forkful"].__file__ or "").with_name("run") / "hook"
    (tmp_path / "forkful").mkdir()
    (tmp_path / "forkful/__init__.py").write_text("1 / 0")
    env = os.environ | {"PYTHONPATH": str(hook), "FORKFUL_RUN": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, name], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "forkful run: cannot begin" in done.stderr


def test_what_a_pool_abandons_is_told_only_if_asked_for(
    program: Program, plain: Run, forkful_run: Run
) -> None:
    script = program("""
        import multiprocessing, time

        if __name__ == "__main__":
            with multiprocessing.Pool(1) as pool:
                pool.apply_async(time.sleep, (1000,))
    """)
    assert forkful_run(script) == plain(script)
    asked = forkful_run(script, PYTHONWARNINGS="default::ResourceWarning")
    assert (asked.status, asked.out) == (0, "")
    assert "ResourceWarning" in asked.err
    assert "1 call that was not done: sleep(1000)" in asked.err
