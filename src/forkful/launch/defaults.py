"""What a process has by default: `context` sets it, whoever is given nothing else reads it.

A noun that needs a context and is given none takes the one here, and so never imports `context`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import BaseContext

__all__ = ["defaults"]


class _Defaults:
    """One object for the process; its members change.

    Attributes:
        start_method: What children take over from their parent; None: not chosen yet.
        context: The default context, whose `get_context()` is that of the start method.
        unchanged: The program was written for `multiprocessing`, and is to print what it always has.
    """

    start_method: str | None = None
    context: BaseContext
    unchanged = False

    arrivals: list[Callable[[], None]]
    """What each child calls before it imports the main module; functions that pickle by name."""

    machinery: list[str]
    """Files of forkful's own that are below a process's target or a worker's task on a stack."""

    departures: list[Callable[[], object]]
    """What is called as SIGTERM begins to end this process: imports of that will be too late at the end."""

    def __init__(self) -> None:
        self.arrivals, self.machinery, self.departures = [], [], []


defaults = _Defaults()
