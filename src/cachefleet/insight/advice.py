"""Which groups nobody uses, and which are larger than they need be: from what was measured over days. Pure.

Called by api.insights with values of the metrics, an hour each.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachefleet.reference.node_types import NodeType

DAYS = 14  # that are looked at
LEAST_DAYS = 1.0  # that must have been measured: a day has all hours
IDLE_PER_DAY = 24.0  # commands; so many come from people and probes
ROOM = 0.6  # of maxmemory may be used at the highest: a quarter is reserved, and a fifth of the rest is for growth
MOST_ENGINE_CPU = 50.0  # percent in the busiest hour; one thread does all the work on every node type
MOST_ENGINE_CPU_BURSTABLE = 20.0  # of types that have a processor for a part of the time only (cache.t...)
SHRINKS = 0.5  # a smaller type has at most so much of the memory: less is not worth a change
_FAMILIES = ("t4g", "m7g", "r7g")  # that are proposed, beside the present one


class NodeUse(msgspec.Struct, frozen=True):
    """One node over the time that was measured. engine_cpu: percent of the busiest hour, None not measured."""

    days: float
    commands: float
    evictions: float
    highest_bytes: float
    engine_cpu: float | None


class GroupUse(msgspec.Struct, frozen=True):
    """present: its node type, None when that is not known any more."""

    name: str
    kind: str
    engine: str
    present: NodeType | None
    nodes: Sequence[NodeUse]


class Advice(msgspec.Struct, frozen=True):
    """finding: idle | oversized. node_type: what it could shrink to, "" to nothing smaller."""

    name: str
    kind: str
    finding: str
    node_type: str
    why: str


def advise(group: GroupUse, known_types: Sequence[NodeType]) -> Advice | None:
    """None: it is used, and fits, or too little is known."""
    if not group.nodes or min(one.days for one in group.nodes) < LEAST_DAYS:
        return None
    days = min(one.days for one in group.nodes)
    per_day = sum(one.commands / one.days for one in group.nodes)
    if per_day < IDLE_PER_DAY:
        why = f"{per_day:.1f} commands a day on all its {len(group.nodes)} nodes together, over {days:.0f} days"
        return Advice(group.name, group.kind, "idle", "", why)
    smaller = _smaller(group, known_types)
    if smaller is None or group.present is None:
        return None
    used = max(one.highest_bytes for one in group.nodes)
    cpu = max(one.engine_cpu or 0.0 for one in group.nodes)
    why = (
        f"at most {_mb(used)} of {group.present.name}'s {_mb(group.present.maxmemory_bytes)} were used over {days:.0f} days, "
        f"nothing was evicted, and the engine was busy for at most {cpu:.0f} % of an hour; {smaller.name} has "
        f"{_mb(smaller.maxmemory_bytes)}"
    )
    return Advice(group.name, group.kind, "oversized", smaller.name, why)


def _smaller(group: GroupUse, known_types: Sequence[NodeType]) -> NodeType | None:
    """The one with the fewest processors, and then the least memory, that would do."""
    present = group.present
    if present is None or any(one.evictions or one.engine_cpu is None for one in group.nodes):
        return None
    used = max(one.highest_bytes for one in group.nodes)
    cpu = max(one.engine_cpu or 0.0 for one in group.nodes)
    families = (*_FAMILIES, family(present.name))
    fitting = [
        one
        for one in known_types
        if family(one.name) in families
        and used <= ROOM * one.maxmemory_bytes
        and one.maxmemory_bytes <= SHRINKS * present.maxmemory_bytes
        and cpu <= (MOST_ENGINE_CPU_BURSTABLE if family(one.name).startswith("t") else MOST_ENGINE_CPU)
    ]
    return min(fitting, key=lambda one: (one.vcpu, one.maxmemory_bytes, families.index(family(one.name))), default=None)


def family(node_type: str) -> str:
    """cache.r7g.large -> r7g."""
    parts = node_type.split(".")
    return parts[1] if len(parts) == 3 else ""


def _mb(size: float) -> str:
    return f"{size / 1_048_576:,.0f} MB"
