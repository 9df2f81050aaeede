"""Naive checks of the C source: text only, so they find the common fault and not every one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house import csource

BANNED = re.compile(r"\b(gets|strcpy|strcat|sprintf|vsprintf|alloca)\s*\(")
STRUCT = re.compile(r"\b(?:struct|union)\b[^;{}()]*\{")


def lines_with(pattern: str | re.Pattern[str], text: str) -> list[str]:
    """The lines of code, not of comments, in which the pattern is found."""
    return [
        f"line {number}: {line.strip()}"
        for number, line in enumerate(csource.code(text).splitlines(), 1)
        if re.search(pattern, line)
    ]


def pointer_members(text: str) -> list[str]:
    """Members of structs that are pointers: no two processes agree on what they mean."""
    code = csource.code(text)
    found, end = [], 0
    while head := STRUCT.search(code, end):
        depth, end = 1, head.end()
        while depth and end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        body = re.sub(r"\[[^\]]*\]", "", code[head.end() : end])  # a size may multiply
        found += [" ".join(part.split()) for part in re.split("[;{}]", body) if "*" in part]
    return found


@pytest.mark.parametrize("path", csource.files("core"), ids=lambda path: path.name)
def test_the_core_knows_no_python(path: Path) -> None:
    assert lines_with(r"^\s*#\s*include\s*<Python\.h>|\bPy[A-Z_]\w*", path.read_text()) == []


@pytest.mark.parametrize(
    "path", [*csource.files("core"), *csource.files("bind")], ids=lambda path: path.name
)
def test_banned_functions_and_the_futex_call(path: Path) -> None:
    assert lines_with(BANNED, path.read_text()) == []
    if path.name != "futex.c":
        assert lines_with(r"\b(SYS|__NR)_futex|<linux/futex\.h>|FUTEX_W", path.read_text()) == []


def test_no_pointer_lies_in_shared_memory() -> None:
    assert pointer_members((csource.NATIVE / "core/layout.h").read_text()) == []


# ---- the lint can fail -----------------------------------------------------------------------


def test_comments_and_strings_are_no_code() -> None:
    text = 'int a; /* gets(x)\n Python.h */ char *s = "strcpy(a, b)"; // sprintf(\nint b;'
    assert lines_with(BANNED, text) == []
    assert len(csource.code(text).splitlines()) == 3


@pytest.mark.parametrize(
    "text", ["gets(line);", "\tstrcpy (a, b);", "n = sprintf(s, f);", 'f("/*"); strcat(a, "*/");']
)
def test_a_banned_function_is_found(text: str) -> None:
    assert len(lines_with(BANNED, "\n" + text)) == 1


def test_a_longer_name_is_another_function() -> None:
    assert lines_with(BANNED, "fgets(s, n, f); snprintf(s, n, f); my_strcpy(a);") == []


def test_a_call_of_futex_is_found() -> None:
    assert lines_with(r"\bSYS_futex", "x();\nsyscall(SYS_futex, 1);") == [
        "line 2: syscall(SYS_futex, 1);"
    ]


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("typedef struct fk_a { int a; char *name; } fk_a;", ["char *name"]),
        ("struct a { union { void *p; long n; } u; };", ["void *p"]),
        ("struct a { char pad[64 - 2 * 8]; /* *p */ };", []),
        ("static inline int *at(struct a *x) { int *p = x; return p; }", []),
    ],
)
def test_a_pointer_in_a_struct_is_found(text: str, members: list[str]) -> None:
    assert pointer_members(text) == members
