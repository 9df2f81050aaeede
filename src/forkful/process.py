"""Processes: `multiprocessing.process` with an end that can be known.

A child leaves a report: what its `run` returned, or the exception that ended it. The parent reads it
with `result()` and `exception()`. The report is in shared memory before the child exits, so a
large one delays nothing and nobody need read it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import signal
import sys
from multiprocessing import TimeoutError, process
from multiprocessing.context import get_spawning_popen
from multiprocessing.process import BaseProcess, active_children, current_process, parent_process

from forkful import _native, errors, ledger, wire
from forkful.launch.defaults import defaults
from forkful.queues import SimpleQueue
from forkful.stdlib import names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


__all__ = [
    "NESTS",
    "BaseProcess",
    "ForkProcess",
    "ForkServerProcess",
    "Process",
    "SpawnProcess",
    "active_children",
    "bring_bootstrap",
    "current_process",
    "describe_exit",
    "parent_process",
]

_RESULT, _EXCEPTION, _EXIT = 1, 2, 3

NESTS = "nests"
"""In a process's `_config`, which its children inherit: though daemonic, it may have children."""


defaults.machinery.append(__file__)

_process: Any = process
_new_queue: Any = _native.Queue.__new__

_begin: Any = None
_bootstrap: Any = None
_fork: Any = None


def bring_bootstrap() -> Any:
    """Return the module of what a child does, which comes with the first child."""
    global _bootstrap
    if _bootstrap is None:
        from forkful.launch import bootstrap as _bootstrap
    return _bootstrap


class _Unreadable:
    """Stands for a result that cannot be unpickled here."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def describe_exit(exitcode: int | None) -> str:
    """Return how a process ended, in words: 'was killed by SIGKILL', 'exited with status 3'."""
    if exitcode is None:
        return "is running"
    if exitcode < 0:
        try:
            return f"was killed by {signal.Signals(-exitcode).name}"
        except ValueError:
            return f"was killed by signal {-exitcode}"
    return f"exited with status {exitcode}"


def _is_told_otherwise(error: BaseException) -> bool:
    """Return whether an exception that ends this process needs no printing: people learn of it.

    Ctrl-C reaches the whole group, and its traceback comes from the parent. A `sys.excepthook` that the
    program has set is called, as it would be in a main program.
    """
    if isinstance(error, KeyboardInterrupt):
        return True
    if sys.excepthook is sys.__excepthook__:
        return False
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:
        import traceback  # on first use: few programs' hooks fail

        traceback.print_exc()
        return False
    return True


class Process(BaseProcess):
    """A process that runs `target(*args, **kwargs)`, or an overridden `run`.

    Args:
        group: None; for the likeness with threading.Thread.
        target: What to call; None: `run` does nothing.
        name: For people; by default `Process-1:2`, which tells the descent.
        args: Positional arguments.
        kwargs: Keyword arguments.
        daemon: Whether the process ends with its parent, however that ends.
    """

    _start_method: str | None = None
    _report: SimpleQueue[Any]
    _report_at: tuple[int, int, int] | None = None  # in a child that has unpickled itself
    _popen: Any  # the stdlib's field, as are those that follow
    _sentinel: Any
    _parent_pid: int
    _outcome: tuple[int, Any] | None = None
    _last_words: int | tuple[int, ...] | None = None  # where this process writes them
    ends_last = False
    """Whether this process's parent, ended by SIGTERM, needs it until all else is done."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = {},
        *,
        daemon: bool | None = None,
    ) -> None:
        # The stdlib's, without the generators and properties, each of which is pages to be copied at a fork.
        assert group is None, "group argument must be None for now"
        here: Any = _process._current_process
        identity = self._identity = (*here._identity, next(_process._process_counter))
        self._config: dict[str, Any] = here._config.copy()
        self._parent_pid = os.getpid()
        self._parent_name = here._name
        self._popen = None
        self._closed = False
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs)
        self._name = name or f"{type(self).__name__}-{':'.join(map(str, identity))}"
        if daemon is not None:
            self.daemon = daemon
        _process._dangling.add(self)

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        raise NotImplementedError("a context's Process has a start method")

    def run(self) -> Any:
        """Do the work, in the child; what it returns is what `result` returns in the parent."""
        if self._target:
            return self._target(*self._args, **self._kwargs)
        return None

    def start(self) -> None:
        """Start the process. It is running when this returns, or an exception says why not.

        A daemonic process may have no children, save a pool's worker and what it starts: these may
        have daemonic ones (the default there), which end with them, however they end. So a pool's
        task may use processes and pools of its own.
        """
        self._check_closed()  # type: ignore[attr-defined]
        assert self._popen is None, "cannot start a process twice"
        assert self._parent_pid == os.getpid(), (
            "only the process that made a process object can start it"
        )
        here = (
            _process._current_process._config
        )  # as the stdlib does: functions and properties are pages, too
        assert not here.get("daemon") or (self.daemon and here.get(NESTS)), (
            "daemonic processes are not allowed to have children (in a pool's worker they are, if "
            "they are daemonic)"
        )
        self._report = _new_queue(SimpleQueue)  # SimpleQueue() looks who it is that asks for one
        self._report._create(0, False)
        global _begin
        if _begin is None:
            from forkful.launch.begin import begin as _begin  # with the first child: it brings much

            bring_bootstrap()  # here: each child would
        _begin(self)

    @property
    def sentinel(self) -> int:
        """A descriptor that is ready when the process has ended; made when first asked for.

        Raises:
            ValueError: The process was not started, or this object is closed.
            OSError: No descriptor is left.
        """
        self._check_closed()  # type: ignore[attr-defined]
        if self._popen is None:
            raise ValueError("process not started")
        fd: int = self._popen.sentinel
        return fd

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process has ended, at most `timeout` seconds."""
        popen = self._popen
        if popen is None or popen.returncode is not None or self._parent_pid != os.getpid():
            super().join(timeout)
            return
        # The fork server's children have slots of which only they know.
        owner = getattr(popen, "owner", 0) or _native.BY_PID | popen.pid
        _native.board_enter(_native.OP_PROCESS, owner, timeout)
        try:
            ended = popen.wait(timeout) is not None
        finally:
            _native.board_leave()
        if ended:
            process._children.discard(self)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Give up all that this process keeps of the ended child, its report included.

        Raises:
            ValueError: The child is still running.
        """
        super().close()
        self.__dict__.pop("_report", None)

    # -- the report --------------------------------------------------------------------------

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        """In the child: be this process, with a report of `run`."""
        code: int = (_bootstrap or bring_bootstrap()).live(self, parent_sentinel)
        return code

    @staticmethod
    def _after_fork() -> None:
        """In a forked child: forget the parent's finalizers, call what was registered for this."""
        (_bootstrap or bring_bootstrap()).forget_parent()

    def _run_and_report(self, run: Callable[[], Any]) -> None:
        here = os.getpid()
        try:
            _native.let_signals_in()  # what was held back before the fork; not earlier: see there
            value = run()
        except SystemExit as e:
            from forkful.launch import sigterm

            # It is SIGTERM that ends this process, as its status will say; or what it runs has forked this
            # one, of which nobody has asked for a report.
            if sigterm.begun() or os.getpid() != here:
                raise
            code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
            self._leave(str(code).encode(), _EXIT)
            raise
        except BaseException as e:
            if os.getpid() == here:
                ledger.failed(e)
                self._report_exception(e)
            if _is_told_otherwise(e):
                raise SystemExit(1) from None
            raise  # the stdlib's bootstrap prints it
        if os.getpid() != here:
            return
        # Not `signal.getsignal`, which converts to an enumeration: pages to be copied, for each child.
        if value is not None or _signal.getsignal(_signal.SIGCHLD) is _signal.SIG_IGN:
            self._report_result(value)

    def _report_exception(self, error: BaseException) -> None:
        from forkful import remote  # on first use: few processes fail

        self._leave(remote.pack(error, f"{self.name} (pid {os.getpid()})"), _EXCEPTION)

    def _report_result(self, value: Any) -> None:
        try:
            data, buffers = wire.dumps_oob(value)
            self._leave((data, buffers) if buffers else data, _RESULT)
        except Exception as e:
            # Who never asks for the result is not bothered with that it cannot be sent.
            self._report_exception(e)

    def _leave(self, data: Any, kind: int) -> None:
        if self._report_at is not None:
            self._report = _new_queue(SimpleQueue)
            try:
                self._report._attach(*self._report_at)
            except LookupError:
                return  # it went with the parent: nobody will ask
        self._report._put_bytes(data, kind)

    def __getstate__(self) -> object:
        """Tell a child where its report goes to: most leave none, and need no handle of that."""
        state = super().__getstate__()
        keeps = hasattr(get_spawning_popen(), "keep")  # the report, until the child has ended
        if keeps and isinstance(state, dict) and "_report" in state:
            _, (_, _, place, _) = state["_report"].__reduce__()
            state = state | {"_report_at": place}
            del state["_report"]
        return state

    def _read_report(self, timeout: float | None) -> tuple[int, Any]:
        """Return (kind, content), once the process has ended."""
        self.join(timeout)
        if self.exitcode is None:
            raise TimeoutError(f"{self.name} (pid {self.pid}) is still running")
        self._take_report()
        if self._outcome is None:
            if self.exitcode == 0:
                self._outcome = _RESULT, None
            else:
                self._outcome = _EXCEPTION, self._died()
        return self._outcome

    def _take_report(self) -> None:
        """Read what the process has left, if it has."""
        messages: list[tuple[int, int, Any]] = []
        if self._outcome is None and self._report._take_bytes(messages, 1, 0):
            _, kind, data = messages[0]
            self._outcome = kind, self._unpack(kind, data)

    def _code_of_report(self) -> int:
        """Return the exit code of a process of which nothing but the report is left; 255: not even that."""
        self._take_report()
        if self._outcome is None:
            return 255
        kind, content = self._outcome
        return int(content) if kind == _EXIT else int(kind == _EXCEPTION)

    def _unpack(self, kind: int, data: Any) -> Any:
        if kind == _EXCEPTION:
            from forkful import remote

            return remote.unpack(data)
        if kind == _EXIT:
            return int(data)
        try:
            return wire.loads(data) if isinstance(data, bytes) else wire.loads(*data)
        except Exception as e:
            e.add_note(f"the result of {self.name} (pid {self.pid}) cannot be unpickled here")
            return _Unreadable(e)

    def _ending(self) -> str:
        if self._popen.status_lost and self.exitcode == 255:
            return (
                "has ended, and its exit status was taken by somebody else (SIGCHLD is ignored, or "
                "os.wait() was called)"
            )
        return describe_exit(self.exitcode)

    def _died(self) -> Exception:
        reason = getattr(self._popen, "reason", None)  # a program's own start method has none
        why = f" ({reason})" if reason else ""
        return errors.WorkerDied(
            f"{self.name} (pid {self.pid}) {self._ending()}{why} before it returned",
            pid=self.pid,
            exitcode=self.exitcode,
            name=self.name,
            stack=getattr(self._popen, "stack", None),
            reason=reason,
        )

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the process has ended and return what its `run` returned.

        Args:
            timeout: Seconds to wait at most; None: for ever.

        Returns:
            The value; None also after `sys.exit()` or `sys.exit(0)`.

        Raises:
            multiprocessing.TimeoutError: Still running.
            WorkerDied: It was killed, or exited by itself with another status than 0.
            Exception: What ended it, with the traceback that it had there.
        """
        kind, content = self._read_report(timeout)
        if kind == _EXCEPTION:
            raise content
        if kind == _EXIT:
            if content:
                raise self._died()
            return None
        if isinstance(content, _Unreadable):
            raise content.error
        return content

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until the process has ended and return the exception that ended it, or None.

        Args:
            timeout: Seconds to wait at most; None: for ever.

        Raises:
            multiprocessing.TimeoutError: Still running.
        """
        kind, content = self._read_report(timeout)
        if kind == _EXCEPTION:
            error: BaseException = content
            return error
        return self._died() if kind == _EXIT and content else None

    # -- signals -------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Send SIGINT: KeyboardInterrupt in the child unless it handles that otherwise."""
        self._check_closed()  # type: ignore[attr-defined]
        self._popen._send_signal(signal.SIGINT)

    def terminate(self, *, tree: bool = False) -> None:
        """Send SIGTERM. Lines that the process has printed are not lost, save an unfinished last one.

        Args:
            tree: Also to all processes that descend from this one, deepest first. Without it they
                are left to themselves, as with the stdlib, save those that are daemonic.
        """
        if tree and self.pid is not None and self.is_alive():
            from forkful.launch import descent  # on first use: few programs do

            descent.send(descent.descendants(self.pid), signal.SIGTERM)
        super().terminate()


class ForkProcess(Process):
    """A process started by fork."""

    _start_method = "fork"

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        global _fork
        if _fork is None:  # an import finds out anew each time that nothing is to be done
            from forkful.launch import fork as _fork  # on first use, as the others
        return _fork.Popen(process_obj)


class SpawnProcess(Process):
    """A process started by spawn."""

    _start_method = "spawn"

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        from forkful.launch.spawn import Popen  # on first use: it brings much

        return Popen(process_obj)

    @staticmethod
    def _after_fork() -> None:
        """Nothing to do: the process was not forked."""


class ForkServerProcess(Process):
    """A process forked by the family's fork server."""

    _start_method = "forkserver"

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        from forkful.launch.forkserver import Popen  # on first use: it brings much

        return Popen(process_obj)


if not TYPE_CHECKING:
    __getattr__ = names_of("process")
