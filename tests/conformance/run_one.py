"""In the process of a test: run it, and say how it went."""

from __future__ import annotations

import re
import subprocess
import sys
import traceback
import unittest
from typing import Any

from tests.conformance import catalogue
from tests.conformance.orders import Answer, Order


def run_one(order: Order) -> Answer:
    """Run the test with the set-up and tear-down of its class and module."""
    _reach_bare_interpreters()
    result = _Result()
    try:
        catalogue.find(order.test, order.method, order.module).run(result)
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too
        return Answer("fail", summary(error), "".join(traceback.format_exception(error)))
    return result.answer()


class _Result(unittest.TestResult):
    """Keeps the exceptions, too."""

    def __init__(self) -> None:
        super().__init__()
        self._reason = ""

    def addError(self, test: Any, err: Any) -> None:
        self._reason = self._reason or summary(err[1])
        super().addError(test, err)

    def addFailure(self, test: Any, err: Any) -> None:
        self._reason = self._reason or summary(err[1])
        super().addFailure(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._reason = self._reason or summary(err[1])
        super().addSubTest(test, subtest, err)

    def answer(self) -> Answer:
        bad = [*self.failures, *self.errors]
        if bad:
            return Answer("fail", self._reason, "\n".join(text for _, text in bad))
        if self.unexpectedSuccesses:
            return Answer("fail", "passes, though CPython expects it to fail")
        if self.skipped:
            return Answer("skip", self.skipped[0][1])
        return Answer("ok")


def summary(error: BaseException) -> str:
    """An exception in one line, with the place in the test's own file."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if re.search(r"/test/|/tests/", frame.filename)
    ]
    return f"{text[:300]} [{places[-1]}]" if places else text[:300]


def _reach_bare_interpreters() -> None:
    """Let the hook come into interpreters that a test starts with -S, which read no site-packages."""
    start = subprocess.Popen.__init__

    def with_hook(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        if isinstance(args, list) and {"-S", "-c"} <= set(args) and args[0] == sys.executable:
            at = args.index("-c") + 1
            reach = f"import sys; sys.path[:] = {sys.path!r}; import tests.conformance.hook\n"
            args = [*args[:at], reach + args[at], *args[at + 1 :]]
        start(self, args, *rest, **options)

    subprocess.Popen.__init__ = with_hook  # type: ignore[method-assign]
