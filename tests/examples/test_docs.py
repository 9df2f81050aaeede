"""The documents lead to every example, and what they quote is what is there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES
from tests.examples.test_output import EXPECTED

ROOT = EXAMPLES.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), EXAMPLES / "README.md"])

LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def links(text: str) -> list[str]:
    """The files that a page links, as it writes them."""
    return [link for link in LINK.findall(text) if "://" not in link]


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in a language."""
    return [code for marked, code in BLOCK.findall(text) if marked == language]


def is_part(part: str, whole: str) -> bool:
    """Whether lines stand in a text, one below the other, however far they are indented."""
    lines, length = whole.splitlines(), len(part.splitlines())
    places = range(len(lines) - length + 1)
    stretches = ("\n".join(lines[at : at + length]) for at in places)
    return textwrap.dedent(part).strip() in map(textwrap.dedent, stretches)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page.read_text()) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [TUTORIAL, EXAMPLES / "README.md"], ids=["tutorial", "README"])
def test_every_example_is_linked(page: Path) -> None:
    linked = {(page.parent / link).resolve() for link in links(page.read_text())}
    assert sorted(set(EXAMPLES.glob("*.py")) - linked) == []


def test_what_the_tutorial_quotes_stands_in_the_section_s_examples() -> None:
    for section in TUTORIAL.read_text().split("\n## ")[1:]:
        files = [EXAMPLES / Path(link).name for link in links(section) if link.endswith(".py")]
        for code in blocks(section, "python"):
            assert any(is_part(code, file.read_text()) for file in files), code


def test_what_the_tutorial_says_an_example_prints_is_what_it_prints() -> None:
    shown = 0
    for text in blocks(TUTORIAL.read_text(), "console"):
        command, _, output = text.partition("\n")
        if output and not output.startswith("$"):
            assert (EXPECTED / f"{Path(command.split()[-1]).stem}.txt").read_text() == output
            shown += 1
    assert shown


# ---- the checks can fail ---------------------------------------------------------------------


def test_a_link_is_found() -> None:
    text = "[a](b.md) and [`c`](../d/e.py#f), [web](https://example.org/x) [here](#g)"
    assert links(text) == ["b.md", "../d/e.py"]


def test_a_quotation_that_was_changed_is_found() -> None:
    source = "def f():\n    if x:\n        return 1\n    return 2\n"
    assert is_part("if x:\n    return 1\n", source)
    assert not is_part("if x:\n    return 2\n", source)
    assert not is_part("if x:\nreturn 1\n", source)
    assert not is_part("return 1\nif x:\n", source)
