"""FUNC, as written on the command line, made a callable: in the parent to check it, in each worker
to call it.

A `Target` pickles to a few strings, so that it reaches a worker under every start method; what it
loads never has to be pickled. A file is imported under its own name with its folder (or the folder
above its package) on the import path, as if it had been imported by a program beside it: its
exceptions and results then pickle by reference, and its ``if __name__ == "__main__"`` part does not
run.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from forkful.cli.errors import CommandError


@dataclass(frozen=True)
class Target:
    """What FUNC names.

    Attributes:
        module: The dotted name to import.
        attribute: The dotted path from the module to the callable, such as ``Class.method``.
        folder: The folder that must be on the import path.
        file: The absolute path of the file, if FUNC named a file.
    """

    module: str
    attribute: str
    folder: str
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``package.module:function`` or ``path/to/file.py:function``.

        Raises:
            CommandError: The text has neither form, or the file is not there.
        """
        place, colon, attribute = text.rpartition(":")
        if not colon or not place or not all(part.isidentifier() for part in attribute.split(".")):
            raise CommandError(
                f"FUNC {text!r} is not package.module:function or path/to/file.py:function"
            )
        if "/" in place or place.endswith(".py"):
            return cls._of_file(Path(place), attribute)
        if not all(part.isidentifier() for part in place.split(".")):
            raise CommandError(
                f"FUNC {text!r}: {place!r} is not the name of a module (a file's name ends in .py)"
            )
        return cls(place, attribute, os.getcwd())

    @classmethod
    def _of_file(cls, path: Path, attribute: str) -> Target:
        if not path.is_file():
            what = "is a folder, not a Python file" if path.is_dir() else "no such file"
            raise CommandError(f"FUNC: {str(path)!r}: {what}")
        if path.suffix != ".py":
            raise CommandError(
                f"FUNC: {str(path)!r} is not a Python file (its name does not end in .py)"
            )
        path = path.resolve()
        folder, parts = path.parent, [path.stem]
        while (folder / "__init__.py").exists() and folder.name.isidentifier():
            parts.insert(0, folder.name)
            folder = folder.parent
        return cls(".".join(parts), attribute, str(folder), str(path))

    @property
    def name(self) -> str:
        """The unambiguous name of the function: what a journal remembers."""
        return f"{self.file or self.module}:{self.attribute}"

    def load(self) -> Callable[..., Any]:
        """Import the module and return the callable.

        Runs the module's code on first use in a process; blocks as long as that does.

        Raises:
            CommandError: The module cannot be imported, or has no such callable. One line that
                names the cause and where it was raised.
        """
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        try:
            found: Any = self._import()
        except (Exception, SystemExit) as error:
            raise CommandError(
                f"cannot import {self.file or self.module!r}: {_in_one_line(error)}"
            ) from error
        for part in self.attribute.split("."):
            if not hasattr(found, part):
                raise CommandError(
                    f"{self.file or self.module!r} has no function {self.attribute!r}"
                    f"{_like(part, found)}"
                )
            found = getattr(found, part)
        if not callable(found):
            raise CommandError(
                f"{self.name!r} is of type {type(found).__qualname__!r} and cannot be called"
            )
        if inspect.iscoroutinefunction(found):
            raise CommandError(
                f"{self.name!r} is an async function: give a plain one (it may call asyncio.run)"
            )
        return found  # type: ignore[no-any-return]

    def _import(self) -> ModuleType:
        if self.file is None:
            return importlib.import_module(self.module)
        loaded = sys.modules.get(self.module)
        if loaded is not None and _is_from(loaded, self.file):
            return loaded
        top, *_ = parts = self.module.split(".")
        if (
            loaded is None
            and top not in sys.stdlib_module_names
            and all(part.isidentifier() for part in parts)
        ):
            module = importlib.import_module(self.module)
            if _is_from(module, self.file):
                return module
        return self._import_aside(self.file)

    def _import_aside(self, file: str) -> ModuleType:
        """Import a file whose own name already means another module, or is no name at all, under a
        name of its own.
        """
        name = "forkful_map_" + "".join(c if c.isalnum() else "_" for c in Path(file).stem)
        loaded = sys.modules.get(name)
        if loaded is not None and _is_from(loaded, file):
            return loaded
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} cannot be loaded as a module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


def _is_from(module: ModuleType, file: str) -> bool:
    """Tell whether `module` was imported from `file` and not from another file of that name."""
    found = getattr(module, "__file__", None)
    return isinstance(found, str) and os.path.exists(found) and os.path.samefile(found, file)


def _in_one_line(error: BaseException) -> str:
    """Say an import's failure in one line: type, text and the place in the user's code that raised
    it.
    """
    text = " ".join(str(error).split())
    said = f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    return f"{said} ({frames[-1].filename}:{frames[-1].lineno})" if frames else said


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen") or filename in (__file__, importlib.__file__)


def _like(name: str, owner: object) -> str:
    """Suggest the nearest name, as Python's own NameError does."""
    near = difflib.get_close_matches(
        name, [n for n in dir(owner) if callable(getattr(owner, n, None))], n=1
    )
    return f" (did you mean {near[0]!r}?)" if near else ""
