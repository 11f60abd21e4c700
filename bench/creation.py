"""How soon a cache that was asked for can be used: from the call of CreateReplicationGroup to the first acknowledged SET.

The client looks at DescribeReplicationGroups until it knows the endpoint, then tries to write until it may. For 3x2, a key of
each shard must have been written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from bench.row import Row
from tests.engine.groups import address, delete, describe
from tests.fixtures.service import running_service, wait_for

NOTE = __doc__
ROUNDS = 5
AT_ONCE = 20
LOOK_EVERY_S = 0.01
PAIR: Mapping[str, Any] = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
CLUSTER: Mapping[str, Any] = {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
KEYS_OF_THREE_SHARDS = ("b", "c", "a")  # slots 3300, 7365, 15495


def measure(data: Path) -> Iterator[Row]:
    with running_service(data) as service:
        client = service.client(max_pool_connections=AT_ONCE)
        pairs = [_until_written(client, f"pair{number}", PAIR) for number in range(ROUNDS)]
        yield Row(figure="1 shard + 1 replica: first SET", unit="s", values=pairs, target=1.0)
        clusters = [_until_written(client, f"cluster{number}", CLUSTER) for number in range(ROUNDS)]
        yield Row(
            figure="3 shards x 2 nodes: first SET in every shard",
            unit="s",
            values=clusters,
            target=3.0,
            reference="2 s of it: the engine's own wait before cluster nodes take writes",
        )
        yield Row(figure="20 groups 1+1 at once: all available", unit="s", values=[_many(client)], target=30.0)


def create(client: Any, name: str, request: Mapping[str, Any]) -> None:
    client.create_replication_group(
        ReplicationGroupId=name,
        ReplicationGroupDescription="bench",
        CacheNodeType="cache.t4g.micro",
        Engine="valkey",
        **request,
    )


def _until_written(client: Any, name: str, request: Mapping[str, Any]) -> float:
    begun = time.perf_counter()
    create(client, name, request)
    host, port = wait_for("an endpoint", lambda: _endpoint(client, name), every_s=LOOK_EVERY_S)
    write = _write_shards if "NumNodeGroups" in request else _write
    wait_for("a write", lambda: write(host, port), every_s=0.002)
    took_s = time.perf_counter() - begun
    delete(client, name)
    return took_s


def _endpoint(client: Any, name: str) -> tuple[str, int] | None:
    group = describe(client, name) or {}
    shards = group.get("NodeGroups") or [{}]
    endpoint = group.get("ConfigurationEndpoint") or shards[0].get("PrimaryEndpoint")
    return address(endpoint) if endpoint and endpoint.get("Address") else None


def _write(host: str, port: int) -> bool:
    try:
        with redis.Redis(host, port, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            return bool(client.set("a", "1"))
    except redis.exceptions.RedisError:
        return False


def _write_shards(host: str, port: int) -> bool:
    try:
        with RedisCluster(host, port, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            return all(client.set(key, "1") for key in KEYS_OF_THREE_SHARDS)
    except redis.exceptions.RedisError:
        return False


def _many(client: Any) -> float:
    names = [f"many{number}" for number in range(AT_ONCE)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: create(client, name, PAIR), names))
    wait_for("all are available", lambda: available(client) >= AT_ONCE, 120, every_s=0.05)
    took_s = time.perf_counter() - begun
    for name in names:
        client.delete_replication_group(ReplicationGroupId=name)
    wait_for("all are gone", lambda: not client.describe_replication_groups()["ReplicationGroups"], 120, every_s=0.1)
    return took_s


def available(client: Any) -> int:
    """How many groups are."""
    pages = client.get_paginator("describe_replication_groups").paginate()
    return sum(group["Status"] == "available" for page in pages for group in page["ReplicationGroups"])
