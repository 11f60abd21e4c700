"""EC2's view of the account: its attributes and its regions. Both are fixed; tools ask for them before they begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.networks.ec2_requests import DRY_RUN, Values, chosen
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.network import default_vpc_id

_REGION_FILTERS: Mapping[str, Values[str]] = {
    "region-name": lambda region: [region],
    "opt-in-status": lambda region: ["opt-in-not-required"],
}


@operation("DescribeAccountAttributes", service="ec2", effective=("AttributeNames", DRY_RUN))
async def describe_account_attributes(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    there = {"supported-platforms": "VPC", "default-vpc": default_vpc_id(context.scope)}
    for name in request.get("AttributeNames") or ():
        if name not in there:
            raise invalid_value(f"AttributeNames: {quoted(name)} is none of {', '.join(there)}.")
    names = request.get("AttributeNames") or there
    shown = [{"AttributeName": name, "AttributeValues": [{"AttributeValue": there[name]}]} for name in there if name in names]
    return {"AccountAttributes": shown}


@operation("DescribeRegions", service="ec2", effective=("RegionNames", "AllRegions", "Filters", DRY_RUN))
async def describe_regions(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    """The one of the request alone: any name is a region of its own, so that they cannot be listed."""
    region = context.scope.region
    found = chosen({region: region}, request, request.get("RegionNames"), _REGION_FILTERS, lambda _: {}, _unknown)
    shown = [{"RegionName": name, "OptInStatus": "opt-in-not-required"} for name in found]
    return {"Regions": shown}


def _unknown(region: str) -> AwsError:
    return invalid_value(f"Invalid region name: {quoted(region)}; ask with the region itself.")
