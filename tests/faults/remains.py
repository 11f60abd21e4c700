"""What an installation has on the machine, found without asking it: processes, folders, sockets, kernel rules, rows."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import struct
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from cachefleet.hosts.network import PLACES
from cachefleet.model.resource import Kind
from tests.fixtures.service import Service

NFT = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_LISTEN = "0A"


def network(service: Service) -> int:
    """N of its 127.N.0.0/16."""
    return int((service.data / "network").read_text())


def claims(service: Service) -> list[str]:
    """The claim files that name its folder."""
    files = [file for place in PLACES if place.is_dir() for file in place.iterdir() if file.name.isdecimal()]
    return [str(file) for file in files if file.read_text().strip() == str(service.data.resolve())]


def listening(service: Service) -> set[tuple[str, int]]:
    """(address, port) of every socket that listens in its network."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        if state == _LISTEN:
            host, port = local.split(":")
            found.add((socket.inet_ntoa(struct.pack("<I", int(host, 16))), int(port, 16)))
    prefix = f"127.{network(service)}."
    return {(host, port) for host, port in found if host.startswith(prefix)}


def spreads(service: Service) -> bool:
    """Whether the kernel spreads a reader endpoint for it."""
    found = _expressions(f"cachefleet_{network(service)}") if NFT is not None else []
    return any("dnat" in part for rule in found for part in rule)


def rules(service: Service) -> list[str]:
    """Destination addresses of its rules in the kernel; none where nftables may not be used."""
    if NFT is None:
        return []
    table = f"cachefleet_{network(service)}"
    found = [*_expressions(table), *_expressions(f"{table}_guard")]
    spread = [str(part["match"]["right"]) for rule in found for part in rule if "match" in part and "daddr" in str(part)]
    guarded = [str(host) for rule in found for part in rule if "vmap" in part for host, _ in part["vmap"]["data"]["set"]]
    return [*(where for where in spread if "prefix" not in where), *guarded]


def _expressions(table: str) -> list[Any]:
    assert NFT is not None
    done = subprocess.run([NFT, "-j", "list", "table", "ip", table], capture_output=True, text=True, check=False)
    if done.returncode:
        return []
    return [item["rule"]["expr"] for item in json.loads(done.stdout)["nftables"] if "rule" in item]


def folders(service: Service) -> list[str]:
    return sorted(entry.name for entry in (service.data / "nodes").iterdir())


def rows(service: Service) -> dict[str, int]:
    """How many rows of groups each table of the SQLite database holds; which engines are installed is remembered, too."""
    with closing(sqlite3.connect(f"file:{service.data / 'cachefleet.db'}?mode=ro", uri=True)) as database:
        wanted = {"resources": f"WHERE kind <> '{Kind.ENGINE_BUILD}'", "members": ""}
        return {
            table: database.execute(f"SELECT count(*) FROM {table} {which}").fetchone()[0]  # noqa: S608 - constants
            for table, which in wanted.items()
        }


def everything(service: Service) -> dict[str, object]:
    """What must be empty when there are no groups."""
    return {
        "processes": service.engine_pids(children=True),
        "folders": folders(service),
        "sockets": listening(service),
        "rules": rules(service),
        "rows": {table: count for table, count in rows(service).items() if count},
    }


NOTHING: dict[str, object] = {"processes": {}, "folders": [], "sockets": set(), "rules": [], "rows": {}}
