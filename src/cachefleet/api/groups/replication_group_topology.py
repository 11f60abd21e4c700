"""Which shards and nodes a CreateReplicationGroup request asks for: ids, slots, replica counts, zones.

Pure: request in, shards out, or a refusal that names the member and the rule (reference 3.1, 3.3, 4.2). Called by the create
operations; it knows neither the store nor the installed engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.api.groups.placement import check_multi_az, check_zones, fill
from cachefleet.api.groups.slots import even_split, parse_split
from cachefleet.api.names import node_group_id
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import DesiredNode, DesiredShard, SlotRanges

MAX_REPLICAS = 5
CONFIGURATION = "NodeGroupConfiguration"


class Place(msgspec.Struct, frozen=True):
    """Where nodes may stand. usable: zones of the subnet group, in order."""

    usable: tuple[str, ...]
    region_zones: tuple[str, ...]
    multi_az: bool = False


class Quota(msgspec.Struct, frozen=True):
    shards: int
    nodes: int


class ShardPlan(msgspec.Struct, frozen=True):
    """One shard as asked for. zones: one per node, the primary's first."""

    shard_id: str
    zones: tuple[str, ...]
    slots: SlotRanges = ()


def asked_shards(request: Mapping[str, Any]) -> int:
    """How many shards the request asks for; 1 when it does not say. Raises InvalidParameterValue,
    InvalidParameterCombination."""
    asked: int | None = request.get("NumNodeGroups")
    listed = len(request.get(CONFIGURATION) or ())
    if asked is not None and asked < 1:
        raise invalid_value(f"NumNodeGroups: {asked} must be at least 1.")
    if asked is not None and listed and asked != listed:
        raise invalid_combination(f"NumNodeGroups is {asked}, but {CONFIGURATION} has {listed} entries; they must be equal.")
    return asked or listed or 1


def plan_shards(request: Mapping[str, Any], clustered: bool, place: Place, quota: Quota) -> tuple[ShardPlan, ...]:
    """The shards in the order of their ids. Raises AwsError."""
    count = asked_shards(request)
    if count > 1 and not clustered:
        raise invalid_combination(
            f"{count} shards need cluster mode: use a cache parameter group with cluster-enabled=yes, or ClusterMode=enabled."
        )
    _check_shard_quota(count, quota)
    entries: list[Mapping[str, Any]] = list(request.get(CONFIGURATION) or [{} for _ in range(count)])
    ids = _shard_ids(entries, clustered)
    slots = _slots(entries)
    replicas = [_replicas(request, entry, count, index) for index, entry in enumerate(entries)]
    _check_node_quota(sum(replicas) + count, quota)
    asked = _asked_zones(request, entries, replicas)
    for named in asked:
        check_zones([zone for zone in named if zone], place.usable, place.region_zones, _zone_field(request))
    order = sorted(range(count), key=lambda index: ids[index])
    zones = {index: fill(asked[index], replicas[index] + 1, place.usable, turn) for turn, index in enumerate(order)}
    if place.multi_az:
        check_multi_az([zones[index] for index in order])
    return tuple(ShardPlan(ids[index], zones[index], slots[index] if clustered else ()) for index in order)


def build_shards(
    group: str, plans: Sequence[ShardPlan], clustered: bool, now: float, tags: Mapping[str, str]
) -> tuple[DesiredShard, ...]:
    """Desired shards with the member names of reference 4.2: `<rg>-001`, in cluster mode `<rg>-0001-001`. The group's tags are
    copied to every node (reference 3.1)."""
    return tuple(
        DesiredShard(
            shard_id=plan.shard_id,
            slots=plan.slots,
            nodes=tuple(
                DesiredNode(
                    name=member_name(group, plan.shard_id, index, clustered),
                    node_id="0001",
                    zone=zone,
                    created_at=now,
                    tags=dict(tags),
                )
                for index, zone in enumerate(plan.zones, start=1)
            ),
        )
        for plan in plans
    )


def member_name(group: str, shard_id: str, index: int, clustered: bool) -> str:
    """index counts from 1."""
    return f"{group}-{shard_id}-{index:03d}" if clustered else f"{group}-{index:03d}"


# --- shards --------------------------------------------------------------------------------------------------------


def _shard_ids(entries: Sequence[Mapping[str, Any]], clustered: bool) -> list[str]:
    """Four digits each; those that were left open take the lowest free numbers in order."""
    field = f"{CONFIGURATION}.NodeGroupId"
    given = [node_group_id(entry["NodeGroupId"], field) if entry.get("NodeGroupId") else "" for entry in entries]
    taken = [shard_id for shard_id in given if shard_id]
    for shard_id in taken:
        if taken.count(shard_id) > 1:
            raise invalid_value(f"{field}: {shard_id} is used more than once; ids must be unique.")
    if not clustered and taken and taken != ["0001"]:
        raise invalid_value(f"{field}: must be 0001 when cluster mode is disabled.")
    free = (f"{number:04d}" for number in range(1, 10_000) if f"{number:04d}" not in taken)
    return [shard_id or next(free) for shard_id in given]


def _slots(entries: Sequence[Mapping[str, Any]]) -> list[SlotRanges]:
    given = [entry.get("Slots") or "" for entry in entries]
    if not any(given):
        return even_split(len(entries))
    if not all(given):
        raise invalid_value(f"{CONFIGURATION}.Slots: give slots for every shard or for none.")
    return parse_split(given, f"{CONFIGURATION}.Slots")


# --- replicas ------------------------------------------------------------------------------------------------------


def _replicas(request: Mapping[str, Any], entry: Mapping[str, Any], shards: int, index: int) -> int:
    """Replicas of one shard: what its entry says, else what the request says for every shard, else none."""
    general = _general_replicas(request, shards)
    own: int | None = entry.get("ReplicaCount")
    listed = entry.get("ReplicaAvailabilityZones")
    if own is not None:
        _check_replicas(own, f"{CONFIGURATION}.ReplicaCount")
        if general is not None and general != own:
            raise invalid_combination(
                f"{CONFIGURATION}.ReplicaCount of entry {index + 1} is {own}, but the request asks for {general} replicas in "
                "every shard; give one of them."
            )
    count = own if own is not None else general
    if listed:
        if count is None:
            count = len(listed)
            _check_replicas(count, f"{CONFIGURATION}.ReplicaAvailabilityZones")
        if len(listed) != count:
            raise invalid_combination(
                f"{CONFIGURATION}.ReplicaAvailabilityZones of entry {index + 1} names {len(listed)} zones for {count} replicas."
            )
    return count or 0


def _general_replicas(request: Mapping[str, Any], shards: int) -> int | None:
    clusters: int | None = request.get("NumCacheClusters")
    replicas: int | None = request.get("ReplicasPerNodeGroup")
    if replicas is not None:
        _check_replicas(replicas, "ReplicasPerNodeGroup")
    if clusters is None:
        return replicas
    if not 1 <= clusters <= MAX_REPLICAS + 1:
        raise invalid_value(f"NumCacheClusters: {clusters} must be from 1 to {MAX_REPLICAS + 1}.")
    if shards > 1:
        raise invalid_combination("NumCacheClusters is for groups of one shard; use ReplicasPerNodeGroup with NumNodeGroups.")
    if replicas is not None and clusters != replicas + 1:
        raise invalid_combination("NumCacheClusters must be ReplicasPerNodeGroup plus one; give one of them.")
    return clusters - 1


def _check_replicas(count: int, field: str) -> None:
    if not 0 <= count <= MAX_REPLICAS:
        raise invalid_value(f"{field}: {count} must be from 0 to {MAX_REPLICAS}.")


# --- zones ---------------------------------------------------------------------------------------------------------


def _asked_zones(
    request: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], replicas: Sequence[int]
) -> list[tuple[str, ...]]:
    preferred = request.get("PreferredCacheClusterAZs")
    if not preferred:
        return [_entry_zones(entry) for entry in entries]
    if len(entries) > 1 or request.get(CONFIGURATION):
        raise invalid_combination(
            "PreferredCacheClusterAZs is for groups of one shard; use PrimaryAvailabilityZone and ReplicaAvailabilityZones in "
            f"{CONFIGURATION}."
        )
    if len(preferred) != replicas[0] + 1:
        raise invalid_combination(
            f"PreferredCacheClusterAZs names {len(preferred)} zones for {replicas[0] + 1} nodes; name one zone for each, the "
            "primary's first."
        )
    _refuse_blanks(preferred, "PreferredCacheClusterAZs")
    return [tuple(preferred)]


def _entry_zones(entry: Mapping[str, Any]) -> tuple[str, ...]:
    for field in ("PrimaryOutpostArn", "ReplicaOutpostArns"):
        if entry.get(field):
            raise invalid_value(f"{CONFIGURATION}.{field}: Outposts are not supported; leave it out.")
    replicas = entry.get("ReplicaAvailabilityZones") or ()
    _refuse_blanks(replicas, f"{CONFIGURATION}.ReplicaAvailabilityZones")
    return (entry.get("PrimaryAvailabilityZone") or "", *replicas)


def _refuse_blanks(zones: Sequence[str], field: str) -> None:
    """A zone may be left open by naming none, not by an empty name. Raises InvalidParameterValue."""
    if not all(zones):
        raise invalid_value(f"{field}: '' is not an availability zone; name a zone for every node, or leave {field} out.")


def _zone_field(request: Mapping[str, Any]) -> str:
    return "PreferredCacheClusterAZs" if request.get("PreferredCacheClusterAZs") else f"{CONFIGURATION} availability zones"


# --- quotas --------------------------------------------------------------------------------------------------------


def _check_shard_quota(count: int, quota: Quota) -> None:
    if count > quota.shards:
        raise AwsError(
            "NodeGroupsPerReplicationGroupQuotaExceeded",
            f"{count} shards are more than the {quota.shards} that a group may have (setting api.shards_per_group).",
        )


def _check_node_quota(count: int, quota: Quota) -> None:
    if count > quota.nodes:
        raise AwsError(
            "NodeQuotaForClusterExceeded",
            f"Cluster node quota exceeded: {count} nodes are more than the {quota.nodes} that a group may have (setting "
            "api.nodes_per_group).",
        )
