"""Exceptions arrive whole from a pool's worker and from a process, whatever class they are of."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.contract.children import LONG


def test_exceptions_arrive_whole(start_method: str) -> None:
    """Of one program with all cases, whose classes are those of its `__main__`."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "tests.programs.whole", start_method],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    found = json.loads(done.stdout)
    assert len(found) >= 18
    assert {name: text for name, text in found.items() if text is not None} == {}, done.stderr
    assert "hook: ValueError from the depth 2\n" in done.stderr
    assert "Traceback" not in done.stderr.partition("hook:")[2]
