"""The line of JSON that tells why an item failed; that of a success is in `success`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forkful import errors
from forkful.cli.encode import encode
from forkful.cli.shell import CommandFailed
from forkful.remote import format_remote, type_name
from forkful.remote.anatomy import text_of

_SHOWN = 300
"""Characters of an item that are kept to be shown to people."""


def shown(item: Any) -> str:
    """Return an item as people see it, shortened."""
    text = item if isinstance(item, str) else encode(item).decode()
    return text[:_SHOWN]


@dataclass(frozen=True)
class Failure:
    """Why an item failed.

    Attributes:
        type: The full name of the exception's class.
        message: Its text.
        told: Everything that the line tells of it.
    """

    type: str
    message: str
    told: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException, timeout: float | None = None) -> Failure:
        """Describe an exception.

        Args:
            error: What the pool says.
            timeout: The time that an item may take.
        """
        error = _said_for_item(error, timeout)
        kind = type_name(error)
        message = error.text if isinstance(error, errors.RemoteError) else text_of(error)
        told: dict[str, Any] = {"type": kind, "message": message}
        if isinstance(error, CommandFailed):
            # Its traceback would show how we run commands, and nothing of the command.
            told["traceback"] = f"{kind}: {message}\n"
            told |= {k: getattr(error, k) for k in ("stdout", "stderr", "returncode")}
        else:
            told["traceback"] = format_remote(error)
        return cls(kind, message, told)

    def line(self, seq: int, item: Any, seconds: float, attempts: int, pid: int | None) -> bytes:
        """Return the line of an item that failed for this reason, at the last of some tries."""
        return (
            b'{"seq": %d, "input": %b, "ok": false, "error": %b, '
            b'"seconds": %.6f, "attempts": %d, "pid": %b}\n'
        ) % (
            seq,
            encode(item),
            encode(self.told),
            seconds,
            attempts,
            encode(pid),
        )


def _said_for_item(error: BaseException, timeout: float | None) -> BaseException:
    """Return the error without the pool's own name and time for what an item was sent in, of which
    its line says more.
    """
    if isinstance(error, errors.TaskTimeout):
        seconds = error.seconds if timeout is None else timeout
        return errors.TaskTimeout(seconds=seconds, task="it", pid=error.pid)
    if isinstance(error, errors.WorkerDied):
        return errors.WorkerDied(
            pid=error.pid,
            exitcode=error.exitcode,
            name=error.name,
            stack=error.stack,
            reason=error.reason,
        )
    if isinstance(error, errors.PoisonTask) and error.last is not None:
        return errors.PoisonTask(attempts=error.attempts, last=_said_for_item(error.last, timeout))
    return error
