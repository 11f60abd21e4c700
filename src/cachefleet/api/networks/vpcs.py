"""EC2's VPCs: made, shown, given attributes, deleted. Each has a security group `default`, made and deleted with it.

A VPC is a name for subnets and security groups that belong together; its addresses are recorded, those of nodes come from
elsewhere (docs/networks.md). The default VPC is built in and cannot be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.networks import networks
from cachefleet.api.networks.ec2_requests import DRY_RUN, PAGES, Values, asked_tags, chosen, drawn_id, paged, show_tags, word
from cachefleet.api.registry import Refusal, operation
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.network import default_vpc_id
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, SecurityGroupRow, VpcRow
from cachefleet.model.vpc import ANY_ADDRESS, DEFAULT_GROUP, SecurityGroupDesired, SecurityRule, VpcDesired

_LARGEST, _SMALLEST = 16, 28  # bits of a VPC's and of a subnet's network
_ATTRIBUTES = {
    "EnableDnsSupport": "dns_support",
    "EnableDnsHostnames": "dns_hostnames",
    "EnableNetworkAddressUsageMetrics": "usage_metrics",
}
_NO_DNS = "kept and shown; there is no DNS of a VPC here"


@operation(
    "CreateVpc",
    service="ec2",
    effective=("CidrBlock", "TagSpecifications", DRY_RUN),
    refused={
        "InstanceTenancy": Refusal("there are no instances; use default", ("default",)),
        "AmazonProvidedIpv6CidrBlock": Refusal("only IPv4 is supported", (False,)),
    },
)
async def create_vpc(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    cidr = asked_network(request.get("CidrBlock"), "InvalidVpc.Range")
    vpc_id, group_id = drawn_id(context, "vpc"), drawn_id(context, "sg")
    row: VpcRow = Row(key=context.scope.key(Kind.VPC, vpc_id), desired=VpcDesired(str(cidr)), tags=asked_tags(request, "vpc"))
    group: SecurityGroupRow = Row(
        key=context.scope.key(Kind.SECURITY_GROUP, group_id),
        desired=SecurityGroupDesired(
            vpc_id,
            DEFAULT_GROUP,
            "default VPC security group",
            ingress=(SecurityRule(drawn_id(context, "sgr"), group_id=group_id),),
            egress=(SecurityRule(drawn_id(context, "sgr"), cidr=ANY_ADDRESS),),
        ),
    )
    async with context.store.transaction() as transaction:
        stored: VpcRow = await transaction.insert(row)
        await transaction.insert(group)
    return {"Vpc": _view(context, stored)}


@operation("DescribeVpcs", service="ec2", effective=("VpcIds", *PAGES))
async def describe_vpcs(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    found = chosen(
        await networks.vpcs(context), request, request.get("VpcIds"), _filters(context), lambda row: row.tags, networks.no_vpc
    )
    shown, token = paged(found, request, "vpcs")
    return {"Vpcs": [_view(context, row) for _, row in shown], **token}


@operation("DeleteVpc", service="ec2", effective=("VpcId", DRY_RUN))
async def delete_vpc(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    row = await networks.load_vpc(context, request["VpcId"])
    vpc_id = row.key.name
    if vpc_id == default_vpc_id(context.scope):
        raise AwsError("OperationNotPermitted", f"The vpc {vpc_id} is built in and cannot be deleted.")
    async with context.store.transaction() as transaction:
        groups = [group for group in (await networks.security_groups(context)).values() if group.desired.vpc_id == vpc_id]
        inside = [key for key, subnet in (await networks.subnets(context)).items() if subnet.desired.vpc_id == vpc_id]
        inside += [group.key.name for group in groups if group.desired.name != DEFAULT_GROUP]
        rows = await context.store.rows(Kind.SUBNET_GROUP, context.scope)
        inside += [f"cache subnet group {row.key.name}" for row in rows if row.desired.vpc_id == vpc_id]
        if inside:
            raise AwsError(
                "DependencyViolation",
                f"The vpc '{vpc_id}' has dependencies and cannot be deleted: {', '.join(inside[:5])}; delete them first.",
            )
        await transaction.delete(row)
        for group in groups:
            await transaction.delete(group)
    return {}


@operation(
    "ModifyVpcAttribute",
    service="ec2",
    effective=("VpcId",),
    recorded={
        "EnableDnsSupport": _NO_DNS,
        "EnableDnsHostnames": _NO_DNS,
        "EnableNetworkAddressUsageMetrics": "kept and shown; addresses are not counted per VPC",
    },
)
async def modify_vpc_attribute(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    row = await networks.load_vpc(context, request["VpcId"])
    asked = {field: request[member].get("Value") for member, field in _ATTRIBUTES.items() if member in request}
    if len(asked) != 1 or None in asked.values():
        raise AwsError("InvalidParameterCombination", f"Exactly one of {', '.join(_ATTRIBUTES)} must be given, with its Value.")
    async with context.store.transaction() as transaction:
        await networks.put(transaction, replace(row, desired=replace(row.desired, **asked)))
    return {}


@operation("DescribeVpcAttribute", service="ec2", effective=("VpcId", "Attribute", DRY_RUN))
async def describe_vpc_attribute(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    row = await networks.load_vpc(context, request["VpcId"])
    members = {member[0].lower() + member[1:]: member for member in _ATTRIBUTES}
    member = members.get(request["Attribute"])
    if member is None:
        raise invalid_value(f"Attribute: {quoted(request['Attribute'])} is none of {', '.join(members)}.")
    return {"VpcId": row.key.name, member: {"Value": getattr(row.desired, _ATTRIBUTES[member])}}


def asked_network(text: str | None, code: str) -> IPv4Network:
    """Raises AwsError with this code for one that is too large or too small, InvalidParameterValue for what is none."""
    if not text:
        raise AwsError("MissingParameter", "The request must contain the parameter CidrBlock.")
    network = read_network(text, "CidrBlock")
    if not _LARGEST <= network.prefixlen <= _SMALLEST:
        raise AwsError(code, f"The CIDR {quoted(text)} is invalid: it must be between /{_LARGEST} and /{_SMALLEST}.")
    return network


def read_network(text: str, field: str) -> IPv4Network:
    """Bits of the host are dropped, as AWS does. Raises InvalidParameterValue."""
    try:
        if "/" not in text or not text.isascii():
            raise ValueError(text)
        return IPv4Network(text, strict=False)
    except ValueError:
        raise invalid_value(f"{field}: {quoted(text)} is not an IPv4 network such as 10.0.0.0/16.") from None


def _filters(context: Context) -> Mapping[str, Values[VpcRow]]:
    return {
        "vpc-id": lambda row: [row.key.name],
        "cidr": lambda row: [row.desired.cidr],
        "cidr-block-association.cidr-block": lambda row: [row.desired.cidr],
        "cidr-block-association.association-id": lambda row: [_association(row)],
        "cidr-block-association.state": lambda row: ["associated"],
        "ipv6-cidr-block-association.ipv6-cidr-block": lambda row: [],
        "is-default": lambda row: [word(_is_default(context, row))],
        "isDefault": lambda row: [word(_is_default(context, row))],
        "owner-id": lambda row: [row.key.account],
        "state": lambda row: ["available"],
        "dhcp-options-id": lambda row: ["default"],
    }


def _is_default(context: Context, row: VpcRow) -> bool:
    return row.key.name == default_vpc_id(context.scope)


def _association(row: VpcRow) -> str:
    return row.key.name.replace("vpc-", "vpc-cidr-assoc-")


def _view(context: Context, row: VpcRow) -> dict[str, Any]:
    cidr = row.desired.cidr
    return {
        "VpcId": row.key.name,
        "OwnerId": row.key.account,
        "State": "available",
        "CidrBlock": cidr,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": _association(row),
                "CidrBlock": cidr,
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "DhcpOptionsId": "default",
        "InstanceTenancy": "default",
        "IsDefault": _is_default(context, row),
        "Tags": show_tags(row.tags),
    }
