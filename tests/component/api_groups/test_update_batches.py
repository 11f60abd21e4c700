"""BatchApplyUpdateAction and BatchStopUpdateAction: what is begun, halted and refused, and how far it is shown to be."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.pending import PendingChange
from cachefleet.model.row import GroupRow
from cachefleet.model.service_update import AskedUpdate
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.component.api_groups.update_stage import (
    APPLY,
    CLUSTER,
    MINOR,
    PATCH,
    RESHARD,
    STOP,
    VALUE,
    action,
    batch,
    make_old,
    names,
    offer,
    old_group,
    play,
)

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
    assert await batch(stage, APPLY, "demo") == ({"demo": "in-progress"}, {}), "a node has it already"
    assert (await action(stage))["UpdateActionStatus"] == "in-progress"
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
