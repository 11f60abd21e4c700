"""Caches of older versions for the tests of service updates, and the controller's part of an update played by hand."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import cachefleet.api.updates.service_updates
import cachefleet.api.updates.update_action_listing
import cachefleet.api.updates.update_batches  # noqa: F401
from cachefleet.model.group import Form, Settled
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.model.service_update import EngineBuildDesired, NodeUpdate, UpdateCourse
from cachefleet.planning.service_updates import DAY_S, service_updates
from cachefleet.settings import Settings, UpdateSettings
from tests.component.api_groups.stage import GroupStage

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
