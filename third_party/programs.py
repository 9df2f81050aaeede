"""Which programs of other people are run, at which versions, on which files."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "Program"]


@dataclass(frozen=True)
class Program:
    """One program, as its authors published it.

    Args:
        package: What to install, with its version.
        words: The command line after `python`.
        uses: What it needs of `multiprocessing`.
        prepare: Fills the folder in which it is run.
        also: What to install besides.
        sdist: Whether the folder has the files of its source archive first.
    """

    package: str
    words: tuple[str, ...]
    uses: str
    prepare: Callable[[Path], None] = lambda folder: None
    also: tuple[str, ...] = ()
    sdist: bool = False

    @property
    def name(self) -> str:
        return self.package.partition("==")[0]


def sources(*packages: str) -> Callable[[Path], None]:
    """Copies of packages of the standard library."""

    def prepare(folder: Path) -> None:
        for package in packages:
            shutil.copytree(
                Path(sysconfig.get_path("stdlib"), package),
                folder / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )

    return prepare


def pages(folder: Path) -> None:
    """Thirty pages that refer to one another."""
    names = [f"page{n}" for n in range(30)]
    (folder / "conf.py").write_text("project = 'pages'\n")
    listed = "\n   ".join(names)
    (folder / "index.rst").write_text(f"Pages\n=====\n\n.. toctree::\n\n   {listed}\n")
    for n, name in enumerate(names):
        text = f"Page {n}\n=========\n\n.. index:: page {n}\n\nSee :doc:`{names[n - 1]}`.\n"
        (folder / f"{name}.rst").write_text(text)
    (folder / "page7.rst").write_text("Page 7\n======\n\nSee :doc:`nowhere`.\n")


def queries(folder: Path) -> None:
    """Twenty files of SQL, each with something to complain of."""
    for n in range(20):
        (folder / f"q{n}.sql").write_text(f"select a,  b from t{n}\nWHERE a = {n}  and b<{n}\n")


def secrets(folder: Path) -> None:
    """Files with what looks like keys."""
    for n in range(20):
        (folder / f"settings{n}.py").write_text(f'password = "correct-horse-{n}-battery"\n')


def tests(*words: str) -> tuple[str, ...]:
    """The words for tests; how each one ends is told."""
    return ("-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", *words)


PROGRAMS = (
    Program(
        "black==26.10.1",
        ("-m", "black", "--diff", "-W", "2", "-l", "60", "."),
        "ProcessPoolExecutor with asyncio, a Manager's lock",
        sources("asyncio", "json", "http"),
    ),
    Program(
        "isort==9.0.2",
        ("-m", "isort", "--jobs", "2", "--check-only", "--force-sort-within-sections", "."),
        "Pool.imap",
        sources("asyncio", "email", "json", "http"),
    ),
    Program(
        "pylint==4.1.4",
        ("-m", "pylint", "-j", "2", "--disable=all", "--enable=unused-import,W0622,C0116", "json"),
        "ProcessPoolExecutor with an initializer",
        sources("json"),
    ),
    Program(
        "flake8==7.5.0",
        ("-m", "flake8", "-j", "2", "--max-line-length", "72", "."),
        "Pool(initializer).imap_unordered",
        sources("asyncio", "email", "json", "http"),
    ),
    Program(
        "Sphinx==9.0.4",
        ("-m", "sphinx", "-j", "2", "-b", "html", ".", "html"),
        "get_context('fork').Process, Pipe",
        pages,
    ),
    Program(
        "sqlfluff==4.5.0",
        ("-m", "sqlfluff", "lint", "--processes", "2", "--dialect", "ansi", "--nocolor", "."),
        "a Pool of spawned workers",
        queries,
    ),
    Program(
        "autopep8==2.3.2",
        ("-m", "autopep8", "-j", "2", "-r", "--in-place", "--max-line-length", "60", "."),
        "Pool",
        sources("json", "http"),
    ),
    Program(
        "yapf==0.43.0",
        ("-m", "yapf", "--parallel", "--recursive", "--in-place", "json", "wsgiref"),
        "ProcessPoolExecutor",
        sources("json", "wsgiref"),
    ),
    Program(
        "detect-secrets==1.5.0",
        ("-m", "detect_secrets", "-c", "2", "scan", "--all-files", "--force-use-all-plugins", "."),
        "Pool.imap_unordered",
        secrets,
    ),
    Program(
        "dask==2026.8.0",
        tests("--pyargs", "dask.tests.test_multiprocessing"),
        "get_context, ProcessPoolExecutor with spawn and forkserver",
        also=("numpy==2.4.6",),
    ),
    Program(
        "joblib==1.6.0",
        tests("--pyargs", "joblib.test.test_parallel", "-k", "multiprocessing"),
        "a subclass of pool.Pool with its own queues, Manager, Lock",
        also=("numpy==2.4.6", "threadpoolctl"),
    ),
    Program(
        "scikit-learn==1.9.1",
        tests("--pyargs", "sklearn.tests.test_multiclass", "sklearn.utils.tests.test_parallel"),
        "joblib",
    ),
    Program(
        "pebble==5.2.3",
        tests("test/test_process_pool_fork.py", "test/test_concurrent_process_fork.py"),
        "get_context, Process, Pipe, RLock, connection.wait",
        sdist=True,
    ),
    Program(
        "tqdm==4.70.1",
        tests(
            "tests/tests_concurrent.py", "tests/tests_synchronisation.py", "tests/tests_rlock.py"
        ),
        "ProcessPoolExecutor, Pool, RLock",
        also=("pytest-asyncio", "pytest-timeout"),
        sdist=True,
    ),
    Program(
        "multiprocessing-logging==0.4.0",
        tests("tests"),
        "Queue, Process, Pool, in a logging handler",
        sdist=True,
    ),
)
