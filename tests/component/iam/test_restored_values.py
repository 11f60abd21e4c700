"""What a creation does not say itself counts in conditions, too: what it takes over from a snapshot, what shards say."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.api.access.authorization import authorize
from cachefleet.model.errors import AwsError
from tests.component.api_groups.snapshot_stage import SnapshotStage, on_snapshots
from tests.component.iam.stage import allow, deny, user

SHAPE: dict[str, Any] = {
    "ReplicationGroupId": "demo",
    "ReplicationGroupDescription": "d",
    "Engine": "valkey",
    "CacheNodeType": "cache.t4g.micro",
}
CREATE = {"ReplicationGroupId": "next", "ReplicationGroupDescription": "d"}


async def is_let(stage: SnapshotStage, operation: str, request: dict[str, Any], *statements: dict[str, Any]) -> bool:
    context = replace(stage.context, caller=user("ann", allow("*"), *statements))
    try:
        await authorize(context, "elasticache", operation, request)
    except AwsError as error:
        assert error.code == "AccessDenied", error
        return False
    return True


@on_snapshots
async def test_a_restored_group_is_what_the_snapshot_was_made_of(stage: SnapshotStage) -> None:
    await stage.call("CreateReplicationGroup", **SHAPE, NumNodeGroups=4, ReplicasPerNodeGroup=2, AutomaticFailoverEnabled=True)
    await stage.settle("demo")
    await stage.make("nightly")
    restore = {**CREATE, "SnapshotName": "Nightly"}
    for key, operator, value in (
        ("NumNodeGroups", "NumericGreaterThan", "3"),
        ("ReplicasPerNodeGroup", "NumericEquals", "2"),
        ("CacheNodeType", "StringEquals", "cache.t4g.micro"),
        ("ClusterModeEnabled", "Bool", "true"),
        ("EngineType", "StringEquals", "valkey"),
        ("TransitEncryptionEnabled", "Bool", "false"),
    ):
        condition = {operator: {f"elasticache:{key}": value}}
        refused = deny("*", "arn:aws:elasticache:*:*:replicationgroup:*", **condition)
        assert not await is_let(stage, "CreateReplicationGroup", restore, refused), key
    larger = deny("*", StringEquals={"elasticache:CacheNodeType": "cache.t4g.micro"})
    assert await is_let(stage, "CreateReplicationGroup", {**restore, "CacheNodeType": "cache.r7g.large"}, larger)
    assert await is_let(stage, "CreateReplicationGroup", {**restore, "SnapshotName": "none"}, larger)


@on_snapshots
async def test_replicas_of_single_shards_count(stage: SnapshotStage) -> None:
    many = deny("*", NumericGreaterThan={"elasticache:ReplicasPerNodeGroup": "2"})
    for counts, passed in (((1, 2), True), ((1, 5), False)):
        shards = [{"NodeGroupId": f"{number:04}", "ReplicaCount": count} for number, count in enumerate(counts, 1)]
        assert await is_let(stage, "CreateReplicationGroup", {**CREATE, "NodeGroupConfiguration": shards}, many) is passed
    for count, passed in ((2, True), (3, False)):
        asked = {"ReplicationGroupId": "demo", "ReplicaConfiguration": [{"NodeGroupId": "0001", "NewReplicaCount": count}]}
        assert await is_let(stage, "IncreaseReplicaCount", asked, many) is passed


@on_snapshots
async def test_a_cluster_that_joins_a_group_is_one_more_replica(stage: SnapshotStage) -> None:
    await stage.call("CreateReplicationGroup", **SHAPE, NumCacheClusters=3)
    asked = {"CacheClusterId": "more", "ReplicationGroupId": "demo"}
    for most, passed in (("2", False), ("3", True)):
        many = deny("*", NumericGreaterThan={"elasticache:ReplicasPerNodeGroup": most})
        assert await is_let(stage, "CreateCacheCluster", asked, many) is passed
        assert await is_let(stage, "TestFailover", {"ReplicationGroupId": "demo"}, many)


@on_snapshots
async def test_shards_that_a_request_does_not_name_keep_their_replicas(stage: SnapshotStage) -> None:
    await stage.call("CreateReplicationGroup", **SHAPE, NumNodeGroups=2, ReplicasPerNodeGroup=3, AutomaticFailoverEnabled=True)
    many = deny("*", NumericGreaterThan={"elasticache:ReplicasPerNodeGroup": "2"})
    fewer = [{"NodeGroupId": f"{number:04}", "NewReplicaCount": 1} for number in (1, 2)]
    for named, passed in ((fewer[:1], False), (fewer, True)):
        asked = {"ReplicationGroupId": "demo", "ReplicaConfiguration": named}
        assert await is_let(stage, "DecreaseReplicaCount", asked, many) is passed


@on_snapshots
async def test_an_export_goes_by_its_name_as_it_is(stage: SnapshotStage) -> None:
    """These alone may have capitals."""
    await stage.call("CreateReplicationGroup", **SHAPE)
    await stage.settle("demo")
    made = await stage.make("nightly")
    key = replace(made.key, name="Export")
    async with stage.store.transaction() as transaction:
        await transaction.insert(replace(made, key=key, version=0, tags={"stage": "live"}))
    named = deny("*", "arn:aws:elasticache:*:*:snapshot:Export")
    assert not await is_let(stage, "DeleteSnapshot", {"SnapshotName": "Export"}, named)
    assert await is_let(stage, "DeleteSnapshot", {"SnapshotName": "nightly"}, named)
    tagged = deny("*", StringEquals={"aws:ResourceTag/stage": "live"})
    assert not await is_let(stage, "DeleteSnapshot", {"SnapshotName": "Export"}, tagged)
    assert await is_let(stage, "DeleteSnapshot", {"SnapshotName": "nightly"}, tagged)
