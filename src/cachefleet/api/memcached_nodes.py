"""More or fewer nodes of a Memcached cluster, and its AZMode, as ModifyCacheCluster asks for them (reference 1.3, 2.3).

Reads the store for zones, writes nothing: a row in, what becomes of it out. The planner starts what is new; what goes leaves
the list of auto discovery before it is stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.cache_cluster_topology import CROSS_AZ, SINGLE_AZ, asked_nodes
from cachefleet.api.context import Context
from cachefleet.api.group_nodes import INCREASING, names_in_use, require_immediate, with_nodes
from cachefleet.api.group_rows import Change
from cachefleet.api.group_state import is_group
from cachefleet.api.names import quoted
from cachefleet.api.placement import check_zones, fill
from cachefleet.api.subnet_groups import subnet_group_zones
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import DesiredNode, Shape
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow
from cachefleet.reference.zones import zones

COUNT, GONE, PLACES, MODE = "NumCacheNodes", "CacheNodeIdsToRemove", "NewAvailabilityZones", "AZMode"


async def resized(context: Context, row: GroupRow, request: Mapping[str, Any]) -> Change:
    """The row as it is when nothing of that is asked for. Raises InvalidParameterValue, InvalidParameterCombination,
    NodeQuotaForClusterExceeded."""
    if row.desired.shape is not Shape.MEMCACHED:
        _refuse_others(row, request)
        return Change(row)
    nodes = row.desired.nodes
    count = len(nodes)
    if request.get(COUNT) is not None:
        count = asked_nodes(request, row.desired.engine, context.settings.api.memcached_nodes)
    _check_members(len(nodes), count, request)
    if count != len(nodes):
        require_immediate(request.get("ApplyImmediately"), f"{COUNT} from {len(nodes)} to {count}")
    left = _without(nodes, request.get(GONE) or ())
    mode = _mode(row, left, count, request)
    if (count, mode) == (len(nodes), row.desired.az_mode):
        return Change(row)
    changed = replace(row, desired=replace(row.desired, az_mode=mode))
    if count == len(nodes):
        return Change(changed)
    (shard,) = row.desired.shards
    more = _new_nodes(context, row, await _places(context, changed, left, count, request)) if count > len(left) else []
    told = EventDraft("cache-cluster", row.key.name, INCREASING)
    return Change(with_nodes(changed, {shard.shard_id: (*left, *more)}), more_nodes=len(more), events=(told,) if more else ())


def _refuse_others(row: GroupRow, request: Mapping[str, Any]) -> None:
    """A cluster of Valkey or Redis is one node. Raises InvalidParameterValue, InvalidParameterCombination."""
    engine = row.desired.engine.value
    instead = "use IncreaseReplicaCount" if is_group(row) else "make it the primary of a replication group for more"
    if request.get(COUNT) not in (None, 1):
        raise invalid_value(f"{COUNT}: a {engine} cluster has one node; {instead}.")
    for member in (GONE, PLACES):
        if request.get(member):
            raise invalid_combination(f"{member} is for Memcached; a {engine} cluster has one node.")
    mode = request.get(MODE) or SINGLE_AZ
    _check_mode(mode)
    if mode == CROSS_AZ:
        raise invalid_combination(f"{MODE}: {CROSS_AZ} is for Memcached; a {engine} cluster has one node.")


def _check_members(present: int, count: int, request: Mapping[str, Any]) -> None:
    """What is to be removed fits the number; so do the zones of what is added. Raises InvalidParameterCombination."""
    gone, named = len(request.get(GONE) or ()), len(request.get(PLACES) or ())
    fewer, more = max(0, present - count), max(0, count - present)
    if gone != fewer:
        raise invalid_combination(
            f"{GONE} names {gone} nodes, but {COUNT} asks for {fewer} fewer than the {present} that there are; name exactly as "
            "many as shall go."
        )
    if named and named != more:
        raise invalid_combination(
            f"{PLACES} names {named} zones, but {COUNT} asks for {more} more nodes than the {present} that there are; name one "
            "zone for each new node."
        )


def _without(nodes: Sequence[DesiredNode], gone: Sequence[str]) -> tuple[DesiredNode, ...]:
    """Raises InvalidParameterValue."""
    known = [node.node_id for node in nodes]
    for node_id in gone:
        if node_id not in known:
            raise invalid_value(f"{GONE}: {quoted(node_id)} is no node of the cluster; its nodes are {', '.join(known)}.")
        if list(gone).count(node_id) > 1:
            raise invalid_value(f"{GONE}: {node_id} is named more than once; name each node once.")
    return tuple(node for node in nodes if node.node_id not in gone)


def _mode(row: GroupRow, left: Sequence[DesiredNode], count: int, request: Mapping[str, Any]) -> str:
    """AZMode as it shall be: as asked for; without a word as it is, or cross-az when new nodes are put into other zones. Nodes
    that stay do not move. Raises InvalidParameterValue, InvalidParameterCombination."""
    asked: str = request.get(MODE) or ""
    spread = len({node.zone for node in left} | set(request.get(PLACES) or ())) > 1
    if not asked:
        return CROSS_AZ if spread else row.desired.az_mode
    _check_mode(asked)
    if asked == SINGLE_AZ and spread:
        raise invalid_combination(f"{MODE}: {SINGLE_AZ} is not possible, since the nodes are in several zones and do not move.")
    if asked == CROSS_AZ and count < 2:
        raise invalid_combination(f"{MODE}: {CROSS_AZ} needs at least two nodes; raise {COUNT} or use {SINGLE_AZ}.")
    return asked


def _check_mode(asked: str) -> None:
    if asked not in (SINGLE_AZ, CROSS_AZ):
        raise invalid_value(f"{MODE}: {quoted(asked)} must be {SINGLE_AZ} or {CROSS_AZ}.")


async def _places(
    context: Context, row: GroupRow, left: Sequence[DesiredNode], count: int, request: Mapping[str, Any]
) -> Sequence[str]:
    """One zone for each new node. Raises InvalidParameterValue."""
    usable = await subnet_group_zones(context, row.desired.subnet_group)
    named: Sequence[str] = request.get(PLACES) or ()
    check_zones(named, usable, zones(context.scope.region), PLACES)
    present = [node.zone for node in left]
    if named or row.desired.az_mode != CROSS_AZ:
        return named or (present[0],) * (count - len(left))
    return fill(present, count, usable, 0)[len(left) :]


def _new_nodes(context: Context, row: GroupRow, places: Sequence[str]) -> list[DesiredNode]:
    """With the lowest ids that no node has, also none that is still being taken away."""
    taken = names_in_use(row)
    ids = (f"{number:04d}" for number in itertools.count(1))
    free = (node_id for node_id in ids if f"{row.key.name}.{node_id}" not in taken)
    chosen = zip(places, free, strict=False)
    return [DesiredNode(f"{row.key.name}.{node_id}", node_id, zone, context.clock.now()) for zone, node_id in chosen]
