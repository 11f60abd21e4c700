"""CreateCacheCluster: a standalone Valkey or Redis node, a Memcached cluster, or a further replica (reference 1.3, 3.3).

Writes desired state; the controller, woken after the commit, builds what the row says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cachefleet.api import names
from cachefleet.api.access.config_access import created_config
from cachefleet.api.access.group_access import created_access
from cachefleet.api.context import Context
from cachefleet.api.groups.cache_cluster_topology import asked_nodes, build_cluster, place_nodes
from cachefleet.api.groups.cache_cluster_views import cluster_view
from cachefleet.api.groups.group_inputs import CREATE_REFUSED
from cachefleet.api.groups.group_rows import insert_group
from cachefleet.api.groups.group_validation import asked_node_type, asked_port, new_settings
from cachefleet.api.groups.relocation import check_created
from cachefleet.api.groups.replica_membership import add_replica
from cachefleet.api.groups.replication_group_topology import Place
from cachefleet.api.logs.log_deliveries import created_logs
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.api.parameters.parameter_group_rows import resolve_parameter_group
from cachefleet.api.registry import Refusal, operation
from cachefleet.api.snapshots.restoring import Origin, asked_origin, check_cluster, check_databases, check_engine, check_nodes
from cachefleet.api.snapshots.restoring_defaults import cluster_request
from cachefleet.api.tag_rules import read_tags
from cachefleet.api.transit import asked_transit, fitting_build
from cachefleet.api.transit import check_created as check_transit
from cachefleet.api.updates.engine_choice import asked_engine, choose_build
from cachefleet.model.errors import invalid_combination
from cachefleet.model.group import Engine, GroupDesired, Shape
from cachefleet.model.memcached_snapshots import ASKED, ON, has_snapshots
from cachefleet.model.network import DEFAULT_SUBNET_GROUP
from cachefleet.model.resource import Kind
from cachefleet.reference.zones import zones

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import CreateCacheClusterMessageTypeDef

UID_BYTES = 8
CLUSTER_ENGINES = (Engine.VALKEY, Engine.REDIS, Engine.MEMCACHED)

_OUTPOSTS = "Outposts are not supported; leave it out"


@operation(
    "CreateCacheCluster",
    effective=(
        "CacheClusterId",
        "ReplicationGroupId",
        "AZMode",
        "PreferredAvailabilityZone",
        "PreferredAvailabilityZones",
        "NumCacheNodes",
        "CacheNodeType",
        "Engine",
        "EngineVersion",
        "CacheParameterGroupName",
        "CacheSubnetGroupName",
        "Tags",
        "Port",
        "PreferredMaintenanceWindow",
        "AutoMinorVersionUpgrade",
        "SnapshotRetentionLimit",
        "SnapshotWindow",
        "SecurityGroupIds",
        "NotificationTopicArn",
        "SnapshotName",
        "SnapshotArns",
        "TransitEncryptionEnabled",
        "AuthToken",
        "LogDeliveryConfigurations",
    ),
    refused={
        **CREATE_REFUSED,
        "OutpostMode": Refusal(_OUTPOSTS, ("",)),
        "PreferredOutpostArn": Refusal(_OUTPOSTS, ("",)),
        "PreferredOutpostArns": Refusal(_OUTPOSTS, ([],)),
    },
)
async def create_cache_cluster(context: Context, request: CreateCacheClusterMessageTypeDef) -> dict[str, Any]:
    name = names.cluster_id(request["CacheClusterId"])
    if request.get("ReplicationGroupId"):
        return {"CacheCluster": cluster_view(await add_replica(context, name, request), name)}
    tags = read_tags(request.get("Tags") or ())
    origin = await asked_origin(context, request)
    complete = request if origin is None else cluster_request(origin, request)
    desired = await _desired(context, name, complete, origin, tags)
    check_created(tags, desired)
    desired = await created_config(context, desired, tags)
    desired = await created_logs(context, desired, request)
    desired = (await created_access(context, desired, request)).desired
    row = await insert_group(context, Kind.CACHE_CLUSTER, name, desired, tags, None if origin is None else origin.snapshot)
    return {"CacheCluster": cluster_view(row, name)}


async def _desired(
    context: Context, name: str, request: Mapping[str, Any], origin: Origin | None, tags: Mapping[str, str]
) -> GroupDesired:
    engine = asked_engine(request.get("Engine"), CLUSTER_ENGINES)
    if origin is not None:
        check_cluster(origin, engine)
    transit = asked_transit(request)
    build = choose_build(context.catalogue, engine, request.get("EngineVersion"))
    build = fitting_build(context.catalogue, build, request.get("EngineVersion"), transit)
    group = await resolve_parameter_group(context, request.get("CacheParameterGroupName"), engine, build.version, "disabled")
    if origin is not None:
        check_engine(origin, engine, build.version)
        check_databases(origin, group, clustered=False)
    kind = asked_node_type(context, request.get("CacheNodeType"))
    subnet_group = names.folded(request.get("CacheSubnetGroupName") or DEFAULT_SUBNET_GROUP)
    place = Place(await subnet_group_zones(context, subnet_group), zones(context.scope.region))
    count = asked_nodes(request, engine, context.settings.api.memcached_nodes)
    if origin is not None:
        check_nodes(origin, count)
    placement = place_nodes(request, engine, count, place)
    now = context.clock.now()
    desired = GroupDesired(
        uid=context.entropy.hex(UID_BYTES),
        shape=Shape.MEMCACHED if engine is Engine.MEMCACHED else Shape.REPLICATED,
        engine=engine,
        engine_version=build.version,
        node_type=kind.name,
        port=asked_port(request.get("Port"), engine, clustered=False),
        shards=build_cluster(name, engine, placement.zones, now),
        parameter_group=group.name,
        subnet_group=subnet_group,
        az_mode=placement.az_mode,
        created_at=now,
        restore=None if origin is None else origin.restore,
        transit=transit,
        **_encryption(origin),
        **_settings(context, engine, request, tags),
    )
    check_transit(desired)
    return desired


def _encryption(origin: Origin | None) -> dict[str, Any]:
    """Of the snapshots that will be made of it: as of what it is restored from; no request says it."""
    if origin is None or origin.group is None:
        return {}
    return {"at_rest_encryption": origin.group.at_rest_encryption, "key_name": origin.group.key_name}


def _settings(context: Context, engine: Engine, request: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    settings = new_settings(context, request)
    if engine is Engine.MEMCACHED and not has_snapshots(tags):
        refuse_memcached_snapshots(request)
        settings["snapshot_window"] = ""
    return settings


def refuse_memcached_snapshots(request: Mapping[str, Any]) -> None:
    """Raises InvalidParameterCombination: there are none unless a tag asks for them."""
    for member in ("SnapshotRetentionLimit", "SnapshotWindow"):
        if request.get(member):
            raise invalid_combination(
                f"{member}: Memcached has no snapshots; leave it out, or give the cluster the tag {ASKED}={ON}."
            )
