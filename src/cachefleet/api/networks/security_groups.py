"""EC2's security groups: made in a VPC, shown, deleted. What their rules let in is enforced for caches (docs/networks.md).

The group `default` of a VPC goes with it. A group that a cache or another group's rule uses cannot be deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.networks import networks
from cachefleet.api.networks.ec2_requests import DRY_RUN, PAGES, Values, asked_tags, chosen, drawn_id, paged, show_tags
from cachefleet.api.networks.security_rules import show_permissions
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.network import default_vpc_id
from cachefleet.model.resource import Kind, Scope
from cachefleet.model.row import Row, SecurityGroupRow
from cachefleet.model.vpc import ANY_ADDRESS, DEFAULT_GROUP, SecurityGroupDesired, SecurityRule

_TEXT = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}", re.ASCII)
_MOST_GROUPS = 2500  # of one account and region, as in AWS


@operation("CreateSecurityGroup", service="ec2", effective=("GroupName", "Description", "VpcId", "TagSpecifications", DRY_RUN))
async def create_security_group(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    name = _asked_text(request.get("GroupName"), "GroupName")
    description = _asked_text(request.get("Description"), "Description")
    if name.lower() == DEFAULT_GROUP:
        raise AwsError("InvalidGroup.Reserved", f"The security group '{name}' is reserved")
    if name.startswith("sg-"):
        raise invalid_value("GroupName: a name must not begin with sg-, as ids do.")
    vpc = await networks.load_vpc(context, request.get("VpcId") or default_vpc_id(context.scope))
    there = await networks.security_groups(context)
    if any((row.desired.vpc_id, row.desired.name) == (vpc.key.name, name) for row in there.values()):
        raise AwsError("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.key.name}'")
    if len(there) >= _MOST_GROUPS:
        raise AwsError("SecurityGroupLimitExceeded", f"There are {len(there)} security groups, as many as may be.")
    row: SecurityGroupRow = Row(
        key=context.scope.key(Kind.SECURITY_GROUP, drawn_id(context, "sg")),
        desired=SecurityGroupDesired(
            vpc.key.name, name, description, egress=(SecurityRule(drawn_id(context, "sgr"), cidr=ANY_ADDRESS),)
        ),
        tags=asked_tags(request, "security-group"),
    )
    async with context.store.transaction() as transaction:
        await networks.put(transaction, vpc)  # of two that take a name at the same time one looks again
        await transaction.insert(row)
    return {"GroupId": row.key.name, "SecurityGroupArn": group_arn(context.scope, row.key.name), "Tags": show_tags(row.tags)}


@operation("DescribeSecurityGroups", service="ec2", effective=("GroupIds", "GroupNames", *PAGES))
async def describe_security_groups(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    rows = await networks.security_groups(context)
    ids = [*(request.get("GroupIds") or ()), *(_by_name(context, rows, name) for name in request.get("GroupNames") or ())]
    found = chosen(rows, request, ids, _FILTERS, lambda row: row.tags, networks.no_group)
    shown, token = paged(found, request, "security-groups")
    return {"SecurityGroups": [_view(row) for _, row in shown], **token}


@operation("DeleteSecurityGroup", service="ec2", effective=("GroupId", "GroupName", DRY_RUN))
async def delete_security_group(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    row = await asked_group(context, request)
    group_id = row.key.name
    if row.desired.name == DEFAULT_GROUP:
        raise AwsError("CannotDelete", f'the specified group: "{group_id}" name: "{DEFAULT_GROUP}" cannot be deleted by a user')
    async with context.store.transaction() as transaction:
        users = [
            f"cache {row.key.name}" for row in await networks.group_rows(context) if group_id in row.desired.security_groups
        ]
        others = (await networks.security_groups(context)).items()
        users += [
            f"security group {key}"
            for key, other in others
            if key != group_id and any(rule.group_id == group_id for rule in (*other.desired.ingress, *other.desired.egress))
        ]
        if users:
            raise AwsError(
                "DependencyViolation", f"resource {group_id} has a dependent object: {', '.join(users[:5])}; change that first."
            )
        await transaction.delete(row)
    return {"Return": True, "GroupId": group_id}


# --- for the operations on rules -----------------------------------------------------------------------------------


async def asked_group(context: Context, request: Mapping[str, Any]) -> SecurityGroupRow:
    """By GroupId, or by GroupName in the default VPC. Raises MissingParameter, InvalidGroup.NotFound."""
    group_id, name = request.get("GroupId"), request.get("GroupName")
    if not group_id and not name:
        raise AwsError("MissingParameter", "The request must contain the parameter GroupId or GroupName.")
    if not group_id:
        group_id = _by_name(context, await networks.security_groups(context), name or "")
    return await networks.load_security_group(context, group_id)


def group_arn(scope: Scope, group_id: str) -> str:
    return f"arn:aws:ec2:{scope.region}:{scope.account}:security-group/{group_id}"


def _by_name(context: Context, rows: Mapping[str, SecurityGroupRow], name: str) -> str:
    """Names are for the default VPC only, as in AWS. Raises InvalidGroup.NotFound."""
    vpc_id = default_vpc_id(context.scope)
    found = [key for key, row in rows.items() if (row.desired.vpc_id, row.desired.name) == (vpc_id, name)]
    if not found:
        raise AwsError("InvalidGroup.NotFound", f"The security group {quoted(name)} does not exist in default VPC '{vpc_id}'")
    return found[0]


def _asked_text(value: str | None, field: str) -> str:
    if not value:
        raise AwsError("MissingParameter", f"The request must contain the parameter {field}.")
    if not _TEXT.fullmatch(value):
        raise invalid_value(
            f"Value ({quoted(value)}) for parameter {field} is invalid: at most 255 ASCII letters, digits, spaces and "
            "._-:/()#,@[]+=&;{}!$* are allowed."
        )
    return value


def _of_rules(direction: str, field: str) -> Values[SecurityGroupRow]:
    """Values that rules of that direction have; not those of rules for which it says nothing."""

    def values(row: SecurityGroupRow) -> list[str]:
        found = (getattr(rule, field) for rule in getattr(row.desired, direction))
        return [str(value) for value in found if value not in ("", -1)]

    return values


def _owners(direction: str) -> Values[SecurityGroupRow]:
    """Of the groups that rules of that direction name."""
    return lambda row: [row.key.account for rule in getattr(row.desired, direction) if rule.group_id]


def _rule_filters(prefix: str, direction: str) -> dict[str, Values[SecurityGroupRow]]:
    fields = {
        "cidr": "cidr",
        "ipv6-cidr": "cidr6",
        "from-port": "first_port",
        "to-port": "last_port",
        "protocol": "protocol",
        "group-id": "group_id",
    }
    filters = {f"{prefix}.{name}": _of_rules(direction, field) for name, field in fields.items()}
    return {**filters, f"{prefix}.user-id": _owners(direction), f"{prefix}.prefix-list-id": lambda row: []}


_FILTERS: Mapping[str, Values[SecurityGroupRow]] = {
    "group-id": lambda row: [row.key.name],
    "group-name": lambda row: [row.desired.name],
    "description": lambda row: [row.desired.description],
    "vpc-id": lambda row: [row.desired.vpc_id],
    "owner-id": lambda row: [row.key.account],
    **_rule_filters("ip-permission", "ingress"),
    **_rule_filters("egress.ip-permission", "egress"),
}


def _view(row: SecurityGroupRow) -> dict[str, Any]:
    desired = row.desired
    return {
        "GroupId": row.key.name,
        "GroupName": desired.name,
        "Description": desired.description,
        "VpcId": desired.vpc_id,
        "OwnerId": row.key.account,
        "SecurityGroupArn": group_arn(row.key.scope, row.key.name),
        "IpPermissions": show_permissions(desired.ingress, row.key.account),
        "IpPermissionsEgress": show_permissions(desired.egress, row.key.account),
        "Tags": show_tags(row.tags),
    }
