"""Whether a cache may be changed to another node type: the allowed ones, and only where the data fit (reference 3.3, 13.3).

Pure: by what the planner last wrote down of each node's memory. Called by group_changes and ListAllowedNodeTypeModifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from cachefleet.api.groups.room_for_data import data_bytes
from cachefleet.api.transit import node_type_has_tls
from cachefleet.model.errors import invalid_value
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.row import GroupRow
from cachefleet.reference.node_types import NodeType
from cachefleet.settings import NodeTypeSetting

_TIERED = "cache.r6gd."
_NO_FAILOVER = ("cache.t1.",)
_NO_ENCRYPTION = ("cache.t1.", "cache.m1.", "cache.m2.")
_MB = 1024 * 1024


def allowed(desired: GroupDesired, present: NodeType, kinds: Iterable[NodeType]) -> tuple[list[str], list[str]]:
    """Names of types to scale up to, and down to, each in order. One of equal memory is among the former: all data fit."""
    up: list[str] = []
    down: list[str] = []
    for kind in kinds:
        if kind.name == present.name or not may_become(desired, present, kind):
            continue
        (up if memory_mb(desired, kind) >= memory_mb(desired, present) else down).append(kind.name)
    return sorted(up), sorted(down)


def may_become(desired: GroupDesired, present: NodeType, kind: NodeType) -> bool:
    """What the group has switched on is possible on that type, too (reference 3.3)."""
    if kind.name.startswith(_TIERED) != present.name.startswith(_TIERED):
        return False
    if desired.automatic_failover and kind.name.startswith(_NO_FAILOVER):
        return False
    if desired.transit and not node_type_has_tls(desired.engine, kind.name):
        return False
    return not (desired.at_rest_encryption and kind.name.startswith(_NO_ENCRYPTION))


def memory_mb(desired: GroupDesired, kind: NodeType) -> float:
    """By which types are larger or smaller."""
    return kind.memcached_mb if desired.engine is Engine.MEMCACHED else kind.maxmemory_bytes / _MB


def require_fit(row: GroupRow, kind: str, own_types: Mapping[str, NodeTypeSetting], values: Mapping[str, str]) -> None:
    """values: what the parameter group sets itself. Raises InvalidParameterValue with the figures when a node holds more than
    one of that type has for data. What Memcached cannot keep it evicts, as it does all the time."""
    node, used, room = _fullest(row, kind, own_types, values)
    if used > room:
        raise invalid_value(
            f"CacheNodeType: the data of {node} take {_shown(used)}, and a {kind} node has {_shown(room)} for data. Delete "
            "data, add shards, or choose a larger type."
        )


def fits(row: GroupRow, kind: str, own_types: Mapping[str, NodeTypeSetting], values: Mapping[str, str]) -> bool:
    """Whether require_fit raises nothing."""
    _, used, room = _fullest(row, kind, own_types, values)
    return used <= room


def _fullest(
    row: GroupRow, kind: str, own_types: Mapping[str, NodeTypeSetting], values: Mapping[str, str]
) -> tuple[str, int, int]:
    """The node with the most data, how much that is, and what a node of that type has for data."""
    room = data_bytes(replace(row.desired, node_type=kind), own_types, values)
    if row.desired.engine is Engine.MEMCACHED:
        return "", 0, room
    used = {name: known.used_bytes for name, known in row.memory.nodes.items()}
    node = max(used, key=lambda name: used[name], default="")
    return node, used.get(node, 0), room


def _shown(size_bytes: int) -> str:
    return f"{-(-size_bytes // _MB)} MB"
