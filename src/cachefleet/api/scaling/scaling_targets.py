"""RegisterScalableTarget, DeregisterScalableTarget, DescribeScalableTargets, DescribeScalingActivities (reference 9).

Rows only: telemetry.scaler does what follows from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.replication_group_topology import MAX_REPLICAS
from cachefleet.api.registry import operation
from cachefleet.api.scaling.scaling_inputs import (
    SERVICE,
    TARGET,
    TargetName,
    check_namespace,
    page,
    read_dimension,
    read_filter,
    read_number,
    read_resource,
    read_target_name,
    refused,
)
from cachefleet.api.scaling.scaling_rows import (
    find_target,
    load_scaled,
    load_target,
    own_alarms,
    put_target,
    require_may_change,
    targets,
)
from cachefleet.api.scaling.scaling_tags import read_target_tags
from cachefleet.api.scaling.scaling_views import activity_view, target_view, told
from cachefleet.clock import new_uuid
from cachefleet.interfaces import Conflict, NameTaken
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Shape
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, ScalableTargetRow
from cachefleet.model.scaling import Dimension, ScalableTargetDesired, Suspended, row_name, target_arn
from cachefleet.scaling.requests import capacity_of

MOST_SHARDS = 250  # reference 9
QUOTA = 3000  # targets of a region
_ROLE = "it is shown as AWS shows it; here the service acts by itself, with what its role may do"


@operation(
    "RegisterScalableTarget",
    service=SERVICE,
    effective=(*TARGET, "MinCapacity", "MaxCapacity", "SuspendedState", "Tags"),
    recorded={"RoleARN": _ROLE},
)
async def register_scalable_target(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    name = read_target_name(request)
    await require_may_change(context, name)
    group = await load_scaled(context, name)
    _require_scalable(group, name)
    row = await find_target(context, name)
    if row is not None and row.desired.group_uid != group.desired.uid:
        await _delete(context, row)  # of another group that had this name
        row = None
    capacity = capacity_of(group, name.dimension)
    before = row.desired if row is not None else None
    low, high = _limits(context, name.dimension, request, before)
    limits: dict[str, Any] = {"minimum": low, "maximum": high, "suspended": _suspended(request, before), "correction": ""}
    if capacity < low:
        limits["correction"] = f"minimum capacity was set to {low}"
    elif capacity > high:
        limits["correction"] = f"maximum capacity was set to {high}"
    if row is not None:
        if request.get("Tags"):
            raise refused("Tags: the target is registered already; use TagResource.")
        await put_target(context, row, replace(row.desired, **limits))
        return {"ScalableTargetARN": target_arn(context.scope, row.desired)}
    target = ScalableTargetDesired(
        dimension=name.dimension,
        resource=name.resource,
        group_uid=group.desired.uid,
        uid=new_uuid(context.entropy),
        created_at=context.clock.now(),
        capacity=capacity,
        **limits,
    )
    await _insert(context, target, read_target_tags(request.get("Tags") or {}))
    return {"ScalableTargetARN": target_arn(context.scope, target)}


async def _insert(context: Context, target: ScalableTargetDesired, tags: dict[str, str]) -> None:
    """Raises Conflict, LimitExceededException."""
    if await context.store.count(Kind.SCALABLE_TARGET, context.scope) >= QUOTA:
        raise AwsError("LimitExceededException", f"There are {QUOTA} scalable targets already, which is the limit.")
    key = context.scope.key(Kind.SCALABLE_TARGET, row_name(target.dimension, target.resource))
    try:
        async with context.store.transaction() as transaction:
            await transaction.insert(Row(key=key, desired=target, tags=tags))
    except NameTaken:
        raise Conflict(f"{key} has appeared") from None


def _limits(
    context: Context, dimension: Dimension, request: Mapping[str, Any], before: ScalableTargetDesired | None
) -> tuple[int, int]:
    """Raises ValidationException."""
    most = most_capacity(context, dimension)

    def limit(member: str, present: int | None) -> int:
        value = request.get(member)
        if value is not None:
            return read_number(value, f"{member} of {dimension.value}", 1, most)
        if present is None:
            raise refused(f"{member}: it is required when a scalable target is registered for the first time.")
        return present

    low = limit("MinCapacity", before.minimum if before is not None else None)
    high = limit("MaxCapacity", before.maximum if before is not None else None)
    if low > high:
        raise refused(f"Maximum capacity cannot be less than minimum capacity: MinCapacity {low}, MaxCapacity {high}.")
    return low, high


def most_capacity(context: Context, dimension: Dimension) -> int:
    """Of any target."""
    return {
        Dimension.NODE_GROUPS: min(MOST_SHARDS, context.settings.api.shards_per_group),
        Dimension.REPLICAS: MAX_REPLICAS,
        Dimension.NODES: context.settings.api.memcached_nodes,
    }[dimension]


def _suspended(request: Mapping[str, Any], before: ScalableTargetDesired | None) -> Suspended:
    """What is not named stays."""
    given = request.get("SuspendedState") or {}
    present = before.suspended if before is not None else Suspended()
    members = {
        "scaling_in": "DynamicScalingInSuspended",
        "scaling_out": "DynamicScalingOutSuspended",
        "scheduled": "ScheduledScalingSuspended",
    }
    asked = {field: given[member] for field, member in members.items() if given.get(member) is not None}
    return replace(present, **asked)


def _require_scalable(group: GroupRow, name: TargetName) -> None:
    """Raises ValidationException."""
    shape = group.desired.shape
    if name.dimension is Dimension.NODES:
        if shape is not Shape.MEMCACHED:
            raise refused(f"{name.resource_id} is no Memcached cluster; only those have nodes that come and go.")
        return
    if shape is not Shape.CLUSTERED:
        raise refused(f"{name.resource_id} has cluster mode disabled; auto scaling is for groups with cluster mode enabled.")
    if name.dimension is Dimension.REPLICAS and len({len(shard.nodes) for shard in group.desired.shards}) > 1:
        raise refused(
            f"The node groups of {name.resource_id} have different numbers of replicas; give them one number with "
            "IncreaseReplicaCount or DecreaseReplicaCount first."
        )


@operation("DeregisterScalableTarget", service=SERVICE, effective=TARGET)
async def deregister_scalable_target(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """With its policies, their alarms and its scheduled actions. A change that is under way goes on."""
    await _delete(context, await load_target(context, read_target_name(request)))
    return {}


async def _delete(context: Context, row: ScalableTargetRow) -> None:
    alarms = [alarm for policy in row.desired.policies for alarm in await own_alarms(context, policy)]
    async with context.store.transaction() as transaction:
        await transaction.delete(row)
        for alarm in alarms:
            await transaction.delete(alarm)


@operation(
    "DescribeScalableTargets",
    service=SERVICE,
    effective=("ServiceNamespace", "ResourceIds", "ScalableDimension", "MaxResults", "NextToken"),
)
async def describe_scalable_targets(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    check_namespace(request)
    dimension = read_dimension(request["ScalableDimension"]) if request.get("ScalableDimension") else None
    named = request.get("ResourceIds")
    if dimension is not None and not named:
        raise refused("ScalableDimension: give ResourceIds as well.")
    wanted = {f"{one.partition('/')[0]}/{read_resource(one, dimension)}" for one in named or ()}
    rows = [row for row in await targets(context, dimension=dimension) if not named or row.desired.resource_id in wanted]
    shown, token = page(request, rows, "scalable-targets")
    return told({"ScalableTargets": [target_view(context.scope, row.desired) for row in shown], "NextToken": token})


@operation(
    "DescribeScalingActivities",
    service=SERVICE,
    effective=(
        "ServiceNamespace",
        "ResourceId",
        "ScalableDimension",
        "IncludeNotScaledActivities",
        "MaxResults",
        "NextToken",
    ),
)
async def describe_scaling_activities(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The newest first."""
    found = [
        (activity, row.desired)
        for row in await targets(context, *read_filter(request))
        for activity in row.desired.activities
        if activity.not_scaled is None or request.get("IncludeNotScaledActivities")
    ]
    found.sort(key=lambda pair: pair[0].began_at, reverse=True)
    shown, token = page(request, found, "scaling-activities")
    return told({"ScalingActivities": [activity_view(target, activity) for activity, target in shown], "NextToken": token})
