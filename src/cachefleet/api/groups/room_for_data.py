"""Whether the data of shards that are to leave fit into those that stay (reference 3.3, 13.2).

Pure: by what the planner last wrote down of each node's memory, since operations ask no engine. Called by the operations on
shards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cachefleet.model.errors import AwsError
from cachefleet.model.group import DesiredShard, GroupDesired, Shape
from cachefleet.model.row import GroupRow
from cachefleet.reference import parameters
from cachefleet.reference.engines import family_of
from cachefleet.reference.node_types import node_type
from cachefleet.settings import NodeTypeSetting

_MB = 1024 * 1024


def require_room(
    row: GroupRow, leaving: Collection[str], own_types: Mapping[str, NodeTypeSetting], values: Mapping[str, str]
) -> None:
    """leaving: shard ids. values: what the parameter group sets itself. Raises InvalidReplicationGroupState with the figures
    when what their primaries hold is more than the other primaries have free of their memory for data."""
    per_node = data_bytes(row.desired, own_types, values)
    staying = [shard for shard in row.desired.shards if shard.shard_id not in leaving]
    moved = sum(_used_bytes(row, shard) for shard in row.desired.shards if shard.shard_id in leaving)
    free = sum(max(0, per_node - _used_bytes(row, shard)) for shard in staying)
    if moved > free:
        raise AwsError(
            "InvalidReplicationGroupState",
            f"The data of node groups {', '.join(sorted(leaving))} ({_shown(moved)}) do not fit into the {len(staying)} that "
            f"stay: they have {_shown(free)} free, of {_shown(per_node)} for data in each node. Delete data, keep more "
            "shards, or use a larger node type.",
        )


def data_bytes(desired: GroupDesired, own_types: Mapping[str, NodeTypeSetting], values: Mapping[str, str]) -> int:
    """Memory that a node of the group has for data, after what is reserved. values: see require_room. Raises
    InvalidReplicationGroupState when the setting that declared its node type is gone."""
    kind, family = node_type(desired.node_type, own_types), family_of(desired.engine, desired.engine_version)
    if kind is None or family is None:
        raise AwsError(
            "InvalidReplicationGroupState",
            f"The memory of {desired.node_type} is not known (any more); declare it in the settings under node_types.",
        )
    return parameters.usable_memory_bytes(parameters.effective(family, desired.shape is Shape.CLUSTERED, values, kind))


def _used_bytes(row: GroupRow, shard: DesiredShard) -> int:
    """Of its primary; of its fullest node where it is not known who that is."""
    role = row.memory.shards.get(shard.shard_id)
    primary = row.memory.nodes.get(role.primary) if role is not None else None
    if primary is not None:
        return primary.used_bytes
    return max((known.used_bytes for node in shard.nodes if (known := row.memory.nodes.get(node.name))), default=0)


def _shown(size_bytes: int) -> str:
    return f"{-(-size_bytes // _MB)} MB"
