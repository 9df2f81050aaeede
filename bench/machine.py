"""What the figures were measured on and with."""

import datetime
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = (
    *("forkful", "billiard", "multiprocess", "loky", "joblib", "mpire", "pebble"),
    *("faster-fifo", "numpy", "lmdb"),
)


def describe() -> dict[str, Any]:
    """Return the machine, the software and the moment, ready for JSON."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "huge_pages": _bracketed("/sys/kernel/mm/transparent_hugepage/enabled"),
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "commit": _output("git", "-C", HERE, "describe", "--always", "--dirty"),
        "versions": {name: _version(name) for name in PACKAGES}
        | {"GNU parallel": _parallel_version()},
        "load_at_start": load(),
    }


def load() -> float:
    """Return the load average of the last minute: how busy others kept the machine."""
    return round(os.getloadavg()[0], 2)


def available_bytes() -> int:
    """Return how much memory could be used without swapping, as the kernel estimates it."""
    return int(_field("/proc/meminfo", "MemAvailable").split()[0]) * 1024


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _parallel_version() -> str | None:
    # Other programs have the same name; only GNU's says so.
    first = (_output("parallel", "--version") or "").partition("\n")[0]
    return first.rsplit(" ", 1)[-1] if first.startswith("GNU parallel") else None


def _output(*command: str) -> str | None:
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _bracketed(path: str) -> str:
    try:
        return Path(path).read_text().partition("[")[2].partition("]")[0]
    except OSError:
        return "unknown"
