"""Which replicas leave a shard when only their number, or the zones that stay, are given; where further ones stand.

Pure. A primary never leaves. Called by the operations on replica counts (reference 3.3, 13.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from cachefleet.api.groups.group_state import AVAILABLE, is_primary, member_status
from cachefleet.api.groups.placement import check_zones, fill
from cachefleet.api.groups.replica_targets import ZONES, Target, surplus
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.group import DesiredNode, DesiredShard
from cachefleet.model.row import GroupRow


def zones_of_new(
    shard: DesiredShard, target: Target, usable: Sequence[str], region_zones: Sequence[str], turn: int
) -> tuple[str, ...]:
    """One zone for each further replica, in the order asked for; left open, always the one that the shard uses least. Raises
    InvalidParameterValue, InvalidParameterCombination."""
    present = [node.zone for node in shard.nodes]
    if not target.zones:
        return fill(present, target.replicas + 1, usable, turn)[len(present) :]
    check_zones(target.zones, usable, region_zones, ZONES)
    if surplus(present, target.zones):
        raise invalid_combination(
            f"{ZONES} of node group {shard.shard_id} must name the zones of its present nodes, which stay where they are "
            f"({', '.join(present)}), and one for each further replica."
        )
    left, new = surplus(target.zones, present), []
    for zone in reversed(target.zones):  # whoever appends to what is there means the last ones
        if left[zone]:
            left[zone] -= 1
            new.append(zone)
    return tuple(reversed(new))


def leaving(row: GroupRow, shard: DesiredShard, target: Target) -> tuple[DesiredNode, ...]:
    """The replicas that go, so that as many as asked for stay. Raises InvalidParameterCombination."""
    present = [node.zone for node in shard.nodes]
    gone: list[DesiredNode] = []
    over = surplus(present, target.zones)
    if target.zones and over.total() != len(shard.nodes) - len(target.zones):
        raise _wrong_zones(shard, present)
    while len(shard.nodes) - len(gone) > target.replicas + 1:
        replicas = [node for node in shard.nodes if node not in gone and not is_primary(row, node)]
        fit = [node for node in replicas if not target.zones or over[node.zone]]
        if not fit:
            raise _wrong_zones(shard, present)
        node = min(fit, key=_rank(row, [other for other in shard.nodes if other not in gone]))
        gone.append(node)
        over[node.zone] -= 1
    return tuple(gone)


def _wrong_zones(shard: DesiredShard, present: Sequence[str]) -> AwsError:
    return invalid_combination(
        f"{ZONES} of node group {shard.shard_id} must name the zones of the nodes that stay, the primary's included; its nodes "
        f"are in {', '.join(present)}."
    )


def _rank(row: GroupRow, nodes: Sequence[DesiredNode]) -> Callable[[DesiredNode], tuple[bool | int, ...]]:
    """The smallest goes first. Multi-AZ is kept before all else: from the fullest zone, the primary's if there are two. Without
    it one that is not available goes first: it holds the least."""
    crowd = Counter(node.zone for node in nodes)
    home = {node.zone for node in nodes if is_primary(row, node)}

    def rank(node: DesiredNode) -> tuple[bool | int, ...]:
        place = (-crowd[node.zone], node.zone not in home)
        healthy = member_status(row, node) == AVAILABLE
        last = -nodes.index(node)
        return (*place, healthy, last) if row.desired.multi_az else (healthy, *place, last)

    return rank
