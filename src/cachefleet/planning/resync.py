"""Replicas that receive all data again and again and never catch up, since writes overrun the buffer that the primary keeps for
them meanwhile (operations 8, story 14): the buffer is raised, step by step, and users are told. Pure.

Called by planning.group after the shape has seen who is in sync. Does nothing about replicas that end or do not answer.
"""

from __future__ import annotations

from cachefleet.model.group import NodeMemory
from cachefleet.model.plan import RaiseReplicaBuffers
from cachefleet.planning.draft import Draft

FULL_SYNCS = 3  # of a replica that was never in sync in between: the next one will end no better
# Of the memory for data; engines begin with a tenth (reference 5.2). Buffers are not part of maxmemory.
STEPS_PERCENT = (25, 50)


def relieve(draft: Draft) -> None:
    """Count full syncs that came to nothing, and raise the buffers of a primary that has had to begin too many."""
    for shard in draft.desired.shards:
        primary = draft.memory.shards[shard.shard_id].primary if shard.shard_id in draft.memory.shards else ""
        view = draft.live(primary) if primary in draft.memory.nodes else None
        if view is None or not view.primary or view.full_syncs < 0:
            continue
        waiting = []
        for node in shard.nodes:
            known = draft.remembered(node.name)
            if node.name == primary or not known.lagging_since or not draft.running(node.name):
                known.syncs_from = -1
            elif known.syncs_from < 0 or known.syncs_of != primary or known.syncs_from > view.full_syncs:
                known.syncs_from, known.syncs_of = view.full_syncs, primary
            else:
                waiting.append(known)
        if any(view.full_syncs - known.syncs_from >= FULL_SYNCS * len(waiting) for known in waiting):
            for known in waiting:
                known.syncs_from = view.full_syncs
            _raise_buffers(draft, primary, draft.remembered(primary))


def _raise_buffers(draft: Draft, primary: str, known: NodeMemory) -> None:
    """The most is asked for again and again, in case that it was not carried out; told once."""
    before = known.buffer_percent
    known.buffer_percent = next((step for step in STEPS_PERCENT if step > before), STEPS_PERCENT[-1])
    draft.act(RaiseReplicaBuffers(node=primary, percent=known.buffer_percent))
    if known.buffer_percent > before:
        is_most = known.buffer_percent == STEPS_PERCENT[-1]
        most = ", the most that it gets; if that is not enough, write less or choose a larger node type" if is_most else ""
        draft.tell_node(
            primary,
            f"Replicas of cache node {draft.node_id(primary)} received all data {FULL_SYNCS} times and are not in sync, since "
            f"writes overrun them: the buffer for them is raised to {known.buffer_percent} percent of the node's memory{most}",
        )
