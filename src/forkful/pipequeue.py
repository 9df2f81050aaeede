"""A queue for who waits for the pipe that is inside the standard library's `SimpleQueue`."""

from multiprocessing import queues
from typing import Any

__all__ = ["PipeQueue"]

# Under `forkful run` there is a stand-in where a program finds the module.
_stdlib: Any = getattr(queues, "_original", queues)


class PipeQueue(_stdlib.SimpleQueue):  # type: ignore[misc]
    """The standard library's, under a name that nothing else is put in the place of."""
