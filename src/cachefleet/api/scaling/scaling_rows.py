"""Rows of scalable targets, and the groups that they scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from cachefleet.api.access.authorization import authorize
from cachefleet.api.context import Context
from cachefleet.api.scaling.scaling_inputs import TargetName, read_filter, refused
from cachefleet.interfaces import AnyRow
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.model.row import AlarmRow, GroupRow, ScalableTargetRow
from cachefleet.model.scaling import Dimension, ScalableTargetDesired, ScalingPolicy, ScheduledAction, row_name
from cachefleet.scaling.requests import CHANGING

N = TypeVar("N", ScalingPolicy, ScheduledAction)


async def find_target(context: Context, name: TargetName) -> ScalableTargetRow | None:
    return await context.store.get(context.scope.key(Kind.SCALABLE_TARGET, row_name(name.dimension, name.resource)))


async def load_target(context: Context, name: TargetName) -> ScalableTargetRow:
    """Raises ObjectNotFoundException."""
    row = await find_target(context, name)
    if row is None:
        raise not_found("scalable target", name)
    return row


def not_found(what: str, name: TargetName, more: str = "") -> AwsError:
    """In Application Auto Scaling's words."""
    where = f"service namespace: elasticache, resource ID: {name.resource_id}, scalable dimension: {name.dimension.value}"
    return AwsError("ObjectNotFoundException", f"No {what} found for {where}{more}.")


async def targets(context: Context, resource: str | None = None, dimension: Dimension | None = None) -> list[ScalableTargetRow]:
    """By name. None: all."""
    rows: list[ScalableTargetRow] = await context.store.rows(Kind.SCALABLE_TARGET, context.scope)
    return [row for row in rows if resource in (None, row.desired.resource) and dimension in (None, row.desired.dimension)]


async def named_parts(
    context: Context, request: Mapping[str, Any], member: str, parts: Callable[[ScalableTargetDesired], Iterable[N]]
) -> list[tuple[N, ScalableTargetDesired]]:
    """Policies or scheduled actions of the targets that are asked for, each with its target. member: has names, or is left out
    for all of them. Raises ValidationException."""
    names, rows = request.get(member), await targets(context, *read_filter(request))
    return [(part, row.desired) for row in rows for part in parts(row.desired) if not names or part.name in names]


async def load_scaled(context: Context, name: TargetName) -> GroupRow:
    """The group or cluster that is to be scaled. Raises ValidationException."""
    row: GroupRow | None = await context.store.get(context.scope.key(name.dimension.kind, name.resource))
    if row is None or row.desired.deleting:
        raise refused(f"ResourceId: there is no {name.resource_id}; create it first.")
    return row


async def require_may_change(context: Context, name: TargetName) -> None:
    """Who lets something scale has to be allowed to change it by hand. Raises AccessDenied."""
    member = "CacheClusterId" if name.dimension is Dimension.NODES else "ReplicationGroupId"
    for operation in CHANGING[name.dimension]:
        await authorize(context, "elasticache", operation, {member: name.resource})


async def own_alarms(context: Context, policy: ScalingPolicy) -> list[AlarmRow]:
    """Of a policy's alarms those that there are: anybody may have deleted them."""
    found = [await context.store.get(context.scope.key(Kind.ALARM, name)) for name in policy.alarms]
    return [row for row in found if row is not None]


async def put_target(
    context: Context,
    row: ScalableTargetRow,
    target: ScalableTargetDesired,
    *,
    new: Sequence[AnyRow] = (),
    gone: Sequence[AnyRow] = (),
) -> None:
    """With the alarms that come and go with it. Raises Conflict."""
    async with context.store.transaction() as transaction:
        await transaction.update(replace(row, desired=target))
        for one in new:
            await transaction.insert(one)
        for one in gone:
            await transaction.delete(one)
