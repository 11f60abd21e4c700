"""Any request that the service model lets through is answered or refused in the words of the service; the store stays sound.

Requests are drawn from the model's input shapes, values from what is nearly right.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from botocore.model import ListShape, Shape, StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachefleet.api.registry import OPERATIONS
from cachefleet.model.errors import AwsError
from cachefleet.model.group import SLOTS
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.snapshot import SnapshotState
from cachefleet.protocol.service import service as service_model
from tests.component.api_groups.snapshot_stage import SnapshotStage
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

OPERATIONS_HERE = sorted(
    name
    for service, name in OPERATIONS
    if service == "elasticache"
    and name.removesuffix("s").endswith(("ReplicationGroup", "CacheCluster", "Failover", "ShardConfiguration", "Snapshot"))
)
RIGHT: dict[str, tuple[Any, ...]] = {  # values that are right somewhere, by member
    "ReplicationGroupId": ("demo", "big", "new"),
    "CacheClusterId": ("alone", "mem", "demo-001", "demo-002", "demo-003", "big-0001-001", "new"),
    "PrimaryClusterId": ("alone", "demo-001", "demo-002"),
    "ReplicationGroupDescription": ("words",),
    "CacheNodeType": ("cache.t4g.micro", "cache.r7g.large"),
    "Engine": ("valkey", "redis", "memcached"),
    "EngineVersion": ("9.1", "7.0", "6.x", "1.6.18"),
    "CacheParameterGroupName": ("default.valkey9", "default.valkey9.cluster.on", "default.redis7", "default.memcached1.6"),
    "CacheSubnetGroupName": ("default",),
    "NumCacheClusters": (1, 2, 3, 6),
    "NumNodeGroups": (1, 2, 3),
    "NumCacheNodes": (1, 2, 3),
    "ReplicasPerNodeGroup": (0, 1, 2),
    "NodeGroupCount": (1, 2, 3),
    **dict.fromkeys(("NodeGroupsToRemove", "NodeGroupsToRetain"), ("1", "0002")),
    "ReplicaCount": (0, 1, 2),
    "NodeGroupId": ("0001", "0002", "7"),
    "Slots": ("0-16383", "0-8191", "8192-16383"),
    "AZMode": ("single-az", "cross-az"),
    "ClusterMode": ("enabled", "disabled"),
    "PreferredMaintenanceWindow": ("sun:05:00-sun:06:00",),
    "SnapshotWindow": ("05:00-06:00",),
    "SnapshotRetentionLimit": (0, 3),
    "NotificationTopicArn": ("arn:aws:sns:local-1:000000000000:news", ""),
    "NotificationTopicStatus": ("active", "inactive"),
    **dict.fromkeys(("SnapshotName", "SourceSnapshotName"), ("nightly", "sharded", "single", "new")),
    **dict.fromkeys(("TargetSnapshotName", "FinalSnapshotIdentifier"), ("new", "nightly")),
    "TargetBucket": ("bucket",),
    "KmsKeyId": ("own", "alias/own"),
    "SnapshotSource": ("user", "system"),
    "SnapshotArns": ("arn:aws:s3:::bucket/a.rdb", "arn:aws:s3:::bucket/b,c.rdb"),
    "SnapshottingClusterId": ("demo-001", "demo-002"),
    "Port": (6379, 7000),
    "MaxRecords": (20, 100),
    "Key": ("team", "cost"),
    "SecurityGroupIds": ("sg-1", "sg-2"),
    "CacheNodeIdsToReboot": ("0001", "0002"),
    **dict.fromkeys(("NetworkType", "IpDiscovery"), ("ipv4",)),
    **dict.fromkeys(
        (
            *("PreferredAvailabilityZone", "PreferredAvailabilityZones", "PreferredCacheClusterAZs"),
            *("PrimaryAvailabilityZone", "ReplicaAvailabilityZones"),
        ),
        ("local-1a", "local-1b", "local-1c"),
    ),
}
ODD_WORDS = ("", " ", "x" * 300, "a--b", "ä\u0000", "-", "0", "eu-west-1a", "default")
ODD_NUMBERS = (-1, 0, 1, 7, 40, 65535, 10**18)
NEEDED = {"CreateReplicationGroup": ("CacheNodeType",), "CreateCacheCluster": ("CacheNodeType",)}


def of_shape(shape: Shape, member: str) -> st.SearchStrategy[Any]:
    if isinstance(shape, StructureShape):
        members = {name: of_shape(below, name) for name, below in shape.members.items()}
        return st.fixed_dictionaries({}, optional=members)
    if isinstance(shape, ListShape):
        return st.lists(of_shape(shape.member, member), max_size=3)
    if shape.type_name == "boolean":
        return st.booleans()
    odd: tuple[Any, ...] = ODD_NUMBERS if shape.type_name == "integer" else ODD_WORDS
    right = RIGHT.get(member, ())
    return st.sampled_from(right * 8 + odd)


@functools.cache
def requests(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Few members at a time, so that more than the first check is reached."""
    shape = service_model("elasticache").model.operation_model(name).input_shape
    members = {member: of_shape(below, member) for member, below in shape.members.items()}
    needed = {*shape.required_members, *NEEDED.get(name, ())}
    built = sorted(set(members) - set(OPERATIONS["elasticache", name].refused))

    def some(chosen: set[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({member: members[member] for member in sorted(needed | chosen)})

    few = st.sets(st.sampled_from(built), max_size=6) | st.sets(st.sampled_from(sorted(members)), max_size=6)
    return few.flatmap(some)


async def furnished() -> SnapshotStage:
    stage = SnapshotStage(MemoryStore(), ManualClock())
    await stage.make_topics("news")
    await stage.create_group(NumCacheClusters=3)
    await stage.create_group("big", NumNodeGroups=2, ReplicasPerNodeGroup=1)
    await stage.create_cluster()
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    for name in ("demo", "big"):
        await stage.settle(name)
    for name in ("alone", "mem"):
        await stage.settle(name, Kind.CACHE_CLUSTER)
    await stage.make("nightly")
    await stage.make("sharded", ReplicationGroupId="big")
    await stage.make("single", CacheClusterId="alone")
    return stage


async def check_sound(stage: SnapshotStage) -> None:
    """Every row is shown, and owns what it should."""
    held: list[str] = []
    for key in await stage.store.keys(GROUP_KINDS):
        desired = (await stage.row(key)).desired
        if desired.snapshotting:
            assert (await stage.snapshot_row(desired.snapshotting)).desired.state is SnapshotState.CREATING
        held += [key.name] if key.kind is Kind.CACHE_CLUSTER else [node.name for node in desired.nodes]
        assert len({node.name for node in desired.nodes}) == len(desired.nodes) > 0
        slots = sum(last - first + 1 for shard in desired.shards for first, last in shard.slots)
        assert slots in (0, SLOTS) and all(1 <= len(shard.nodes) <= 40 for shard in desired.shards)
    assert [name for name, _ in await stage.store.members(stage.context.scope)] == sorted(held)
    await stage.call("DescribeReplicationGroups")
    await stage.call("DescribeCacheClusters", ShowCacheNodeInfo=True)
    assert len(await stage.listed(ShowNodeGroupConfig=True)) in (3, 4)


async def attempt(name: str, request: dict[str, Any]) -> None:
    stage = await furnished()
    try:
        await stage.call(name, **request)
    except AwsError as refusal:
        assert refusal.message and refusal.message.isprintable()
    await check_sound(stage)


def test_every_operation_of_these_nouns_is_tried() -> None:
    assert len(OPERATIONS_HERE) == 15


@pytest.mark.parametrize("name", OPERATIONS_HERE)
def test_odd_requests(name: str) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests(name))
    def run(request: dict[str, Any]) -> None:
        asyncio.run(attempt(name, request))

    run()
