"""What IncreaseReplicaCount and DecreaseReplicaCount ask for: how many replicas each shard shall have, in which zones.

Pure: request and shards in, targets out, or a refusal that names the member and the rule (reference 1.3, 3.2, 3.3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.api.groups.replication_group_topology import MAX_REPLICAS
from cachefleet.api.groups.shard_ids import known_shards
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import DesiredShard

COUNT = "NewReplicaCount"
PER_SHARD = "ReplicaConfiguration"
ZONES = f"{PER_SHARD}.PreferredAvailabilityZones"


class Target(msgspec.Struct, frozen=True):
    """What a shard shall have. zones: those of all its nodes, the primary's included; () when they are left open."""

    replicas: int
    zones: tuple[str, ...] = ()


def require_one_way(request: Mapping[str, Any], ways: Sequence[str]) -> None:
    """Raises InvalidParameterCombination unless the request says in exactly one of these ways what it wants."""
    given = [way for way in ways if request.get(way) not in (None, [], ())]
    if len(given) != 1:
        found = f"{' and '.join(given)} were given" if given else "none was given"
        raise invalid_combination(f"Give exactly one of {', '.join(ways)}; {found}.")


def read_targets(shards: Sequence[DesiredShard], request: Mapping[str, Any]) -> dict[str, Target]:
    """By shard id, in the order of the group's shards; shards that the request does not name are left out. Raises
    InvalidParameterValue, InvalidParameterCombination."""
    count: int | None = request.get(COUNT)
    if count is not None:
        _check_count(count, COUNT)
        return {shard.shard_id: Target(count) for shard in shards}
    known = [shard.shard_id for shard in shards]
    entries: Sequence[Mapping[str, Any]] = request[PER_SHARD]
    ids = known_shards(known, (entry["NodeGroupId"] for entry in entries), f"{PER_SHARD}.NodeGroupId")
    asked = {shard_id: _read_entry(entry, shard_id) for shard_id, entry in zip(ids, entries, strict=True)}
    return {shard_id: asked[shard_id] for shard_id in known if shard_id in asked}


def _read_entry(entry: Mapping[str, Any], shard_id: str) -> Target:
    if entry.get("PreferredOutpostArns"):
        raise invalid_value(f"{PER_SHARD}.PreferredOutpostArns: Outposts are not supported; leave it out.")
    replicas: int = entry["NewReplicaCount"]
    _check_count(replicas, f"{PER_SHARD}.NewReplicaCount of node group {shard_id}")
    zones = tuple(entry.get("PreferredAvailabilityZones") or ())
    if zones and len(zones) != replicas + 1:
        raise invalid_combination(
            f"{ZONES} of node group {shard_id} names {len(zones)} zones for {replicas + 1} nodes; name one for each replica "
            "and one for the primary."
        )
    return Target(replicas, zones)


def _check_count(count: int, field: str) -> None:
    if not 0 <= count <= MAX_REPLICAS:
        raise invalid_value(f"{field}: {count} must be from 0 to {MAX_REPLICAS}.")


def surplus(zones: Sequence[str], others: Sequence[str]) -> Counter[str]:
    """How many more of each zone are in `zones` than in `others`."""
    return Counter(zones) - Counter(others)
