"""A standalone cluster becomes the primary of a new replication group, and the primary of a deleted one becomes standalone.

The row changes its kind; node, process, address and data go on. Only desired state is written here. Called by
CreateReplicationGroup (PrimaryClusterId) and DeleteReplicationGroup (RetainPrimaryCluster).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.access.config_access import carried
from cachefleet.api.access.group_access import refuse_retained
from cachefleet.api.context import Context
from cachefleet.api.groups.group_rows import Change, exchange_group, load_cluster, load_group
from cachefleet.api.groups.group_state import MODIFYING, is_group, is_primary, require_available
from cachefleet.api.groups.group_validation import asked_description, changed_settings
from cachefleet.api.groups.handovers import require_settled
from cachefleet.api.names import folded
from cachefleet.api.tag_rules import added, for_nodes, read_tags
from cachefleet.model.config_access import ASKED
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.event import NoticeName
from cachefleet.model.group import GroupStatus, Shape
from cachefleet.model.plan import EventDraft
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row

_SETTLED: Mapping[str, tuple[object, ...]] = {  # what the existing cluster answers already; values that agree with it anyway
    "NumCacheClusters": (1,),
    "NumNodeGroups": (1,),
    "ReplicasPerNodeGroup": (0,),
    "AutomaticFailoverEnabled": (False,),
    "MultiAZEnabled": (False,),
    "ClusterMode": ("disabled",),
    "AtRestEncryptionEnabled": (False,),
    "KmsKeyId": ("",),
    "AuthToken": ("",),
    "UserGroupIds": ([],),
    "SnapshotName": ("",),
    "SnapshotArns": ([],),
    "LogDeliveryConfigurations": ([],),
    "PreferredCacheClusterAZs": ([],),
    "NodeGroupConfiguration": ([],),
    "CacheNodeType": (),
    "Engine": (),
    "EngineVersion": (),
    "CacheParameterGroupName": (),
    "CacheSubnetGroupName": (),
    "Port": (),
}


async def adopt_cluster(context: Context, name: str, request: Mapping[str, Any]) -> GroupRow:
    """The new group's row. Raises CacheClusterNotFound, InvalidCacheClusterState, ReplicationGroupAlreadyExists, and
    InvalidParameterCombination for members that the existing cluster answers already."""
    for member, agreeing in _SETTLED.items():
        if member in request and request[member] not in agreeing:
            raise invalid_combination(
                f"{member} cannot be given together with PrimaryClusterId: the group begins as its primary cluster is. Add "
                "replicas and change settings afterwards."
            )
    settings = changed_settings(context, request)
    text = asked_description(request["ReplicationGroupDescription"])
    tags = read_tags(request.get("Tags") or ())
    cluster = folded(request["PrimaryClusterId"])
    old = await load_cluster(context, cluster)
    _check_adoptable(old, cluster)
    if tags.get(ASKED, old.desired.config) != old.desired.config:
        raise invalid_combination(f"Tags: {ASKED} cannot be changed together with PrimaryClusterId; add it afterwards.")
    tags = added(tags, carried(old.tags))
    (shard,) = old.desired.shards
    (node,) = shard.nodes
    shards = (replace(shard, nodes=(replace(node, tags=for_nodes({**old.tags, **tags})),)),)
    row: GroupRow = Row(
        key=context.scope.key(Kind.REPLICATION_GROUP, name),
        desired=replace(old.desired, shards=shards, description=text, created_at=context.clock.now(), **settings),
        memory=old.memory,
        status=replace(old.status, state=MODIFYING),
        tags=tags,
    )
    message, notice = f"Replication group {name} created", NoticeName.CREATE_REPLICATION_GROUP_COMPLETE
    created = EventDraft("replication-group", name, message, notice)
    return await exchange_group(context, old, Change(row, events=(created,)))


def _check_adoptable(row: GroupRow, cluster: str) -> None:
    if is_group(row):
        raise AwsError(
            "InvalidCacheClusterState", f"Cache cluster {cluster} is a member of replication group {row.key.name} already."
        )
    if row.desired.shape is Shape.MEMCACHED:
        raise invalid_value(f"PrimaryClusterId: {cluster} is a Memcached cluster; only Valkey and Redis can be replicated.")
    require_available(row)


async def retain_primary(context: Context, name: str) -> GroupRow:
    """Delete the group but keep its primary as a standalone cluster; the group as it was. Its endpoints go on to answer for
    clients that still use them. Raises ReplicationGroupNotFoundFault, InvalidReplicationGroupState,
    InvalidParameterCombination (cluster mode enabled)."""
    old = await load_group(context, name)
    require_available(old)
    if old.desired.shape is Shape.CLUSTERED:
        raise invalid_combination("RetainPrimaryCluster is not possible when cluster mode is enabled.")
    refuse_retained(old)
    require_settled(old)
    (shard,) = old.desired.shards
    primary = next((node for node in shard.nodes if is_primary(old, node)), shard.nodes[0])
    desired = replace(
        old.desired,
        shards=(replace(shard, nodes=(replace(primary, tags={}),), handover_to=""),),
        description="",
        automatic_failover=False,
        multi_az=False,
        pending=None,
        created_at=primary.created_at,
    )
    known = {primary.name: old.status.nodes[primary.name]} if primary.name in old.status.nodes else {}
    row: GroupRow = Row(
        key=context.scope.key(Kind.CACHE_CLUSTER, primary.name),
        desired=desired,
        memory=old.memory,
        status=GroupStatus(MODIFYING, known),
        tags={**primary.tags, **carried(old.tags)},
    )
    removed = EventDraft("replication-group", old.key.name, f"Replication group {old.key.name} deleted")
    await exchange_group(context, old, Change(row, events=(removed,)))
    return old
