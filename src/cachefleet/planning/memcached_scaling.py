"""The node type of a Memcached cluster changes in portions, so many percent of the nodes at a time, where somebody asked for
that (ScaleConfig): which nodes have to wait. Pure.

How a node gets its new size is decided elsewhere: memory in planning.sizes, threads in planning.memcached_roll. Called by
planning.memcached before both.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.pending import ScaleConfig
from cachefleet.planning.draft import Draft
from cachefleet.planning.memcached_roll import has_other_threads
from cachefleet.planning.sizes import has_other_size

MINUTE_S = 60.0


def hold_back(draft: Draft) -> None:
    """Fill draft.later. A portion is done when all its nodes are ready in their new size; the interval begins then."""
    memory, config = draft.memory, draft.desired.scale
    if config is None:
        memory.scaling, memory.scaled_at = (), 0.0
        return
    names = [node.name for node in draft.desired.nodes if node.name in memory.nodes]
    old = [name for name in names if has_other_size(draft, name) or has_other_threads(draft, name)]
    busy = any(name in old or name not in draft.ready for name in names if name in memory.scaling)
    if not busy and memory.scaling:
        memory.scaling, memory.scaled_at = (), draft.now
    if not old and all(name in draft.ready for name in names):
        draft.changed = replace(draft.changed or draft.desired, scale=None)
        return
    draft.modifying = True
    if not memory.scaling and (not memory.scaled_at or draft.now - memory.scaled_at >= config.interval_minutes * MINUTE_S):
        memory.scaling = tuple(old[: _portion(config, len(names))])
    draft.later = set(old) - set(memory.scaling)


def _portion(config: ScaleConfig, nodes: int) -> int:
    return max(1, nodes * config.percentage // 100)
