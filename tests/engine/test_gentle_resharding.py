"""Slots that move gently under writers, with real engines: key by key, out of one shard at a time, until the tag is gone."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, describe, replication_group
from tests.fixtures.long import long
from tests.fixtures.service import wait_for
from tests.traffic.clients import Where
from tests.traffic.keys import counts, fill, owners, view_of
from tests.traffic.writer import ClusterWriter

KEYS = 200_000
TAG = {"Key": "cachefleet:reshard", "Value": "gentle"}
ENGINES = {
    "valkey9": {"Engine": "valkey", "EngineVersion": "9.1"},
    "redis7": {"Engine": "redis", "EngineVersion": "7.0"},
}


def progress(api: Any) -> float:
    group = describe(api, "gentle")
    assert group is not None
    changes = group.get("PendingModifiedValues", {})
    return float(changes.get("Resharding", {}).get("SlotMigration", {}).get("ProgressPercentage", 0.0))


def jobs(node: Where) -> int:
    """Of atomic migration, those that are over too."""
    with redis.Redis(*node, socket_timeout=10) as client:
        client.response_callbacks.clear()
        return len(client.execute_command("CLUSTER GETSLOTMIGRATIONS"))


@pytest.mark.parametrize("family", ["valkey9", long("redis7")])
def test_one_shard_at_a_time_until_the_tag_is_taken_away(elasticache: Any, family: str) -> None:
    shards = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0, "AutomaticFailoverEnabled": True, "Tags": [TAG]}
    with replication_group(elasticache, "gentle", **ENGINES[family], **shards) as group:
        endpoint = address(group["ConfigurationEndpoint"])
        total, sources = fill(endpoint, KEYS), list(owners(endpoint))
        writers = [ClusterWriter(*endpoint, keys=[f"{{w{number}}}log"]) for number in range(3)]
        with writers[0], writers[1], writers[2]:
            writers[0].await_writes(100)
            elasticache.modify_replication_group_shard_configuration(
                ReplicationGroupId="gentle", NodeGroupCount=3, ApplyImmediately=True
            )
            giving = set()

            def well_begun() -> bool:
                marked = {node for node in sources if view_of(node).open_slots}
                assert len(marked) <= 1, "both give at once"
                giving.update(marked)
                return progress(elasticache) > 10

            wait_for("a tenth of the slots has moved", well_begun, 120.0)
            assert len(giving) == 1
            assert family == "redis7" or not any(jobs(node) for node in sources), "key by key, no jobs"
            elasticache.remove_tags_from_resource(ResourceName=group["ARN"], TagKeys=["cachefleet:reshard"])
            after = await_healthy(elasticache, "gentle", timeout_s=120.0)
            assert len(after["NodeGroups"]) == 3
            assert family == "redis7" or all(jobs(node) for node in sources), "in jobs"
            writers[0].await_writes(100)
        errors = {error for writer in writers for error in writer.errors}
        assert errors <= {"AttributeError"}  # of redis-py, sent to a node new to it
        with RedisCluster(*endpoint) as client:
            for writer in writers:
                assert {int(value) for value in client.lrange(writer.keys[0], 0, -1)} == writer.acknowledged
        assert sum(counts(list(owners(endpoint)))) == total + len(writers)
