"""What users wish for of replication groups, clusters, parameter groups, snapshots and tags: requests that may succeed."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from tests.simulation.world import PORT

NODE_TYPES = ("cache.t4g.micro", "cache.t4g.small", "cache.m6g.large")
NAMES = ("one", "two")
CLUSTERS = ("mem", "alone")
VALUES = tuple(
    {"ParameterName": name, "ParameterValue": value}
    for name, value in (
        ("timeout", "20"),
        ("maxmemory-policy", "allkeys-lru"),
        ("databases", "4"),
        ("reserved-memory-percent", "40"),
    )
)
Wish = tuple[str, dict[str, Any]]  # operation, request
Weighed = list[tuple[float, Wish]]


class Draw(msgspec.Struct, frozen=True):
    """What wishes are made of this time. made: how many were drawn, this one too."""

    chance: Random
    made: int
    group: str
    cluster: str
    now: dict[str, Any]

    @property
    def name(self) -> dict[str, Any]:
        return {"ReplicationGroupId": self.group}

    @property
    def modified(self) -> dict[str, Any]:
        return {**self.name, **self.now}

    def pick(self, *values: Any) -> Any:
        return self.chance.choice(values)


def draw(chance: Random, made: int) -> Draw:
    return Draw(
        chance, made, chance.choice(NAMES), chance.choice(CLUSTERS), {"ApplyImmediately": chance.choice((True, True, False))}
    )


def group_wishes(draw: Draw) -> Weighed:
    pick, name, modified = draw.pick, draw.name, draw.modified
    immediate = {**name, "ApplyImmediately": True}
    member = f"{draw.group}-{pick('001', '002', '003', '0001-001', '0002-002')}"
    return [
        (1, ("CreateCacheCluster", {"CacheClusterId": f"{draw.group}-009", **name})),
        (3, ("ModifyReplicationGroup", {**modified, "CacheNodeType": pick(*NODE_TYPES)})),
        (2, ("ModifyReplicationGroup", {**modified, "EngineVersion": pick("8.1", "9.1")})),
        (0.5, ("ModifyReplicationGroup", {**modified, "Engine": "valkey", "EngineVersion": pick("8.0", "9.1")})),
        (1, ("ModifyReplicationGroup", {**name, "AutomaticFailoverEnabled": pick(True, False), "MultiAZEnabled": False})),
        (1, ("ModifyReplicationGroup", {**name, "ReplicationGroupDescription": f"d{draw.made}"})),
        (2, ("ModifyReplicationGroup", {**modified, "PrimaryClusterId": member})),
        (4, ("IncreaseReplicaCount", {**immediate, "NewReplicaCount": pick(1, 2)})),
        (3, ("DecreaseReplicaCount", {**immediate, "NewReplicaCount": pick(0, 1)})),
        (6, ("ModifyReplicationGroupShardConfiguration", {**immediate, "NodeGroupCount": pick(2, 3)})),
        (2, ("ModifyReplicationGroupShardConfiguration",
             {**immediate, "NodeGroupCount": 2, "NodeGroupsToRemove": [pick("0001", "0002", "0003")]})),
        (3, ("TestFailover", {**name, "NodeGroupId": pick("0001", "0002")})),
        (2, ("RebootCacheCluster", {"CacheClusterId": member, "CacheNodeIdsToReboot": ["0001"]})),
        (0.4, ("DeleteReplicationGroup", {**name, **pick({}, {"FinalSnapshotIdentifier": f"last{draw.made}"})})),
        (1, ("DeleteCacheCluster", {"CacheClusterId": member})),
    ]  # fmt: skip


def cluster_wishes(draw: Draw) -> Weighed:
    pick, cluster = draw.pick, {"CacheClusterId": draw.cluster, **draw.now}
    return [
        (2, ("CreateCacheCluster", {"CacheClusterId": "mem", "Engine": "memcached", "CacheNodeType": NODE_TYPES[0],
                                    "NumCacheNodes": pick(1, 2, 3), "Port": PORT})),
        (2, ("CreateCacheCluster", {"CacheClusterId": "alone", "CacheNodeType": NODE_TYPES[0],
                                    "EngineVersion": pick("8.0", "8.1")})),
        (2, ("ModifyCacheCluster", {**cluster, "CacheClusterId": "mem", "NumCacheNodes": pick(2, 3, 4)})),
        (2, ("ModifyCacheCluster", {**cluster, "CacheNodeType": pick(*NODE_TYPES)})),
        (1, ("ModifyCacheCluster", {**cluster, "CacheClusterId": "alone", "EngineVersion": "9.1"})),
        (0.5, ("DeleteCacheCluster", {"CacheClusterId": draw.cluster})),
    ]  # fmt: skip


def other_wishes(draw: Draw) -> Weighed:
    """Of parameter groups, snapshots and tags."""
    pick, mine, snapshot = draw.pick, {"CacheParameterGroupName": "mine"}, f"s{draw.pick(*range(1, 6))}"
    arn = f"arn:aws:elasticache:local-1:000000000000:replicationgroup:{draw.group}"
    chosen = pick(mine, {"CacheParameterGroupName": "default.valkey9"})
    return [
        (1, ("CreateCacheParameterGroup", {**mine, "CacheParameterGroupFamily": "valkey9", "Description": "d"})),
        (3, ("ModifyCacheParameterGroup", {**mine, "ParameterNameValues": [pick(*VALUES)]})),
        (1, ("ResetCacheParameterGroup", {**mine, "ResetAllParameters": True})),
        (0.5, ("DeleteCacheParameterGroup", mine)),
        (3, ("ModifyReplicationGroup", {**draw.modified, **chosen})),
        (4, ("CreateSnapshot", {**draw.name, "SnapshotName": f"s{draw.made % 6}"})),
        (1, ("CopySnapshot", {"SourceSnapshotName": snapshot, "TargetSnapshotName": f"copy{draw.made}"})),
        (1, ("DeleteSnapshot", {"SnapshotName": snapshot})),
        (2, ("AddTagsToResource", {"ResourceName": arn, "Tags": [{"Key": pick("k1", "k2"), "Value": str(draw.made)}]})),
        (1, ("RemoveTagsFromResource", {"ResourceName": arn, "TagKeys": ["k1"]})),
    ]  # fmt: skip


def creation(draw: Draw, group: str, more: dict[str, Any]) -> Wish:
    """more: of who may use it, and with TLS or without."""
    pick = draw.pick
    kinds: list[dict[str, Any]] = [
        {"NumCacheClusters": pick(1, 2, 3), "EngineVersion": pick("8.0", "8.1", "9.1")},
        {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1},
        {"NumNodeGroups": pick(1, 2), "ReplicasPerNodeGroup": pick(0, 1), "EngineVersion": pick("8.0", "8.1", "9.1")},
        {"NumCacheClusters": pick(1, 2), "Engine": "redis", "EngineVersion": "7.0"},
        {"SnapshotName": f"s{pick(*range(1, 6))}"},
    ]
    base = {"ReplicationGroupId": group, "ReplicationGroupDescription": "d", "CacheNodeType": pick(*NODE_TYPES)}
    return "CreateReplicationGroup", {**base, **pick(*kinds), **more}
