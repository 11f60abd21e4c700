"""More or fewer nodes of a Memcached cluster, and its AZMode, as ModifyCacheCluster asks for them (reference 1.3, 2.3).

Reads the store for zones, writes nothing: a row in, what waits from then on out. When that begins, the planner starts what is
new; what goes leaves the list of auto discovery before it is stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.cache_cluster_topology import CROSS_AZ, SINGLE_AZ, asked_nodes
from cachefleet.api.groups.group_nodes import names_in_use
from cachefleet.api.groups.group_state import is_group
from cachefleet.api.groups.placement import check_zones, fill
from cachefleet.api.names import quoted
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import DesiredNode, Shape
from cachefleet.model.pending import PendingChange, PendingNode
from cachefleet.model.row import GroupRow
from cachefleet.planning.pending import nodes_after
from cachefleet.reference.zones import zones

COUNT, GONE, PLACES, MODE = "NumCacheNodes", "CacheNodeIdsToRemove", "NewAvailabilityZones", "AZMode"


async def asked_nodes_change(
    context: Context, row: GroupRow, request: Mapping[str, Any], change: PendingChange
) -> tuple[GroupRow, PendingChange]:
    """What waits once this request is counted in, and the row with what holds at once (an AZMode without other nodes). change:
    what waited before. Raises InvalidParameterValue, InvalidParameterCombination, NodeQuotaForClusterExceeded."""
    if row.desired.shape is not Shape.MEMCACHED:
        _refuse_others(row, request)
        return row, change
    present, expected = row.desired.nodes, nodes_after(row.desired, change, 0.0)
    if request.get(COUNT) is None:
        _check_members(len(expected), len(expected), request)
        return _with_mode(row, change, expected, request)
    count = asked_nodes(request, row.desired.engine, context.settings.api.memcached_nodes)
    if count == len(present):
        _check_members(count, count, request)
        return _with_mode(row, replace(change, more_nodes=(), fewer_nodes=(), az_mode=""), present, request)
    if count > len(present):
        left, waiting = _for_more(row, change, count, request)
    else:
        left, waiting = _for_fewer(row, change, count, request)
    mode = _mode(row, [*left, *waiting], count, request)
    more = await _new_nodes(context, row, [*left, *waiting], count, mode, request)
    _check_spread(row, [*(node.zone for node in [*left, *waiting]), *(node.zone for node in more)], request)
    gone = tuple(node.node_id for node in present if node not in left)
    return row, replace(
        change,
        more_nodes=(*(PendingNode(node.node_id, node.zone) for node in waiting), *more),
        fewer_nodes=gone,
        az_mode="" if mode == row.desired.az_mode else mode,
    )


def _with_mode(
    row: GroupRow, change: PendingChange, nodes: Sequence[DesiredNode], request: Mapping[str, Any]
) -> tuple[GroupRow, PendingChange]:
    """No other nodes are asked for."""
    if not request.get(MODE):
        return row, change
    mode = _mode(row, nodes, len(nodes), request)
    _check_spread(row, [node.zone for node in nodes], request)
    return replace(row, desired=replace(row.desired, az_mode=mode)), replace(change, az_mode="")


Nodes = Sequence[DesiredNode]


def _for_more(row: GroupRow, change: PendingChange, count: int, request: Mapping[str, Any]) -> tuple[Nodes, Nodes]:
    """The present nodes that stay and the pending ones that stay pending, for more nodes than there are. New ones come on top
    of those that are pending, and end a removal that is (reference 2.3)."""
    present = row.desired.nodes
    waiting = nodes_after(row.desired, replace(change, fewer_nodes=()), 0.0)[len(present) :]
    expected = len(present) + len(waiting)
    if count >= expected:
        _check_members(expected, count, request)
        return present, waiting
    if not request.get(GONE):
        raise invalid_combination(
            f"{COUNT}: {count} is fewer than the {expected} nodes that there are with those pending. Name {expected - count} "
            f"of them in {GONE}, or take the pending ones back first with {COUNT} {len(present)}."
        )
    _check_members(expected, count, request)
    left = _without([*present, *waiting], request[GONE])
    return [node for node in left if node in present], [node for node in left if node in waiting]


def _for_fewer(row: GroupRow, change: PendingChange, count: int, request: Mapping[str, Any]) -> tuple[Nodes, Nodes]:
    """The same for fewer than there are: a removal replaces what is pending, whatever that was; who names pending nodes, too,
    counts them (reference 2.3)."""
    present = row.desired.nodes
    waiting = nodes_after(row.desired, replace(change, fewer_nodes=()), 0.0)[len(present) :]
    gone: Sequence[str] = request.get(GONE) or ()
    if len(gone) == len(present) - count:
        _check_members(len(present), count, request)
        return _without(present, gone), ()
    _check_members(len(present) + len(waiting), count, request)
    left = _without([*present, *waiting], gone)
    return [node for node in left if node in present], [node for node in left if node in waiting]


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
    """AZMode as it shall be: as asked for; without a word as it is, or cross-az when new nodes are put into other zones. left:
    nodes that there will be anyway; they do not move. Raises InvalidParameterValue, InvalidParameterCombination."""
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


def _check_spread(row: GroupRow, places: Sequence[str], request: Mapping[str, Any]) -> None:
    """cross-az is about new nodes (reference 1.3): it is refused where all would stand in one zone as before. places: of all
    nodes that there will be. Raises InvalidParameterCombination."""
    if request.get(MODE) == CROSS_AZ != row.desired.az_mode and len(set(places)) == 1:
        raise invalid_combination(
            f"{MODE}: {CROSS_AZ} is for new nodes, and all {len(places)} nodes would stand in {places[0]}: those that there "
            f"are do not move. Ask for more nodes with {COUNT}, in other zones, or leave {MODE} out."
        )


def _check_mode(asked: str) -> None:
    if asked not in (SINGLE_AZ, CROSS_AZ):
        raise invalid_value(f"{MODE}: {quoted(asked)} must be {SINGLE_AZ} or {CROSS_AZ}.")


async def _new_nodes(
    context: Context, row: GroupRow, kept: Nodes, count: int, mode: str, request: Mapping[str, Any]
) -> list[PendingNode]:
    """With the lowest ids that no node has, also none that is still being taken away or pending. kept: nodes that there will be
    anyway. Raises InvalidParameterValue."""
    if count <= len(kept):
        return []
    taken = names_in_use(row) | {node.name for node in kept}
    ids = (f"{number:04d}" for number in itertools.count(1))
    free = (node_id for node_id in ids if f"{row.key.name}.{node_id}" not in taken)
    places = await _places(context, row, kept, count, mode, request.get(PLACES) or ())
    return [PendingNode(node_id, zone) for zone, node_id in zip(places, free, strict=False)]


async def _places(context: Context, row: GroupRow, kept: Nodes, count: int, mode: str, named: Sequence[str]) -> Sequence[str]:
    """One zone for each new node. Raises InvalidParameterValue."""
    usable = await subnet_group_zones(context, row.desired.subnet_group)
    check_zones(named, usable, zones(context.scope.region), PLACES)
    present = [node.zone for node in kept]
    if named or mode != CROSS_AZ:
        return named or (present[0],) * (count - len(kept))
    return fill(present, count, usable, 0)[len(kept) :]
