"""Tells when a change of the number of nodes is done (reference 8.2). Pure; called by planning.group at the end of a pass."""

from __future__ import annotations

from cachefleet.planning.draft import Draft
from cachefleet.planning.temporaries import lasting_nodes


def note_count(draft: Draft) -> None:
    """A change is done when every node is ready and none is to go. The first count is the creation's, which has events of its
    own. A replication group tells it as its own event, since each of its nodes is a cache cluster."""
    desired, memory = draft.desired, draft.memory
    going = any(not draft.is_desired(name) and known.zone for name, known in memory.nodes.items())
    if not memory.provisioned or going or not all(node.name in draft.ready for node in desired.nodes):
        return
    before, memory.settled_nodes = memory.settled_nodes, len(lasting_nodes(desired.nodes))
    if before in (0, memory.settled_nodes):
        return
    message = f"Finished modifying number of nodes from {before} to {memory.settled_nodes}"
    if draft.replication_group:
        draft.tell_group(message)
    else:
        draft.tell_node(draft.name, message)
