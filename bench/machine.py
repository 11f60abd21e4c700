"""What a figure depends on besides the code: the machine's size and the versions of what runs on it."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import psutil

from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.settings import EngineSettings


def description() -> list[tuple[str, str]]:
    """(what, value), for the head of the table."""
    builds = InstalledEngines(EngineSettings()).builds()
    return [
        ("processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores"),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("kernel", platform.release()),
        ("Python", platform.python_version()),
        ("engines", ", ".join(f"{build.engine.value} {build.version}" for build in builds)),
    ]


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def busy_share() -> float:
    """Processes that want a core, per core, over the last minute: how much else the machine had to do."""
    return os.getloadavg()[0] / len(os.sched_getaffinity(0))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
