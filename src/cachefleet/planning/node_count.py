"""Tells when a change of the number of nodes is done, or lacks addresses (reference 8.2). Pure; called by planning.group."""

from __future__ import annotations

from cachefleet.model.event import NoticeName
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
    shards, memory.settled_shards = memory.settled_shards, len(desired.shards)
    if before in (0, memory.settled_nodes):
        return
    message = f"Finished modifying number of nodes from {before} to {memory.settled_nodes}"
    more = memory.settled_nodes > before
    if draft.replication_group:
        more_replicas = more and shards == memory.settled_shards
        draft.tell_group(message, NoticeName.INCREASE_REPLICA_COUNT_FINISHED if more_replicas else None)
    else:
        draft.tell_node(draft.name, message, NoticeName.ADD_CACHE_NODE_COMPLETE if more else None)


def note_lack(draft: Draft, complete: bool) -> None:
    """Tell once that new nodes of a group that exists find no addresses. They are not given up: they come when there are some.
    complete: every node and endpoint has its address."""
    memory, count = draft.memory, len(lasting_nodes(draft.desired.nodes))
    why = draft.observed.no_addresses
    if complete:
        memory.lacks_addresses = False
    elif why and not memory.lacks_addresses and 0 < memory.settled_nodes < count:
        memory.lacks_addresses = True
        message = (
            f"Failed to modify number of nodes from {memory.settled_nodes} to {count} due to insufficient free IP addresses: "
            f"{why}. They are added as soon as there are free ones"
        )
        if draft.replication_group:
            draft.tell_group(message, NoticeName.ADD_CACHE_NODE_FAILED)
        else:
            draft.tell_node(draft.name, message, NoticeName.ADD_CACHE_NODE_FAILED)
