"""PutScheduledAction, DeleteScheduledAction, DescribeScheduledActions: other limits at certain times (reference 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.registry import operation
from cachefleet.api.scaling.scaling_inputs import (
    SERVICE,
    TARGET,
    page,
    read_name,
    read_number,
    read_target_name,
    refused,
)
from cachefleet.api.scaling.scaling_rows import load_target, named_parts, not_found, put_target, require_may_change
from cachefleet.api.scaling.scaling_targets import most_capacity
from cachefleet.api.scaling.scaling_views import action_view, told
from cachefleet.clock import new_uuid
from cachefleet.model.errors import AwsError
from cachefleet.model.scaling import Dimension, ScheduledAction
from cachefleet.scaling.schedules import BadSchedule, next_due, read_schedule

MOST_ACTIONS = 200


@operation(
    "PutScheduledAction",
    service=SERVICE,
    effective=(*TARGET, "ScheduledActionName", "Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction"),
)
async def put_scheduled_action(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    name = read_target_name(request)
    action_name = read_name(request["ScheduledActionName"], "ScheduledActionName", without=":/|")
    await require_may_change(context, name)
    row = await load_target(context, name)
    before = next((one for one in row.desired.scheduled if one.name == action_name), None)
    others = [one for one in row.desired.scheduled if one.name != action_name]
    if len(others) >= MOST_ACTIONS:
        raise AwsError("LimitExceededException", f"The target has {MOST_ACTIONS} scheduled actions already, the limit.")
    action = _read(context, action_name, request, before, name.dimension)
    kept = tuple(sorted((*others, action), key=lambda one: one.name))
    await put_target(context, row, replace(row.desired, scheduled=kept))
    return {}


def _read(
    context: Context, name: str, request: Mapping[str, Any], before: ScheduledAction | None, dimension: Dimension
) -> ScheduledAction:
    """What is not given stays. Raises ValidationException."""
    now = context.clock.now()
    made = before or ScheduledAction(name=name, uid=new_uuid(context.entropy), schedule="", created_at=now)
    changed: dict[str, Any] = {}
    for member, field in (("Schedule", "schedule"), ("Timezone", "timezone"), ("StartTime", "start"), ("EndTime", "end")):
        if request.get(member) is not None:
            changed[field] = request[member] if field in ("schedule", "timezone") else float(request[member])
    limits = request.get("ScalableTargetAction")
    if limits is not None:
        changed |= _limits(limits, most_capacity(context, dimension))
    made = replace(made, **changed)
    if not made.schedule:
        raise refused("Schedule is required for a new scheduled action: at(...), rate(...) or cron(...).")
    if made.minimum is None and made.maximum is None:
        raise refused("ScalableTargetAction must have MinCapacity, MaxCapacity or both.")
    if made.end and made.end <= max(made.start, now):
        raise refused("EndTime must be later than StartTime, and not be over.")
    try:
        schedule = read_schedule(made.schedule, made.timezone)
    except BadSchedule as error:
        raise refused(f"Schedule: {error}.") from None
    due = next_due(schedule, now, made.created_at, made.start, made.end)
    if schedule.at and not due:
        raise refused("Schedule: the time of at() is over, or not between StartTime and EndTime.")
    return replace(made, next_at=due)


def _limits(given: Mapping[str, Any], most: int) -> dict[str, int | None]:
    found: dict[str, int | None] = {"minimum": None, "maximum": None}
    for member, field in (("MinCapacity", "minimum"), ("MaxCapacity", "maximum")):
        if given.get(member) is not None:
            found[field] = read_number(given[member], f"ScalableTargetAction.{member}", 1, most)
    low, high = found["minimum"], found["maximum"]
    if low is not None and high is not None and low > high:
        raise refused(f"ScalableTargetAction: MinCapacity {low} cannot be more than MaxCapacity {high}.")
    return found


@operation("DeleteScheduledAction", service=SERVICE, effective=(*TARGET, "ScheduledActionName"))
async def delete_scheduled_action(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    name = read_target_name(request)
    row = await load_target(context, name)
    kept = tuple(one for one in row.desired.scheduled if one.name != request["ScheduledActionName"])
    if len(kept) == len(row.desired.scheduled):
        shown = read_name(request["ScheduledActionName"], "ScheduledActionName")
        raise not_found("scheduled action", name, f", scheduled action name: {shown}")
    await put_target(context, row, replace(row.desired, scheduled=kept))
    return {}


@operation(
    "DescribeScheduledActions",
    service=SERVICE,
    effective=("ScheduledActionNames", "ServiceNamespace", "ResourceId", "ScalableDimension", "MaxResults", "NextToken"),
)
async def describe_scheduled_actions(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    found = await named_parts(context, request, "ScheduledActionNames", lambda target: target.scheduled)
    shown, token = page(request, found, "scheduled-actions")
    views = [action_view(context.scope, target, action) for action, target in shown]
    return told({"ScheduledActions": views, "NextToken": token})
