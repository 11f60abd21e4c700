"""What ModifyReplicationGroupShardConfiguration asks for: which shards come, with which zones, and which go.

Pure: request and shards in, a ShardChange out, or a refusal that names the member and the rule (reference 1.3, 3.3, 13.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.api.groups.placement import check_zones, fill
from cachefleet.api.groups.replication_group_topology import Place
from cachefleet.api.groups.shard_ids import known_shards
from cachefleet.api.names import node_group_id
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import DesiredShard

COUNT, GONE, KEPT, NEW = "NodeGroupCount", "NodeGroupsToRemove", "NodeGroupsToRetain", "ReshardingConfiguration"
_ZONES = f"{NEW}.PreferredAvailabilityZones"
_LAST_ID = 9999


class ShardChange(msgspec.Struct, frozen=True):
    """new: zones of the nodes of each new shard, by its id, in the order of ids. leaving: ids. Neither: rebalance."""

    new: Mapping[str, tuple[str, ...]] = {}
    leaving: tuple[str, ...] = ()


def read_change(
    shards: Sequence[DesiredShard], taken: Iterable[str], request: Mapping[str, Any], place: Place, most: int
) -> ShardChange:
    """taken: ids that no new shard may have besides those of the shards, such as of one that is not quite gone. most: how
    many shards a group may have. Raises InvalidParameterValue, InvalidParameterCombination,
    NodeGroupsPerReplicationGroupQuotaExceeded."""
    asked: int = request[COUNT]
    if asked < 1:
        raise invalid_value(f"{COUNT}: {asked} must be at least 1.")
    if asked < len(shards):
        _refuse(request, (NEW,), f"{COUNT} is smaller than the {len(shards)} that the group has; no shard is added")
        return ShardChange(leaving=_leaving([shard.shard_id for shard in shards], asked, request))
    if asked == len(shards):
        _refuse(request, (GONE, KEPT, NEW), f"{COUNT} is what the group has already; slots are only rebalanced")
        return ShardChange()
    _refuse(request, (GONE, KEPT), f"{COUNT} is higher than the {len(shards)} that the group has; no shard is removed")
    if asked > most:
        raise AwsError(
            "NodeGroupsPerReplicationGroupQuotaExceeded",
            f"{asked} shards are more than the {most} that a group may have (setting api.shards_per_group).",
        )
    return ShardChange(new=_new_shards(shards, taken, asked - len(shards), request.get(NEW) or (), place))


def _refuse(request: Mapping[str, Any], members: Sequence[str], why: str) -> None:
    given = next((member for member in members if request.get(member)), "")
    if given:
        raise invalid_combination(f"{given} cannot be given: {why}. Leave it out, or give another {COUNT}.")


# --- fewer ---------------------------------------------------------------------------------------------------------


def _leaving(known: list[str], asked: int, request: Mapping[str, Any]) -> tuple[str, ...]:
    given = [member for member in (GONE, KEPT) if request.get(member)]
    if len(given) != 1:
        found = "both were given" if given else "none was given"
        raise invalid_combination(
            f"Give exactly one of {GONE} and {KEPT} when {COUNT} is smaller than the {len(known)} that the group has; {found}."
        )
    (member,) = given
    named = known_shards(known, request[member], member)
    wanted = asked if member == KEPT else len(known) - asked
    if len(named) != wanted:
        raise invalid_combination(
            f"{member} names {len(named)} node groups, but {COUNT} {asked} of {len(known)} "
            f"{'keeps' if member == KEPT else 'removes'} {wanted}; name exactly as many."
        )
    return tuple(shard_id for shard_id in known if (shard_id in named) is (member == GONE))


# --- more ----------------------------------------------------------------------------------------------------------


def _new_shards(
    shards: Sequence[DesiredShard], taken: Iterable[str], more: int, entries: Sequence[Mapping[str, Any]], place: Place
) -> dict[str, tuple[str, ...]]:
    """Every new shard has as many nodes as the smallest has (reference 13.2)."""
    if len(entries) > more:
        raise invalid_combination(
            f"{NEW} has {len(entries)} entries for {more} new node groups; name new node groups only, each once."
        )
    present = [shard.shard_id for shard in shards]
    entries = [*entries, *({} for _ in range(more - len(entries)))]
    ids = _new_ids(present, {*present, *taken}, entries)
    size = min(len(shard.nodes) for shard in shards)
    order = sorted([*present, *ids])
    new = {}
    for shard_id, entry in sorted(zip(ids, entries, strict=True), key=lambda pair: pair[0]):
        zones: Sequence[str] = entry.get("PreferredAvailabilityZones") or ()
        if zones and len(zones) != size:
            raise invalid_combination(
                f"{_ZONES} names {len(zones)} zones, but a new node group has {size} nodes, as many as the smallest has; name "
                "one zone for each, the primary's first."
            )
        check_zones(zones, place.usable, place.region_zones, _ZONES)
        new[shard_id] = fill(zones, size, place.usable, order.index(shard_id))
    return new


def _new_ids(present: Sequence[str], taken: set[str], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those that were left open take the lowest free numbers in order, as at creation."""
    field = f"{NEW}.NodeGroupId"
    given = [node_group_id(entry["NodeGroupId"], field) if entry.get("NodeGroupId") else "" for entry in entries]
    named = [shard_id for shard_id in given if shard_id]
    for shard_id in named:
        if shard_id in present:
            raise invalid_value(
                f"{field}: {shard_id} is a node group already, and stays where it is; name new node groups only."
            )
        if shard_id in taken:
            raise invalid_value(f"{field}: {shard_id} is still being removed; choose another id, or leave it out.")
        if named.count(shard_id) > 1:
            raise invalid_value(f"{field}: {shard_id} is used more than once; ids must be unique.")
    free = (f"{number:04d}" for number in range(1, _LAST_ID + 1) if f"{number:04d}" not in taken | set(named))
    return [shard_id or next(free) for shard_id in given]
