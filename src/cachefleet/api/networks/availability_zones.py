"""EC2's DescribeAvailabilityZones: the three zones that every region has. A zone that was declared lost is shown as available:
that is a drill of the machine, of which the API knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.networks.ec2_requests import DRY_RUN, Values, chosen
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.reference.zones import zone_id, zones

_FILTERS: Mapping[str, Values[tuple[str, str]]] = {
    "zone-name": lambda zone: [zone[0]],
    "zone-id": lambda zone: [zone_id(zone[0])],
    "region-name": lambda zone: [zone[1]],
    "group-name": lambda zone: [zone[1]],
    "state": lambda zone: ["available"],
    "zone-type": lambda zone: ["availability-zone"],
    "opt-in-status": lambda zone: ["opt-in-not-required"],
}


@operation(
    "DescribeAvailabilityZones",
    service="ec2",
    effective=("Filters", "ZoneNames", "ZoneIds", "AllAvailabilityZones", DRY_RUN),
)
async def describe_availability_zones(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    region = context.scope.region
    there = {zone: (zone, region) for zone in zones(region)}
    for number in request.get("ZoneIds") or ():
        if number not in map(zone_id, there):
            raise invalid_value(f"ZoneIds: {quoted(number)} is none of {', '.join(map(zone_id, there))}.")
    found = chosen(there, request, request.get("ZoneNames"), _FILTERS, lambda zone: {}, _unknown)
    numbers = request.get("ZoneIds") or ()
    return {"AvailabilityZones": [_view(zone, region) for zone in found if not numbers or zone_id(zone) in numbers]}


def _unknown(zone: str) -> AwsError:
    return invalid_value(f"Invalid availability zone: [{zone}]")


def _view(zone: str, region: str) -> dict[str, Any]:
    return {
        "ZoneName": zone,
        "ZoneId": zone_id(zone),
        "ZoneType": "availability-zone",
        "RegionName": region,
        "GroupName": region,
        "NetworkBorderGroup": region,
        "State": "available",
        "OptInStatus": "opt-in-not-required",
        "Messages": [],
    }
