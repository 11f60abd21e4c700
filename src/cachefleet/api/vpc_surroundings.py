"""What a VPC has in AWS and not here: network ACLs, route tables, gateways, network interfaces. There are none, which is true:
all addresses of this machine reach each other, and security groups alone say who may connect.

Terraform's aws_vpc, aws_subnet and aws_security_group ask for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.ec2_requests import PAGES
from cachefleet.api.names import quoted
from cachefleet.api.registry import Handler, operation
from cachefleet.model.errors import AwsError


def _absent(reply: str, ids: str, code: str) -> Handler:
    async def describe(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
        for asked in request.get(ids) or ():
            raise AwsError(code, f"{ids}: {quoted(asked)} does not exist; there are none here.")
        return {reply: []}

    return describe


for _name, _reply, _ids, _code in (
    ("DescribeNetworkAcls", "NetworkAcls", "NetworkAclIds", "InvalidNetworkAclID.NotFound"),
    ("DescribeRouteTables", "RouteTables", "RouteTableIds", "InvalidRouteTableID.NotFound"),
    ("DescribeInternetGateways", "InternetGateways", "InternetGatewayIds", "InvalidInternetGatewayID.NotFound"),
    ("DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceIds", "InvalidNetworkInterfaceID.NotFound"),
):
    operation(_name, service="ec2", effective=(_ids, *PAGES))(_absent(_reply, _ids, _code))
