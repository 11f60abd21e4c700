"""Finds and ends the processes that live in our folders, from what the kernel says: their working directory.

Never by name or command line. What belongs to an operator (a shell in such a folder: it has a terminal) is left alone.
Blocking: Launches calls it in threads.
"""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import msgspec

from cachefleet.hosts.folders import is_ours

_PROC = Path("/proc")
_DELETED = " (deleted)"
_KILL_MS = 5000


class Resident(msgspec.Struct, frozen=True):
    """A process whose working directory is an incarnation's folder."""

    incarnation: str
    pid: int
    pidfd: int  # to be closed by whoever holds the Resident
    leader: bool  # of its session, as each process is that we start; its children are not
    started: int  # clock ticks since boot


def residents(root: Path, only: str = "") -> list[Resident]:
    """All below root, or of one incarnation, whatever user they have become. Raises OSError when descriptors run out:
    better to fail than to overlook one."""
    found = []
    for entry in os.scandir(_PROC):
        if entry.name.isdecimal():
            resident = _resident(int(entry.name), root, only)
            if resident is not None:
                found.append(resident)
    return found


def group_exists(pid: int) -> bool:
    """Whether the process group that this (reaped) process led still has members. A cheap hint, not a proof: another
    group may have got the number."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # not ours
    return True


def end_residents(root: Path, incarnation: str) -> list[int]:
    """Kill what is left in this incarnation's folder and wait until it is gone; pids that would not go."""
    return kill_all(residents(root, incarnation))


def kill_all(doomed: list[Resident]) -> list[int]:
    """Kill, wait until gone (5 s at most) and close the pidfds; pids that would not go."""
    for resident in doomed:
        try:
            signal.pidfd_send_signal(resident.pidfd, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # the wait below tells which
    left = [resident.pid for resident in doomed if not _ended(resident.pidfd, _KILL_MS)]
    for resident in doomed:
        os.close(resident.pidfd)
    return left


def _resident(pid: int, root: Path, only: str) -> Resident | None:
    incarnation = _home(pid, root)
    if not incarnation or (only and incarnation != only):
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # Order matters: what /proc says of the pid is true of the pidfd's process only if that one still lives afterwards.
    same = _home(pid, root) == incarnation
    stat = _stat(pid)
    if not same or stat is None or stat.terminal or _ended(pidfd, 0):
        os.close(pidfd)
        return None
    return Resident(incarnation=incarnation, pid=pid, pidfd=pidfd, leader=stat.session == pid, started=stat.started)


def _home(pid: int, root: Path) -> str:
    """The incarnation in whose folder the process lives, "" when in none (or it is gone, or not for us to see)."""
    process = _PROC / str(pid)
    try:
        folder = (process / "cwd").readlink()
        if folder.parent != root or not is_ours(folder.name):
            return ""
        if folder.name.endswith(_DELETED):
            return folder.name.removesuffix(_DELETED)
        if not folder.samefile(process / "cwd"):
            return ""  # a folder of the same name, seen from another mount namespace
    except OSError:
        return ""
    return folder.name


class _Stat(msgspec.Struct, frozen=True):
    session: int
    terminal: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # from field 3 (state) on; the name before may hold anything
    return _Stat(session=int(fields[3]), terminal=int(fields[4]), started=int(fields[19]))


def _ended(pidfd: int, wait_ms: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(wait_ms))
