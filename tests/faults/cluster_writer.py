"""A cluster client that writes rising numbers to one slot and remembers which were acknowledged, and when."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from types import TracebackType
from typing import Any

import redis
from redis.cluster import RedisCluster

from tests.fixtures.service import wait_for

PAUSE_S = 0.001  # leaves the processors to the others
_ERRORS = (redis.exceptions.RedisError, redis.exceptions.RedisClusterException, OSError)


class ClusterWriter:
    """Appends to the list `ledger` (slot 2466: the first of up to six shards) through the configuration endpoint."""

    def __init__(self, configuration: tuple[str, int], key: str = "ledger") -> None:
        self._configuration, self._key = configuration, key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._acknowledged: list[tuple[float, int]] = []

    def __enter__(self) -> ClusterWriter:
        self._thread.start()
        self.await_writes(100)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        value, client = 0, None
        while not self._stop.is_set():
            value += 1
            try:
                client = client or self._connect()
                client.rpush(self._key, value)
            except _ERRORS:
                if client is not None:
                    client.close()
                client = None
                self._stop.wait(0.005)
                continue
            self._acknowledged.append((time.monotonic(), value))
            self._stop.wait(PAUSE_S)
        if client is not None:
            client.close()

    def _connect(self) -> Any:
        return RedisCluster(*self._configuration, socket_timeout=0.5, socket_connect_timeout=0.5)

    def await_writes(self, more: int, timeout_s: float = 20.0) -> None:
        goal = len(self._acknowledged) + more
        wait_for(f"{more} more acknowledged writes", lambda: len(self._acknowledged) >= goal, timeout_s)

    def longest_gap_s(self) -> float:
        return max(self._gaps())[0]

    def _gaps(self) -> list[tuple[float, int]]:
        """(seconds, index of the last write before), one for each pair of writes."""
        times = [at for at, _ in self._acknowledged]
        return [(after - before, index) for index, (before, after) in enumerate(pairwise(times))]

    def lost(self) -> tuple[set[int], set[int]]:
        """Acknowledged and not there any more: (all of them, those that were acknowledged after the longest gap)."""
        with self._connect() as client:
            found = {int(value) for value in client.lrange(self._key, 0, -1)}
        last = max(self._gaps())[1]
        missing = {value for _, value in self._acknowledged} - found
        return missing, missing & {value for _, value in self._acknowledged[last + 1 :]}
