"""The wire format of Valkey and Redis, from the engine's side."""

from __future__ import annotations

from typing import Any

import libvalkey

OK = "+OK"  # a str that begins with + is a status, one with - an error; every other str is a bulk string

# Commands that change nothing and are asked all the time.
QUIET = frozenset({"PING", "INFO", "DBSIZE"})
QUIET_PAIRS = frozenset(
    {
        ("ACL", "USERS"),
        ("CONFIG", "GET"),
        ("CLIENT", "LIST"),
        ("CLIENT", "SETNAME"),
        ("CACHEFLEET.IAM", "STATE"),
        ("CLUSTER", "INFO"),
        ("CLUSTER", "NODES"),
        ("CLUSTER", "MYID"),
        ("CLUSTER", "GETSLOTMIGRATIONS"),
        ("CLUSTER", "SLOT-STATS"),
        ("CLUSTER", "GETKEYSINSLOT"),
        ("CLUSTER", "COUNTKEYSINSLOT"),
        ("FUNCTION", "LIST"),
        ("CLUSTER", "GETSLOTMIGRATIONS"),
    }
)


class Commands:
    """Cuts what arrives on one connection into commands. user: as whom it came, where that matters."""

    def __init__(self) -> None:
        self.user = ""
        self._reader: Any = libvalkey.Reader(encoding="utf-8", notEnoughData=None)

    def feed(self, data: bytes) -> list[list[str]]:
        self._reader.feed(data)
        found = []
        while (command := self._reader.gets()) is not None:
            found.append(command)
        return found


def encoded(reply: Any) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, str):
        if reply[:1] in ("+", "-"):
            return f"{reply}\r\n".encode()
        data = reply.encode()
        return b"$%d\r\n%b\r\n" % (len(data), data)
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    return b"*%d\r\n" % len(reply) + b"".join(map(encoded, reply))
