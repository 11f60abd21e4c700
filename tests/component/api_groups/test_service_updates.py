"""Service updates over the API: what is listed, and what caches need."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine
from cachefleet.planning.service_updates import DAY_S
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.component.api_groups.update_stage import (
    ACTIONS,
    APPLY,
    CLUSTER,
    MINOR,
    PATCH,
    UPDATES,
    VALUE,
    action,
    batch,
    make_old,
    names,
    offer,
    old_group,
)
from tests.fakes.catalogue import BUILDS, StaticCatalogue

# --- what there is -------------------------------------------------------------------------------------------------


@on_groups
async def test_updates_are_listed_with_severity_and_dates(stage: GroupStage) -> None:
    at = offer(stage, "8.0.1", "8.1.4", "9.1.1", "9.1.2")
    found = {one["ServiceUpdateName"]: one for one in (await stage.call(UPDATES))["ServiceUpdates"]}
    assert list(found) == ["memcached-1-6-18-patch", MINOR, PATCH]
    assert found[PATCH] == {
        "ServiceUpdateName": PATCH,
        "ServiceUpdateReleaseDate": at,
        "ServiceUpdateSeverity": "important",
        "ServiceUpdateRecommendedApplyByDate": at + 30 * DAY_S,
        "ServiceUpdateStatus": "available",
        "ServiceUpdateDescription": "Brings Valkey 9.1.2 to caches of Valkey 9.1 before 9.1.2.",
        "ServiceUpdateType": "security-update",
        "Engine": "valkey",
        "EngineVersion": "valkey-9.1.2",
        "AutoUpdateAfterRecommendedApplyByDate": True,
        "EstimatedUpdateTime": "1 minute per node",
    }
    minor = found[MINOR]
    assert minor["ServiceUpdateSeverity"] == "low"
    assert minor["EngineVersion"] == "valkey-8.1.4"
    assert minor["ServiceUpdateDescription"] == "Brings Valkey 8.1.4 to caches of Valkey 8 before 8.1."
    assert not found["memcached-1-6-18-patch"]["AutoUpdateAfterRecommendedApplyByDate"]


@on_groups
async def test_updates_are_found_by_name_and_status(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2", "9.1.3")

    async def listed(**request: Any) -> list[str]:
        return [one["ServiceUpdateName"] for one in (await stage.call(UPDATES, **request))["ServiceUpdates"]]

    assert await listed(ServiceUpdateName=PATCH.upper()) == [PATCH]
    assert await listed(ServiceUpdateStatus=["cancelled"]) == ["valkey-9-1-3-patch"]
    assert await listed(ServiceUpdateStatus=["expired"]) == []
    assert await listed(ServiceUpdateName=PATCH, ServiceUpdateStatus=["expired", "cancelled"]) == []
    await stage.refused("ServiceUpdateNotFoundFault", "lists those", UPDATES, ServiceUpdateName="nope")
    await stage.refused(VALUE, "available, cancelled, expired", UPDATES, ServiceUpdateStatus=["new"])
    await stage.refused(VALUE, "MaxRecords", UPDATES, MaxRecords=1)


# --- what caches need ----------------------------------------------------------------------------------------------


@on_groups
async def test_a_cache_needs_what_is_newer_in_its_line(stage: GroupStage) -> None:
    at = offer(stage, "8.0.1", "8.1.4", "9.1.1", "9.1.2")
    await old_group(stage)
    await old_group(stage, "eight", "8.0.1")
    await old_group(stage, "new", "9.1.2")
    assert await action(stage, ServiceUpdateName=PATCH) == {
        "ReplicationGroupId": "demo",
        "ServiceUpdateName": PATCH,
        "ServiceUpdateReleaseDate": at,
        "ServiceUpdateSeverity": "important",
        "ServiceUpdateStatus": "available",
        "ServiceUpdateRecommendedApplyByDate": at + 30 * DAY_S,
        "ServiceUpdateType": "security-update",
        "UpdateActionAvailableDate": stage.clock.now(),
        "UpdateActionStatus": "not-applied",
        "NodesUpdated": "0/2",
        "UpdateActionStatusModifiedDate": stage.clock.now(),
        "SlaMet": "n/a",
        "EstimatedUpdateTime": "1 minute per node",
        "Engine": "valkey",
    }
    assert (await action(stage, ServiceUpdateName=MINOR))["ReplicationGroupId"] == "eight"
    assert await names(stage) == ["demo", "eight"]


@on_groups
async def test_nodes_are_shown_when_that_is_asked_for(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    await old_group(stage)
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    await make_old(stage, "mem", "1.6.10", CLUSTER)
    shown = await action(stage, ReplicationGroupIds=["demo"], ShowNodeLevelUpdateStatus=True)
    member = {"CacheNodeId": "0001", "NodeUpdateStatus": "not-applied"}
    members = [{"CacheClusterId": name, **member} for name in ("demo-001", "demo-002")]
    assert shown["NodeGroupUpdateStatus"] == [{"NodeGroupId": "0001", "NodeGroupMemberUpdateStatus": members}]
    alone = await action(stage, CacheClusterIds=["mem"], ShowNodeLevelUpdateStatus=True)
    assert alone["CacheNodeUpdateStatus"] == [{**member, "CacheNodeId": node} for node in ("0001", "0002")]
    assert "NodeGroupUpdateStatus" not in alone


@on_groups
async def test_actions_are_filtered(stage: GroupStage) -> None:
    at = offer(stage, "9.1.1", "9.1.2")
    await old_group(stage)
    await stage.create_cluster("alone", Engine="valkey")
    await make_old(stage, "alone", "9.1.1", CLUSTER)
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=1)
    await make_old(stage, "mem", "1.6.10", CLUSTER)
    assert await names(stage) == ["alone", "demo", "mem"]
    for request, found in (
        ({"ReplicationGroupIds": ["DEMO"]}, ["demo"]),
        ({"CacheClusterIds": ["mem", "alone"]}, ["alone", "mem"]),
        ({"CacheClusterIds": ["mem"], "ReplicationGroupIds": ["demo"]}, ["demo", "mem"]),
        ({"CacheClusterIds": ["demo-001", "nope"]}, []),
        ({"Engine": "memcached"}, ["mem"]),
        ({"ServiceUpdateName": PATCH}, ["alone", "demo"]),
        ({"ServiceUpdateName": "nope"}, []),
        ({"ServiceUpdateStatus": ["expired"]}, []),
        ({"UpdateActionStatus": ["not-applied", "complete"]}, ["alone", "demo", "mem"]),
        ({"UpdateActionStatus": ["in-progress"]}, []),
        ({"ServiceUpdateTimeRange": {"StartTime": at, "EndTime": at}}, ["alone", "demo", "mem"]),
        ({"ServiceUpdateTimeRange": {"StartTime": at + 1}}, []),
        ({"ServiceUpdateTimeRange": {"EndTime": at - 1}}, []),
    ):
        assert await names(stage, **request) == found, request
    await stage.refused(VALUE, "must be one of not-applied", ACTIONS, UpdateActionStatus=["done"])
    await stage.refused(VALUE, "Engine", ACTIONS, Engine="mysql")
    span = {"StartTime": at, "EndTime": at - 1}
    await stage.refused("InvalidParameterCombination", "StartTime", ACTIONS, ServiceUpdateTimeRange=span)


@on_groups
async def test_actions_are_paged(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    for number in range(22):
        await old_group(stage, f"g{number:02}", NumCacheClusters=1)
    first = await stage.call(ACTIONS, MaxRecords=20)
    rest = await stage.call(ACTIONS, MaxRecords=20, Marker=first["Marker"])
    shown = [one["ReplicationGroupId"] for one in (*first["UpdateActions"], *rest["UpdateActions"])]
    assert shown == [f"g{number:02}" for number in range(22)]
    assert "Marker" not in rest


@on_groups
async def test_one_that_is_due_is_scheduled(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    row = await old_group(stage)
    stage.clock.pass_time(30 * DAY_S - 1)
    assert (await action(stage))["UpdateActionStatus"] == "not-applied"
    assert (await action(stage))["SlaMet"] == "no", "the date of the update has passed"
    stage.clock.pass_time(1)
    shown = await action(stage)
    assert (shown["UpdateActionStatus"], shown["UpdateActionStatusModifiedDate"]) == ("scheduled", stage.clock.now())
    await stage.write(replace(row, desired=replace(row.desired, auto_minor_version_upgrade=False)))
    assert (await action(stage))["UpdateActionStatus"] == "not-applied"


@on_groups
async def test_of_several_that_are_due_the_newest_is_scheduled(stage: GroupStage) -> None:
    """It begins in the window, and the others never do."""
    builds = [Build(Engine.VALKEY, "8.0.9", "/nowhere", "PATH"), *BUILDS]
    stage.context = replace(stage.context, catalogue=StaticCatalogue(builds))
    offer(stage, "8.0.4", "8.0.9", "8.1.4")
    await old_group(stage, version="8.0.4")

    async def states() -> dict[str, str]:
        found = (await stage.call(ACTIONS))["UpdateActions"]
        return {one["ServiceUpdateName"]: one["UpdateActionStatus"] for one in found}

    stage.clock.pass_time(30 * DAY_S)
    assert await states() == {"valkey-8-0-9-patch": "scheduled", MINOR: "not-applied"}
    stage.clock.pass_time(60 * DAY_S)
    assert await states() == {"valkey-8-0-9-patch": "not-applied", MINOR: "scheduled"}


@on_groups
async def test_nothing_is_ever_being_scheduled(stage: GroupStage) -> None:
    """Clients may ask for it: which update begins follows from dates, and needs no time to be found."""
    offer(stage, "9.1.1", "9.1.2")
    await old_group(stage)
    assert len((await stage.call(ACTIONS))["UpdateActions"]) == 1
    for days in (0, 31):
        stage.clock.pass_time(days * DAY_S)
        assert (await stage.call(ACTIONS, UpdateActionStatus=["scheduling"]))["UpdateActions"] == []


@on_groups
async def test_what_cannot_be_applied_is_not_applicable(stage: GroupStage) -> None:
    builds = [Build(Engine.VALKEY, "9.1.3", "/nowhere", "PATH"), *BUILDS]
    stage.context = replace(stage.context, catalogue=StaticCatalogue(builds))
    offer(stage, "9.1.1", "9.1.2", "9.1.3")
    row = await old_group(stage)
    found = {one["ServiceUpdateName"]: one for one in (await stage.call(ACTIONS))["UpdateActions"]}
    states = {name: (one["ServiceUpdateStatus"], one["UpdateActionStatus"]) for name, one in found.items()}
    assert states == {PATCH: ("expired", "not-applicable"), "valkey-9-1-3-patch": ("available", "not-applied")}
    assert (await batch(stage, APPLY, "demo"))[1]["demo"][0] == VALUE
    await stage.write(replace(row, desired=replace(row.desired, transit="required")))
    update = "valkey-9-1-3-patch"
    assert (await action(stage, ServiceUpdateName=update))["UpdateActionStatus"] == "not-applicable"
    _, refused = await batch(stage, APPLY, "demo", update=update)
    assert refused["demo"][0] == VALUE
    assert "built without TLS" in refused["demo"][1]
