"""Shards come and go while clients write: nothing acknowledged is lost, every slot has one owner at the end."""

from __future__ import annotations

from typing import Any

import redis
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, describe_cluster, replication_group
from tests.engine.writer import Writer
from tests.fixtures.service import Service

CLUSTERED = {"CacheParameterGroupName": "default.valkey9.cluster.on", "AutomaticFailoverEnabled": True}


def reshard(client: Any, group: str, shards: int, **more: Any) -> dict[str, Any]:
    shown = client.modify_replication_group_shard_configuration(
        ReplicationGroupId=group, NodeGroupCount=shards, ApplyImmediately=True, **more
    )["ReplicationGroup"]
    assert shown["Status"] == "modifying"
    after = await_healthy(client, group, timeout_s=60.0)
    assert len(after["NodeGroups"]) == shards
    return after


def owners(client: Any, group: dict[str, Any]) -> dict[str, dict[str, int]]:
    """By member, how many slots it says that each node owns."""
    found = {}
    for member in group["MemberClusters"]:
        shown = describe_cluster(client, member)
        assert shown is not None
        with redis.Redis(*address(shown["CacheNodes"][0]["Endpoint"])) as node:
            table = node.execute_command("CLUSTER NODES")
        assert not any("fail" in known["flags"] or "handshake" in known["flags"] for known in table.values()), table
        found[member] = {
            known["node_id"]: sum(int(slots[-1]) - int(slots[0]) + 1 for slots in known["slots"])
            for known in table.values()
            if known["slots"]
        }
    return found


def test_two_shards_three_and_two_again(service: Service, elasticache: Any) -> None:
    with replication_group(elasticache, "shards", NumNodeGroups=2, ReplicasPerNodeGroup=1, **CLUSTERED) as group:
        endpoint = address(group["ConfigurationEndpoint"])
        with RedisCluster(*endpoint) as client:
            for number in range(2000):
                client.set(f"key{number}", number)
        writers = [Writer(*endpoint, key=f"{{w{number}}}log", clustered=True) for number in range(3)]
        with writers[0], writers[1], writers[2]:
            writers[0].await_writes(100)
            grown = reshard(elasticache, "shards", 3)
            for table in owners(elasticache, grown).values():
                assert sorted(table.values()) == [5461, 5461, 5462]
            writers[0].await_writes(100)
            shrunk = reshard(elasticache, "shards", 2, NodeGroupsToRemove=["0002"])
            for table in owners(elasticache, shrunk).values():
                assert sorted(table.values()) == [8192, 8192]
            writers[0].await_writes(100)
        assert [error for writer in writers for error in writer.errors] == []
        with RedisCluster(*endpoint) as client:
            for writer in writers:
                assert {int(value) for value in client.lrange(writer._key, 0, -1)} == writer.acknowledged
            assert all(client.get(f"key{number}") == str(number).encode() for number in range(2000))
            assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == 2000 + len(writers)
        assert sum(".shards-" in name for name in service.engine_pids().values()) == 4
