"""BatchApplyUpdateAction and BatchStopUpdateAction: a service update for up to 20 caches of each kind (reference 13.10).

Each cache is one write of its desired state; what is refused for one is told beside what was done for the others. Nodes are
launched anew by planning.rolling, and which may stay as they are is said by planning.draft.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.access.group_access import check_upgrade
from cachefleet.api.context import Context
from cachefleet.api.groups.group_rows import Change, load_cluster, load_group, update_group
from cachefleet.api.groups.group_state import MODIFYING, is_group, refused_state, require_available
from cachefleet.api.groups.handovers import require_settled
from cachefleet.api.names import folded
from cachefleet.api.registry import operation
from cachefleet.api.updates.service_updates import NAME, find_update
from cachefleet.api.updates.update_action_listing import CLUSTERS, GROUPS
from cachefleet.api.updates.update_actions import (
    COMPLETE,
    IN_PROGRESS,
    NOT_APPLICABLE,
    STOPPED,
    STOPPING,
    UNDER_WAY,
    WAITING,
    UpdateAction,
    action_of,
)
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import Shape
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow
from cachefleet.model.service_update import AskedUpdate
from cachefleet.planning.service_updates import ServiceUpdate

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import BatchApplyUpdateActionMessageTypeDef, BatchStopUpdateActionMessageTypeDef

MOST = 20
_Step = Callable[[Context, UpdateAction], Awaitable[str]]


@operation("BatchApplyUpdateAction", effective=(NAME, GROUPS, CLUSTERS))
async def batch_apply_update_action(context: Context, request: BatchApplyUpdateActionMessageTypeDef) -> dict[str, Any]:
    return await _batch(context, request, _apply)


@operation("BatchStopUpdateAction", effective=(NAME, GROUPS, CLUSTERS))
async def batch_stop_update_action(context: Context, request: BatchStopUpdateActionMessageTypeDef) -> dict[str, Any]:
    return await _batch(context, request, _stop)


async def _batch(context: Context, request: Mapping[str, Any], step: _Step) -> dict[str, Any]:
    """step: gives the status that the action has then. Raises ServiceUpdateNotFoundFault, InvalidParameterValue; Conflict, with
    which all is done again: what was done before then counts as done."""
    update = find_update(context, request[NAME])
    named = [(member, name) for member in (GROUPS, CLUSTERS) for name in _names(request, member)]
    if not named:
        raise invalid_value(f"Name the caches: {GROUPS} or {CLUSTERS}, up to {MOST} of each.")
    processed: list[dict[str, Any]] = []
    unprocessed: list[dict[str, Any]] = []
    for member, name in named:
        shown = {"ReplicationGroupId" if member == GROUPS else "CacheClusterId": name, NAME: update.name}
        try:
            status = await step(context, await _action(context, update, member, name))
        except AwsError as error:
            unprocessed.append({**shown, "ErrorType": error.code, "ErrorMessage": error.message})
        else:
            processed.append({**shown, "UpdateActionStatus": status})
    return {"ProcessedUpdateActions": processed, "UnprocessedUpdateActions": unprocessed}


def _names(request: Mapping[str, Any], member: str) -> list[str]:
    """Each once. Raises InvalidParameterValue."""
    names = list(dict.fromkeys(folded(name) for name in request.get(member) or ()))
    if len(names) > MOST:
        raise invalid_value(f"{member} has {len(names)} names; {MOST} are possible in one request.")
    return names


async def _action(context: Context, update: ServiceUpdate, member: str, name: str) -> UpdateAction:
    """Raises ReplicationGroupNotFoundFault, CacheClusterNotFound, InvalidParameterValue."""
    row = await load_group(context, name) if member == GROUPS else await load_cluster(context, name)
    if member == CLUSTERS and is_group(row):
        raise invalid_value(f"Cache cluster {name} is a member of replication group {row.key.name}; name that in {GROUPS}.")
    action = _now(context, row, update)
    if action is None or action.status == COMPLETE:
        raise invalid_value(
            f"{name} does not need the service update {update.name}: it has {row.desired.engine} {row.desired.engine_version}."
        )
    return action


def _now(context: Context, row: GroupRow, update: ServiceUpdate) -> UpdateAction | None:
    """How far the cache is, as DescribeUpdateActions shows it."""
    return action_of(row, update, context.updates, context.catalogue.builds(), context.settings.updates, context.clock.now())


# --- one cache -----------------------------------------------------------------------------------------------------


async def _apply(context: Context, action: UpdateAction) -> str:
    """Raises AwsError, Conflict."""
    row, update = action.row, action.update
    if action.status == NOT_APPLICABLE:
        raise invalid_value(f"Service update {update.name} is not applicable to {row.key.name}: {action.why}.")
    if action.status in (WAITING, IN_PROGRESS):
        return action.status
    if action.status == STOPPING:
        raise refused_state(row, STOPPING, f"service update {update.name} is being stopped; wait until it is")
    require_available(row)
    if row.desired.shape is not Shape.MEMCACHED:
        require_settled(row)
    _refuse_pending(row)
    asked = AskedUpdate(update.version, "customer", context.clock.now())
    after = replace(
        row,
        desired=replace(row.desired, engine_version=update.version, update=asked),
        status=replace(row.status, state=MODIFYING),
    )
    await check_upgrade(context, row, after)
    row = await update_group(context, Change(after, events=_told(row, f"Service update {update.name} is being applied")))
    begun = _now(context, row, update)  # one that was stopped goes on with the nodes that have it
    return WAITING if begun is None else begun.status


def _refuse_pending(row: GroupRow) -> None:
    """Raises InvalidReplicationGroupState, InvalidCacheClusterState."""
    pending = row.desired.pending
    if pending is not None and (pending.engine_version or pending.cluster_mode):
        what = f"an upgrade to {pending.engine_version}" if pending.engine_version else f"cluster mode {pending.cluster_mode}"
        state = f"available, with {what} pending"
        raise refused_state(row, state, "let that be applied first, or take it back with the present value")


async def _stop(context: Context, action: UpdateAction) -> str:
    """Raises AwsError, Conflict."""
    row, update = action.row, action.update
    if action.status in (STOPPING, STOPPED):
        return action.status
    if action.status not in UNDER_WAY:
        raise invalid_value(f"Service update {update.name} of {row.key.name} is {action.status}; there is nothing to stop.")
    asked = row.desired.update
    if asked is None or asked.version != update.version:
        asked = AskedUpdate(update.version, "customer", action.status_at)
    stopped = replace(row, desired=replace(row.desired, update=replace(asked, stopped_at=context.clock.now())))
    await update_group(context, Change(stopped, events=_told(row, f"Service update {update.name} is being stopped")))
    return STOPPING


def _told(row: GroupRow, message: str) -> tuple[EventDraft, ...]:
    return (EventDraft("replication-group" if is_group(row) else "cache-cluster", row.key.name, message),)
