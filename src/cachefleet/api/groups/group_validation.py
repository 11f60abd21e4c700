"""The settings that every group has, as callers write them: checked, and brought into the form that is stored.

Pure, apart from drawing default windows. Raises AwsError with the member, the rule and the remedy (reference 2.4, 3.1, 3.3).
Called by the create and modify operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.names import description, quoted
from cachefleet.api.windows import maintenance_window, snapshot_window
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.resource import Scope
from cachefleet.reference.engines import DEFAULT_PORTS
from cachefleet.reference.node_types import NodeType, node_type
from cachefleet.reference.windows import WEEK_MINUTES, default_maintenance_window, default_snapshot_window

MAX_RETENTION_DAYS = 35
LAST_PORT = 65_535
LAST_CLUSTER_PORT = 55_535  # the cluster bus listens 10000 above

_SECURITY_GROUP = re.compile(r"sg-[0-9A-Za-z-]{1,252}", re.ASCII)
_TOPIC = re.compile(r"arn:[a-z-]{1,20}:sns:([a-z0-9-]{1,40}):([0-9]{12}):[A-Za-z0-9_-]{1,256}", re.ASCII)
_WINDOW_DRAWS = WEEK_MINUTES


def asked_description(value: str) -> str:
    """Raises InvalidParameterValue."""
    if not value.strip():
        raise invalid_value("The parameter ReplicationGroupDescription must be provided and must not be blank.")
    return description(value, "ReplicationGroupDescription")


def asked_node_type(context: Context, name: str | None) -> NodeType:
    """Raises InvalidParameterValue for a node type that neither ElastiCache nor the settings know."""
    if not name:
        raise invalid_value("CacheNodeType is missing; name a node type such as cache.t4g.micro.")
    found = node_type(name, context.settings.node_types)
    if found is None:
        raise invalid_value(
            f"CacheNodeType: {quoted(name)} is not a node type; use one such as cache.t4g.micro, or declare it in settings."
        )
    return found


def asked_port(value: int | None, engine: Engine, clustered: bool) -> int:
    last = LAST_CLUSTER_PORT if clustered else LAST_PORT
    port = DEFAULT_PORTS[engine.value] if value is None else value
    if not 1 <= port <= last:
        why = " (the cluster bus listens 10000 above it)" if clustered else ""
        raise invalid_value(f"Port: {port} must be from 1 to {last}{why}.")
    return port


def asked_at_rest_encryption(value: bool | None, engine: Engine, kind: str) -> bool:
    """By default on for Valkey, where the node type has it (reference 3.3)."""
    lacking = kind.startswith(("cache.t1.", "cache.m1.", "cache.m2."))
    if value and lacking:
        raise invalid_combination(
            f"AtRestEncryptionEnabled: {kind} nodes have no encryption at rest; use false or another type."
        )
    return (engine is Engine.VALKEY and not lacking) if value is None else value


def asked_retention(days: int) -> int:
    if not 0 <= days <= MAX_RETENTION_DAYS:
        raise invalid_value(f"SnapshotRetentionLimit: {days} must be from 0 to {MAX_RETENTION_DAYS} days; 0 turns backups off.")
    return days


def asked_security_groups(names: Sequence[str]) -> tuple[str, ...]:
    """In the order given, each once."""
    for name in names:
        if not _SECURITY_GROUP.fullmatch(name):
            raise invalid_value(
                f"SecurityGroupIds: {quoted(name)} is not the id of a security group; ids look like sg-0a1b2c3d."
            )
    return tuple(dict.fromkeys(names))


def asked_topic(arn: str, scope: Scope) -> str:
    """A topic of the same account and region (reference 3.3); "" for none."""
    if not arn:
        return ""
    found = _TOPIC.fullmatch(arn)
    if found is None:
        example = f"arn:aws:sns:{scope.region}:{scope.account}:name"
        raise invalid_value(f"NotificationTopicArn: {quoted(arn)} is not the ARN of a topic, such as {example}.")
    if (found[1], found[2]) != (scope.region, scope.account):
        raise invalid_value(
            f"NotificationTopicArn: {quoted(arn)} is not of region {scope.region} and account {scope.account}, as it must be."
        )
    return arn


def asked_topic_status(value: str) -> bool:
    """Whether notifications are active."""
    if value not in ("active", "inactive"):
        raise invalid_value(f"NotificationTopicStatus: {quoted(value)} must be active or inactive.")
    return value == "active"


def asked_maintenance_window(context: Context, value: str | None) -> str:
    """A random hour in the region's block when none is asked for."""
    if value:
        return maintenance_window(value)
    return default_maintenance_window(context.scope.region, context.entropy.below(_WINDOW_DRAWS))


def asked_snapshot_window(context: Context, value: str | None) -> str:
    """A random hour in the region's block when none is asked for."""
    if value:
        return snapshot_window(value)
    return default_snapshot_window(context.scope.region, context.entropy.below(_WINDOW_DRAWS))


def new_settings(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of GroupDesired that every new group has, from the request or by default."""
    upgrade = request.get("AutoMinorVersionUpgrade")
    return {
        "maintenance_window": asked_maintenance_window(context, request.get("PreferredMaintenanceWindow")),
        "snapshot_window": asked_snapshot_window(context, request.get("SnapshotWindow")),
        "snapshot_retention_days": asked_retention(request.get("SnapshotRetentionLimit") or 0),
        "notification_topic": asked_topic(request.get("NotificationTopicArn") or "", context.scope),
        "security_groups": asked_security_groups(request.get("SecurityGroupIds") or ()),
        "auto_minor_version_upgrade": True if upgrade is None else upgrade,
    }


def changed_settings(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of GroupDesired that a request sets anew; a member that is left out changes nothing."""
    changes: dict[str, Any] = {}
    if request.get("PreferredMaintenanceWindow"):
        changes["maintenance_window"] = maintenance_window(request["PreferredMaintenanceWindow"])
    if request.get("SnapshotWindow"):
        changes["snapshot_window"] = snapshot_window(request["SnapshotWindow"])
    if request.get("SnapshotRetentionLimit") is not None:
        changes["snapshot_retention_days"] = asked_retention(request["SnapshotRetentionLimit"])
    if request.get("NotificationTopicArn") is not None:
        changes["notification_topic"] = asked_topic(request["NotificationTopicArn"], context.scope)
        changes["notification_active"] = True  # also where an earlier topic was not there any more
    if request.get("NotificationTopicStatus"):
        changes["notification_active"] = asked_topic_status(request["NotificationTopicStatus"])
    if request.get("SecurityGroupIds") is not None:
        changes["security_groups"] = asked_security_groups(request["SecurityGroupIds"])
    if request.get("AutoMinorVersionUpgrade") is not None:
        changes["auto_minor_version_upgrade"] = request["AutoMinorVersionUpgrade"]
    return changes


def check_topic_status(desired: GroupDesired, request: Mapping[str, Any]) -> None:
    """desired: with what the request sets. Raises InvalidParameterCombination where there is no topic that could hear less."""
    if request.get("NotificationTopicStatus") and not desired.notification_topic:
        raise invalid_combination(
            "NotificationTopicStatus: no topic is told of events; give NotificationTopicArn, too, or leave it out."
        )


def check_failover(clustered: bool, failover: bool, multi_az: bool, nodes: int, kind: str) -> None:
    """The rules that tie automatic failover, Multi-AZ and the number of nodes (reference 3.3)."""
    if clustered and not failover:
        raise invalid_combination(
            "Turning off automatic failover for replication group with cluster mode enabled is not supported."
        )
    if multi_az and not failover:
        raise invalid_combination("MultiAZEnabled: Multi-AZ needs automatic failover; set AutomaticFailoverEnabled to true.")
    if failover and not clustered and nodes < 2:
        raise invalid_combination(
            "When using automatic failover, there must be at least 2 cache clusters in the replication group."
        )
    if failover and kind.startswith("cache.t1."):
        raise invalid_combination("AutomaticFailoverEnabled: automatic failover is not supported on T1 node types.")
