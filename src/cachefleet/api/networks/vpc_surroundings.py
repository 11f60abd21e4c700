"""What a VPC has in AWS beside subnets and security groups, as far as it is true here: nothing is routed and nothing filtered.

Each VPC has a main route table, in which all of it is local, and a default network ACL, which lets everything through: security
groups alone say who may connect. Both can be looked at and not changed. There are no gateways and no network interfaces.
Terraform's aws_vpc, aws_subnet and aws_security_group ask for them, and so do lookups of VPCs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.networks import networks
from cachefleet.api.networks.ec2_requests import PAGES, Values, chosen, paged, word
from cachefleet.api.registry import Handler, operation
from cachefleet.model.errors import AwsError
from cachefleet.model.row import VpcRow
from cachefleet.model.vpc import ANY_ADDRESS

_ACTIONS = ((100, "allow"), (32_767, "deny"))  # numbers of rules, as AWS has them, and what becomes of everything there


class _Surroundings(msgspec.Struct, frozen=True):
    """Of a VPC. subnets: their ids."""

    vpc: VpcRow
    subnets: tuple[str, ...]

    def id(self, prefix: str) -> str:
        return self.vpc.key.name.replace("vpc-", f"{prefix}-", 1)


Filters = Mapping[str, Values[_Surroundings]]


@operation("DescribeRouteTables", service="ec2", effective=("RouteTableIds", *PAGES))
async def describe_route_tables(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    there = await _all(context, "rtb")
    found = chosen(there, request, request.get("RouteTableIds"), _TABLE_FILTERS, lambda one: {}, _no_table)
    shown, token = paged(found, request, "route-tables")
    return {"RouteTables": [_table(one) for _, one in shown], **token}


@operation("DescribeNetworkAcls", service="ec2", effective=("NetworkAclIds", *PAGES))
async def describe_network_acls(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    there = await _all(context, "acl")
    found = chosen(there, request, request.get("NetworkAclIds"), _ACL_FILTERS, lambda one: {}, _no_acl)
    shown, token = paged(found, request, "network-acls")
    return {"NetworkAcls": [_acl(one) for _, one in shown], **token}


async def _all(context: Context, prefix: str) -> dict[str, _Surroundings]:
    """By their ids, which begin so."""
    subnets = (await networks.subnets(context)).values()
    found = [
        _Surroundings(vpc, tuple(sorted(row.key.name for row in subnets if row.desired.vpc_id == vpc_id)))
        for vpc_id, vpc in (await networks.vpcs(context)).items()
    ]
    return {one.id(prefix): one for one in found}


_TABLE_FILTERS: Filters = {
    "vpc-id": lambda one: [one.vpc.key.name],
    "route-table-id": lambda one: [one.id("rtb")],
    "owner-id": lambda one: [one.vpc.key.account],
    "association.main": lambda one: [word(True)],
    "association.route-table-id": lambda one: [one.id("rtb")],
    "association.route-table-association-id": lambda one: [one.id("rtbassoc")],
    "association.subnet-id": lambda one: [],  # those that name no table of their own have the main one
    "association.gateway-id": lambda one: [],
    "route.destination-cidr-block": lambda one: [one.vpc.desired.cidr],
    "route.gateway-id": lambda one: ["local"],
    "route.state": lambda one: ["active"],
    "route.origin": lambda one: ["CreateRouteTable"],
}
_ACL_FILTERS: Filters = {
    "vpc-id": lambda one: [one.vpc.key.name],
    "network-acl-id": lambda one: [one.id("acl")],
    "owner-id": lambda one: [one.vpc.key.account],
    "default": lambda one: [word(True)],
    "association.network-acl-id": lambda one: [one.id("acl")],
    "association.subnet-id": lambda one: one.subnets,
    "entry.cidr": lambda one: [ANY_ADDRESS],
    "entry.rule-action": lambda one: ["allow", "deny"],
}


def _table(one: _Surroundings) -> dict[str, Any]:
    table_id = one.id("rtb")
    return {
        "RouteTableId": table_id,
        "VpcId": one.vpc.key.name,
        "OwnerId": one.vpc.key.account,
        "Associations": [
            {
                "Main": True,
                "RouteTableAssociationId": one.id("rtbassoc"),
                "RouteTableId": table_id,
                "AssociationState": {"State": "associated"},
            }
        ],
        "Routes": [
            {
                "DestinationCidrBlock": one.vpc.desired.cidr,
                "GatewayId": "local",
                "Origin": "CreateRouteTable",
                "State": "active",
            }
        ],
        "PropagatingVgws": [],
        "Tags": [],
    }


def _acl(one: _Surroundings) -> dict[str, Any]:
    acl_id = one.id("acl")
    rules = [(number, action, egress) for egress in (True, False) for number, action in _ACTIONS]
    return {
        "NetworkAclId": acl_id,
        "VpcId": one.vpc.key.name,
        "OwnerId": one.vpc.key.account,
        "IsDefault": True,
        "Associations": [
            {
                "NetworkAclAssociationId": subnet_id.replace("subnet-", "aclassoc-", 1),
                "NetworkAclId": acl_id,
                "SubnetId": subnet_id,
            }
            for subnet_id in one.subnets
        ],
        "Entries": [
            {"RuleNumber": number, "RuleAction": action, "Egress": egress, "Protocol": "-1", "CidrBlock": ANY_ADDRESS}
            for number, action, egress in rules
        ],
        "Tags": [],
    }


def _no_table(table_id: str) -> AwsError:
    return AwsError("InvalidRouteTableID.NotFound", f"The routeTable ID {quoted(table_id)} does not exist")


def _no_acl(acl_id: str) -> AwsError:
    return AwsError("InvalidNetworkAclID.NotFound", f"The networkAcl ID {quoted(acl_id)} does not exist")


def _absent(reply: str, ids: str, code: str) -> Handler:
    async def describe(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
        for asked in request.get(ids) or ():
            raise AwsError(code, f"{ids}: {quoted(asked)} does not exist; there are none here.")
        return {reply: []}

    return describe


for _name, _reply, _ids, _code in (
    ("DescribeInternetGateways", "InternetGateways", "InternetGatewayIds", "InvalidInternetGatewayID.NotFound"),
    ("DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceIds", "InvalidNetworkInterfaceID.NotFound"),
):
    operation(_name, service="ec2", effective=(_ids, *PAGES))(_absent(_reply, _ids, _code))
