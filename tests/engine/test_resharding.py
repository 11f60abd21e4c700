"""Shards come and go while clients write: nothing acknowledged is lost, every slot has one owner at the end."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from tests.engine.groups import address, await_healthy, describe_cluster, replication_group
from tests.fixtures.long import long
from tests.fixtures.service import Service
from tests.traffic.writer import ClusterWriter

ENGINES = {
    "valkey9": {"Engine": "valkey", "EngineVersion": "9.1"},
    "valkey8": {"Engine": "valkey", "EngineVersion": "8.1"},
    "redis7": {"Engine": "redis", "EngineVersion": "7.0"},
    "redis6.x": {"Engine": "redis", "EngineVersion": "6.2"},
}

LIBRARY = """#!lua name=answers
redis.register_function('answer', function(keys, args) return 42 end)
"""


def reshard(client: Any, group: str, shards: int, **more: Any) -> dict[str, Any]:
    shown = client.modify_replication_group_shard_configuration(
        ReplicationGroupId=group, NodeGroupCount=shards, ApplyImmediately=True, **more
    )["ReplicationGroup"]
    assert shown["Status"] == "modifying"
    after = await_healthy(client, group, timeout_s=300.0)  # key by key; on a busy machine far slower than alone
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


@pytest.mark.parametrize("family", ["valkey9", long("valkey8"), long("redis7"), "redis6.x"])
def test_two_shards_three_and_two_again(service: Service, elasticache: Any, family: str) -> None:
    """The shard in the middle goes."""
    shards = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "CacheParameterGroupName": f"default.{family}.cluster.on"}
    with replication_group(elasticache, "shards", **ENGINES[family], **shards) as group:
        endpoint = address(group["ConfigurationEndpoint"])
        with RedisCluster(*endpoint) as client:
            for number in range(2000):
                client.set(f"key{number}", number)
            if family != "redis6.x":
                client.execute_command("FUNCTION LOAD", LIBRARY, target_nodes=RedisCluster.PRIMARIES)
        writers = [ClusterWriter(*endpoint, keys=[f"{{w{number}}}log"]) for number in range(3)]
        with writers[0], writers[1], writers[2]:
            writers[0].await_writes(100)
            grown = reshard(elasticache, "shards", 3)
            for table in owners(elasticache, grown).values():
                assert sorted(table.values()) == [5461, 5461, 5462]
            writers[0].await_writes(100)
            if family != "redis6.x":
                with RedisCluster(*endpoint) as client:
                    assert {client.fcall("answer", 1, f"key{number}") for number in range(100)} == {42}
            shrunk = reshard(elasticache, "shards", 2, NodeGroupsToRemove=["0002"])
            for table in owners(elasticache, shrunk).values():
                assert sorted(table.values()) == [8192, 8192]
            writers[0].await_writes(100)
        errors = {error for writer in writers for error in writer.errors}
        assert errors <= (set() if family == "valkey9" else {"AttributeError"})  # of redis-py, sent to a node new to it
        with RedisCluster(*endpoint) as client:
            for writer in writers:
                assert {int(value) for value in client.lrange(writer.keys[0], 0, -1)} == writer.acknowledged
            assert all(client.get(f"key{number}") == str(number).encode() for number in range(2000))
            assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == 2000 + len(writers)
        assert sum(".shards-" in name for name in service.engine_pids().values()) == 4
