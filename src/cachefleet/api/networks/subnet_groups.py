"""Cache subnet groups over the default VPC or one of one's own: four operations, and what the create operations ask.

The group "default" spans every subnet, exists always and cannot be changed. A subnet group limits the zones of its caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.networks import networks
from cachefleet.api.paging import cut, page_of, reply
from cachefleet.api.registry import operation
from cachefleet.api.rows import tell
from cachefleet.api.tag_rules import read_other_tags
from cachefleet.interfaces import Conflict, NameTaken, Transaction
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import GroupDesired
from cachefleet.model.network import (
    DEFAULT_SUBNET_GROUP,
    Subnet,
    SubnetGroupDesired,
    default_subnet_group,
)
from cachefleet.model.resource import GROUP_KINDS, Kind, Scope
from cachefleet.model.row import GroupRow, Row, SubnetGroupRow, SubnetRow

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import (
        CacheSubnetGroupTypeDef,
        CreateCacheSubnetGroupMessageTypeDef,
        DeleteCacheSubnetGroupMessageTypeDef,
        DescribeCacheSubnetGroupsMessageTypeDef,
        ModifyCacheSubnetGroupMessageTypeDef,
    )

_NAME = "CacheSubnetGroupName"
_DESCRIPTION = "CacheSubnetGroupDescription"
_SOURCE = "cache-subnet-group"
_SHOWN = 10  # subnets in a message


@operation("CreateCacheSubnetGroup", effective=(_NAME, _DESCRIPTION, "SubnetIds", "Tags"))
async def create_cache_subnet_group(context: Context, request: CreateCacheSubnetGroupMessageTypeDef) -> dict[str, Any]:
    name = names.group_name(request["CacheSubnetGroupName"], _NAME)
    description = names.description(request["CacheSubnetGroupDescription"], _DESCRIPTION)
    chosen = await choose_subnets(context, request["SubnetIds"])
    row: SubnetGroupRow = Row(
        key=context.scope.key(Kind.SUBNET_GROUP, name),
        desired=SubnetGroupDesired(description, chosen[0].desired.vpc_id, _as_members(chosen)),
        tags=read_other_tags(request.get("Tags", ()), "a subnet group"),
    )
    if name == DEFAULT_SUBNET_GROUP:
        raise _already_exists(name)
    try:
        async with context.store.transaction() as transaction:
            await transaction.take_turn()
            await _check_quota(context, name)
            await transaction.insert(row)
            await _hold(transaction, chosen)
            await tell(context, transaction, _SOURCE, name, "Cache subnet group created")
    except NameTaken:
        raise _already_exists(name) from None
    return {"CacheSubnetGroup": subnet_group_view(context.scope, name, row.desired)}


@operation("DescribeCacheSubnetGroups", effective=(_NAME, "MaxRecords", "Marker"))
async def describe_cache_subnet_groups(context: Context, request: DescribeCacheSubnetGroupsMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "subnet-groups")
    asked = request.get("CacheSubnetGroupName")
    if asked:
        found = {names.folded(asked): await find_subnet_group(context, asked)}
    else:
        rows = await context.store.rows(Kind.SUBNET_GROUP, context.scope, page.after, page.fetch)
        found = {row.key.name: row.desired for row in rows}
        if page.after < DEFAULT_SUBNET_GROUP:
            found[DEFAULT_SUBNET_GROUP] = default_subnet_group(context.scope)
    shown, marker = cut(sorted(found), page, str)
    return reply("CacheSubnetGroups", [subnet_group_view(context.scope, name, found[name]) for name in shown], marker)


@operation("ModifyCacheSubnetGroup", effective=(_NAME, _DESCRIPTION, "SubnetIds"))
async def modify_cache_subnet_group(context: Context, request: ModifyCacheSubnetGroupMessageTypeDef) -> dict[str, Any]:
    name = names.folded(request["CacheSubnetGroupName"])
    if name == DEFAULT_SUBNET_GROUP:
        raise invalid_value(f"{_NAME}: the subnet group default is built in and cannot be modified; create one of your own.")
    row = await find_subnet_group_row(context, name)
    changes: dict[str, Any] = {}
    chosen: list[SubnetRow] = []
    if "CacheSubnetGroupDescription" in request:
        changes["description"] = names.description(request["CacheSubnetGroupDescription"], _DESCRIPTION)
    if "SubnetIds" in request:
        chosen = await choose_subnets(context, request["SubnetIds"])
        if chosen[0].desired.vpc_id != row.desired.vpc_id:
            raise AwsError(
                "InvalidSubnet",
                f"SubnetIds: the subnets are of {chosen[0].desired.vpc_id}, and {name} of {row.desired.vpc_id}, which stays.",
            )
        changes["subnets"] = _as_members(chosen)
        _check_zones_free(await _groups_in(context, name), SubnetGroupDesired("", "", changes["subnets"]).zones, name)
    changed = msgspec.structs.replace(row, desired=msgspec.structs.replace(row.desired, **changes))
    if changed.desired != row.desired:
        async with context.store.transaction() as transaction:
            await transaction.update(changed)
            await _hold(transaction, chosen)
            await tell(context, transaction, _SOURCE, name, "Cache subnet group modified")
    return {"CacheSubnetGroup": subnet_group_view(context.scope, name, changed.desired)}


@operation("DeleteCacheSubnetGroup", effective=(_NAME,))
async def delete_cache_subnet_group(context: Context, request: DeleteCacheSubnetGroupMessageTypeDef) -> dict[str, Any]:
    name = names.folded(request["CacheSubnetGroupName"])
    if name == DEFAULT_SUBNET_GROUP:
        raise AwsError("CacheSubnetGroupInUse", "The subnet group default is built in and cannot be deleted.")
    row = await find_subnet_group_row(context, name)
    async with context.store.transaction() as transaction:
        await _check_unused(context, name)
        await transaction.delete(row)
        await tell(context, transaction, _SOURCE, name, "Cache subnet group deleted")
    return {}


# --- for other operations ------------------------------------------------------------------------------------------


async def find_subnet_group(context: Context, name: str) -> SubnetGroupDesired:
    """The subnet group, the built-in one included. Raises CacheSubnetGroupNotFoundFault."""
    if names.folded(name) == DEFAULT_SUBNET_GROUP:
        return default_subnet_group(context.scope)
    return (await find_subnet_group_row(context, name)).desired


async def subnet_group_zones(context: Context, name: str) -> tuple[str, ...]:
    """The zones that caches of the subnet group may stand in, in order. Raises CacheSubnetGroupNotFoundFault."""
    return (await find_subnet_group(context, name)).zones


async def find_subnet_group_row(context: Context, name: str) -> SubnetGroupRow:
    """A subnet group that somebody created. Raises CacheSubnetGroupNotFoundFault."""
    row = await context.store.get(context.scope.key(Kind.SUBNET_GROUP, names.folded(name)))
    if row is None:
        raise AwsError("CacheSubnetGroupNotFoundFault", f"CacheSubnetGroup {names.quoted(name)} not found.")
    return row


async def hold_subnet_group(context: Context, transaction: Transaction, desired: GroupDesired) -> None:
    """In the transaction that puts nodes into a subnet group: its row gets a new version, so that whoever deletes it, or takes
    one of its zones, at the same time loses the race and looks again. Raises CacheSubnetGroupNotFoundFault, and Conflict when
    a zone was taken already."""
    if desired.subnet_group == DEFAULT_SUBNET_GROUP:
        return
    row = await find_subnet_group_row(context, desired.subnet_group)
    if not {node.zone for node in desired.nodes} <= set(row.desired.zones):
        raise Conflict(f"{row.key} has lost a zone")
    await transaction.update(row)


def subnet_group_view(scope: Scope, name: str, desired: SubnetGroupDesired) -> CacheSubnetGroupTypeDef:
    return {
        "CacheSubnetGroupName": name,
        "CacheSubnetGroupDescription": desired.description,
        "VpcId": desired.vpc_id,
        "Subnets": [
            {
                "SubnetIdentifier": subnet.subnet_id,
                "SubnetAvailabilityZone": {"Name": subnet.zone},
                "SupportedNetworkTypes": ["ipv4"],
            }
            for subnet in desired.subnets
        ],
        "ARN": scope.arn(Kind.SUBNET_GROUP, name),
        "SupportedNetworkTypes": ["ipv4"],
    }


# --- rules ---------------------------------------------------------------------------------------------------------


async def choose_subnets(context: Context, subnet_ids: Sequence[str]) -> list[SubnetRow]:
    """The subnets with these ids, at least one, in the order of zones. Raises InvalidParameterValue,
    CacheSubnetQuotaExceededFault, InvalidSubnet."""
    at_most = context.settings.api.subnets_per_group
    if not subnet_ids:
        raise invalid_value("SubnetIds: at least one subnet must be named.")
    if len(subnet_ids) > at_most:
        raise AwsError("CacheSubnetQuotaExceededFault", f"SubnetIds names {len(subnet_ids)} subnets; at most {at_most} may be.")
    if len(set(subnet_ids)) != len(subnet_ids):
        raise invalid_value("SubnetIds names a subnet twice; name each once.")
    there = await networks.subnets(context)
    for subnet_id in subnet_ids:
        if subnet_id not in there:
            known = ", ".join(f"{key} ({row.desired.zone})" for key, row in list(there.items())[:_SHOWN])
            raise AwsError("InvalidSubnet", f"SubnetIds: {names.quoted(subnet_id)} does not exist; there are {known}.")
    chosen = sorted((there[key] for key in subnet_ids), key=lambda row: (row.desired.zone, row.key.name))
    vpcs = sorted({row.desired.vpc_id for row in chosen})
    if len(vpcs) > 1:
        raise AwsError("InvalidSubnet", f"SubnetIds: the subnets are of {', '.join(vpcs)}; all of them must be of one VPC.")
    return chosen


def _as_members(chosen: Sequence[SubnetRow]) -> tuple[Subnet, ...]:
    return tuple(Subnet(row.key.name, row.desired.zone) for row in chosen)


async def _hold(transaction: Transaction, chosen: Sequence[SubnetRow]) -> None:
    for row in chosen:
        await networks.hold(transaction, row)


def _check_zones_free(groups: Sequence[GroupRow], remaining: Sequence[str], name: str) -> None:
    for group in groups:
        for node in group.desired.nodes:
            if node.zone not in remaining:
                raise AwsError(
                    "SubnetInUse",
                    f"SubnetIds: the subnet of zone {node.zone} cannot leave {name}: {group.key.name} has nodes there.",
                )


async def _check_quota(context: Context, name: str) -> None:
    quota = context.settings.api.subnet_groups
    if await context.store.count(Kind.SUBNET_GROUP, context.scope) >= quota:
        raise AwsError(
            "CacheSubnetGroupQuotaExceeded",
            f"There are {quota} subnet groups, as many as may be; delete one before creating {name}.",
        )


async def _check_unused(context: Context, name: str) -> None:
    users = await _groups_in(context, name)
    if users:
        raise AwsError(
            "CacheSubnetGroupInUse", f"The subnet group {name} is used by {_named(users)}; delete what uses it first."
        )


async def _groups_in(context: Context, name: str) -> list[GroupRow]:
    return [
        row for kind in GROUP_KINDS for row in await context.store.rows(kind, context.scope) if row.desired.subnet_group == name
    ]


def _named(groups: Sequence[GroupRow]) -> str:
    shown = ", ".join(group.key.name for group in groups[:5])
    return shown if len(groups) <= 5 else f"{shown} and {len(groups) - 5} more"


def _already_exists(name: str) -> AwsError:
    return AwsError("CacheSubnetGroupAlreadyExists", f"CacheSubnetGroup {name} already exists.")
