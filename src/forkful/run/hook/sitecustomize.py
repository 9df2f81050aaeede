"""Run by the interpreter of `forkful run` as it starts, instead of the machine's own sitecustomize.

Installs forkful, takes its traces out of the environment, and lets the machine's own have its turn.
"""

import os
import sys
from importlib import import_module


def _install() -> None:
    package = os.environ.pop("FORKFUL_RUN")
    del os.environ["PYTHONPATH"]
    old = os.environ.pop("FORKFUL_RUN_PYTHONPATH", None)
    if old is not None:
        os.environ["PYTHONPATH"] = old
    sys.path.insert(0, package)
    try:
        from forkful import ledger
        from forkful.run.install import install

        ledger.keep_of_main()
        install()
    finally:
        sys.path.remove(package)


def _next() -> None:
    """Import the sitecustomize that this one hides, if there is one."""
    mine = sys.modules.pop("sitecustomize")
    try:
        import_module("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = mine


sys.path.remove(os.path.dirname(__file__))
if "FORKFUL_RUN" in os.environ:
    try:
        _install()
    except Exception as _error:
        # A failing sitecustomize is a remark to the interpreter, which would run the program
        # without forkful.
        os.write(2, f"forkful run: cannot begin: {type(_error).__name__}: {_error}\n".encode())
        os._exit(2)
_next()
