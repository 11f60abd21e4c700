"""DescribeUpdateActions: which caches have, get or need which service update (reference 13.10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cachefleet.api.context import Context
from cachefleet.api.groups.group_state import is_group
from cachefleet.api.names import folded
from cachefleet.api.paging import page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.api.updates.engine_choice import asked_engine
from cachefleet.api.updates.service_updates import NAME, NODE_TIME, STATUS, TYPE, asked_choices
from cachefleet.api.updates.update_actions import (
    ACTION_STATUSES,
    COMPLETE,
    UpdateAction,
    action_of,
    has_it,
    node_progress,
    node_update_status,
    sla_met,
)
from cachefleet.model.errors import invalid_combination
from cachefleet.model.group import DesiredNode, Engine
from cachefleet.model.resource import GROUP_KINDS
from cachefleet.model.row import GroupRow
from cachefleet.planning.service_updates import AVAILABLE, CANCELLED, EXPIRED

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import DescribeUpdateActionsMessageTypeDef

GROUPS, CLUSTERS, RANGE = "ReplicationGroupIds", "CacheClusterIds", "ServiceUpdateTimeRange"
ACTION_STATUS, SHOW_NODES = "UpdateActionStatus", "ShowNodeLevelUpdateStatus"


@operation(
    "DescribeUpdateActions",
    effective=(NAME, GROUPS, CLUSTERS, "Engine", STATUS, RANGE, ACTION_STATUS, SHOW_NODES, "MaxRecords", "Marker"),
)
async def describe_update_actions(context: Context, request: DescribeUpdateActionsMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "update-actions")
    statuses = asked_choices(request, ACTION_STATUS, ACTION_STATUSES)
    updates = _asked_updates(context, request)
    now, rules, builds = context.clock.now(), context.settings.updates, context.catalogue.builds()
    found = [
        action
        for kind in GROUP_KINDS
        for row in await context.store.rows(kind, context.scope)
        if _is_asked(row, request) and not row.desired.deleting
        for update in updates
        if (action := action_of(row, update, context.updates, builds, rules, now)) is not None and action.status in statuses
    ]
    shown, marker = page_sequence(sorted(found, key=_order), page, _order)
    nodes = bool(request.get("ShowNodeLevelUpdateStatus"))
    return reply("UpdateActions", [_view(action, now, nodes) for action in shown], marker)


def _order(action: UpdateAction) -> str:
    return f"{action.row.key.name}/{action.row.key.kind}/{action.update.name}"


def _is_asked(row: GroupRow, request: Mapping[str, Any]) -> bool:
    """All caches when none is named."""
    groups, clusters = request.get(GROUPS) or (), request.get(CLUSTERS) or ()
    names = groups if is_group(row) else clusters
    return not (groups or clusters) or row.key.name in [folded(name) for name in names]


def _asked_updates(context: Context, request: Mapping[str, Any]) -> list[Any]:
    """Raises InvalidParameterValue, InvalidParameterCombination."""
    statuses = asked_choices(request, STATUS, (AVAILABLE, CANCELLED, EXPIRED))
    engine = asked_engine(request["Engine"], tuple(Engine)) if request.get("Engine") else None
    span = request.get(RANGE) or {}
    start, end = span.get("StartTime"), span.get("EndTime")
    if start is not None and end is not None and start > end:
        raise invalid_combination(f"{RANGE}: StartTime must not be later than EndTime.")
    name = folded(request.get(NAME) or "")
    return [
        update
        for update in context.updates
        if update.status in statuses
        and (not name or update.name == name)
        and (engine is None or update.engine is engine)
        and (start is None or update.released_at >= start)
        and (end is None or update.released_at <= end)
    ]


# --- views ---------------------------------------------------------------------------------------------------------


def _view(action: UpdateAction, now: float, nodes: bool) -> dict[str, Any]:
    row, update = action.row, action.update
    members = row.desired.nodes
    done = len(members) if action.status == COMPLETE else sum(has_it(action, node) for node in members)
    view: dict[str, Any] = {
        "ReplicationGroupId" if is_group(row) else "CacheClusterId": row.key.name,
        "ServiceUpdateName": update.name,
        "ServiceUpdateReleaseDate": update.released_at,
        "ServiceUpdateSeverity": update.severity,
        "ServiceUpdateStatus": update.status,
        "ServiceUpdateRecommendedApplyByDate": update.apply_by,
        "ServiceUpdateType": TYPE,
        "UpdateActionAvailableDate": action.available_at,
        "UpdateActionStatus": action.status,
        "NodesUpdated": f"{done}/{len(members)}",
        "UpdateActionStatusModifiedDate": action.status_at,
        "SlaMet": sla_met(action, now),
        "EstimatedUpdateTime": NODE_TIME,
        "Engine": update.engine.value,
    }
    if nodes and is_group(row):
        view["NodeGroupUpdateStatus"] = [
            {
                "NodeGroupId": shard.shard_id,
                "NodeGroupMemberUpdateStatus": [
                    {"CacheClusterId": node.name, **_node_view(action, node)} for node in shard.nodes
                ],
            }
            for shard in row.desired.shards
        ]
    elif nodes:
        view["CacheNodeUpdateStatus"] = [_node_view(action, node) for node in members]
    return view


def _node_view(action: UpdateAction, node: DesiredNode) -> dict[str, Any]:
    view: dict[str, Any] = {"CacheNodeId": node.node_id, "NodeUpdateStatus": node_update_status(action, node)}
    course, progress = action.course, node_progress(action, node)
    if course is not None:
        view |= {"NodeUpdateInitiatedBy": course.by, "NodeUpdateInitiatedDate": course.asked_at}
        view["NodeUpdateStatusModifiedDate"] = action.status_at
    if progress is not None:
        view["NodeUpdateStartDate"] = progress.begun_at
        view["NodeUpdateStatusModifiedDate"] = progress.ended_at or progress.begun_at
        if progress.ended_at:
            view["NodeUpdateEndDate"] = progress.ended_at
    return view
