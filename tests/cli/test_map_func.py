"""What FUNC may be, and where it is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Map


def test_a_function_of_a_module(forkful_map: Map) -> None:
    assert forkful_map("os.path:basename", "/a/b", "c").results == ["b", "c"]


def test_a_function_of_a_file(forkful_map: Map) -> None:
    assert forkful_map("3", deed="double").results == [6]


def test_a_method_of_a_class(forkful_map: Map) -> None:
    assert forkful_map("Ann", deed="Greeter.greet").results == ["hello Ann"]


def test_a_module_in_the_current_folder(forkful_map: Map, tmp_path: Path) -> None:
    (tmp_path / "near.py").write_text("def f(x): return x + '!'\n")

    assert forkful_map("near:f", "a").results == ["a!"]


def test_a_file_finds_its_neighbours(forkful_map: Map, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "neighbour.py").write_text("SIGN = '?'\n")
    (tmp_path / "far" / "job.py").write_text(
        "from neighbour import SIGN\ndef f(x): return x + SIGN\n"
    )

    assert forkful_map("far/job.py:f", "a").results == ["a?"]


def test_a_file_in_a_package_may_import_relatively(forkful_map: Map, tmp_path: Path) -> None:
    inner = tmp_path / "top" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "top" / "__init__.py").touch()
    (inner / "__init__.py").touch()
    (inner / "sign.py").write_text("SIGN = '!'\n")
    (inner / "job.py").write_text("from .sign import SIGN\ndef f(x): return x + SIGN\n")

    assert forkful_map("top/inner/job.py:f", "a").results == ["a!"]


@pytest.mark.parametrize("name", ["json.py", "click.py", "my-job.py"])
def test_a_file_whose_name_means_something_else(
    forkful_map: Map, tmp_path: Path, name: str
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / name).write_text("def f(x): return x.upper()\n")

    assert forkful_map(f"jobs/{name}:f", "a").results == ["A"]


def test_the_main_guard_of_a_file_does_not_run(forkful_map: Map, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "def f(x): return x\nif __name__ == '__main__': raise SystemExit('ran')\n"
    )

    assert forkful_map("job.py:f", "a").results == ["a"]


def test_every_start_method_finds_the_function(forkful_map: Map, start_method: str) -> None:
    ran = forkful_map("1", "kill", "2", "unpicklable", "--start-method", start_method, deed="dies")

    assert [line["ok"] for line in ran.lines] == [True, False, True, False]
    assert ran.lines[3]["error"]["type"] == "deeds.Unpicklable"


@pytest.mark.parametrize(
    ("func", "complaint"),
    [
        ("nosuch:f", "cannot import 'nosuch': ModuleNotFoundError"),
        ("os.path:basenam", "'os.path' has no function 'basenam' (did you mean 'basename'?)"),
        ("nosuch.py:f", "'nosuch.py': no such file"),
        ("os.path", "is not package.module:function or path/to/file.py:function"),
        ("os:path sep", "is not package.module:function or path/to/file.py:function"),
        ("os-path:sep", "'os-path' is not the name of a module"),
        (".:f", "'.' is not the name of a module"),
        ("./:f", "is a folder"),
        ("broken.py:f", "cannot import"),
        ("raises.py:f", "raises.py:2"),
        ("exits.py:f", "SystemExit"),
        ("text.txt/:f", "no such file"),
    ],
)
def test_what_cannot_be_found_is_refused(
    forkful_map: Map, tmp_path: Path, func: str, complaint: str
) -> None:
    (tmp_path / "broken.py").write_text("def f(x: return\n")
    (tmp_path / "raises.py").write_text("\nraise ValueError('not now')\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(0)\n")

    assert complaint in forkful_map(func, "a").refusal


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("not_callable", "'int' and cannot be called"), ("asynchronous", "async function")],
)
def test_what_cannot_be_called_is_refused(forkful_map: Map, name: str, complaint: str) -> None:
    assert complaint in forkful_map("a", deed=name).refusal


def test_no_function_at_all_is_refused(forkful_map: Map) -> None:
    assert "give FUNC" in forkful_map().refusal
