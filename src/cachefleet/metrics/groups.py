"""What follows for a replication group from its nodes' values (reference 7.1), and how far replicas are behind. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cachefleet.metrics.formulas import PERCENT, Values
from cachefleet.metrics.values import merged
from cachefleet.model.group import DesiredShard
from cachefleet.model.metric import MetricName

_CPU = MetricName("EngineCPUUtilization", PERCENT)
_MEMORY = tuple(MetricName(f"Database{kind}UsageCountedForEvictPercentage", PERCENT) for kind in ("Memory", "Capacity"))
_GROUP = "ReplicationGroupId"

Told = Mapping[str, float]


class Member(msgspec.Struct, frozen=True):
    shard_id: str
    primary: bool
    values: Values


def group_values(group: str, members: Sequence[Member]) -> Iterator[tuple[dict[str, str], Values]]:
    """(dimensions, values): of all nodes, of those of a role and of a shard."""
    yield {_GROUP: group}, _of(members, (_CPU, *_MEMORY))
    for role in ("Primary", "Replica"):
        of_role = [member for member in members if member.primary == (role == "Primary")]
        yield {_GROUP: group, "Role": role}, _of(of_role, (_CPU,))
    for shard_id in sorted({member.shard_id for member in members}):
        of_shard = [member for member in members if member.shard_id == shard_id]
        yield {_GROUP: group, "NodeGroupId": shard_id}, _of(of_shard, (_CPU, *_MEMORY))


def _of(members: Sequence[Member], names: Sequence[MetricName]) -> Values:
    found = {name: [member.values[name] for member in members if name in member.values] for name in names}
    return {name: merged(values) for name, values in found.items() if values}


def lag_s(node: str, told: Mapping[str, Told], shard: DesiredShard) -> float | None:
    """By the numbers that all nodes told at about the same time. A replica that has all of its primary's stream is not behind;
    else it has what it heard last, or had when the link broke. None for a primary, and when the node does not tell."""
    own = told[node]
    if own.get("primary") != 0.0:
        return None
    if not own.get("master_link_status"):
        return _known(own.get("master_link_down_since_seconds"))
    primary = next((told[other.name] for other in shard.nodes if told.get(other.name, {}).get("primary")), None)
    if primary is not None and own.get("slave_repl_offset", -1.0) >= primary.get("master_repl_offset", 0.0):
        return 0.0
    return _known(own.get("master_last_io_seconds_ago"))


def _known(seconds: float | None) -> float | None:
    """Engines say -1 where nothing was heard yet."""
    return None if seconds is None or seconds < 0 else seconds
