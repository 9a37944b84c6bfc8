"""On what it was measured: the facts that absolute seconds depend on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from benchmarks import peers


def facts(*more: str) -> dict[str, Any]:
    """Return what this machine is, and the versions of what is compared; ``more`` are packages."""
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": platform.release(),
        "release": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "python": platform.python_version(),
        "peers": peers.versions(*more),
        "load": os.getloadavg()[0],
    }


def remarks(known: dict[str, Any]) -> list[str]:
    """Return the facts in two lines: the machine, and what it runs."""
    return [
        (
            f"{known['cpus']} CPUs ({known['cpu']}), Linux {known['kernel']}, {known['release']}, "
            f"Python {known['python']}"
        ),
        ", ".join(f"{name} {version}" for name, version in known["peers"].items()),
    ]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
