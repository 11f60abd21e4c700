"""Which zone each node stands in: as asked for, the rest spread evenly over the subnet group's zones.

Pure and deterministic: the same request has the same answer. Called by topology.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cachefleet.api.names import quoted
from cachefleet.model.errors import invalid_combination, invalid_value


def check_zones(asked: Sequence[str], usable: Sequence[str], region_zones: Sequence[str], field: str) -> None:
    """Every asked zone exists in the region and has a subnet in the subnet group. Raises InvalidParameterValue."""
    for zone in asked:
        if zone not in region_zones:
            raise invalid_value(
                f"{field}: {quoted(zone)} is not an availability zone of this region; use {', '.join(region_zones)}."
            )
        if zone not in usable:
            raise invalid_value(
                f"{field}: the cache subnet group has no subnet in {zone}; use {', '.join(usable)} or another subnet group."
            )


def fill(asked: Sequence[str], count: int, usable: Sequence[str], start: int) -> tuple[str, ...]:
    """Zones for `count` nodes: those asked for ("" leaves it open; missing ones at the end too), then always the zone that
    this shard uses least, in rotation from usable[start]."""
    zones = [*asked, *([""] * (count - len(asked)))]
    used = Counter(zone for zone in zones if zone)
    first = start % len(usable)
    rotation = [*usable[first:], *usable[:first]]
    for index, zone in enumerate(zones):
        if not zone:
            zones[index] = min(rotation, key=lambda candidate: used[candidate])
            used[zones[index]] += 1
    return tuple(zones)


def check_multi_az(shards: Sequence[Sequence[str]]) -> None:
    """With Multi-AZ every shard survives the loss of its primary's zone: it has a replica in another one (reference 3.3).
    shards: each shard's zones, the primary's first. Raises InvalidParameterCombination."""
    for zones in shards:
        if len(zones) < 2:
            raise invalid_combination("MultiAZEnabled: every shard needs at least one replica when Multi-AZ is enabled.")
        if len(set(zones)) < 2:
            raise invalid_combination(
                f"MultiAZEnabled: a shard has all its nodes in {zones[0]}; the primary and its replicas must stand in "
                "different availability zones. Use a subnet group with subnets in two zones, or name other zones."
            )
