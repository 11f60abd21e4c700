"""Decides whether more nodes fit this machine, from what the kernel says of memory and processes.

`refusal` is pure; `read_room` looks. Memory is what is left for us: a container's limit counts as much as the machine's.
Called by LocalHost.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

_MIB = 1024 * 1024
_EMPTY_NODE_BYTES = 12 * _MIB  # what an engine without data takes
_SPARE_BYTES = 256 * _MIB  # left for everything else, at least
_SPARE_SHARE = 0.05
_TASKS_PER_NODE = 8  # threads of an engine
_TASKS_SPARE = 64
_UNLIMITED = 1 << 60


class Room(msgspec.Struct, frozen=True):
    """What is left on this machine."""

    total_bytes: int
    available_bytes: int
    tasks: int  # processes and threads that may still be started


def refusal(room: Room, nodes: int, memory_bytes: int, *, reserve: bool, data_bytes: int = 0) -> str:
    """Why that many more nodes cannot run, and what to do; "" when they can. memory_bytes: what all nodes, with those that
    exist, may hold by their node types; counts when reserve is set, whatever they hold at present. data_bytes: what the new
    ones will hold at once."""
    tasks = nodes * _TASKS_PER_NODE + _TASKS_SPARE
    if tasks > room.tasks:
        return (
            f"{nodes} more nodes need about {tasks} processes and threads, and this machine lets us start {max(0, room.tasks)} "
            "more. Raise the limit (pids.max of the container, ulimit -u, kernel.pid_max) or delete caches."
        )
    spare_bytes = max(_SPARE_BYTES, int(room.total_bytes * _SPARE_SHARE))
    left = room.available_bytes - spare_bytes
    if nodes * _EMPTY_NODE_BYTES > left:
        return (
            f"{nodes} more nodes need {_mib(nodes * _EMPTY_NODE_BYTES)} even when empty, and this machine has "
            f"{_mib(max(0, left))} to spare. Delete caches or add memory."
        )
    need_bytes = nodes * _EMPTY_NODE_BYTES + data_bytes
    if data_bytes and need_bytes > left:
        return (
            f"{nodes} more nodes need {_mib(need_bytes)} with their data, and this machine has {_mib(max(0, left))} to spare. "
            "Delete caches or add memory."
        )
    most = room.total_bytes - spare_bytes
    if reserve and memory_bytes > most:
        return (
            f"with them all nodes may hold {_mib(memory_bytes)}, and this machine has {_mib(max(0, most))} for them. "
            "Choose a smaller node type, delete caches, or set host.memory to overcommit."
        )
    return ""


def read_room(root: Path = Path("/")) -> Room:
    """Look at this machine (root: where proc and sys are). A few small reads."""
    proc = root / "proc"
    memory = _meminfo(proc)
    total, available = memory["MemTotal"], memory["MemAvailable"]
    left = min(_number(proc / "sys/kernel/pid_max"), _number(proc / "sys/kernel/threads-max")) - _all_tasks(proc)
    for group in _own_cgroups(proc, root / "sys/fs/cgroup"):
        limit = _number(group / "memory.max")
        total = min(total, limit)
        available = min(available, limit - _used_bytes(group))
        left = min(left, _number(group / "pids.max") - _number(group / "pids.current", 0))
    return Room(total_bytes=total, available_bytes=available, tasks=min(left, _user_tasks_left()))


def _meminfo(proc: Path) -> dict[str, int]:
    """Bytes by the names of /proc/meminfo."""
    pairs = (line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _own_cgroups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """Our control group (version 2) and those around it, as far as they can be seen from here."""
    with suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                own = cgroups / line[3:].lstrip("/")
                yield from (group for group in (own, *own.parents) if group.is_relative_to(cgroups) and group.is_dir())


def _used_bytes(group: Path) -> int:
    """What cannot be taken back: file cache that nobody uses does not count."""
    used = _number(group / "memory.current", 0)
    with suppress(OSError):
        for line in (group / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                return used - int(line.split()[1])
    return used


def _all_tasks(proc: Path) -> int:
    return int((proc / "loadavg").read_text().split()[3].split("/")[1])


def _user_tasks_left() -> int:
    """Of RLIMIT_NPROC, which does not bind root."""
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if soft == resource.RLIM_INFINITY or os.geteuid() == 0:
        return _UNLIMITED
    mine = 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and process.stat().st_uid == os.geteuid():
                mine += (process / "task").stat().st_nlink - 2
    return soft - mine


def _number(file: Path, default: int = _UNLIMITED) -> int:
    """What a kernel file says; default when it is not there or says "max"."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return default


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:,.0f} MiB"
