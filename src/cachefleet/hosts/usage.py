"""What a process has used so far, from /proc (proc(5)). Called by LocalHost."""

from __future__ import annotations

import os
from pathlib import Path

from cachefleet.model.observed import Usage

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> Usage | None:
    """None for one that is gone. About 100 us."""
    folder = Path(f"/proc/{pid}")
    try:
        everything = _stat(folder / "stat")
        main = _stat(folder / "task" / str(pid) / "stat")
        sizes = _fields(folder / "status")
    except (OSError, ValueError, IndexError):
        return None
    return Usage(
        # Its own, and that of children that it has waited for.
        cpu_s=sum(int(everything[place]) for place in (11, 12, 13, 14)) / _TICKS_PER_S,
        main_cpu_s=(int(main[11]) + int(main[12])) / _TICKS_PER_S,
        major_faults=int(everything[9]) + int(everything[10]),
        resident_bytes=sizes.get("VmRSS", 0) * 1024,
        swapped_bytes=sizes.get("VmSwap", 0) * 1024,
    )


def free_bytes() -> int:
    """Memory of the machine that could be had without swapping; 0 where the kernel does not tell."""
    try:
        return _fields(Path("/proc/meminfo")).get("MemAvailable", 0) * 1024
    except OSError:
        return 0


def _stat(file: Path) -> list[str]:
    """Fields from the third on: field N of proc(5) is at N - 3."""
    return file.read_text(errors="replace").rpartition(")")[2].split()


def _fields(file: Path) -> dict[str, int]:
    """`name: number kB` lines."""
    found = {}
    for line in file.read_text(errors="replace").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdecimal():
            found[name] = int(number[0])
    return found
