"""Tags of replication groups, clusters, subnet and parameter groups, snapshots, users and user groups: add, list, remove.

Tags of a replication group are copied to its nodes when they are added and taken from them when they are removed; a node
may have further ones of its own. Refused only while the resource is being deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from cachefleet.api import names
from cachefleet.api.access.config_access import changed_config
from cachefleet.api.access.user_rows import load_user_row
from cachefleet.api.arns import GLOBAL, Arn, parse_arn
from cachefleet.api.context import Context
from cachefleet.api.costs.reserved_nodes import load_reserved_nodes
from cachefleet.api.groups.group_rows import Change, load_cluster, load_group, update_group
from cachefleet.api.groups.relocation import asks_for_relocation, refuse_relocation, relocated
from cachefleet.api.networks import subnet_groups
from cachefleet.api.parameters.parameter_group_rows import find_parameter_group_row, is_built_in
from cachefleet.api.registry import operation
from cachefleet.api.rows import update_row
from cachefleet.api.snapshots.snapshot_rows import load_snapshot
from cachefleet.api.tag_rules import (
    added,
    check_memcached,
    check_present,
    check_saving,
    check_sharded,
    for_nodes,
    is_gentle,
    read_tags,
    removed,
    show_tags,
)
from cachefleet.interfaces import AnyRow
from cachefleet.model import config_access, saving
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import DesiredNode, GroupDesired, Shape
from cachefleet.model.network import DEFAULT_SUBNET_GROUP
from cachefleet.model.proof import ASKED
from cachefleet.model.resource import Kind
from cachefleet.model.snapshot import SnapshotDesired, SnapshotState
from cachefleet.model.user import DEFAULT_USER, UserDesired

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        AddTagsToResourceMessageTypeDef,
        ListTagsForResourceMessageTypeDef,
        RemoveTagsFromResourceMessageTypeDef,
    )

_NOT_FOUND = {  # types of ARNs whose resources cannot exist yet
    "securitygroup": "CacheSecurityGroupNotFound",
    "serverlesscache": "ServerlessCacheNotFoundFault",
    "serverlesscachesnapshot": "ServerlessCacheSnapshotNotFoundFault",
    GLOBAL: "GlobalReplicationGroupNotFoundFault",
}

TagChange = Callable[[Mapping[str, str]], dict[str, str]]


@operation("AddTagsToResource", effective=("ResourceName", "Tags"))
async def add_tags_to_resource(context: Context, request: AddTagsToResourceMessageTypeDef) -> dict[str, Any]:
    arn = parse_arn(request["ResourceName"], context.scope)
    more = read_tags(request["Tags"], of_snapshot=arn.type_word == Kind.SNAPSHOT)
    if not more:
        raise invalid_value("Tags: at least one tag must be named.")
    tags = await _change(context, arn, lambda tags: added(tags, more), lambda tags: added(tags, for_nodes(more)), more)
    return {"TagList": show_tags(tags)}


@operation("ListTagsForResource", effective=("ResourceName",))
async def list_tags_for_resource(context: Context, request: ListTagsForResourceMessageTypeDef) -> dict[str, Any]:
    arn = parse_arn(request["ResourceName"], context.scope)
    if _is_built_in(arn):
        return {"TagList": []}
    return {"TagList": show_tags(tags_of(await _find(context, arn), arn))}


@operation("RemoveTagsFromResource", effective=("ResourceName", "TagKeys"))
async def remove_tags_from_resource(context: Context, request: RemoveTagsFromResourceMessageTypeDef) -> dict[str, Any]:
    arn = parse_arn(request["ResourceName"], context.scope)
    keys = list(dict.fromkeys(request["TagKeys"]))
    if not keys:
        raise invalid_value("TagKeys: at least one key must be named.")

    def strict(tags: Mapping[str, str]) -> dict[str, str]:
        check_present(tags, keys)
        return removed(tags, keys)

    tags = await _change(context, arn, strict, lambda tags: removed(tags, keys))
    return {"TagList": show_tags(tags)}


# --- the resource of an ARN ----------------------------------------------------------------------------------------


def _is_built_in(arn: Arn) -> bool:
    """One of the service's own resources, which have no tags."""
    if arn.type_word == Kind.PARAMETER_GROUP:
        return is_built_in(arn.name)
    return arn in (Arn(Kind.SUBNET_GROUP, DEFAULT_SUBNET_GROUP), Arn(Kind.USER, DEFAULT_USER))


async def _find(context: Context, arn: Arn) -> AnyRow:
    """The row that holds the resource's tags; a member of a replication group is in the group's row. Raises the resource's
    not-found code, InvalidARN."""
    if arn.type_word == Kind.REPLICATION_GROUP:
        return await load_group(context, arn.name)
    if arn.type_word == Kind.CACHE_CLUSTER:
        return await load_cluster(context, arn.name)
    if arn.type_word == Kind.SUBNET_GROUP:
        return await subnet_groups.find_subnet_group_row(context, arn.name)
    if arn.type_word == Kind.PARAMETER_GROUP:
        return await find_parameter_group_row(context, arn.name)
    if arn.type_word == Kind.SNAPSHOT:
        return await load_snapshot(context, arn.name)
    if arn.type_word == Kind.RESERVED_NODES:
        return await load_reserved_nodes(context, arn.name)
    if arn.type_word in (Kind.USER, Kind.USER_GROUP):
        return await load_user_row(context, Kind(arn.type_word), arn.name)
    if arn.type_word in _NOT_FOUND:
        raise AwsError(_NOT_FOUND[arn.type_word], f"ResourceName: there is no {arn.type_word} {names.quoted(arn.name)}.")
    raise AwsError("InvalidARN", f"ResourceName: {names.quoted(arn.type_word)} is not a type of resource that has tags.")


async def _change(
    context: Context, arn: Arn, change: TagChange, change_node: TagChange, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The resource's tags after the change. change_node: what becomes of the nodes' tags when a group's are changed. more: tags
    that are added, of which some ask for more than to be kept."""
    if _is_built_in(arn):
        raise invalid_value(f"ResourceName: {arn.name} belongs to the service and takes no tags; use one of your own.")
    row = await _find(context, arn)
    _check_not_deleting(row, arn)
    if _is_member(row, arn):
        changed = _with_nodes(row, lambda node: change(node.tags) if node.name == arn.name else node.tags)
    else:
        changed = msgspec.structs.replace(row, tags=change(row.tags))
        if row.key.kind is Kind.REPLICATION_GROUP:
            changed = _with_nodes(_paced(changed), lambda node: change_node(node.tags))
    sharded = isinstance(row.desired, GroupDesired) and row.desired.shape is Shape.CLUSTERED and not _is_member(row, arn)
    check_sharded(more or {}, sharded=sharded, what=arn.name)
    check_saving(more or {}, saves=_can_be_saved(row, arn), what=arn.name)
    memcached = isinstance(row.desired, GroupDesired) and row.desired.shape is Shape.MEMCACHED
    check_memcached(more or {}, memcached=memcached, what=arn.name)
    relocates = bool(more) and asks_for_relocation(more or {})
    if relocates:
        if _is_member(row, arn) or not isinstance(row.desired, GroupDesired):
            refuse_relocation(more or {}, arn.name)
        changed = await relocated(context, changed, more or {})
    configures = _can_be_saved(row, arn) and row.tags.get(config_access.ASKED) != changed.tags.get(config_access.ASKED)
    if configures:
        changed = await changed_config(context, row, changed)
    if relocates or configures:
        return tags_of(await update_group(context, Change(changed, moves=changed.desired != row.desired)), arn)
    asks = ASKED in (more or {}) or row.tags.get(saving.ASKED) != changed.tags.get(saving.ASKED)
    return tags_of(await update_row(context, row, changed, wake=asks), arn)


def _can_be_saved(row: AnyRow, arn: Arn) -> bool:
    return isinstance(row.desired, GroupDesired) and row.desired.shape is not Shape.MEMCACHED and not _is_member(row, arn)


def tags_of(row: AnyRow, arn: Arn) -> dict[str, str]:
    """The tags of the resource with this ARN, out of the row that holds it."""
    if _is_member(row, arn):
        return next(node.tags for node in row.desired.nodes if node.name == arn.name)
    return row.tags


def _is_member(row: AnyRow, arn: Arn) -> bool:
    return arn.type_word == Kind.CACHE_CLUSTER and row.key.kind is Kind.REPLICATION_GROUP


def _paced(row: AnyRow) -> AnyRow:
    """Slots move as fast as its tags say; also those that are on their way."""
    return msgspec.structs.replace(row, desired=msgspec.structs.replace(row.desired, gentle=is_gentle(row.tags)))


def _with_nodes(row: AnyRow, tags: Callable[[DesiredNode], dict[str, str]]) -> AnyRow:
    shards = tuple(
        msgspec.structs.replace(shard, nodes=tuple(msgspec.structs.replace(node, tags=tags(node)) for node in shard.nodes))
        for shard in row.desired.shards
    )
    return msgspec.structs.replace(row, desired=msgspec.structs.replace(row.desired, shards=shards))


def _check_not_deleting(row: AnyRow, arn: Arn) -> None:
    if isinstance(row.desired, SnapshotDesired) and row.desired.state is SnapshotState.DELETING:
        raise AwsError(
            "SnapshotNotFoundFault", f"Snapshot {row.key.name} is being deleted; its tags cannot be changed any more."
        )
    if isinstance(row.desired, UserDesired) and row.desired.deleting:
        raise AwsError("UserNotFound", f"User {row.key.name} is being deleted; its tags cannot be changed any more.")
    if not isinstance(row.desired, GroupDesired) or not row.desired.deleting:
        return
    code = "InvalidReplicationGroupState" if arn.type_word == Kind.REPLICATION_GROUP else "InvalidCacheClusterState"
    raise AwsError(code, f"{arn.name} is being deleted; its tags cannot be changed any more.")
