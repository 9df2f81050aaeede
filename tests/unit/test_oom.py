"""Which deaths the kernel's count of kills explains, from fake control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkful import oom

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"


class Machine:
    """A fake /proc/self and a fake root of the file system."""

    def __init__(self, path: Path, version: int) -> None:
        self.root, self.proc = path / "root", path / "proc"
        self.proc.mkdir(parents=True)
        group = "0::/pods/job" if version == 2 else "9:cpu:/else\n4:memory:/pods/job\n0::/"
        (self.proc / "cgroup").write_text(group)
        (self.proc / "mountinfo").write_text(V2 if version == 2 else V1)
        point = "sys/fs/cgroup" + ("" if version == 2 else "/memory")
        self.file = self.root / point / "pods/job"
        self.file /= "memory.events" if version == 2 else "memory.oom_control"

    def has_killed(self, times: int) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(f"oom 9\nunder_oom 7\noom_kill {times}\noom_group_kill 5\n")

    def watch(self) -> oom.Watch:
        return oom.Watch(str(self.proc), str(self.root))


@pytest.fixture(params=[1, 2], ids=["version 1", "version 2"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(tmp_path, request.param)


def test_a_kill_explains_one_death(machine: Machine) -> None:
    machine.has_killed(3)  # before the program began
    watch = machine.watch()
    assert not watch.explains()
    machine.has_killed(4)
    assert [watch.explains() for _ in range(2)] == [True, False]
    machine.has_killed(6)
    assert [watch.explains() for _ in range(3)] == [True, True, False]


def test_without_a_count_nothing_is_explained(machine: Machine) -> None:
    watch = machine.watch()
    assert not watch.explains()
    machine.has_killed(1)  # a group that was not there when the program began
    assert not watch.explains()


def test_a_count_that_goes_away_explains_nothing(machine: Machine) -> None:
    machine.has_killed(1)
    watch = machine.watch()
    machine.file.write_text("oom_kill many\n")
    assert not watch.explains()


def test_a_group_above_counts_if_ours_does_not_tell(machine: Machine) -> None:
    machine.file = machine.file.parent.parent / machine.file.name
    machine.has_killed(0)
    watch = machine.watch()
    machine.has_killed(1)
    assert watch.explains()
