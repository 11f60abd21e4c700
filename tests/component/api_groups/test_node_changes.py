"""Another node type, engine, version or parameter group: what begins, what waits, what is refused."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.model.group import Engine
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.settings import HostSettings
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.fakes.catalogue import BUILDS, StaticCatalogue

MODIFY = "ModifyReplicationGroup"
CLUSTER = Kind.CACHE_CLUSTER
MICRO, SMALL, LARGE = "cache.t4g.micro", "cache.t4g.small", "cache.r6g.large"
MB = 1024 * 1024
VALUE, COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"


async def ready(stage: GroupStage, name: str = "demo", **request: Any) -> None:
    await stage.create_group(name, **request)
    await stage.settle(name)


async def change(stage: GroupStage, /, **request: Any) -> dict[str, Any]:
    reply = await stage.call(MODIFY, **{"ReplicationGroupId": "demo", "ApplyImmediately": True, **request})
    shown: dict[str, Any] = reply["ReplicationGroup"]
    return shown


async def pending(stage: GroupStage, cluster: str = "demo-001") -> dict[str, Any]:
    return dict((await stage.cluster(cluster))["PendingModifiedValues"])


async def wanted(stage: GroupStage) -> tuple[str, str, str, str]:
    desired = (await stage.row(stage.key("demo"))).desired
    return desired.node_type, desired.engine.value, desired.engine_version, desired.parameter_group


async def use(stage: GroupStage, size_mb: int) -> None:
    """What the planner wrote down of each node's memory."""
    row = await stage.row(stage.key("demo"))
    nodes = {name: replace(known, used_bytes=size_mb * MB) for name, known in row.memory.nodes.items()}
    await stage.write(replace(row, memory=replace(row.memory, nodes=nodes)))


def with_builds(context: Context, *more: tuple[Engine, str]) -> Context:
    builds = [replace(BUILDS[0], engine=engine, version=version) for engine, version in more]
    return replace(context, catalogue=StaticCatalogue([*builds, *BUILDS]))


# --- at once -------------------------------------------------------------------------------------------------------


@on_groups
async def test_a_node_type_begins_at_once(stage: GroupStage) -> None:
    await ready(stage)
    shown = await change(stage, CacheNodeType=LARGE)
    assert (shown["Status"], shown["CacheNodeType"], shown["PendingModifiedValues"]) == ("modifying", LARGE, {})
    assert (await stage.row(stage.key("demo"))).status.state == "modifying", "in the same write"
    await stage.refused("InvalidReplicationGroupState", "modifying", MODIFY, ReplicationGroupId="demo", CacheNodeType=SMALL)


@on_groups
async def test_versions_and_engines_begin_at_once(stage: GroupStage) -> None:
    await ready(stage, Engine="redis", EngineVersion="6.2")
    for request, then in (
        ({"EngineVersion": "7.0"}, (MICRO, "redis", "7.0.15", "default.redis7")),
        ({"Engine": "Valkey", "EngineVersion": "8.1"}, (MICRO, "valkey", "8.1.4", "default.valkey8")),
        ({"EngineVersion": "9.1", "CacheNodeType": SMALL}, (SMALL, "valkey", "9.1.2", "default.valkey9")),
    ):
        await change(stage, **request)
        assert await wanted(stage) == then
        await stage.settle()


@on_groups
async def test_an_engine_without_a_version_gets_the_newest(stage: GroupStage) -> None:
    await ready(stage, Engine="redis", EngineVersion="6.x")
    await change(stage, Engine="valkey", CacheParameterGroupName="default.valkey9")
    assert await wanted(stage) == (MICRO, "valkey", "9.1.2", "default.valkey9")


@on_groups
async def test_a_cluster_of_its_own_changes_type_and_version(stage: GroupStage) -> None:
    await stage.create_cluster(Engine="redis", EngineVersion="6.2")
    await stage.settle("alone", CLUSTER)
    reply = await stage.call(
        "ModifyCacheCluster", CacheClusterId="alone", CacheNodeType=SMALL, EngineVersion="7.0", ApplyImmediately=True
    )
    shown = reply["CacheCluster"]
    assert (shown["CacheClusterStatus"], shown["CacheNodeType"], shown["EngineVersion"]) == ("modifying", SMALL, "7.0.15")


# --- what is refused -----------------------------------------------------------------------------------------------


@on_groups
async def test_versions_that_cannot_be(stage: GroupStage) -> None:
    await ready(stage, Engine="valkey", EngineVersion="8.1")
    before = await stage.row(stage.key("demo"))
    for code, rule, request in (
        (VALUE, "Installed versions: 9.1.2, 8.1.4", {"EngineVersion": "7.2"}),
        (VALUE, "patch version", {"EngineVersion": "9.1.2"}),
        (VALUE, "Valkey 8.1 to Redis OSS 7.0 is not possible", {"Engine": "redis"}),
        (VALUE, "cannot become memcached", {"Engine": "memcached"}),
        (VALUE, "Engine: 'mongo'", {"Engine": "mongo"}),
        (COMBINATION, "needs one of valkey8", {"CacheParameterGroupName": "default.valkey9"}),
        (COMBINATION, "needs one of valkey9", {"EngineVersion": "9.1", "CacheParameterGroupName": "default.valkey8"}),
        (COMBINATION, "cluster-enabled=yes", {"CacheParameterGroupName": "default.valkey8.cluster.on"}),
        ("CacheParameterGroupNotFound", "'mine' not found", {"CacheParameterGroupName": "mine"}),
    ):
        for immediately in (True, False):
            await stage.refused(code, rule, MODIFY, ReplicationGroupId="demo", ApplyImmediately=immediately, **request)
    assert await stage.row(before.key) == before


@on_groups
async def test_there_is_one_way_back(stage: GroupStage) -> None:
    stage.context = with_builds(stage.context, (Engine.VALKEY, "7.2.11"), (Engine.REDIS, "7.1.0"), (Engine.REDIS, "7.4.2"))
    await ready(stage, Engine="redis", EngineVersion="7.0")
    await stage.refused(VALUE, "a downgrade from Redis OSS 7.0 to", MODIFY, ReplicationGroupId="demo", EngineVersion="6.2")
    await change(stage, Engine="valkey", EngineVersion="7.2")
    await stage.settle()
    await change(stage, Engine="redis", EngineVersion="7.1")
    assert (await wanted(stage))[1:3] == ("redis", "7.1.0")
    await stage.settle()
    await change(stage, EngineVersion="7.4")
    await stage.settle()
    await stage.refused(
        VALUE, "does not read the data", MODIFY, ReplicationGroupId="demo", Engine="valkey", EngineVersion="9.1"
    )


@on_groups
async def test_a_cluster_of_its_own_keeps_its_engine(stage: GroupStage) -> None:
    await stage.create_cluster(Engine="redis")
    await stage.settle("alone", CLUSTER)
    await stage.refused(
        COMBINATION,
        "CreateReplicationGroup with PrimaryClusterId",
        "ModifyCacheCluster",
        CacheClusterId="alone",
        Engine="valkey",
    )


@on_groups
async def test_node_types_that_cannot_be(stage: GroupStage) -> None:
    await ready(stage, AutomaticFailoverEnabled=True)
    for rule, kind in (
        ("is not a node type", "cache.huge"),
        ("ListAllowedNodeTypeModifications names", "cache.t1.micro"),
        ("ListAllowedNodeTypeModifications names", "cache.m1.small"),
        ("ListAllowedNodeTypeModifications names", "cache.r6gd.xlarge"),
    ):
        await stage.refused(VALUE, rule, MODIFY, ReplicationGroupId="demo", CacheNodeType=kind)


@on_groups
async def test_a_smaller_type_only_when_the_data_fit(stage: GroupStage) -> None:
    await ready(stage, CacheNodeType=LARGE)
    await use(stage, 500)
    listed = await stage.call("ListAllowedNodeTypeModifications", ReplicationGroupId="demo")
    assert SMALL in listed["ScaleDownModifications"] and MICRO not in listed["ScaleDownModifications"]
    rule = "the data of demo-00[12] take 500 MB, and a cache.t4g.micro node has 384 MB for data"
    for immediately in (True, False):
        await stage.refused(VALUE, rule, MODIFY, ReplicationGroupId="demo", CacheNodeType=MICRO, ApplyImmediately=immediately)
    await use(stage, 300)
    await stage.call(MODIFY, ReplicationGroupId="demo", CacheNodeType=MICRO)
    await use(stage, 500)
    await stage.refused(VALUE, rule, MODIFY, ReplicationGroupId="demo", ApplyImmediately=True)
    await use(stage, 384)
    assert (await change(stage))["CacheNodeType"] == MICRO


@on_groups
async def test_a_larger_type_only_when_the_host_has_the_memory(stage: GroupStage) -> None:
    await ready(stage)
    asked: list[tuple[int, int]] = []

    def refuses(nodes: int, size_bytes: int) -> str:
        asked.append((nodes, size_bytes))
        return "" if size_bytes < 2000 * MB else "too little memory"

    settings = replace(stage.context.settings, host=HostSettings(memory="reserve"))
    stage.context = replace(stage.context, refuses=refuses, settings=settings)
    for immediately in (True, False):
        await stage.refused(
            "InsufficientCacheClusterCapacity",
            "too little memory",
            MODIFY,
            ReplicationGroupId="demo",
            CacheNodeType=SMALL,
            ApplyImmediately=immediately,
        )
    assert asked == [(0, 2 * 1_471_026_299)] * 2, "of both nodes, as they would be"
    await stage.call(MODIFY, ReplicationGroupId="demo", CacheNodeType="cache.t2.micro")
    asked.clear()
    await stage.call("CreateCacheCluster", CacheClusterId="other", CacheNodeType=MICRO)
    assert asked == [(1, 2 * 581_959_680 + 512 * MB)], "what is pending counts"


# --- what waits ----------------------------------------------------------------------------------------------------


@on_groups
async def test_what_waits_is_shown_replaced_and_taken_back(stage: GroupStage) -> None:
    await ready(stage, Engine="redis", EngineVersion="6.2")
    before = await wanted(stage)
    for request, then in (
        ({"CacheNodeType": SMALL}, {"CacheNodeType": SMALL}),
        ({"EngineVersion": "7.0"}, {"CacheNodeType": SMALL, "EngineVersion": "7.0.15"}),
        ({"CacheNodeType": LARGE}, {"CacheNodeType": LARGE, "EngineVersion": "7.0.15"}),
        ({"Engine": "valkey", "EngineVersion": "8.1"}, {"CacheNodeType": LARGE, "EngineVersion": "8.1.4"}),
        ({"EngineVersion": "9.1"}, {"CacheNodeType": LARGE, "EngineVersion": "9.1.2"}),
        ({"CacheNodeType": MICRO}, {"EngineVersion": "9.1.2"}),
        ({"ReplicationGroupDescription": "other"}, {"EngineVersion": "9.1.2"}),
        ({"Engine": "redis"}, {}),
    ):
        shown = await change(stage, **request, ApplyImmediately=False)
        assert (shown["Status"], shown["PendingModifiedValues"]) == ("available", {})
        assert [await pending(stage, member) for member in ("demo-001", "demo-002")] == [then, then]
    assert await wanted(stage) == before
    assert (await stage.row(stage.key("demo"))).desired.pending is None


@on_groups
async def test_immediately_begins_all_that_waits(stage: GroupStage) -> None:
    await ready(stage, Engine="redis", EngineVersion="6.2")
    await change(stage, CacheNodeType=SMALL, Engine="valkey", EngineVersion="8.1", ApplyImmediately=False)
    shown = await change(stage, ReplicationGroupDescription="other")
    assert (shown["Status"], await pending(stage)) == ("modifying", {})
    assert await wanted(stage) == (SMALL, "valkey", "8.1.4", "default.valkey8")


@on_groups
async def test_nothing_that_waits_asks_for_nothing(stage: GroupStage) -> None:
    await ready(stage)
    before = await stage.row(stage.key("demo"))
    await change(stage)
    await change(stage, CacheNodeType=MICRO, EngineVersion="9.1", ApplyImmediately=False)
    assert await stage.row(before.key) == before


@on_groups
async def test_what_keeps_what_from_beginning(stage: GroupStage) -> None:
    """A pending scale-up and an immediate upgrade, the other way round, both; and how to go on."""
    await ready(stage, Engine="redis", EngineVersion="6.2", CacheNodeType=SMALL)
    state = "InvalidReplicationGroupState"
    upgrade, up, down = {"EngineVersion": "7.0"}, {"CacheNodeType": LARGE}, {"CacheNodeType": MICRO}
    for waits, blocked, free in (
        (up, [upgrade], [{**upgrade, **up}, {**upgrade, "CacheNodeType": SMALL}, {"CacheNodeType": "cache.m6g.large"}]),
        (upgrade, [up], [{**up, **upgrade}, {**up, "EngineVersion": "6.2"}, down, {"EngineVersion": "7.0"}]),
        ({**up, **upgrade}, [up, upgrade], [{**up, **upgrade}, {}]),
        (down, [], [upgrade]),
    ):
        await change(stage, **waits, ApplyImmediately=False)
        row = await stage.row(stage.key("demo"))
        for request in blocked:
            await stage.refused(state, "pending, so", MODIFY, ReplicationGroupId="demo", ApplyImmediately=True, **request)
            await change(stage, **request, ApplyImmediately=False)
            row = await _restore(stage, row)
        for request in free:
            assert (await change(stage, **request))["Status"] == "modifying"
            row = await _restore(stage, row)
        await _restore(stage, replace(row, desired=replace(row.desired, pending=None)))


async def _restore(stage: GroupStage, row: GroupRow) -> GroupRow:
    return await stage.write(replace(row, version=(await stage.row(row.key)).version))


@on_groups
async def test_a_promotion_and_a_change_of_nodes_do_not_begin_together(stage: GroupStage) -> None:
    await ready(stage)
    await stage.refused(
        COMBINATION,
        "one after the other",
        MODIFY,
        ReplicationGroupId="demo",
        PrimaryClusterId="demo-002",
        CacheNodeType=SMALL,
        ApplyImmediately=True,
    )
    shown = await change(stage, PrimaryClusterId="demo-002", CacheNodeType=SMALL, ApplyImmediately=False)
    assert shown["PendingModifiedValues"] == {"PrimaryClusterId": "demo-002"}
    assert await pending(stage) == {"CacheNodeType": SMALL}


@on_groups
async def test_a_member_is_changed_through_its_group(stage: GroupStage) -> None:
    await ready(stage)
    for request in ({"CacheNodeType": SMALL}, {"CacheNodeType": SMALL, "ApplyImmediately": True}):
        await stage.refused(
            COMBINATION, "use ModifyReplicationGroup", "ModifyCacheCluster", CacheClusterId="demo-001", **request
        )


@on_groups
async def test_a_pending_cluster_mode_lets_nothing_else_change(stage: GroupStage) -> None:
    await ready(stage, AutomaticFailoverEnabled=True)
    await change(stage, ClusterMode="compatible", ApplyImmediately=False)
    for immediately in (True, False):
        await stage.refused(
            "InvalidReplicationGroupState",
            "has cluster mode compatible pending",
            MODIFY,
            ReplicationGroupId="demo",
            CacheNodeType=SMALL,
            ApplyImmediately=immediately,
        )
    shown = await change(stage, ReplicationGroupDescription="other", ApplyImmediately=False)
    assert shown["PendingModifiedValues"] == {"ClusterMode": "compatible"}
    await change(stage)
    desired = (await stage.row(stage.key("demo"))).desired
    assert (desired.cluster_mode, desired.parameter_group) == ("compatible", "default.valkey9.cluster.on")
