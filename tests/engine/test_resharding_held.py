"""Slots that cannot move for what an engine refuses: the group says in whose words, and goes on when that is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, describe, replication_group
from tests.engine.test_resharding import ENGINES
from tests.fixtures.long import long
from tests.fixtures.service import Service, wait_for

KEYS = 300


@contextmanager
def parameter_group(api: Any, name: str, family: str) -> Iterator[str]:
    """In cluster mode."""
    api.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="test")
    try:
        set_parameter(api, name, "cluster-enabled", "yes")
        yield name
    finally:
        api.delete_cache_parameter_group(CacheParameterGroupName=name)


def set_parameter(api: Any, group: str, name: str, value: str) -> None:
    pair = {"ParameterName": name, "ParameterValue": value}
    api.modify_cache_parameter_group(CacheParameterGroupName=group, ParameterNameValues=[pair])


# Jobs of Valkey 9 fail of it, too, and their words are told until keys move one by one.
@pytest.mark.parametrize("family", ["redis7", long("valkey8"), "valkey9"])
def test_writes_that_the_target_does_not_take(service: Service, elasticache: Any, family: str) -> None:
    """Keys that move are written, and min-replicas-to-write asks for more replicas than there are."""
    with parameter_group(elasticache, f"strict-{family}", family) as strict:
        request = {**ENGINES[family], "NumNodeGroups": 2, "ReplicasPerNodeGroup": 0, "CacheParameterGroupName": strict}
        with replication_group(elasticache, "held", **request) as group:
            with RedisCluster(*address(group["ConfigurationEndpoint"])) as client:
                for number in range(KEYS):
                    client.set(f"key{number}", number)
            set_parameter(elasticache, strict, "min-replicas-to-write", "1")
            wait_for("it holds", lambda: in_sync(elasticache))
            elasticache.modify_replication_group_shard_configuration(
                ReplicationGroupId="held", NodeGroupCount=3, ApplyImmediately=True
            )
            wait_for("the group says why", lambda: is_told(service.told()), 60, every_s=0.5)
            shown = describe(elasticache, "held")
            assert shown is not None and shown["Status"] == "modifying"
            set_parameter(elasticache, strict, "min-replicas-to-write", "0")
            after = await_healthy(elasticache, "held", 120)
            assert len(after["NodeGroups"]) == 3
            with RedisCluster(*address(after["ConfigurationEndpoint"])) as client:
                assert [client.get(f"key{number}") for number in range(KEYS)] == [b"%d" % number for number in range(KEYS)]
            assert service.told().count("held:") == 0, "nothing holds it up any more"


def is_told(status: str) -> bool:
    """Not for good: each empty slot that moves is progress, after which nothing has failed."""
    return "held: moving slots from node group 000" in status and "NOREPLICAS" in status


def in_sync(api: Any) -> bool:
    clusters = [one for one in api.describe_cache_clusters()["CacheClusters"] if one["CacheClusterId"].startswith("held-")]
    return {one["CacheParameterGroup"]["ParameterApplyStatus"] for one in clusters} == {"in-sync"}
