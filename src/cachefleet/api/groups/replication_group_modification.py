"""ModifyReplicationGroup, for what needs no new nodes: texts, windows, notifications, automatic failover, Multi-AZ, primary.

Such changes hold from the write on, ApplyImmediately or not (reference 2.3); a promotion begins at once and is shown as
pending until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.access.group_access import changed_access, check_upgrade
from cachefleet.api.context import Context
from cachefleet.api.groups.cluster_mode_change import mode_change
from cachefleet.api.groups.group_changes import asked_change, changed, waiting
from cachefleet.api.groups.group_inputs import MODIFY_REFUSED
from cachefleet.api.groups.group_rows import load_group, update_group
from cachefleet.api.groups.group_state import MODIFYING, require_available
from cachefleet.api.groups.group_validation import asked_description, changed_settings, check_failover, check_topic_status
from cachefleet.api.groups.handovers import promoted
from cachefleet.api.groups.placement import check_multi_az
from cachefleet.api.groups.replication_group_views import group_view
from cachefleet.api.logs.log_deliveries import changed_logs
from cachefleet.api.names import folded, quoted
from cachefleet.api.registry import Refusal, operation
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import ModifyReplicationGroupMessageTypeDef


@operation(
    "ModifyReplicationGroup",
    effective=(
        "ReplicationGroupId",
        "ReplicationGroupDescription",
        "PrimaryClusterId",
        "SnapshottingClusterId",
        "AutomaticFailoverEnabled",
        "MultiAZEnabled",
        "CacheParameterGroupName",
        "Engine",
        "EngineVersion",
        "CacheNodeType",
        "ClusterMode",
        "ApplyImmediately",
        "TransitEncryptionEnabled",
        "TransitEncryptionMode",
        "AuthToken",
        "AuthTokenUpdateStrategy",
        "UserGroupIdsToAdd",
        "UserGroupIdsToRemove",
        "RemoveUserGroups",
        "PreferredMaintenanceWindow",
        "AutoMinorVersionUpgrade",
        "SnapshotRetentionLimit",
        "SnapshotWindow",
        "SecurityGroupIds",
        "NotificationTopicArn",
        "NotificationTopicStatus",
        "LogDeliveryConfigurations",
    ),
    recorded={"NodeGroupId": "has no meaning any more; Amazon ElastiCache ignores it too"},
    refused={
        **MODIFY_REFUSED,
        "Durability": Refusal("durable writes are not implemented yet; use default", ("default", "disabled")),
    },
)
async def modify_replication_group(context: Context, request: ModifyReplicationGroupMessageTypeDef) -> dict[str, Any]:
    changes = changed_settings(context, request)
    if request.get("ReplicationGroupDescription") is not None:
        changes["description"] = asked_description(request["ReplicationGroupDescription"])
    row = await load_group(context, request["ReplicationGroupId"])
    require_available(row)
    _refuse_roles(row, request)
    if request.get("SnapshottingClusterId"):
        changes["snapshotting_cluster"] = _snapshotting_cluster(row, request["SnapshottingClusterId"])
    changes |= await changed_logs(context, row.desired, request)
    other_mode = await mode_change(context, row, request)
    if other_mode is not None:
        changes_it = other_mode.row.desired != row.desired
        return {"ReplicationGroup": group_view(await update_group(context, other_mode) if changes_it else row)}
    after = replace(row, desired=replace(row.desired, **changes, **_failover(row.desired, request)))
    check_topic_status(after.desired, request)
    change = await changed(context, after, await asked_change(context, after, request, waiting(after)), request)
    after = change.row
    if request.get("PrimaryClusterId"):
        if after.status.state != row.status.state:
            raise invalid_combination(
                "PrimaryClusterId: a promotion and a change of nodes cannot begin together; send them one after the other."
            )
        failover = row.desired.automatic_failover or after.desired.automatic_failover
        after = promoted(after, folded(request["PrimaryClusterId"]), failover)
    access = await changed_access(context, row, after, request)
    await check_upgrade(context, row, replace(after, desired=access.desired))
    if access.desired != after.desired:
        after = replace(after, desired=access.desired, status=replace(after.status, state=MODIFYING))
    if after.desired != row.desired:
        events = (*change.events, *_events(row, after.desired))
        holds = () if access.group is None else (access.group,)
        row = await update_group(context, replace(change, row=after, events=events, holds=holds))
    return {"ReplicationGroup": group_view(row)}


def _failover(desired: GroupDesired, request: Mapping[str, Any]) -> dict[str, Any]:
    """Automatic failover and Multi-AZ as they shall be. Raises InvalidParameterCombination (reference 3.3)."""
    asked, asked_multi_az = request.get("AutomaticFailoverEnabled"), request.get("MultiAZEnabled")
    failover = desired.automatic_failover if asked is None else asked
    multi_az = desired.multi_az if asked_multi_az is None else asked_multi_az
    if (failover, multi_az) == (desired.automatic_failover, desired.multi_az):
        return {}
    if multi_az and not failover and asked_multi_az is None:
        raise invalid_combination(
            "AutomaticFailoverEnabled: Multi-AZ is enabled and needs automatic failover; set MultiAZEnabled to false as well."
        )
    check_failover(desired.shape is Shape.CLUSTERED, failover, multi_az, len(desired.nodes), desired.node_type)
    if multi_az and not desired.multi_az:
        check_multi_az([[node.zone for node in shard.nodes] for shard in desired.shards])
    return {"automatic_failover": failover, "multi_az": multi_az}


def _refuse_roles(row: GroupRow, request: Mapping[str, Any]) -> None:
    """Raises InvalidParameterCombination."""
    for member in ("PrimaryClusterId", "SnapshottingClusterId"):
        if request.get(member) and row.desired.shape is Shape.CLUSTERED:
            raise invalid_combination(f"{member} cannot be set when cluster mode is enabled.")


def _snapshotting_cluster(row: GroupRow, asked: str) -> str:
    """The member that automatic snapshots are taken of. Raises CacheClusterNotFound."""
    cluster = folded(asked)
    if not any(node.name == cluster for node in row.desired.nodes):
        raise AwsError(
            "CacheClusterNotFound",
            f"SnapshottingClusterId: {quoted(cluster)} is no cluster of replication group {row.key.name}.",
        )
    return cluster


def _events(row: GroupRow, desired: GroupDesired) -> tuple[EventDraft, ...]:
    if desired.automatic_failover == row.desired.automatic_failover:
        return ()
    switched = "on" if desired.automatic_failover else "off"
    name = row.key.name
    return (
        EventDraft("replication-group", name, f"Automatic failover has been turned {switched} for replication group {name}"),
    )
