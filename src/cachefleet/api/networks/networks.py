"""VPCs, subnets and security groups of an account and region as rows, the built-in ones included. Looks up and writes; decides
nothing.

What is built in is a row of version 0 until something of it is changed. Called by EC2's operations and by those of caches that
refer to networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.rows import leave_word
from cachefleet.interfaces import AnyRow, Conflict, NameTaken, Transaction
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import GroupDesired
from cachefleet.model.network import (
    DEFAULT_SUBNET_GROUP,
    SubnetGroupDesired,
    built_in_security_group,
    built_in_subnets,
    built_in_vpc,
    default_security_group_id,
    default_vpc_id,
)
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import GroupRow, Row, SecurityGroupRow, SubnetRow, VpcRow
from cachefleet.model.vpc import DEFAULT_GROUP

R = TypeVar("R", bound=AnyRow)


async def vpcs(context: Context) -> dict[str, VpcRow]:
    """By id."""
    scope = context.scope
    built_in: VpcRow = Row(key=scope.key(Kind.VPC, default_vpc_id(scope)), desired=built_in_vpc())
    rows: Sequence[VpcRow] = await context.store.rows(Kind.VPC, scope)
    return {row.key.name: row for row in (built_in, *rows)}


async def subnets(context: Context) -> dict[str, SubnetRow]:
    """By id."""
    scope = context.scope
    built_in: dict[str, SubnetRow] = {
        name: Row(key=scope.key(Kind.SUBNET, name), desired=desired)
        for name, desired in built_in_subnets(scope, context.network).items()
    }
    rows: Sequence[SubnetRow] = await context.store.rows(Kind.SUBNET, scope)
    tagged = {row.key.name: row for row in rows}
    return {**tagged, **{name: _where_it_is(tagged.get(name), row) for name, row in built_in.items()}}


async def security_groups(context: Context) -> dict[str, SecurityGroupRow]:
    """By id."""
    built_in = _built_in_group(context)
    rows: Sequence[SecurityGroupRow] = await context.store.rows(Kind.SECURITY_GROUP, context.scope)
    return {row.key.name: row for row in (built_in, *rows)}


async def load_vpc(context: Context, vpc_id: str) -> VpcRow:
    """Raises InvalidVpcID.NotFound."""
    row = (await vpcs(context)).get(vpc_id)
    if row is None:
        raise no_vpc(vpc_id)
    return row


async def load_subnet(context: Context, subnet_id: str) -> SubnetRow:
    """Raises InvalidSubnetID.NotFound."""
    row = (await subnets(context)).get(subnet_id)
    if row is None:
        raise no_subnet(subnet_id)
    return row


async def load_security_group(context: Context, group_id: str) -> SecurityGroupRow:
    """Raises InvalidGroup.NotFound, InvalidGroupId.Malformed."""
    row: SecurityGroupRow | None = await context.store.get(context.scope.key(Kind.SECURITY_GROUP, group_id))
    if row is None and group_id == default_security_group_id(context.scope):
        return _built_in_group(context)
    if row is None:
        raise no_group(group_id)
    return row


def no_vpc(vpc_id: str) -> AwsError:
    return AwsError("InvalidVpcID.NotFound", f"The vpc ID {quoted(vpc_id)} does not exist")


def no_subnet(subnet_id: str) -> AwsError:
    return AwsError("InvalidSubnetID.NotFound", f"The subnet ID {quoted(subnet_id)} does not exist")


def no_group(group_id: str) -> AwsError:
    if not group_id.startswith("sg-"):
        return AwsError("InvalidGroupId.Malformed", f"Invalid id: {quoted(group_id)} (expecting 'sg-...')")
    return AwsError("InvalidGroup.NotFound", f"The security group {quoted(group_id)} does not exist")


async def put(transaction: Transaction, row: R) -> R:
    """Write a row that was loaded here and is changed. Raises Conflict."""
    if row.version:
        return await transaction.update(row)  # type: ignore[return-value]
    try:
        return await transaction.insert(row)  # type: ignore[return-value]
    except NameTaken:
        raise Conflict(f"{row.key} is a row by now") from None


async def hold(transaction: Transaction, row: AnyRow) -> None:
    """In the transaction that writes something which refers to this row: whoever deletes it at the same time loses the race
    and looks again. What is built in cannot be deleted. Raises Conflict."""
    if row.version:
        await transaction.update(row)


# --- what caches have to do with them ------------------------------------------------------------------------------


async def group_rows(context: Context) -> list[GroupRow]:
    return [row for kind in GROUP_KINDS for row in await context.store.rows(kind, context.scope)]


def security_groups_of(context: Context, desired: GroupDesired) -> tuple[str, ...]:
    """Their ids; a cache that names none has the default one."""
    return desired.security_groups or (default_security_group_id(context.scope),)


async def vpc_of_subnet_group(context: Context, name: str) -> str:
    """The id of the VPC whose subnets it has; "" for a subnet group that is not there."""
    if name == DEFAULT_SUBNET_GROUP:
        return default_vpc_id(context.scope)
    row = await context.store.get(context.scope.key(Kind.SUBNET_GROUP, name))
    found: SubnetGroupDesired | None = None if row is None else row.desired
    return "" if found is None else found.vpc_id


async def default_group_of(context: Context, vpc_id: str) -> str:
    """The id of the VPC's security group `default`, "" for a VPC that is not there."""
    groups = await security_groups(context)
    found = (key for key, row in groups.items() if row.desired.vpc_id == vpc_id and row.desired.name == DEFAULT_GROUP)
    return next(found, "")


async def settled_security_groups(context: Context, desired: GroupDesired) -> GroupDesired:
    """Of a new cache: one that names none gets the group `default` of its VPC."""
    if desired.security_groups:
        return desired
    vpc_id = await vpc_of_subnet_group(context, desired.subnet_group)
    own = vpc_id not in ("", default_vpc_id(context.scope))
    group_id = await default_group_of(context, vpc_id) if own else default_security_group_id(context.scope)
    return replace(desired, security_groups=(group_id,))


async def hold_security_groups(context: Context, transaction: Transaction, desired: GroupDesired) -> None:
    """In the transaction that gives a cache its security groups: they are there and of the cache's VPC, and stay for as long as
    it has them. Raises InvalidParameterValue, and Conflict when one is being changed at this moment."""
    groups = await security_groups(context)
    vpc_id = await vpc_of_subnet_group(context, desired.subnet_group)
    for group_id in security_groups_of(context, desired):
        row = groups.get(group_id)
        if row is None:
            raise invalid_value(f"SecurityGroupIds: there is no security group {quoted(group_id)}; make it with EC2's API.")
        if row.desired.vpc_id != vpc_id:
            raise invalid_value(
                f"SecurityGroupIds: {group_id} is of {row.desired.vpc_id}, and the cache subnet group {desired.subnet_group} "
                f"of {vpc_id}; both must be of the same VPC."
            )
        await hold(transaction, row)


async def wake_guarded(context: Context, transaction: Transaction, group_id: str) -> list[GroupRow]:
    """Leave word for every cache that this security group, or one with a rule that names it, decides about; the caches, to be
    woken after the commit."""
    groups = await security_groups(context)
    concerned = {
        group_id,
        *(key for key, row in groups.items() if any(rule.group_id == group_id for rule in row.desired.ingress)),
    }
    rows = [row for row in await group_rows(context) if concerned.intersection(security_groups_of(context, row.desired))]
    await leave_word(context, transaction, *(row.key for row in rows))
    return rows


def _built_in_group(context: Context) -> SecurityGroupRow:
    scope = context.scope
    key = scope.key(Kind.SECURITY_GROUP, default_security_group_id(scope))
    return Row(key=key, desired=built_in_security_group(scope))


def _where_it_is(tagged: SubnetRow | None, built_in: SubnetRow) -> SubnetRow:
    """The tags of the one that was written, the addresses that this machine has now."""
    if tagged is None:
        return built_in
    return Row(key=tagged.key, desired=built_in.desired, tags=tagged.tags, version=tagged.version)
