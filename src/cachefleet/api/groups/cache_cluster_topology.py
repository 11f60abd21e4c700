"""How many nodes a CreateCacheCluster request asks for, and in which zones: standalone Valkey and Redis, and Memcached.

Pure: request in, nodes out, or a refusal that names the member and the rule (reference 3.1-3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.api.groups.placement import check_zones, fill
from cachefleet.api.groups.replication_group_topology import Place
from cachefleet.api.names import quoted
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import DesiredNode, DesiredShard, Engine

SINGLE_AZ = "single-az"
CROSS_AZ = "cross-az"


class Placement(msgspec.Struct, frozen=True):
    """zones: one per node. az_mode: "" for engines that have one node only."""

    zones: tuple[str, ...]
    az_mode: str = ""


def asked_nodes(request: Mapping[str, Any], engine: Engine, most: int) -> int:
    """most: quota of Memcached. Raises InvalidParameterValue, NodeQuotaForClusterExceeded."""
    asked: int | None = request.get("NumCacheNodes")
    count = 1 if asked is None else asked
    if count < 1:
        raise invalid_value(f"NumCacheNodes: {count} must be at least 1.")
    if engine is not Engine.MEMCACHED and count > 1:
        raise invalid_value(
            f"NumCacheNodes: a {engine.value} cluster has one node; use CreateReplicationGroup for replicas and shards."
        )
    if count > most:
        raise AwsError(
            "NodeQuotaForClusterExceeded",
            f"Cluster node quota exceeded: {count} nodes are more than the {most} that a Memcached cluster may have (setting "
            "api.memcached_nodes).",
        )
    return count


def place_nodes(request: Mapping[str, Any], engine: Engine, count: int, place: Place) -> Placement:
    """Raises InvalidParameterValue, InvalidParameterCombination."""
    one: str = request.get("PreferredAvailabilityZone") or ""
    several: Sequence[str] = request.get("PreferredAvailabilityZones") or ()
    if one and several:
        raise invalid_combination("PreferredAvailabilityZone and PreferredAvailabilityZones cannot be given together.")
    if several and len(several) != count:
        raise invalid_combination(
            f"PreferredAvailabilityZones names {len(several)} zones for {count} nodes; name one zone for each node."
        )
    if one:
        check_zones([one], place.usable, place.region_zones, "PreferredAvailabilityZone")
    check_zones(several, place.usable, place.region_zones, "PreferredAvailabilityZones")
    mode = _az_mode(request.get("AZMode") or "", engine, count, one, several, place)
    if mode == CROSS_AZ:
        return Placement(tuple(several) or fill((), count, place.usable, 0), mode)
    zone = one or (several[0] if several else place.usable[0])
    return Placement((zone,) * count, mode if engine is Engine.MEMCACHED else "")


def _az_mode(asked: str, engine: Engine, count: int, one: str, several: Sequence[str], place: Place) -> str:
    """single-az unless the request asks for, or names, several zones."""
    if asked not in ("", SINGLE_AZ, CROSS_AZ):
        raise invalid_value(f"AZMode: {quoted(asked)} must be {SINGLE_AZ} or {CROSS_AZ}.")
    spread = len(set(several)) > 1
    if not asked:
        return CROSS_AZ if spread else SINGLE_AZ
    if asked == SINGLE_AZ and spread:
        raise invalid_combination("PreferredAvailabilityZones names several zones, but AZMode is single-az; use cross-az.")
    if asked == CROSS_AZ:
        _check_cross_az(engine, count, one, several, place)
    return asked


def _check_cross_az(engine: Engine, count: int, one: str, several: Sequence[str], place: Place) -> None:
    if engine is not Engine.MEMCACHED:
        raise invalid_combination(f"AZMode: cross-az is for Memcached; a {engine.value} cluster has one node.")
    if count < 2:
        raise invalid_combination("AZMode: cross-az needs at least two nodes; raise NumCacheNodes or use single-az.")
    if one:
        raise invalid_combination(
            "PreferredAvailabilityZone puts all nodes into one zone; for cross-az use PreferredAvailabilityZones."
        )
    if len(set(several or place.usable)) < 2:
        raise invalid_combination("AZMode: cross-az needs at least two zones, but all nodes would stand in one; name another.")


def build_cluster(cluster: str, engine: Engine, zones: Sequence[str], now: float) -> tuple[DesiredShard, ...]:
    """One shard with every node. Memcached's nodes are `<cluster id>.0001`..., a standalone node has the cluster's id."""
    if engine is Engine.MEMCACHED:
        nodes = tuple(
            DesiredNode(name=f"{cluster}.{number:04d}", node_id=f"{number:04d}", zone=zone, created_at=now)
            for number, zone in enumerate(zones, start=1)
        )
    else:
        nodes = (DesiredNode(name=cluster, node_id="0001", zone=zones[0], created_at=now),)
    return (DesiredShard("0001", nodes),)
