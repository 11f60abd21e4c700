"""CreateReplicationGroup: what is asked for becomes desired state (reference 1.3, 3.3).

Starts nothing itself: the controller, woken after the commit, builds what the row says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cachefleet.api import names
from cachefleet.api.access.config_access import created_config
from cachefleet.api.access.group_access import created_access
from cachefleet.api.context import Context
from cachefleet.api.groups.cluster_mode import asked_mode, is_clustered
from cachefleet.api.groups.group_inputs import CREATE_REFUSED
from cachefleet.api.groups.group_rows import insert_group
from cachefleet.api.groups.group_validation import (
    asked_at_rest_encryption,
    asked_description,
    asked_node_type,
    asked_port,
    check_failover,
    new_settings,
)
from cachefleet.api.groups.primary_exchange import adopt_cluster
from cachefleet.api.groups.relocation import check_created
from cachefleet.api.groups.replication_group_topology import Place, Quota, asked_shards, build_shards, plan_shards
from cachefleet.api.groups.replication_group_views import group_view
from cachefleet.api.logs.log_deliveries import created_logs
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.api.parameters.parameter_group_rows import find_parameter_group, resolve_parameter_group
from cachefleet.api.registry import Refusal, operation
from cachefleet.api.snapshots.restoring import Origin, asked_origin, check_databases, check_engine, check_mode
from cachefleet.api.snapshots.restoring_defaults import group_request
from cachefleet.api.snapshots.snapshot_requests import asked_key
from cachefleet.api.tag_rules import for_nodes, is_gentle, read_tags
from cachefleet.api.transit import asked_transit, fitting_build
from cachefleet.api.transit import check_created as check_transit
from cachefleet.api.updates.engine_choice import asked_engine, choose_build
from cachefleet.model.errors import invalid_combination
from cachefleet.model.group import Engine, GroupDesired, Shape
from cachefleet.model.network import DEFAULT_SUBNET_GROUP
from cachefleet.model.resource import Kind
from cachefleet.reference.zones import zones

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import CreateReplicationGroupMessageTypeDef

REPLICATION_ENGINES = (Engine.VALKEY, Engine.REDIS)
UID_BYTES = 8


@operation(
    "CreateReplicationGroup",
    effective=(
        "ReplicationGroupId",
        "ReplicationGroupDescription",
        "PrimaryClusterId",
        "AutomaticFailoverEnabled",
        "MultiAZEnabled",
        "NumCacheClusters",
        "PreferredCacheClusterAZs",
        "NumNodeGroups",
        "ReplicasPerNodeGroup",
        "NodeGroupConfiguration",
        "CacheNodeType",
        "Engine",
        "EngineVersion",
        "CacheParameterGroupName",
        "CacheSubnetGroupName",
        "Tags",
        "Port",
        "ClusterMode",
        "PreferredMaintenanceWindow",
        "AutoMinorVersionUpgrade",
        "SnapshotRetentionLimit",
        "SnapshotWindow",
        "SecurityGroupIds",
        "NotificationTopicArn",
        "SnapshotName",
        "SnapshotArns",
        "AtRestEncryptionEnabled",
        "KmsKeyId",
        "TransitEncryptionEnabled",
        "TransitEncryptionMode",
        "AuthToken",
        "UserGroupIds",
        "LogDeliveryConfigurations",
    ),
    refused={
        **CREATE_REFUSED,
        "GlobalReplicationGroupId": Refusal("global datastores are not implemented yet", ("",)),
        "DataTieringEnabled": Refusal(
            "data tiering needs SSD node types, which are not supported; use false", (False,), "InvalidParameterCombination"
        ),
        "ServerlessCacheSnapshotName": Refusal("serverless caches are not implemented yet; leave it out", ("",)),
        "Durability": Refusal("durable writes are not implemented yet; use default", ("default", "disabled")),
    },
)
async def create_replication_group(context: Context, request: CreateReplicationGroupMessageTypeDef) -> dict[str, Any]:
    name = names.replication_group_id(request["ReplicationGroupId"])
    if request.get("PrimaryClusterId"):
        return {"ReplicationGroup": group_view(await adopt_cluster(context, name, request))}
    tags = read_tags(request.get("Tags") or ())
    await asked_key(context, request.get("KmsKeyId"))
    origin = await asked_origin(context, request)
    desired = await _desired(context, name, request if origin is None else group_request(origin, request), tags, origin)
    check_created(tags, desired)
    desired = await created_config(context, desired, tags)
    desired = await created_logs(context, desired, request)
    access = await created_access(context, desired, request)
    snapshot = None if origin is None else origin.snapshot
    holds = () if access.group is None else (access.group,)
    row = await insert_group(context, Kind.REPLICATION_GROUP, name, access.desired, tags, snapshot, holds)
    return {"ReplicationGroup": group_view(row)}


async def _desired(
    context: Context, name: str, request: Mapping[str, Any], tags: Mapping[str, str], origin: Origin | None
) -> GroupDesired:
    engine = asked_engine(request.get("Engine"), REPLICATION_ENGINES)
    transit = asked_transit(request)
    build = choose_build(context.catalogue, engine, request.get("EngineVersion"))
    build = fitting_build(context.catalogue, build, request.get("EngineVersion"), transit)
    kind = asked_node_type(context, request.get("CacheNodeType"))
    clustered = await _is_clustered(context, request)
    cluster_mode = "enabled" if clustered else "disabled"
    if origin is not None:
        check_engine(origin, engine, build.version)
        check_mode(origin, clustered, request)
    group = await resolve_parameter_group(context, request.get("CacheParameterGroupName"), engine, build.version, cluster_mode)
    if origin is not None:
        check_databases(origin, group, clustered=clustered)
    subnet_group = names.folded(request.get("CacheSubnetGroupName") or DEFAULT_SUBNET_GROUP)
    place = Place(
        await subnet_group_zones(context, subnet_group), zones(context.scope.region), bool(request.get("MultiAZEnabled"))
    )
    plans = plan_shards(request, clustered, place, _quota(context))
    failover = request.get("AutomaticFailoverEnabled")
    failover = clustered if failover is None else failover
    check_failover(clustered, failover, place.multi_az, sum(len(plan.zones) for plan in plans), kind.name)
    at_rest = asked_at_rest_encryption(request.get("AtRestEncryptionEnabled"), engine, kind.name)
    if request.get("KmsKeyId") and not at_rest:
        raise invalid_combination("KmsKeyId: a key needs encryption at rest; set AtRestEncryptionEnabled to true.")
    now = context.clock.now()
    desired = GroupDesired(
        uid=context.entropy.hex(UID_BYTES),
        shape=Shape.CLUSTERED if clustered else Shape.REPLICATED,
        engine=engine,
        engine_version=build.version,
        node_type=kind.name,
        port=asked_port(request.get("Port"), engine, clustered),
        shards=build_shards(name, plans, clustered, now, for_nodes(tags)),
        parameter_group=group.name,
        subnet_group=subnet_group,
        description=asked_description(request["ReplicationGroupDescription"]),
        automatic_failover=failover,
        multi_az=place.multi_az,
        cluster_mode=cluster_mode,
        at_rest_encryption=at_rest,
        key_name=request.get("KmsKeyId") or "",
        created_at=now,
        gentle=is_gentle(tags),
        restore=None if origin is None else origin.restore,
        transit=transit,
        **new_settings(context, request),
    )
    check_transit(desired)
    return desired


async def _is_clustered(context: Context, request: Mapping[str, Any]) -> bool:
    group = request.get("CacheParameterGroupName") or ""
    group_is_on = (await find_parameter_group(context, group)).cluster_on if group else None
    return is_clustered(asked_mode(request.get("ClusterMode")), group, group_is_on, asked_shards(request))


def _quota(context: Context) -> Quota:
    return Quota(context.settings.api.shards_per_group, context.settings.api.nodes_per_group)
