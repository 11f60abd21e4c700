"""Clients of a cluster whose keys are not equally popular: the n-th is asked for in proportion to 1/n. The most popular ones
live in slots of one shard, as when a tenant or a day has become popular; so one shard has most of the load though slots are
spread evenly.
"""

from __future__ import annotations

import bisect
import itertools
import random
import threading
from collections.abc import Mapping, Sequence

import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot

from cachefleet.model.group import SlotRanges
from tests.traffic.clients import Where

KEYS = 3000
POPULAR = 24  # of them live in one shard
BATCH = 32  # increments between two looks at who is to stop


def popular_first(slots: range, keys: int = KEYS, popular: int = POPULAR) -> list[str]:
    """Names of keys in the order of their popularity; the first ones live in these slots, all others anywhere."""
    names = (f"key:{number}" for number in itertools.count())
    here = [name for name in itertools.islice(names, 200 * popular) if key_slot(name.encode()) in slots]
    return [*here[:popular], *itertools.islice(names, keys - popular)]


class ZipfClients:
    """Increment inside the block, from as many threads; every acknowledged increment is counted."""

    def __init__(self, where: Where, keys: Sequence[str], threads: int = 2) -> None:
        self._where, self._keys = where, keys
        self._steps = list(itertools.accumulate(1 / rank for rank in range(1, len(keys) + 1)))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in range(threads)]
        self._counts: list[dict[str, int]] = [dict.fromkeys(keys, 0) for _ in range(threads)]
        self.unknown = [0] * threads  # increments that were not answered
        self.errors: list[str] = []

    def __enter__(self) -> ZipfClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self.end()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def counts(self) -> dict[str, int]:
        """Acknowledged increments so far, by key."""
        return {key: sum(counts[key] for counts in self._counts) for key in self._keys}

    def total(self) -> int:
        return sum(self.counts().values())

    def missing(self) -> dict[str, tuple[int, int]]:
        """Keys that hold less than was acknowledged, or more than was asked for: acknowledged, held. After the end."""
        counts, most = self.counts(), sum(self.unknown)
        with RedisCluster(*self._where, socket_timeout=5) as client:
            held = {key: int(client.get(key) or 0) for key in self._keys}
        return {key: (counts[key], held[key]) for key in self._keys if not counts[key] <= held[key] <= counts[key] + most}

    def _run(self, seed: int) -> None:
        chance, counts = random.Random(seed), self._counts[seed]
        with RedisCluster(*self._where, socket_timeout=5) as client:
            while not self._stop.is_set():
                for _ in range(BATCH):
                    key = self._keys[bisect.bisect(self._steps, chance.random() * self._steps[-1])]
                    try:
                        client.incr(key)
                    except redis.exceptions.RedisError as error:
                        self.unknown[seed] += 1
                        self.errors.append(f"{type(error).__name__}: {error}")
                    else:
                        counts[key] += 1


def parts(before: Mapping[str, int], after: Mapping[str, int], owned: Mapping[Where, SlotRanges]) -> dict[Where, float]:
    """Each owner's part of the increments between two counts."""
    owner = {slot: where for where, slots in owned.items() for first, last in slots for slot in range(first, last + 1)}
    sums: dict[Where, int] = dict.fromkeys(owned, 0)
    for key, count in after.items():
        sums[owner[key_slot(key.encode())]] += count - before[key]
    whole = sum(sums.values())
    return {where: made / whole for where, made in sums.items()}
