"""The node list that a Memcached configuration endpoint serves (reference 4.4), from a file that the control loop replaces.

Part of the endpoint's own process: imports little and nothing of ours. Called by discovery_session.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque

CONFIG, VALUE = "config", "value"  # the two forms in which the list is asked for
LEGACY_KEY = b"AmazonElastiCache:cluster"


class NodeList:
    """The file, read again whenever it has changed. One that is missing or broken changes nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.version = 0
        self.listen = ("", 0)
        self.nodes: list[tuple[str, int]] = []
        self._seen: tuple[int, int, int] | None = None
        self._turn = 0

    def refresh(self) -> None:
        try:
            status = os.stat(self.path)  # noqa: PTH116 - pathlib is not worth its memory here
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            with open(self.path, "rb") as file:  # noqa: PTH123
                document = json.load(file)
            listen, version = document["listen"], int(document["version"])
            nodes = [(str(host), int(port)) for host, port in document["nodes"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"{self.path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return
        self._seen, self.version, self.nodes = seen, version, nodes
        self.listen = (str(listen[0]), int(listen[1]))

    def answer(self, form: str) -> bytes:
        """The reply to `config get cluster` (CONFIG) or to the older get (VALUE); b"" while nothing is published."""
        self.refresh()
        if self.version == 0:
            return b""
        listed = " ".join(f"{host}|{host}|{port}" for host, port in sorted(self.nodes))
        payload = f"{self.version}\n{listed}\n".encode()
        head = b"CONFIG cluster 0 %d" if form == CONFIG else b"VALUE " + LEGACY_KEY + b" 0 %d"
        return head % len(payload) + b"\r\n" + payload + b"\r\nEND\r\n"

    def candidates(self) -> deque[tuple[str, int]]:
        """All nodes, beginning with the next in turn."""
        self.refresh()
        order = deque(self.nodes)
        order.rotate(-self._turn)
        self._turn = (self._turn + 1) % max(1, len(order))
        return order
