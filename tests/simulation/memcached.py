"""Simulated Memcached, and the process behind a configuration endpoint: they answer what the drivers ask, and hold no data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.network import End
from tests.simulation.process import Process


class Memcached:
    """options: of its command line."""

    def __init__(self, process: Process, options: Sequence[str] = ()) -> None:
        self._process, self._options = process, options

    def start(self) -> None:
        if not self._process.listen(self._process.party):
            self._process.end("exit code 71")

    def received(self, end: End | None, payload: Any) -> None:
        if end is not None:
            end.send(b"".join(self.answer(line) for line in payload.split(b"\r\n") if line))

    def answer(self, line: bytes) -> bytes:
        if line == b"stats":
            return b"STAT pid %d\r\nSTAT version 1.6.18\r\nEND\r\n" % self._process.pid
        if line == b"stats settings":
            return b"STAT cas_enabled %b\r\nEND\r\n" % (b"no" if "-C" in self._options else b"yes")
        if line == b"watch nothing":
            return b"ERROR\r\n"
        return b"VERSION 1.6.18\r\n" if line == b"version" else b"ERROR\r\n"

    def lost(self, end: End) -> None:
        """Nothing to remember."""


class Discovery(Memcached):
    """read: the present content of its nodes file."""

    def __init__(self, process: Process, read: Callable[[], bytes]) -> None:
        super().__init__(process)
        self._read = read

    def answer(self, line: bytes) -> bytes:
        version, nodes = published(self._read())
        if line == b"config get cluster":
            if not version:
                return b"SERVER_ERROR no nodes yet\r\n"
            told = " ".join(f"{host}|{host}|{port}" for host, port in nodes).encode()
            return b"CONFIG cluster 0 %d\r\n%d\r\n%b\r\n\r\nEND\r\n" % (len(told), version, told)
        return super().answer(line)


def published(content: bytes) -> tuple[int, list[tuple[str, int]]]:
    """(version, nodes) of a nodes file."""
    document = json.loads(content)
    return document["version"], [(host, port) for host, port in document["nodes"]]


def listening(content: bytes) -> tuple[str, int]:
    host, port = json.loads(content)["listen"]
    return host, port
