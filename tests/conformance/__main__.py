"""Judge forkful by CPython's own tests: ``make conformance`` runs ``python -m tests.conformance``.

The tests are those of the Python that runs this. Each is run twice, with the standard library's
`multiprocessing` and with forkful put in its place as `forkful run` does; each time in a process of its
own that has a time limit. A test that does not end is a result: where its processes stood is told,
they are killed, and the run goes on. A failure is tried once more while nothing else runs: CPython's
tests measure times, which a busy machine spoils. A hang is not, save of what differences.toml calls racy.

Exit status: 0 every test that passes with the standard library passes with forkful, save those of
differences.toml; 1 not so, or a row of that table is stale; 2 the run could not be made.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.conformance import catalogue, differences, report
from tests.conformance.differences import Table
from tests.conformance.hosts import Fleet, HostDied, Pair, house
from tests.conformance.judge import Judgement, is_regression, judge
from tests.conformance.orders import Order

MOST_AGAIN = 10  # more failures are no matter of load
RACY_TRIES = 6


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make conformance", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--methods", default=" ".join(catalogue.METHODS), metavar='"fork spawn"')
    parser.add_argument("-k", dest="only", metavar="PATTERN", help="only tests that match: *Pool*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="tests at a time")
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS", help="for a test")
    parser.add_argument(
        "--grace", type=float, default=15, metavar="SECONDS", help="for what a test leaves behind"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write down all answers")
    parser.add_argument(
        "--or-leave-out", action="store_true", help="status 0 if there are no tests"
    )
    parser.add_argument("--module", help="judge by the tests of this module instead")
    parser.add_argument("--table", type=Path, default=differences.TABLE, help="of differences")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each test")
    options = parser.parse_args(words)
    options.methods = options.methods.split()
    if unknown := set(options.methods) - set(catalogue.METHODS):
        parser.error(f"no start method: {' '.join(sorted(unknown))}")
    if options.jobs < 1 or not options.methods:
        parser.error("--jobs must be at least 1, and --methods name one at least")
    return options


def orders(method: str, options: argparse.Namespace) -> list[Order]:
    pattern = options.only or "*"
    if not set("*?[") & set(pattern):
        pattern = f"*{pattern}*"
    names = catalogue.names(method, options.module)
    found = [name for name in names if fnmatchcase(name, pattern)]
    return [Order(name, method, options.limit, options.grace, options.module) for name in found]


def pairs(home: Path, todo: list[Order], jobs: int, table: Table) -> Iterator[Pair]:
    """Run tests with both subjects; some of those that failed once more."""
    again = []
    with Fleet(home, jobs) as fleet:
        for order, pair in fleet.run(todo):
            if is_regression(pair) and not table.difference(pair.test, order.method):
                again.append((order, pair))
            else:
                yield pair
    for order, pair in again:
        tries = 1
        racy = table.is_racy(pair.test, order.method)
        if racy or (pair.forkful.status != "hang" and len(again) <= MOST_AGAIN):
            tries = RACY_TRIES if racy else 2
        while is_regression(pair) and pair.tries < tries:
            with Fleet(home, 1) as fleet:
                ((_, more),) = fleet.run([order])
            pair = pair.tried_again(more.forkful)
        yield pair


def run(options: argparse.Namespace) -> list[Judgement]:
    judgements = []
    answers: dict[str, dict[str, object]] = {}
    table = differences.load(options.table)
    with house() as home:
        for method in options.methods:
            found = []
            todo = orders(method, options)
            progress = report.Progress(method, len(todo), options.verbose)
            for pair in pairs(home, todo, options.jobs, table):
                progress.show(pair)
                found.append(pair)
            progress.end()
            judgements.append(judge(method, found, table))
            answers[method] = {p.test: report.as_json(p) for p in found}
    if options.json:
        options.json.write_text(json.dumps(answers, indent=1))
    return judgements


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)


def main(words: list[str]) -> int:
    options = parse(words)
    python = f"Python {platform.python_version()} ({sys.executable})"
    if not options.module and not catalogue.can_judge():
        print(f"LEFT OUT: {python} comes without its tests (the package `test`): nothing is judged")
        return 0 if options.or_leave_out else 2
    print(f"CPython's own tests, those of {python}, on forkful")
    for part in catalogue.missing() if not options.module else ():
        print(f"LEFT OUT: this Python comes without {part}")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        judgements = run(options)
    except HostDied as error:
        print(f"conformance: the run could not be made: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130
    print(report.summary(judgements))
    if not any(j.stdlib.total() for j in judgements):
        print(f"conformance: no test matches {options.only}", file=sys.stderr)
        return 2
    return 0 if all(j.ok for j in judgements) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
