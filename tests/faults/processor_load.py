"""A load on the processors of a cluster's primaries, of known size, spread evenly over all slots: scripts that only count.

How much processor time one takes is measured first, so that the same load comes of it on any machine.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.cluster import RedisCluster

from tests.traffic.clients import Where

SCRIPT = "local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + i end return x"
LOOPS = 200_000
TRIALS = 100
THREADS = 4


def cost_s(where: Where) -> float:
    """Of one script, in processor time of an engine."""
    with RedisCluster(*where, socket_timeout=10) as cache:
        node = cache.get_node_from_key("cost")
        assert node is not None
        with redis.Redis(node.host, node.port, socket_timeout=10) as primary:
            before = _spent_s(primary)
            for _ in range(TRIALS):
                primary.eval(SCRIPT, 1, "cost", LOOPS)
            return (_spent_s(primary) - before) / TRIALS


def _spent_s(node: redis.Redis) -> float:
    told = node.info("cpu")
    return float(told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"])


@contextmanager
def processor_load(where: Where, rate: float) -> Iterator[list[Exception]]:
    """rate: scripts a second, all together. What failed, with redis-py's own retries, is in the list."""
    ended, failures = threading.Event(), list[Exception]()

    def run(number: int) -> None:
        chance, begun_s = random.Random(number), time.perf_counter()
        with RedisCluster(*where, socket_timeout=10) as cache:
            for serial in itertools.count():
                if ended.wait(max(0.0, begun_s + serial * THREADS / rate - time.perf_counter())):
                    return
                try:
                    cache.eval(SCRIPT, 1, f"busy:{chance.random()}", LOOPS)
                except Exception as error:
                    failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        ended.set()
        for thread in threads:
            thread.join()
