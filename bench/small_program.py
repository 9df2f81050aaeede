"""A program with a main file, as programs are: some imports, a function, a main guard.

    python bench/small_program.py PACKAGE METHOD COUNT

Prints the seconds to start and join a process whose target is a function of this file.
"""

import argparse
import json  # noqa: F401 (what programs of this size import; a child that imports main pays for it)
import logging  # noqa: F401
import subprocess  # noqa: F401
import sys
import unittest.mock  # noqa: F401


def work() -> None:
    pass


if __name__ == "__main__":
    import startup

    parser = argparse.ArgumentParser()
    parser.add_argument("package")
    parser.add_argument("method")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    print(startup.starting(given.package, given.method, given.count, work))
    sys.stdout.flush()
