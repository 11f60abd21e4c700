"""Service updates over the API: what is listed, applied, stopped and refused, in whose words."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import cachefleet.api.service_updates
import cachefleet.api.update_action_listing
import cachefleet.api.update_batches  # noqa: F401
from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine, Form, Settled
from cachefleet.model.pending import PendingChange
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.model.service_update import AskedUpdate, EngineBuildDesired, NodeUpdate, UpdateCourse
from cachefleet.planning.service_updates import DAY_S, service_updates
from cachefleet.settings import Settings, UpdateSettings
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.fakes.catalogue import BUILDS, StaticCatalogue

PATCH, MINOR = "valkey-9-1-2-patch", "valkey-8-1-4-minor"
APPLY, STOP, ACTIONS, UPDATES = (
    "BatchApplyUpdateAction",
    "BatchStopUpdateAction",
    "DescribeUpdateActions",
    "DescribeServiceUpdates",
)
RESHARD = "ModifyReplicationGroupShardConfiguration"
VALUE = "InvalidParameterValue"
CLUSTER = Kind.CACHE_CLUSTER


def offer(stage: GroupStage, *versions: str, rules: UpdateSettings | None = None) -> float:
    """Valkey of these versions was seen here, some time before now; and memcached 1.6.10. Returns when."""
    at = stage.clock.now() - DAY_S
    seen = [EngineBuildDesired(engine="valkey", version=version, first_seen_at=at) for version in versions]
    seen += [EngineBuildDesired(engine="memcached", version=version, first_seen_at=at) for version in ("1.6.10", "1.6.18")]
    settings = Settings(updates=rules or UpdateSettings())
    updates = service_updates(seen, stage.context.catalogue.builds(), settings.updates)
    stage.context = replace(stage.context, updates=updates, settings=settings)
    return at


async def old_group(stage: GroupStage, name: str = "demo", version: str = "9.1.1", **request: Any) -> GroupRow:
    await stage.create_group(name, **request)
    return await make_old(stage, name, version)


async def make_old(stage: GroupStage, name: str, version: str, kind: Kind = Kind.REPLICATION_GROUP, **memory: Any) -> GroupRow:
    """It is available, with nodes of that version."""
    row = await stage.settle(name, kind)
    desired = replace(row.desired, engine_version=version)
    form = Form(desired.engine, version, desired.port)
    nodes = {node: replace(known, form=form) for node, known in row.memory.nodes.items()}
    settled = Settled(form, desired.parameter_group, desired.subnet_group, desired.node_type)
    return await stage.write(replace(row, desired=desired, memory=replace(row.memory, nodes=nodes, settled=settled, **memory)))


async def play(stage: GroupStage, *done: str, asked_at: float = 0.0, stopped_at: float = 0.0, state: str = "modifying") -> None:
    """The controller has begun: these nodes of demo have the update."""
    row = await stage.row(stage.key("demo"))
    version, was = row.desired.engine_version, row.memory.settled
    assert was is not None
    nodes = dict(row.memory.nodes)
    for name in done:
        nodes[name] = replace(nodes[name], form=replace(was.form, version=version))
    progress = {name: NodeUpdate(stage.clock.now() - 2, stage.clock.now() - 1) for name in done}
    course = UpdateCourse(version, was.form.version, "customer", asked_at, progress, stopped_at=stopped_at)
    memory = replace(row.memory, nodes=nodes, updates=[course])
    await stage.write(replace(row, memory=memory, status=replace(row.status, state=state)))


async def action(stage: GroupStage, **request: Any) -> dict[str, Any]:
    (found,) = (await stage.call(ACTIONS, **request))["UpdateActions"]
    return dict(found)


async def names(stage: GroupStage, **request: Any) -> list[str]:
    found = (await stage.call(ACTIONS, **request))["UpdateActions"]
    return [one.get("ReplicationGroupId") or one["CacheClusterId"] for one in found]


async def batch(stage: GroupStage, name: str, *groups: str, clusters: tuple[str, ...] = (), update: str = PATCH) -> Any:
    """(processed: id -> status, unprocessed: id -> (type, message))"""
    request: dict[str, Any] = {"ServiceUpdateName": update}
    request |= {"ReplicationGroupIds": list(groups)} if groups else {}
    request |= {"CacheClusterIds": list(clusters)} if clusters else {}
    reply = await stage.call(name, **request)

    def named(one: dict[str, Any]) -> str:
        assert one["ServiceUpdateName"] == update
        return str(one.get("ReplicationGroupId") or one["CacheClusterId"])

    processed = {named(one): one["UpdateActionStatus"] for one in reply["ProcessedUpdateActions"]}
    return processed, {named(one): (one["ErrorType"], one["ErrorMessage"]) for one in reply["UnprocessedUpdateActions"]}


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
        "EngineVersion": "valkey 9.1 before 9.1.2",
        "AutoUpdateAfterRecommendedApplyByDate": True,
        "EstimatedUpdateTime": "1 minute per node",
    }
    minor = found[MINOR]
    assert minor["ServiceUpdateSeverity"] == "low"
    assert minor["EngineVersion"] == "valkey 8 before 8.1"
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


# --- apply ---------------------------------------------------------------------------------------------------------


@on_groups
async def test_an_update_is_applied_to_several_caches(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    for name in ("demo", "other"):
        await old_group(stage, name)
    await stage.create_cluster("alone", Engine="valkey")
    await make_old(stage, "alone", "9.1.1", CLUSTER)
    done, refused = await batch(stage, APPLY, "demo", "OTHER", "demo", clusters=("alone",))
    assert done == dict.fromkeys(("demo", "other", "alone"), "waiting-to-start")
    assert refused == {}
    row = await stage.row(stage.key("demo"))
    assert (row.desired.engine_version, row.status.state) == ("9.1.2", "modifying")
    assert row.desired.update == AskedUpdate("9.1.2", "customer", stage.clock.now())
    assert row.key in stage.woken
    assert f"replication-group demo: Service update {PATCH} is being applied" in await stage.events()
    assert await stage.events() == list(dict.fromkeys(await stage.events()))
    assert (await action(stage, ReplicationGroupIds=["demo"]))["UpdateActionStatus"] == "waiting-to-start"
    assert await batch(stage, APPLY, "demo") == ({"demo": "waiting-to-start"}, {}), "again changes nothing"
    assert await stage.row(row.key) == row


@on_groups
async def test_what_is_refused_for_one_cache_is_done_for_others(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    await old_group(stage)
    await old_group(stage, "new", "9.1.2")
    await old_group(stage, "busy")
    await stage.put_state("snapshotting", "busy")
    row = await old_group(stage, "waits")
    await stage.write(replace(row, desired=replace(row.desired, pending=PendingChange(engine_version="9.1.2"))))
    done, refused = await batch(stage, APPLY, "nope", "new", "busy", "waits", "demo", clusters=("demo-001", "gone"))
    assert done == {"demo": "waiting-to-start"}
    assert {name: kind for name, (kind, _) in refused.items()} == {
        "nope": "ReplicationGroupNotFoundFault",
        "new": VALUE,
        "busy": "InvalidReplicationGroupState",
        "waits": "InvalidReplicationGroupState",
        "demo-001": VALUE,
        "gone": "CacheClusterNotFound",
    }
    assert "does not need" in refused["new"][1]
    assert "ReplicationGroupIds" in refused["demo-001"][1]
    assert "upgrade to 9.1.2 pending" in refused["waits"][1]


@on_groups
async def test_requests_that_name_nothing_or_too_much_are_refused(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    many = [f"g{number}" for number in range(21)]
    for name in (APPLY, STOP):
        await stage.refused("ServiceUpdateNotFoundFault", "nope", name, ServiceUpdateName="nope", CacheClusterIds=["a"])
        await stage.refused(VALUE, "Name the caches", name, ServiceUpdateName=PATCH)
        await stage.refused(VALUE, "21 names", name, ServiceUpdateName=PATCH, ReplicationGroupIds=many)


@on_groups
async def test_progress_is_shown_node_by_node(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    await old_group(stage)
    await batch(stage, APPLY, "demo")
    asked_at = stage.clock.now()
    stage.clock.pass_time(10)
    await play(stage, "demo-002", asked_at=asked_at)
    now = stage.clock.now()
    shown = await action(stage, ShowNodeLevelUpdateStatus=True)
    assert (shown["UpdateActionStatus"], shown["NodesUpdated"]) == ("in-progress", "1/2")
    assert shown["UpdateActionStatusModifiedDate"] == now - 2
    (shard,) = shown["NodeGroupUpdateStatus"]
    by = {"CacheNodeId": "0001", "NodeUpdateInitiatedBy": "customer", "NodeUpdateInitiatedDate": asked_at}
    assert shard["NodeGroupMemberUpdateStatus"] == [
        {"CacheClusterId": "demo-001", "NodeUpdateStatus": "waiting-to-start", "NodeUpdateStatusModifiedDate": now - 2, **by},
        {
            "CacheClusterId": "demo-002",
            "NodeUpdateStatus": "complete",
            "NodeUpdateStartDate": now - 2,
            "NodeUpdateEndDate": now - 1,
            "NodeUpdateStatusModifiedDate": now - 1,
            **by,
        },
    ]


@on_groups
async def test_a_complete_update_is_shown_and_met_its_date(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    await old_group(stage)
    await batch(stage, APPLY, "demo")
    await play(stage, "demo-001", "demo-002", state="available")
    row = await stage.row(stage.key("demo"))
    course = replace(row.memory.updates[0], ended_at=stage.clock.now())
    await stage.write(replace(row, memory=replace(row.memory, updates=[course])))
    shown = await action(stage)
    assert (shown["UpdateActionStatus"], shown["NodesUpdated"], shown["SlaMet"]) == ("complete", "2/2", "yes")
    for name in (APPLY, STOP):
        assert (await batch(stage, name, "demo"))[1]["demo"][0] == VALUE
    row = await stage.row(stage.key("demo"))
    settled = row.memory.settled
    assert settled is not None
    settled = replace(settled, form=replace(settled.form, version="9.1.2"))
    await stage.write(replace(row, memory=replace(row.memory, updates=[], settled=settled)))
    assert await names(stage) == [], "after some days"


# --- stop ----------------------------------------------------------------------------------------------------------


async def stopped(stage: GroupStage, version: str = "9.1.1", update: str = PATCH) -> GroupRow:
    """One of two nodes has it."""
    await old_group(stage, version=version, EngineVersion="8.1" if version.startswith("8") else "9.1")
    await batch(stage, APPLY, "demo", update=update)
    await play(stage, "demo-002")
    assert await batch(stage, STOP, "demo", update=update) == ({"demo": "stopping"}, {})
    return await stage.row(stage.key("demo"))


@on_groups
async def test_an_update_is_stopped_and_applied_again(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    row = await stopped(stage)
    assert row.desired.update is not None
    assert (row.desired.engine_version, row.desired.update.stopped_at) == ("9.1.2", stage.clock.now())
    assert f"replication-group demo: Service update {PATCH} is being stopped" in await stage.events()
    assert (await action(stage))["UpdateActionStatus"] == "stopping"
    assert await batch(stage, STOP, "demo") == ({"demo": "stopping"}, {})
    assert (await batch(stage, APPLY, "demo"))[1]["demo"][0] == "InvalidReplicationGroupState"
    await play(stage, "demo-002", stopped_at=stage.clock.now(), state="available")
    shown = await action(stage, ShowNodeLevelUpdateStatus=True)
    assert (shown["UpdateActionStatus"], shown["NodesUpdated"]) == ("stopped", "1/2")
    members = shown["NodeGroupUpdateStatus"][0]["NodeGroupMemberUpdateStatus"]
    assert [member["NodeUpdateStatus"] for member in members] == ["stopped", "complete"]
    assert [(await stage.cluster(name))["EngineVersion"] for name in ("demo-001", "demo-002")] == ["9.1.1", "9.1.2"]
    assert await batch(stage, APPLY, "demo") == ({"demo": "waiting-to-start"}, {})
    row = await stage.row(stage.key("demo"))
    assert row.desired.update == AskedUpdate("9.1.2", "customer", stage.clock.now())
    assert row.status.state == "modifying"


@on_groups
async def test_only_what_is_under_way_can_be_stopped(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    await old_group(stage)
    done, refused = await batch(stage, STOP, "demo", "nope")
    assert done == {}
    assert refused["demo"][0] == VALUE
    assert "nothing to stop" in refused["demo"][1]
    assert refused["nope"][0] == "ReplicationGroupNotFoundFault"


@on_groups
async def test_a_version_that_was_asked_for_goes_on_with_what_was_stopped(stage: GroupStage) -> None:
    offer(stage, "8.0.1", "8.1.4")
    await stopped(stage, "8.0.1", MINOR)
    await play(stage, "demo-002", stopped_at=stage.clock.now(), state="available")
    modify = {"ReplicationGroupId": "demo", "ApplyImmediately": True}
    await stage.call("ModifyReplicationGroup", EngineVersion="8.0", **modify)
    row = await stage.row(stage.key("demo"))
    assert row.desired.update is not None and row.desired.update.stopped_at, "it has that version"
    await stage.call("ModifyReplicationGroup", EngineVersion="8.1", **modify)
    row = await stage.row(stage.key("demo"))
    assert (row.desired.engine_version, row.desired.update, row.status.state) == ("8.1.4", None, "modifying")


async def halted(stage: GroupStage, version: str, update: str) -> None:
    """A group of two shards, one of which has the update."""
    await stage.create_group("demo", NumNodeGroups=2, ReplicasPerNodeGroup=0, AutomaticFailoverEnabled=True)
    await make_old(stage, "demo", version)
    await batch(stage, APPLY, "demo", update=update)
    await play(stage, "demo-0001-001")
    await batch(stage, STOP, "demo", update=update)
    await play(stage, "demo-0001-001", stopped_at=1.0, state="available")


@on_groups
async def test_slots_move_among_patches(stage: GroupStage) -> None:
    offer(stage, "9.1.1", "9.1.2")
    await halted(stage, "9.1.1", PATCH)
    await stage.call(RESHARD, ReplicationGroupId="demo", ApplyImmediately=True, NodeGroupCount=3)


@on_groups
async def test_slots_do_not_move_among_minor_versions(stage: GroupStage) -> None:
    offer(stage, "8.0.1", "8.1.4")
    await halted(stage, "8.0.1", MINOR)
    request = {"ReplicationGroupId": "demo", "ApplyImmediately": True, "NodeGroupCount": 3}
    await stage.refused("InvalidReplicationGroupState", "apply the service update", RESHARD, **request)
