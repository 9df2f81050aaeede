"""``RemoteTraceback``: says in which process an exception was raised."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import pool


class RemoteTraceback(pool.RemoteTraceback):  # type: ignore[name-defined, misc]
    """Hangs at the end of an exception's chain of causes, and is printed above it.

    The standard library's class of this name has the traceback's text as its own. Here the frames
    are in the exception's traceback, so printing the text too would say everything twice: ``str()``
    only names the process, and ``tb`` has the text.

    Attributes:
        where: Names the process.
        steps: How many links of the chain lead here from the exception it belongs to.
    """

    __module__ = "forkful.remote"

    def __init__(self, where: str, text: str | Callable[[], str], steps: int = 0) -> None:
        Exception.__init__(self, where)
        self.where = where
        self.steps = steps
        self._text = text

    @property
    def text(self) -> str:
        """What would have been printed in the other process. Made when it is first asked for."""
        if not isinstance(self._text, str):
            self._text = self._text()
        return self._text

    @property
    def tb(self) -> str:
        """The text in the form of the standard library."""
        return f'\n"""\n{self.text}"""'

    def __str__(self) -> str:
        return f"what follows was raised in {self.where}"

    def __reduce__(self) -> tuple[type[RemoteTraceback], tuple[str, str]]:
        return RemoteTraceback, (self.where, self.text)
