"""What installations that were killed left on this machine: tables in the kernel, and claims on networks whose folder is gone.

A network counts as dead only when nobody holds its claim, no process works in its folder or has its group id, and nothing
listens in it. Tables that nobody claims any more are looked at in the same way. Whatever cannot be known counts as life.
Blocking: LocalHost calls it in a thread.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import structlog

from cachefleet.hosts.guards import group_id_of, guard_table
from cachefleet.hosts.kernel_table import run_nft
from cachefleet.hosts.network import Registry
from cachefleet.hosts.spread import spread_table
from cachefleet.interfaces import HostRefused

_log = structlog.get_logger()
_PROC = Path("/proc")
_DELETED = " (deleted)"
_LISTENS = "0A"
_OURS = re.compile(r"cachefleet_([0-9]{1,3})(?:_guard)?", re.ASCII)
Nft = Callable[[Sequence[str]], tuple[int, str]]  # arguments -> exit status and output


def sweep(registry: Registry, nft: Nft = run_nft) -> None:
    """Take away what is left of dead installations. Never fails: what cannot be taken away stays."""
    try:
        tables = Tables(nft)
        swept = registry.sweep(Machine().is_inhabited, tables.remove, tables.networks)
    except (OSError, HostRefused, ValueError) as error:
        _log.warning("leftovers of other installations stay", why=str(error))
    else:
        if swept:
            _log.info("leftovers of installations that are dead were taken away", networks=swept)


class Machine:
    """What runs here, looked at once, when first asked. proc: where the kernel tells of it."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc

    def is_inhabited(self, number: int, folders: Collection[str]) -> bool:
        """Whether anything is alive of the installation that has 127.N.0.0/16 and one of these data folders."""
        if number in self._listening or group_id_of(number) in self._group_ids:
            return True
        return any(where == folder or where.startswith(f"{folder}/") for where in self._folders for folder in folders)

    @cached_property
    def _processes(self) -> list[Path]:
        return [entry for entry in self._proc.iterdir() if entry.name.isdecimal()]

    @cached_property
    def _folders(self) -> set[str]:
        """Working directories; of other users' processes they are told to root only, and theirs are not in our folders."""
        found = set()
        for process in self._processes:
            with suppress(OSError):
                found.add(str((process / "cwd").readlink()).removesuffix(_DELETED))
        return found

    @cached_property
    def _group_ids(self) -> set[int]:
        """The effective ones, but not of processes that have ended and wait to be reaped, by whoever that is."""
        found = set()
        for process in self._processes:
            with suppress(OSError, ValueError, IndexError, KeyError):
                lines = (process / "status").read_text(errors="replace").splitlines()
                told = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
                if told["State"][0] not in "ZX":
                    found.add(int(told["Gid"][1]))
        return found

    @cached_property
    def _listening(self) -> set[int]:
        """N of every 127.N.0.0/16 in which something takes connections."""
        found = set()
        with suppress(OSError):
            for line in (self._proc / "net" / "tcp").read_text().splitlines()[1:]:
                fields = line.split()
                address = int(fields[1].partition(":")[0], 16).to_bytes(4, sys.byteorder)
                if fields[3] == _LISTENS and address[0] == 127:
                    found.add(address[1])
        return found


class Tables:
    """Those of all installations in the kernel."""

    def __init__(self, nft: Nft) -> None:
        self._nft = nft

    def remove(self, number: int) -> bool:
        """Both of an installation; whether there was one."""
        found = [name for name in (spread_table(number), guard_table(number)) if name in self._standing]
        for name in found:
            self._nft(["delete", "table", "ip", name])
        return bool(found)

    @property
    def networks(self) -> set[int]:
        """N of every installation that has one, at the first look."""
        return {int(found[1]) for found in map(_OURS.fullmatch, self._standing) if found is not None}

    @cached_property
    def _standing(self) -> set[str]:
        status, output = self._nft(["-j", "list", "tables", "ip"])
        if status:
            return set()
        return {item["table"]["name"] for item in json.loads(output)["nftables"] if "table" in item}
