"""How many processors may be used, from fake files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkful import cpus
from forkful.cpus import quota_cpus, usable_cpus

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct"


class Machine:
    """A fake /proc/self and a fake root of the file system."""

    def __init__(self, path: Path) -> None:
        self.root = path / "root"
        self.proc = path / "proc"
        self.proc.mkdir(parents=True)

    def says(self, *, groups: str = "", mounts: str = "") -> None:
        (self.proc / "cgroup").write_text(groups)
        (self.proc / "mountinfo").write_text(mounts)

    def has(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def quota(self) -> int | None:
        return quota_cpus(str(self.proc), str(self.root))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),  # a part of a processor counts as one
        ("100001 100000\n", 2),
        ("10000 100000\n", 1),
        ("max 100000\n", None),
        ("", None),
        ("0 100000", None),
        ("100000 0", None),
        ("nonsense", None),
        ("100000", None),
    ],
)
def test_a_quota_is_rounded_up(machine: Machine, text: str, expected: int | None) -> None:
    machine.says(groups="0::/job\n", mounts=V2)
    machine.has("/sys/fs/cgroup/job/cpu.max", text)
    assert machine.quota() == expected


@pytest.mark.parametrize("level", ["", "/a.slice", "/a.slice/b.slice", "/a.slice/b.slice/c.scope"])
def test_the_least_quota_on_the_way_up_counts(machine: Machine, level: str) -> None:
    machine.says(groups="0::/a.slice/b.slice/c.scope\n", mounts=V2)
    for each in ("", "/a.slice", "/a.slice/b.slice", "/a.slice/b.slice/c.scope"):
        machine.has(f"/sys/fs/cgroup{each}/cpu.max", "800000 100000")
    machine.has(f"/sys/fs/cgroup{level}/cpu.max", "300000 100000")
    assert machine.quota() == 3


def test_groups_beside_the_way_do_not_count(machine: Machine) -> None:
    machine.says(groups="0::/mine\n", mounts=V2)
    machine.has("/sys/fs/cgroup/other/cpu.max", "100000 100000")
    machine.has("/sys/fs/cgroup/mine/below/cpu.max", "100000 100000")
    assert machine.quota() is None


def test_version_1_is_read_too(machine: Machine) -> None:
    machine.says(groups="4:memory:/x\n3:cpu,cpuacct:/docker/abc\n0::/\n", mounts=V1)
    machine.has("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "250000\n")
    machine.has("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n")
    machine.has("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n")
    machine.has("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n")
    assert machine.quota() == 3


def test_of_both_versions_the_lesser_counts(machine: Machine) -> None:
    machine.says(groups="3:cpu,cpuacct:/a\n0::/b\n", mounts=f"{V1}\n{V2}\n")
    machine.has("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "500000")
    machine.has("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000")
    machine.has("/sys/fs/cgroup/b/cpu.max", "400000 100000")
    assert machine.quota() == 4


def test_a_container_that_sees_only_its_own_group_is_understood(machine: Machine) -> None:
    machine.says(
        groups="3:cpu:/docker/abc/job\n",
        mounts="32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu",
    )
    machine.has("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "200000")
    machine.has("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000")
    assert machine.quota() == 2


@pytest.mark.parametrize("group", ["/elsewhere", "/../../outside"])
def test_a_group_outside_of_what_is_mounted_leaves_the_mount_point(
    machine: Machine, group: str
) -> None:
    machine.says(groups=f"0::{group}\n", mounts="32 31 0:29 /inside /cg rw - cgroup2 cgroup2 rw")
    machine.has("/cg/cpu.max", "500000 100000")
    assert machine.quota() == 5


def test_odd_names_are_understood(machine: Machine) -> None:
    machine.says(
        groups="0::/with space/a:b\n",
        mounts="32 31 0:29 / /my\\040groups rw - cgroup2 cgroup2 rw",
    )
    machine.has("/my groups/with space/a:b/cpu.max", "600000 100000")
    assert machine.quota() == 6


def test_a_machine_without_groups_has_no_quota(machine: Machine) -> None:
    assert machine.quota() is None  # not even the files
    machine.says(groups="garbage\n\n::", mounts="garbage\n1 2 3\n")
    assert machine.quota() is None


@given(groups=st.text(max_size=200), mounts=st.text(max_size=200))
def test_no_text_makes_the_readers_raise(
    groups: str, mounts: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    (machine.proc / "cgroup").write_bytes(groups.encode(errors="replace"))
    (machine.proc / "mountinfo").write_bytes((V2 + "\n" + mounts).encode(errors="replace"))
    assert machine.quota() is None


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Eight processors, no quota, no settings."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(cpus, "quota_cpus", lambda: None)
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    return monkeypatch


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (3, 3), (20, 8), (1, 1)])
def test_the_lesser_of_affinity_and_quota_counts(
    eight: pytest.MonkeyPatch, quota: int | None, expected: int
) -> None:
    eight.setattr(cpus, "quota_cpus", lambda: quota)
    assert usable_cpus() == expected


@pytest.mark.parametrize(
    ("python", "loky", "expected"),
    [
        ("20", None, 20),  # overrides what is found
        ("2", None, 2),
        ("default", None, 8),
        ("0", None, 8),
        ("-3", None, 8),
        ("two", None, 8),
        (None, "3", 3),
        (None, "30", 8),  # only a bound
        (None, "0", 8),
        (None, "many", 8),
        ("20", "4", 4),
    ],
)
def test_settings_are_honoured_if_they_are_valid(
    eight: pytest.MonkeyPatch, python: str | None, loky: str | None, expected: int
) -> None:
    if python is not None:
        eight.setenv("PYTHON_CPU_COUNT", python)
    if loky is not None:
        eight.setenv("LOKY_MAX_CPU_COUNT", loky)
    assert usable_cpus() == expected


def test_this_machine_has_at_least_one_and_no_more_than_its_mask() -> None:
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
