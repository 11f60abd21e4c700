"""Caches with parameter groups of somebody's own: created, changed, and what both keep the other from."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import cachefleet.api.parameters.parameter_group_changes
import cachefleet.api.parameters.parameter_groups  # noqa: F401
from cachefleet.model.pending import PendingChange
from cachefleet.model.resource import Kind
from cachefleet.reference.node_types import NODE_TYPES
from tests.component.api_groups.stage import NODE_TYPE, GroupStage, on_groups
from tests.fakes.api import call

CREATE, MODIFY, RESET, DELETE = (f"{verb}CacheParameterGroup" for verb in ("Create", "Modify", "Reset", "Delete"))
GROUP, CLUSTER = "ModifyReplicationGroup", "ModifyCacheCluster"
VALUE, COMBINATION, STATE = "InvalidParameterValue", "InvalidParameterCombination", "InvalidCacheParameterGroupState"
MICRO = NODE_TYPES[NODE_TYPE]
DEMO: dict[str, Any] = {"ReplicationGroupId": "demo"}


async def make(stage: GroupStage, name: str = "mine", family: str = "valkey9", **values: str) -> None:
    """values: by names of parameters with _ in place of -."""
    await stage.call(CREATE, CacheParameterGroupName=name, CacheParameterGroupFamily=family, Description="")
    if values:
        await stage.call(MODIFY, CacheParameterGroupName=name, ParameterNameValues=listed(**values))


def listed(**values: str) -> list[dict[str, str]]:
    return [{"ParameterName": name.replace("_", "-"), "ParameterValue": value} for name, value in values.items()]


def named(name: str = "mine") -> dict[str, str]:
    return {"CacheParameterGroupName": name}


async def parameter_group(stage: GroupStage, name: str = "demo", kind: Kind = Kind.REPLICATION_GROUP) -> str:
    return (await stage.row(stage.key(name, kind))).desired.parameter_group


async def begin(stage: GroupStage, name: str = "demo", **request: Any) -> None:
    await stage.call(GROUP, ReplicationGroupId=name, ApplyImmediately=True, **request)


# --- created with one ----------------------------------------------------------------------------------------------


@on_groups
async def test_caches_are_created_with_a_group_of_their_own(stage: GroupStage) -> None:
    await make(stage)
    await make(stage, "items", "memcached1.6")
    await stage.create_group(**named("MINE"))
    await stage.create_cluster("alone", Engine="valkey", **named())
    await stage.create_cluster("many", Engine="memcached", NumCacheNodes=2, **named("items"))
    assert await parameter_group(stage) == await parameter_group(stage, "alone", Kind.CACHE_CLUSTER) == "mine"
    assert await parameter_group(stage, "many", Kind.CACHE_CLUSTER) == "items"
    await stage.settle()
    assert (await stage.cluster("demo-001"))["CacheParameterGroup"]["CacheParameterGroupName"] == "mine"


@on_groups
async def test_a_group_with_cluster_mode_makes_a_cache_one(stage: GroupStage) -> None:
    await make(stage, cluster_enabled="yes")
    view = await stage.create_group(NumNodeGroups=2, **named())
    assert view["ClusterEnabled"] is True
    view = await stage.create_group("one", **named())
    assert view["ClusterEnabled"] is True
    await stage.refused(
        COMBINATION, "cluster-enabled=yes", "CreateCacheCluster", CacheClusterId="c", CacheNodeType=NODE_TYPE, **named()
    )
    await make(stage, "plain")
    await stage.refused(
        COMBINATION,
        "plain has cluster-enabled=no, but ClusterMode is",
        "CreateReplicationGroup",
        ReplicationGroupId="x",
        ReplicationGroupDescription="d",
        CacheNodeType=NODE_TYPE,
        ClusterMode="enabled",
        **named("plain"),
    )


@on_groups
async def test_creations_that_do_not_go_with_the_group(stage: GroupStage) -> None:
    await make(stage, "old", "redis7")
    await make(stage, "reserved", reserved_memory=str(MICRO.maxmemory_bytes))
    await make(stage, "items", "memcached1.6")
    item = {"ParameterName": "max_item_size", "ParameterValue": "1073741824"}
    await stage.call(MODIFY, **named("items"), ParameterNameValues=[item])
    request: dict[str, Any] = {"CacheClusterId": "c", "CacheNodeType": NODE_TYPE}
    for code, rule, change in (
        ("CacheParameterGroupNotFound", "'none' not found", named("none")),
        (COMBINATION, "old is of the family redis7", named("old")),
        (VALUE, f"reserved does not go with the node type {NODE_TYPE}: reserved-memory is", named("reserved")),
        (VALUE, "more than a quarter", {"Engine": "memcached", **named("items")}),
    ):
        await stage.refused(code, rule, "CreateCacheCluster", **{**request, **change})
    assert await stage.store.get(stage.key("c", Kind.CACHE_CLUSTER)) is None
    await stage.create_cluster("c", **named("reserved"), CacheNodeType="cache.m6g.large")


# --- the group is changed ------------------------------------------------------------------------------------------


@on_groups
async def test_a_change_wakes_the_caches_that_use_the_group(stage: GroupStage) -> None:
    await make(stage)
    await stage.create_group(**named())
    await stage.create_cluster("alone", **named())
    await stage.create_group("other")
    stage.woken.clear()
    await stage.call(MODIFY, **named(), ParameterNameValues=listed(timeout="60"))
    assert sorted(stage.woken) == [stage.key("alone", Kind.CACHE_CLUSTER), stage.key("demo")]
    stage.woken.clear()
    await stage.call(MODIFY, **named(), ParameterNameValues=listed(timeout="60"))
    assert stage.woken == []
    stage.context = replace(stage.context, shared=True)
    await stage.call(RESET, **named(), ResetAllParameters=True)
    assert sorted(await stage.store.take_wakes()) == sorted(stage.woken)
    assert len(stage.woken) == 2


@on_groups
async def test_what_is_fixed_at_the_creation_stays_while_a_cache_uses_the_group(stage: GroupStage) -> None:
    await make(stage, databases="4")
    await stage.create_group(**named())
    for values in (listed(databases="5"), listed(cluster_enabled="yes"), listed(cluster_databases="2", timeout="60")):
        await stage.refused(
            STATE, "fixed when a cache is created, and demo uses", MODIFY, **named(), ParameterNameValues=values
        )
    await stage.refused(STATE, "databases is fixed", RESET, **named(), ResetAllParameters=True)
    await stage.call(MODIFY, **named(), ParameterNameValues=listed(cluster_enabled="no", databases="4", timeout="60"))
    row = await stage.row(stage.key("demo"))
    async with stage.store.transaction() as transaction:
        await transaction.delete(row)
    await stage.call(MODIFY, **named(), ParameterNameValues=listed(databases="5", cluster_enabled="yes"))


@on_groups
async def test_values_that_nodes_of_a_cache_cannot_have(stage: GroupStage) -> None:
    await make(stage)
    await stage.create_group(**named())
    too_much = listed(reserved_memory=str(MICRO.maxmemory_bytes))
    await stage.refused(
        VALUE, f"mine does not go with the node type {NODE_TYPE}", MODIFY, **named(), ParameterNameValues=too_much
    )
    await stage.settle()
    await begin(stage, CacheNodeType="cache.m6g.large")
    await stage.call(MODIFY, **named(), ParameterNameValues=too_much)
    await stage.settle()
    await stage.refused(VALUE, "reserved-memory is", GROUP, **DEMO, ApplyImmediately=True, CacheNodeType=NODE_TYPE)
    await stage.refused(VALUE, "reserved-memory is", GROUP, **DEMO, CacheNodeType=NODE_TYPE)


@on_groups
async def test_a_used_group_is_not_deleted(stage: GroupStage) -> None:
    await make(stage)
    await make(stage, "other")
    for at in range(7):
        await stage.create_cluster(f"c{at}", **named())
    await stage.refused(STATE, "mine is used by c0, c1, c2, c3, c4 and 2 more; give them another", DELETE, **named())
    for at in range(7):
        row = await stage.settle(f"c{at}", Kind.CACHE_CLUSTER)
        waits = replace(row.desired, parameter_group="other", pending=PendingChange(parameter_group="mine") if at else None)
        await stage.write(replace(row, desired=waits))
    await stage.refused(STATE, "mine is used by c1", DELETE, **named())
    for at in range(7):
        row = await stage.row(stage.key(f"c{at}", Kind.CACHE_CLUSTER))
        await stage.write(replace(row, desired=replace(row.desired, pending=None)))
    assert await call(stage.context, DELETE, **named()) == {}


# --- the cache is given another ------------------------------------------------------------------------------------


@on_groups
async def test_groups_are_exchanged(stage: GroupStage) -> None:
    await make(stage)
    await stage.create_group()
    await stage.settle()
    await stage.call(GROUP, **DEMO, **named())
    row = await stage.row(stage.key("demo"))
    assert row.desired.parameter_group == "default.valkey9"
    assert row.desired.pending == PendingChange(parameter_group="mine")
    await stage.refused(STATE, "used by demo", DELETE, **named())
    await begin(stage)
    assert await parameter_group(stage) == "mine"
    assert (await stage.group())["Status"] == "modifying"
    await stage.settle()
    await begin(stage, ReplicationGroupDescription="new")
    await stage.call(GROUP, **DEMO, SnapshotRetentionLimit=1)
    assert await parameter_group(stage) == "mine"
    await begin(stage, **named("default.valkey9"))
    assert await parameter_group(stage) == "default.valkey9"


@on_groups
async def test_groups_of_clusters_are_exchanged(stage: GroupStage) -> None:
    await make(stage, family="memcached1.6")
    await stage.create_cluster("many", Engine="memcached", NumCacheNodes=2)
    await stage.settle("many", Kind.CACHE_CLUSTER)
    await stage.call(CLUSTER, CacheClusterId="many", ApplyImmediately=True, **named())
    assert await parameter_group(stage, "many", Kind.CACHE_CLUSTER) == "mine"


@on_groups
async def test_exchanges_that_are_refused(stage: GroupStage) -> None:
    await make(stage, "few", databases="4")
    await make(stage, "same", databases="16")
    await make(stage, "sharded", cluster_enabled="yes")
    await make(stage, "old", "valkey8")
    await make(stage, "reserved", reserved_memory=str(MICRO.maxmemory_bytes))
    await stage.create_group()
    await stage.settle()
    for now in (True, False):
        for code, rule, name in (
            ("CacheParameterGroupNotFound", "'none'", "none"),
            (COMBINATION, "databases is 16 in default.valkey9 and 4 in few; it is fixed when", "few"),
            (COMBINATION, "sharded has cluster-enabled=yes", "sharded"),
            (COMBINATION, "old is of the family valkey8", "old"),
            (VALUE, "reserved-memory is", "reserved"),
        ):
            await stage.refused(code, rule, GROUP, **DEMO, ApplyImmediately=now, **named(name))
    await begin(stage, **named("same"))


@on_groups
async def test_an_upgrade_names_the_group_of_the_next_family(stage: GroupStage) -> None:
    await make(stage, "eight", "valkey8", databases="4")
    await make(stage, "nine", databases="4")
    await make(stage, "many", databases="16")
    await stage.create_group(EngineVersion="8.1", **named("eight"))
    await stage.settle()
    nine = {"EngineVersion": "9.1"}
    await stage.refused(
        COMBINATION, "CacheParameterGroupName is missing: eight is of the family valkey8", GROUP, **DEMO, **nine
    )
    await stage.refused(COMBINATION, "databases is 4 in eight and 16 in many", GROUP, **DEMO, **nine, **named("many"))
    await stage.refused(COMBINATION, "16 in default.valkey9", GROUP, **DEMO, **nine, **named("default.valkey9"))
    await stage.call(GROUP, **DEMO, **nine, **named("nine"))
    await stage.call(GROUP, **DEMO, CacheNodeType="cache.m6g.large")
    pending = (await stage.row(stage.key("demo"))).desired.pending
    assert pending is not None and pending.parameter_group == "nine"
    await stage.call(GROUP, **DEMO, EngineVersion="8.1")
    pending = (await stage.row(stage.key("demo"))).desired.pending
    assert pending == PendingChange(node_type="cache.m6g.large")
    await begin(stage, **nine, **named("nine"), CacheNodeType=NODE_TYPE)
    assert await parameter_group(stage) == "nine"


@on_groups
async def test_another_cluster_mode_needs_a_group_that_has_it(stage: GroupStage) -> None:
    await make(stage)
    await make(stage, "sharded", cluster_enabled="yes", databases="2")
    await stage.create_group(AutomaticFailoverEnabled=True, **named())
    await stage.settle()
    await stage.refused(COMBINATION, "CacheParameterGroupName is missing: mine has", GROUP, **DEMO, ClusterMode="compatible")
    await begin(stage, ClusterMode="compatible", **named("sharded"))
    assert await parameter_group(stage) == "sharded"
    await stage.settle()
    await stage.refused(COMBINATION, "missing: sharded has", GROUP, **DEMO, ClusterMode="disabled", ApplyImmediately=True)
    await begin(stage, ClusterMode="enabled")
    assert await parameter_group(stage) == "sharded"


@on_groups
async def test_node_types_that_do_not_go_with_the_group_are_not_listed(stage: GroupStage) -> None:
    await make(stage, family="memcached1.6")
    quarter = NODE_TYPES["cache.t4g.small"].memcached_mb - 100 << 20 >> 2
    item = {"ParameterName": "max_item_size", "ParameterValue": str(quarter // 524288 * 524288)}
    await stage.call(MODIFY, **named(), ParameterNameValues=[item])
    await stage.create_cluster("items", Engine="memcached", CacheNodeType="cache.m6g.large", **named())
    await stage.settle("items", Kind.CACHE_CLUSTER)
    smaller = (await stage.call("ListAllowedNodeTypeModifications", CacheClusterId="items"))["ScaleDownModifications"]
    assert "cache.t4g.small" in smaller and NODE_TYPE not in smaller
    for name in (NODE_TYPE, "cache.t4g.small"):
        change = {"CacheClusterId": "items", "CacheNodeType": name}
        if name in smaller:
            await stage.call(CLUSTER, **change)
        else:
            await stage.refused(VALUE, "more than a quarter", CLUSTER, **change)


# --- room for data -------------------------------------------------------------------------------------------------


@on_groups
async def test_memory_that_the_group_reserves_is_no_room_for_data(stage: GroupStage) -> None:
    await make(stage, reserved_memory_percent="60")
    await stage.create_group(CacheNodeType="cache.t4g.small", **named())
    row = await stage.settle()
    used = MICRO.maxmemory_bytes // 2
    nodes = {name: replace(known, used_bytes=used) for name, known in row.memory.nodes.items()}
    await stage.write(replace(row, memory=replace(row.memory, nodes=nodes)))
    smaller = (await stage.call("ListAllowedNodeTypeModifications", **DEMO))["ScaleDownModifications"]
    assert NODE_TYPE not in smaller
    await stage.refused(VALUE, "has 205 MB for data", GROUP, **DEMO, CacheNodeType=NODE_TYPE)
    await make(stage, "less", reserved_memory_percent="10")
    await stage.call(GROUP, **DEMO, CacheNodeType=NODE_TYPE, **named("less"))
    await begin(stage, **named("less"), CacheNodeType="cache.t4g.small")
    await stage.settle()
    assert NODE_TYPE in (await stage.call("ListAllowedNodeTypeModifications", **DEMO))["ScaleDownModifications"]
