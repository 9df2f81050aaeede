"""Directories are packed whole or not at all, and each that cannot be is named with its reason."""

from __future__ import annotations

import tarfile
from pathlib import Path

from tests.examples.conftest import Runner


def test_directories_are_packed_and_failures_are_named(runner: Runner, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "data.txt").write_text(name * 100)
        (tmp_path / name / "empty.txt").touch()
    (tmp_path / "a file").write_text("no directory")
    names = ["second", "a file", "gone", "first"]

    ran = runner.run("directories.py", *(tmp_path / name for name in names))

    assert ran.out.splitlines() == [
        "a file: FAILED: NotADirectoryError: no such directory",
        "first: 2 files, 500 bytes",
        "gone: FAILED: NotADirectoryError: no such directory",
        "second: 2 files, 600 bytes",
        "2 packed, 2 failed",
    ]
    assert ran.status == 1
    progress = [line.split(" ", 1) for line in ran.err.splitlines()]
    assert [count for count, _ in progress] == ["1/4", "2/4", "3/4", "4/4"]
    assert sorted(name for _, name in progress) == sorted(names)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a file", "first", "first.tar.gz", "second", "second.tar.gz"}
    with tarfile.open(tmp_path / "first.tar.gz") as archive:
        file = archive.extractfile("first/inner/data.txt")
        assert file is not None
        assert file.read() == b"first" * 100


def test_an_archive_is_whole_or_not_there(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked.tar.gz").mkdir()  # where the archive should go

    ran = runner.run("directories.py", tmp_path / "blocked")

    assert ran.status == 1
    assert ran.out.startswith("blocked: FAILED: IsADirectoryError: ")
    assert {path.name for path in tmp_path.iterdir()} == {"blocked", "blocked.tar.gz"}


def test_all_well_is_status_0(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    ran = runner.run("directories.py", tmp_path / "empty")

    assert (ran.status, ran.out) == (0, "empty: 0 files, 0 bytes\n1 packed, 0 failed\n")
