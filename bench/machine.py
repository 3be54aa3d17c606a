"""What the measurement ran on: printed at the head of each result."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def describe_machine() -> str:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return (
        f"machine: {model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.2f}\n"
        f"date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    )


def core_wait_seconds(process: int) -> float:
    """How long the process's threads have stood ready without getting a core: what a crowded machine takes from latencies."""
    waited = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        waited += int((thread / "schedstat").read_text().split()[1])
    return waited / 1e9


def file_system(folder: Path) -> str:
    """What kind of file system a folder lies on: ``ext4``, or ``tmpfs`` where a disk's moods are to be kept out."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return max((one for one in mounts if folder.resolve().is_relative_to(one[0])), key=lambda one: len(one[0]))[1]
