"""A group's row with other nodes than before: what every operation that adds or takes away nodes has in common.

Pure: a row in, a row out. Which nodes come and go is decided by the callers (replicas, Memcached nodes).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.api.groups.group_state import MODIFYING
from cachefleet.model.errors import invalid_value
from cachefleet.model.event import NoticeName
from cachefleet.model.group import DesiredNode
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow
from cachefleet.planning.pending import INCREASING


def with_nodes(row: GroupRow, nodes: Mapping[str, tuple[DesiredNode, ...]]) -> GroupRow:
    """The row, being modified, in which these shards (by id) have these nodes. Of nodes that leave only the status is
    forgotten: the planner needs its memory of them to stop them."""
    shards = tuple(replace(shard, nodes=nodes.get(shard.shard_id, shard.nodes)) for shard in row.desired.shards)
    desired = replace(row.desired, shards=shards)
    names = {node.name for node in desired.nodes}
    known = {name: status for name, status in row.status.nodes.items() if name in names}
    return replace(row, desired=desired, status=replace(row.status, state=MODIFYING, nodes=known))


def names_in_use(row: GroupRow) -> set[str]:
    """Of nodes that are desired, and of those that are still being taken away: their names are not free yet."""
    return {node.name for node in row.desired.nodes} | set(row.memory.nodes)


def increasing(row: GroupRow) -> EventDraft:
    """A replication group gets more replicas; the planner tells when they are there."""
    return EventDraft("replication-group", row.key.name, INCREASING, NoticeName.INCREASE_REPLICA_COUNT_STARTED)


def require_immediate(apply_immediately: bool | None, what: str) -> None:
    """Raises InvalidParameterValue. what: the change, for the message."""
    if not apply_immediately:
        raise invalid_value(f"ApplyImmediately: must be true to change {what}; such a change does not wait for a window.")
