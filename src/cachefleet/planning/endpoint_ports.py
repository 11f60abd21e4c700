"""On which port an endpoint leads somewhere, while nodes of a group listen on different ones. Pure.

Called for what is shown to users, and by whoever spreads an endpoint over nodes.
"""

from __future__ import annotations

from cachefleet.model.group import EndpointRole, GroupDesired, GroupMemory
from cachefleet.planning.draft import Draft


def serving_port(desired: GroupDesired, memory: GroupMemory, node: str) -> int:
    """On which this node listens; the group's before its first launch."""
    known = memory.nodes.get(node)
    return known.form.port if known is not None and known.form is not None else desired.port


def reader_port(desired: GroupDesired, memory: GroupMemory) -> int:
    """The reader endpoint goes with the primary: replicas on another port are not spread to."""
    primaries = [shard.primary for shard in memory.shards.values()]
    return serving_port(desired, memory, primaries[0]) if primaries else desired.port


def endpoint_ports(draft: Draft) -> dict[str, int]:
    """EndpointRole -> port, where that is not the group's."""
    held = {}
    for role, address in draft.memory.endpoints.items():
        for name in draft.memory.nodes:
            view = draft.observed.views.get(name)
            if view is not None and address in view.bound:
                held[role] = serving_port(draft.desired, draft.memory, name)
    if EndpointRole.READER in held and draft.observed.spread:
        held[EndpointRole.READER] = reader_port(draft.desired, draft.memory)
    return {str(role): port for role, port in held.items() if port != draft.desired.port}
