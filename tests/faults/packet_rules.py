"""Drops packets on the loopback network with nftables, in a table of our own that goes with the test, also when that is killed.

A program of its own, too: it waits for the end of stdin and then removes the table that its argument names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class PacketRules:
    """drop(*matches): packets that match any of these expressions do not arrive, from now on; clear(): all do again."""

    def __init__(self, table: str) -> None:
        self._table = table

    def drop(self, *matches: str) -> None:
        _nft("".join(f"add rule ip {self._table} arrivals {match} drop\n" for match in matches))

    def clear(self) -> None:
        _nft(f"flush chain ip {self._table} arrivals\n")


@contextmanager
def packet_rules() -> Iterator[PacketRules]:
    """Skips the test where nftables may not be used; in CI as root that is a failure."""
    table = f"cachefleet_faults_{os.getpid()}"
    chain = f"add table ip {table}\nadd chain ip {table} arrivals {{ type filter hook input priority 0; }}\n"
    nft = shutil.which("nft")
    made = subprocess.run([nft, "-f", "-"], input=chain, text=True, capture_output=True, check=False) if nft else None
    if made is None or made.returncode:
        assert not (os.environ.get("CI") == "true" and os.geteuid() == 0), "nftables cannot be used"
        pytest.skip("nftables may not be used here")
    guard = subprocess.Popen([sys.executable, "-I", __file__, table], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield PacketRules(table)
    finally:
        assert guard.stdin
        guard.stdin.close()
        guard.wait(10)


def _nft(commands: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=commands, text=True, capture_output=True, check=True)


def both_ways(host: str, port: int | str) -> tuple[str, str]:
    """Everything to and from that port of a node."""
    return f"ip daddr {host} tcp dport {port}", f"ip saddr {host} tcp sport {port}"


def local_ports(pid: int, to: Iterable[str] = (), to_port: int = 0) -> list[int]:
    """Of the connections that this process has made itself to one of these hosts (any without), at this port (any: 0)."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = str(entry.readlink()) if entry.is_symlink() else ""
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        (_, local), (host, port) = (_place(word) for word in words[1:3])
        if words[3] == "01" and words[9] in inodes and host in (tuple(to) or (host,)) and port == (to_port or port):
            found.append(local)
    return found


def _place(word: str) -> tuple[str, int]:
    """ "0100007F:1F90" -> ("127.0.0.1", 8080)"""
    host, port = word.split(":")
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(host))), int(port, 16)


if __name__ == "__main__":
    sys.stdin.read()
    subprocess.run(["nft", "delete", "table", "ip", sys.argv[1]], check=False)
