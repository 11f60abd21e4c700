"""A client that writes rising numbers without a pause and remembers which were acknowledged, and when.

With cluster mode disabled it retries nothing, so that every broken connection is counted; with cluster mode enabled it is a
cluster client as applications use it, which looks the topology up again by itself.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from tests.fixtures.service import wait_for


class Writer:
    """Appends to the list `key` through one connection at a time; on any error it connects anew at once."""

    def __init__(self, host: str, port: int, *, key: str = "log", clustered: bool = False) -> None:
        self._host, self._port = host, port
        self._key = key
        self._clustered = clustered
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._times: list[float] = []
        self._values: list[int] = []
        self.errors: list[str] = []

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(10)

    def _connect(self) -> redis.Redis | RedisCluster:
        if self._clustered:
            return RedisCluster(self._host, self._port, socket_timeout=1)
        return redis.Redis(self._host, self._port, socket_timeout=1, retry=Retry(NoBackoff(), 0))

    def _run(self) -> None:
        client = self._connect()
        value = 0
        while not self._stop.is_set():
            value += 1
            try:
                client.rpush(self._key, value)
            except (
                redis.exceptions.RedisError,
                AttributeError,
            ) as error:
                self.errors.append(type(error).__name__)
                if isinstance(client, redis.Redis):
                    client.connection_pool.disconnect()
                self._stop.wait(0.001)
                continue
            self._times.append(time.monotonic())
            self._values.append(value)
        client.close()

    @property
    def acknowledged(self) -> set[int]:
        return set(self._values)

    def await_writes(self, more: int, timeout_s: float = 20.0) -> None:
        goal = len(self._values) + more
        wait_for(f"{more} more acknowledged writes", lambda: len(self._values) >= goal, timeout_s)

    def longest_gap_s(self) -> float:
        """Between two acknowledged writes."""
        return max(after - before for before, after in zip(self._times, self._times[1:], strict=False))

    def acknowledged_before_gap(self) -> set[int]:
        gaps = [after - before for before, after in zip(self._times, self._times[1:], strict=False)]
        return set(self._values[: gaps.index(max(gaps)) + 1])
