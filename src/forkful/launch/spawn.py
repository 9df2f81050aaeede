"""The spawn start method: a fresh interpreter that joins the family."""

from __future__ import annotations

import os
from multiprocessing import spawn, util
from multiprocessing.process import BaseProcess

from forkful import _native
from forkful.launch import fork, inherit

__all__ = ["Popen"]


class Popen(fork.Popen):
    """A child made by fork and exec; the process object is pickled."""

    method = "spawn"
    DupFd = inherit.DupFd

    def __init__(self, process_obj: BaseProcess) -> None:
        self._fds: list[int] = []
        super().__init__(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        """Let the child inherit `fd`; it has the same number there."""
        self._fds.append(fd)
        return fd

    def _launch(self, process_obj: BaseProcess) -> None:
        tracker = inherit.tracker_fd()
        self._fds.append(tracker)
        self.owner = _native.reserve()
        try:
            data = inherit.preparation(self, self.owner, name=process_obj.name)
            self._start(data + inherit.passenger(self, process_obj), tracker)
        except BaseException:
            _native.abandon(self.owner)
            raise

    def _start(self, data: bytes, tracker: int) -> None:
        child_r, parent_w = os.pipe()
        # Neither is for who is forked by another thread meanwhile: it would keep the child's end open.
        self.finalizer, childs = _native.Ends(parent_w), _native.Ends(child_r)
        try:
            command = spawn.get_command_line(tracker_fd=tracker, pipe_handle=child_r)
            self._fds.append(child_r)
            self.pid = util.spawnv_passfds(spawn.get_executable(), command, self._fds)
        except BaseException:
            self.finalizer()
            raise
        finally:
            childs()
        _native.set_pid(self.owner, self.pid)
        try:
            with open(parent_w, "wb", closefd=False) as f:
                f.write(data)
        except BrokenPipeError:
            pass  # it died while it started: its exit code will say so
