"""Caches filled from snapshots of real ones: the same shape, another one, another node type, a newer engine; every key,
value and time to live is compared by what clients see.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import redis
from botocore.exceptions import ClientError
from redis.cluster import RedisCluster

from cachefleet.model.group import Engine
from tests.engine.contents import Item, Name, Where, clustered_contents, contents, differences, functions
from tests.engine.engine_processes import build_of
from tests.engine.every_type import NOISE, fill, has_functions, load_function
from tests.engine.groups import address, await_available, cache_cluster, delete
from tests.engine.snapshots import await_snapshot, describe_snapshot, remove, restored
from tests.fixtures.service import Service, wait_for

CANARY = b"canary-" + NOISE[:20].hex().encode()
MICRO, SMALL = "cache.t4g.micro", "cache.t4g.small"
COMMON = {"ReplicationGroupDescription": "test", "CacheNodeType": MICRO, "AtRestEncryptionEnabled": True}
PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
SHARDS = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
NEWEST = (Engine.VALKEY, "9.1")


class Origin(msgspec.Struct, frozen=True):
    """A snapshot, and what was in the cache when it was made. The cache is gone."""

    snapshot: str
    before: dict[Name, Item]
    libraries: dict[bytes, bytes]


@contextmanager
def taken(client: Any, name: str, build: tuple[Engine, str], *databases: int, **shape: Any) -> Iterator[Origin]:
    """databases: that have keys besides the first one."""
    engine, version = build
    client.create_replication_group(ReplicationGroupId=name, Engine=engine.value, EngineVersion=version, **COMMON, **shape)
    group = await_available(client, name)
    put(group, build, *databases)
    made = Origin(f"{name}-taken", everything(group), functions(primaries(group)[0]))
    client.create_snapshot(SnapshotName=made.snapshot, ReplicationGroupId=name)
    await_snapshot(client, made.snapshot)
    delete(client, name)
    try:
        yield made
    finally:
        remove(client, made.snapshot)


def put(group: dict[str, Any], build: tuple[Engine, str], *databases: int) -> None:
    where, installed = entrance(group), build_of(*build)
    with RedisCluster(*where) if group["ClusterEnabled"] else redis.Redis(*where) as cache:
        fill(cache, installed)
        cache.set("canary", CANARY)
    for node in primaries(group) if has_functions(installed) else ():
        with redis.Redis(*node) as each:
            load_function(each, "mine", 42)
    for database in databases:
        with redis.Redis(*where, db=database) as cache:
            cache.mset({f"{database}:{number}": number for number in range(200)})


def entrance(group: dict[str, Any]) -> Where:
    return address(group["ConfigurationEndpoint"] if group["ClusterEnabled"] else group["NodeGroups"][0]["PrimaryEndpoint"])


def primaries(group: dict[str, Any]) -> list[Where]:
    where = entrance(group)
    if not group["ClusterEnabled"]:
        return [where]
    with RedisCluster(*where) as cache:
        return [(node.host, node.port) for node in cache.get_primaries()]


def everything(group: dict[str, Any]) -> dict[Name, Item]:
    where = entrance(group)
    return clustered_contents(where) if group["ClusterEnabled"] else contents([where])


def is_what_it_was(service: Service, origin: Origin, group: dict[str, Any]) -> None:
    assert differences(origin.before, everything(group)) == []
    for node in primaries(group):
        assert functions(node) == origin.libraries
    files = [file for file in service.data.rglob("*") if not file.is_dir()]
    assert [file for file in files if not stat.S_ISREG(file.lstat().st_mode)] == [], "a pipe is left"
    assert [file for file in files if CANARY in file.read_bytes()] == [], "plaintext on a disk"
    assert list((service.data / "nodes").rglob("*.rdb")) == []


def replicas_agree(group: dict[str, Any]) -> None:
    """Of a group with cluster mode disabled."""
    sizes = []
    for member in group["NodeGroups"][0]["NodeGroupMembers"]:
        with redis.Redis(*address(member["ReadEndpoint"])) as node:
            sizes.append({name: each["keys"] for name, each in node.info("keyspace").items()})
    assert len(sizes) > 1 and sizes[1:] == sizes[:-1]


@pytest.fixture(scope="module")
def of_a_cluster(service: Service) -> Iterator[Origin]:
    with taken(service.client(), "two", NEWEST, **SHARDS) as made:
        yield made


@pytest.fixture(scope="module")
def of_a_pair(service: Service) -> Iterator[Origin]:
    with taken(service.client(), "pair", NEWEST, **PAIR) as made:
        yield made


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shards", "replicas"), [(1, 1), (2, 0), (3, 1), (5, 0)])
def test_a_cluster_into_any_number_of_shards(
    service: Service, elasticache: Any, of_a_cluster: Origin, shards: int, replicas: int
) -> None:
    shape = {"NumNodeGroups": shards, "ReplicasPerNodeGroup": replicas, "AutomaticFailoverEnabled": True}
    with restored(elasticache, f"r{shards}", SnapshotName=of_a_cluster.snapshot, **shape) as group:
        assert (len(group["NodeGroups"]), group["ClusterEnabled"]) == (shards, True)
        is_what_it_was(service, of_a_cluster, group)


def test_a_cluster_as_it_was(service: Service, elasticache: Any, of_a_cluster: Origin) -> None:
    """Nothing is said but the name: shards, slots, replicas, encryption, engine and node type are those of the snapshot."""
    with restored(elasticache, "same", SnapshotName=of_a_cluster.snapshot) as group:
        assert [shard["Slots"] for shard in group["NodeGroups"]] == ["0-8191", "8192-16383"]
        assert {len(shard["NodeGroupMembers"]) for shard in group["NodeGroups"]} == {2}
        assert (group["AtRestEncryptionEnabled"], group["CacheNodeType"]) == (True, MICRO)
        is_what_it_was(service, of_a_cluster, group)


def test_a_cluster_into_slots_that_are_chosen(service: Service, elasticache: Any, of_a_cluster: Origin) -> None:
    layout = [
        {"Slots": "0-99", "ReplicaCount": 0},
        {"Slots": "100-9000", "ReplicaCount": 0},
        {"Slots": "9001-16383", "ReplicaCount": 0},
    ]
    shape = {"NodeGroupConfiguration": layout, "AutomaticFailoverEnabled": True}
    with restored(elasticache, "odd", SnapshotName=of_a_cluster.snapshot, **shape) as group:
        assert [shard["Slots"] for shard in group["NodeGroups"]] == [each["Slots"] for each in layout]
        is_what_it_was(service, of_a_cluster, group)


def test_a_pair_with_another_node_type(service: Service, elasticache: Any, of_a_pair: Origin) -> None:
    with restored(elasticache, "larger", SnapshotName=of_a_pair.snapshot, CacheNodeType=SMALL, NumCacheClusters=3) as group:
        assert (group["CacheNodeType"], len(group["MemberClusters"])) == (SMALL, 3)
        is_what_it_was(service, of_a_pair, group)
        replicas_agree(group)


@pytest.mark.parametrize("shards", [1, 3])
def test_a_pair_into_a_cluster(service: Service, elasticache: Any, of_a_pair: Origin, shards: int) -> None:
    shape = {"NumNodeGroups": shards, "ReplicasPerNodeGroup": 1, "ClusterMode": "enabled", "AutomaticFailoverEnabled": True}
    parameters = {"CacheParameterGroupName": "default.valkey9.cluster.on"}
    with restored(elasticache, f"into{shards}", SnapshotName=of_a_pair.snapshot, **shape, **parameters) as group:
        assert (len(group["NodeGroups"]), group["ClusterEnabled"]) == (shards, True)
        is_what_it_was(service, of_a_pair, group)


def test_a_pair_into_a_cluster_of_its_own(service: Service, elasticache: Any, of_a_pair: Origin) -> None:
    with cache_cluster(elasticache, "alone", SnapshotName=of_a_pair.snapshot, Engine="valkey", NumCacheNodes=1) as cluster:
        where = address(cluster["CacheNodes"][0]["Endpoint"])
        assert differences(of_a_pair.before, contents([where])) == []
        assert functions(where) == of_a_pair.libraries


def test_several_databases_stay_several_and_are_refused_in_cluster_mode(service: Service, elasticache: Any) -> None:
    with taken(elasticache, "many", NEWEST, 3, 9, **PAIR) as origin:
        with restored(elasticache, "manyagain", SnapshotName=origin.snapshot) as group:
            is_what_it_was(service, origin, group)
            replicas_agree(group)
        with pytest.raises(ClientError, match="databases 3, 9") as refusal:
            elasticache.create_replication_group(
                ReplicationGroupId="no",
                ReplicationGroupDescription="no",
                SnapshotName=origin.snapshot,
                NumNodeGroups=2,
                ReplicasPerNodeGroup=0,
                CacheParameterGroupName="default.valkey9.cluster.on",
                AutomaticFailoverEnabled=True,
            )
        assert refusal.value.response["Error"]["Code"] == "InvalidParameterCombination"


def test_enabled_does_not_become_disabled(elasticache: Any, of_a_cluster: Origin) -> None:
    with pytest.raises(ClientError, match="cannot be restored without") as refusal:
        elasticache.create_replication_group(
            ReplicationGroupId="no",
            ReplicationGroupDescription="no",
            SnapshotName=of_a_cluster.snapshot,
            ClusterMode="disabled",
        )
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterCombination"


# --- engines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((Engine.REDIS, "7.0"), NEWEST),
        ((Engine.REDIS, "6.2"), (Engine.VALKEY, "8.1")),
        ((Engine.REDIS, "6.2"), (Engine.REDIS, "7.0")),
        ((Engine.VALKEY, "8.1"), NEWEST),
    ],
    ids=lambda build: "-".join(build),
)
def test_a_newer_engine(service: Service, elasticache: Any, old: tuple[Engine, str], new: tuple[Engine, str]) -> None:
    build_of(*new)
    newer = {"Engine": new[0].value, "EngineVersion": new[1]}
    with (
        taken(elasticache, "old", old, **PAIR) as origin,
        restored(elasticache, "new", SnapshotName=origin.snapshot, **newer) as group,
    ):
        is_what_it_was(service, origin, group)
        replicas_agree(group)


@pytest.mark.parametrize(("old", "new"), [((Engine.REDIS, "7.0"), NEWEST), ((Engine.REDIS, "6.2"), (Engine.VALKEY, "8.1"))])
def test_a_newer_engine_with_other_shards(
    service: Service, elasticache: Any, old: tuple[Engine, str], new: tuple[Engine, str]
) -> None:
    build_of(*new)
    newer = {"Engine": new[0].value, "EngineVersion": new[1]}
    shape = {"NumNodeGroups": 3, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    with (
        taken(elasticache, "oldtwo", old, **SHARDS) as origin,
        restored(elasticache, "newthree", SnapshotName=origin.snapshot, **newer, **shape) as group,
    ):
        is_what_it_was(service, origin, group)


# --- afterwards ----------------------------------------------------------------------------------------------------


def test_a_snapshot_shows_that_it_is_being_restored_and_cannot_be_deleted(
    service: Service, elasticache: Any, of_a_pair: Origin
) -> None:
    elasticache.create_replication_group(
        ReplicationGroupId="shown", ReplicationGroupDescription="test", SnapshotName=of_a_pair.snapshot
    )
    try:
        found = describe_snapshot(elasticache, of_a_pair.snapshot)
        assert found is not None
        if found["SnapshotStatus"] == "restoring":
            with pytest.raises(ClientError, match="restoring"):
                elasticache.delete_snapshot(SnapshotName=of_a_pair.snapshot)
        group = await_available(elasticache, "shown")
        assert await_snapshot(elasticache, of_a_pair.snapshot)["SnapshotStatus"] == "available"
        with redis.Redis(*primaries(group)[0]) as cache:
            assert cache.set("canary", "new")
    finally:
        delete(elasticache, "shown")


def test_what_was_restored_fails_over_and_is_taken_again(service: Service, elasticache: Any, of_a_cluster: Origin) -> None:
    with restored(elasticache, "again", SnapshotName=of_a_cluster.snapshot) as group:
        elasticache.test_failover(ReplicationGroupId="again", NodeGroupId="0001")

        def handed_over() -> bool:
            events = elasticache.describe_events(SourceType="replication-group", SourceIdentifier="again")["Events"]
            return any(event["Message"].startswith("Failover from primary node") for event in events)

        wait_for("the role is handed over", handed_over)
        await_available(elasticache, "again")
        is_what_it_was(service, of_a_cluster, group)
        elasticache.create_snapshot(SnapshotName="again-taken", ReplicationGroupId="again")
        await_snapshot(elasticache, "again-taken")
        try:
            with restored(elasticache, "thrice", SnapshotName="again-taken", NumNodeGroups=1) as last:
                is_what_it_was(service, of_a_cluster, last)
        finally:
            remove(elasticache, "again-taken")
