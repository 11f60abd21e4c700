"""A cluster client that writes and reads back all the time, as an application has it, and knows what was acknowledged."""

from __future__ import annotations

import threading

import redis
from redis.cluster import RedisCluster

from cachefleet.model.observed import Address


class SlotWriter:
    """Counts up under each of its keys; a value that is read back must be the last that was acknowledged."""

    def __init__(self, at: Address, keys: int) -> None:
        self.acknowledged: dict[str, int] = {}
        self.wrong: list[str] = []
        self._at, self._keys = at, keys
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> SlotWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        client = RedisCluster(host=self._at.host, port=self._at.port, socket_timeout=5)
        try:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                self._touch(client, f"counter:{turn * 7919 % self._keys}")
        finally:
            client.close()

    def _touch(self, client: RedisCluster, key: str) -> None:
        try:
            value = client.incr(key)
        except redis.RedisError as error:
            self.wrong.append(f"INCR {key}: {error!r}")
            return
        expected = self.acknowledged.get(key, 0) + 1
        if value != expected:
            self.wrong.append(f"{key} is {value}, not {expected}")
        self.acknowledged[key] = value
