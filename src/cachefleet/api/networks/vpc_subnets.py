"""EC2's subnets: made in a VPC of one's own, shown, deleted. A subnet is a zone with a name.

Its addresses are recorded and must fit the VPC; those of nodes come from the slice that this machine has for the zone
(docs/networks.md). The subnets of the default VPC are built in, one for each zone.
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
from cachefleet.api.networks.vpcs import asked_network
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.network import default_vpc_id
from cachefleet.model.resource import Kind
from cachefleet.model.row import Row, SubnetRow, VpcRow
from cachefleet.model.vpc import SubnetDesired
from cachefleet.reference.zones import zone_id, zones

_RESERVED_ADDRESSES = 5  # of every subnet, in AWS


@operation(
    "CreateSubnet",
    service="ec2",
    effective=("VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId", "TagSpecifications", DRY_RUN),
)
async def create_subnet(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    vpc = await networks.load_vpc(context, request["VpcId"])
    if vpc.key.name == default_vpc_id(context.scope):
        raise AwsError(
            "OperationNotPermitted", f"The subnets of the default vpc {vpc.key.name} are built in; create a VPC of your own."
        )
    cidr = asked_network(request.get("CidrBlock"), "InvalidSubnet.Range")
    zone = _asked_zone(context, request)
    there = [row for row in (await networks.subnets(context)).values() if row.desired.vpc_id == vpc.key.name]
    _check_room(cidr, vpc, there)
    row: SubnetRow = Row(
        key=context.scope.key(Kind.SUBNET, drawn_id(context, "subnet")),
        desired=SubnetDesired(vpc.key.name, str(cidr), zone),
        tags=asked_tags(request, "subnet"),
    )
    async with context.store.transaction() as transaction:
        await networks.hold(transaction, vpc)
        stored: SubnetRow = await transaction.insert(row)
    return {"Subnet": _view(context, stored)}


@operation("DescribeSubnets", service="ec2", effective=("SubnetIds", *PAGES))
async def describe_subnets(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    rows = await networks.subnets(context)
    found = chosen(rows, request, request.get("SubnetIds"), _filters(context), lambda row: row.tags, networks.no_subnet)
    shown, token = paged(found, request, "subnets")
    return {"Subnets": [_view(context, row) for _, row in shown], **token}


@operation("DeleteSubnet", service="ec2", effective=("SubnetId", DRY_RUN))
async def delete_subnet(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    row = await networks.load_subnet(context, request["SubnetId"])
    subnet_id = row.key.name
    if row.desired.vpc_id == default_vpc_id(context.scope):
        raise AwsError("OperationNotPermitted", f"The subnet {subnet_id} is built in and cannot be deleted.")
    async with context.store.transaction() as transaction:
        groups = await context.store.rows(Kind.SUBNET_GROUP, context.scope)
        users = [group.key.name for group in groups if any(each.subnet_id == subnet_id for each in group.desired.subnets)]
        if users:
            raise AwsError(
                "DependencyViolation",
                f"The subnet '{subnet_id}' has dependencies and cannot be deleted: cache subnet group {', '.join(users[:5])}.",
            )
        await transaction.delete(row)
    return {}


@operation(
    "ModifySubnetAttribute",
    service="ec2",
    effective=("SubnetId",),
    recorded={"MapPublicIpOnLaunch": "kept and shown; there are no public addresses"},
)
async def modify_subnet_attribute(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    row = await networks.load_subnet(context, request["SubnetId"])
    public = (request.get("MapPublicIpOnLaunch") or {}).get("Value")
    if public is None:
        raise AwsError("MissingParameter", "The request must contain the parameter MapPublicIpOnLaunch.Value.")
    if row.desired.vpc_id == default_vpc_id(context.scope):
        raise AwsError("OperationNotPermitted", f"The subnet {row.key.name} is built in; only its tags can be changed.")
    async with context.store.transaction() as transaction:
        await networks.put(transaction, replace(row, desired=replace(row.desired, public_addresses=public)))
    return {}


def _asked_zone(context: Context, request: Mapping[str, Any]) -> str:
    """Raises InvalidParameterValue."""
    known = zones(context.scope.region)
    name, number = request.get("AvailabilityZone"), request.get("AvailabilityZoneId")
    if name and number:
        raise invalid_combination("Name AvailabilityZone or AvailabilityZoneId, not both.")
    by_id = {zone_id(zone): zone for zone in known}
    if number and number not in by_id:
        raise invalid_value(f"AvailabilityZoneId: {quoted(number)} is none of {', '.join(by_id)}.")
    zone = by_id[number] if number else (name or known[0])
    if zone not in known:
        raise invalid_value(f"Value ({quoted(zone)}) for parameter availabilityZone is invalid; use {', '.join(known)}.")
    return str(zone)


def _check_room(cidr: IPv4Network, vpc: VpcRow, there: list[SubnetRow]) -> None:
    """Raises InvalidSubnet.Range, InvalidSubnet.Conflict."""
    if not cidr.subnet_of(IPv4Network(vpc.desired.cidr)):
        raise AwsError("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid: it is not within {vpc.desired.cidr} of the VPC.")
    for row in there:
        if cidr.overlaps(IPv4Network(row.desired.cidr)):
            raise AwsError("InvalidSubnet.Conflict", f"The CIDR '{cidr}' conflicts with another subnet, {row.key.name}.")


def _filters(context: Context) -> Mapping[str, Values[SubnetRow]]:
    return {
        "subnet-id": lambda row: [row.key.name],
        "vpc-id": lambda row: [row.desired.vpc_id],
        "cidr": lambda row: [row.desired.cidr],
        "cidr-block": lambda row: [row.desired.cidr],
        "cidrBlock": lambda row: [row.desired.cidr],
        "availability-zone": lambda row: [row.desired.zone],
        "availabilityZone": lambda row: [row.desired.zone],
        "availability-zone-id": lambda row: [zone_id(row.desired.zone)],
        "availabilityZoneId": lambda row: [zone_id(row.desired.zone)],
        "available-ip-address-count": lambda row: [str(_room(row))],
        "subnet-arn": lambda row: [_arn(row)],
        "ipv6-cidr-block-association.ipv6-cidr-block": lambda row: [],
        "ipv6-native": lambda row: [word(False)],
        "default-for-az": lambda row: [word(_is_default(context, row))],
        "defaultForAz": lambda row: [word(_is_default(context, row))],
        "map-public-ip-on-launch": lambda row: [word(row.desired.public_addresses)],
        "owner-id": lambda row: [row.key.account],
        "state": lambda row: ["available"],
    }


def _is_default(context: Context, row: SubnetRow) -> bool:
    return row.desired.vpc_id == default_vpc_id(context.scope)


def _arn(row: SubnetRow) -> str:
    return f"arn:aws:ec2:{row.key.region}:{row.key.account}:subnet/{row.key.name}"


def _room(row: SubnetRow) -> int:
    return IPv4Network(row.desired.cidr).num_addresses - _RESERVED_ADDRESSES


def _view(context: Context, row: SubnetRow) -> dict[str, Any]:
    desired = row.desired
    return {
        "SubnetId": row.key.name,
        "SubnetArn": _arn(row),
        "VpcId": desired.vpc_id,
        "OwnerId": row.key.account,
        "State": "available",
        "CidrBlock": desired.cidr,
        "AvailabilityZone": desired.zone,
        "AvailabilityZoneId": zone_id(desired.zone),
        "AvailableIpAddressCount": _room(row),
        "DefaultForAz": _is_default(context, row),
        "MapPublicIpOnLaunch": desired.public_addresses,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Ipv6Native": False,
        "EnableDns64": False,
        "MapCustomerOwnedIpOnLaunch": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "Tags": show_tags(row.tags),
    }
