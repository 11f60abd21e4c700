"""The clients that write and read while something changes: as their users have them, with their own defaults but for retries,
which the program makes and counts by itself, and for how long they wait: GLIDE's quarter of a second passes on a busy machine
without any fault. None of them is our code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

Where = tuple[str, int]
TIMEOUT_S, TIMEOUT_MS = 1.0, 1000


class Commands(NamedTuple):
    """Any Exception: not acknowledged, not read."""

    push: Callable[[str, int], object]  # append to the list at the key
    last: Callable[[str], int | None]  # of that list; None: there is none


@contextmanager
def redis_py(where: Where) -> Iterator[Commands]:
    """Through an endpoint, with one connection."""
    with redis.Redis(*where, socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)) as client:
        yield _of_redis_py(client)


@contextmanager
def redis_py_cluster(where: Where) -> Iterator[Commands]:
    with RedisCluster(*where, socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)) as client:
        yield _of_redis_py(client)


def _of_redis_py(client: Any) -> Commands:
    def last(key: str) -> int | None:
        found = client.lindex(key, -1)
        return None if found is None else int(found)

    return Commands(client.rpush, last)


@contextmanager
def glide(where: Where) -> Iterator[Commands]:
    from glide import GlideClient, GlideClientConfiguration, NodeAddress

    with _of_glide(
        lambda: GlideClient.create(GlideClientConfiguration([NodeAddress(*where)], request_timeout=TIMEOUT_MS))
    ) as commands:
        yield commands


@contextmanager
def glide_cluster(where: Where) -> Iterator[Commands]:
    from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

    with _of_glide(
        lambda: GlideClusterClient.create(GlideClusterClientConfiguration([NodeAddress(*where)], request_timeout=TIMEOUT_MS))
    ) as commands:
        yield commands


@contextmanager
def _of_glide(create: Callable[[], Any]) -> Iterator[Commands]:
    from glide import Logger, LogLevel

    Logger.set_logger_config(LogLevel.OFF)
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(create())

    def last(key: str) -> int | None:
        found = loop.run_until_complete(client.lindex(key, -1))
        return None if found is None else int(found)

    try:
        yield Commands(lambda key, value: loop.run_until_complete(client.rpush(key, [str(value)])), last)
    finally:
        loop.run_until_complete(client.close())
        loop.close()


KINDS: Mapping[str, Callable[[Where], AbstractContextManager[Commands]]] = {
    "redis-py": redis_py,
    "redis-py-cluster": redis_py_cluster,
    "glide": glide,
    "glide-cluster": glide_cluster,
}
