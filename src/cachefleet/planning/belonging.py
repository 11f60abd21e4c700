"""Cluster mode enabled: who belongs to the cluster, when clients said otherwise. Pure.

A member that others were told to forget joins anew; nodes of other clusters that were introduced are told of, and not fought.
Called by planning.mesh.
"""

from __future__ import annotations

from cachefleet.model.group import Shape
from cachefleet.model.observed import ClusterNodeView, ClusterView
from cachefleet.model.plan import Forget
from cachefleet.planning.draft import Draft
from cachefleet.planning.lifecycle import begin_reboot
from cachefleet.planning.succession import candidates

MEET_PATIENCE_S = 1.0  # one that was met again and is missing afterwards is banned: what a client said still goes round
BAN_S = 60.0  # for so long engines from 7.2 on delete a forgotten id again and again, and tell each other to
STRANGER_PATIENCE_S = 4.0  # by then a node that was removed counts as failed, and what still lives is a stranger


def note_forgotten(draft: Draft, names: set[str]) -> None:
    """These were missing in the table of another one, though both were whole once. Meeting helps where only the one who was
    told forgets; a ban is evaded by a new launch, which has a new id. One at a time, and only where data survive it."""
    for name in sorted(names):
        known = draft.remembered(name)
        age_s = draft.now - known.met_again_at
        if not known.met_again_at or age_s > BAN_S:
            known.met_again_at = draft.now
        elif age_s >= MEET_PATIENCE_S * _crowd(draft) and _can_be_spared(draft, name):
            node_id = draft.node_id(name)
            draft.tell_node(name, f"Other nodes were told to forget cache node {node_id} (CLUSTER FORGET). It joins them anew")
            begin_reboot(draft, name, known.reboots)


def _can_be_spared(draft: Draft, name: str) -> bool:
    """It ends in good order: a primary first lets its replicas have everything."""
    if any(known.reboot_of == known.launches for known in draft.memory.nodes.values() if known.launches):
        return False
    for shard in draft.desired.shards:
        names = [node.name for node in shard.nodes]
        if name in names:
            memory = draft.shard_memory(shard)
            if name == memory.primary:
                return bool(candidates(draft, memory, [other for other in names if other != name]))
            return draft.live(memory.primary) is not None
    return False


def is_known_to_others(draft: Draft, name: str) -> bool:
    """Others of the cluster tell clients of this node, which is to end. They are made to forget it; by gossip it does not come
    back for a minute. A node never forgets its own primary, so one that has become primary unasked is not waited for."""
    if draft.desired.shape is not Shape.CLUSTERED:
        return False
    engine_id = draft.remembered(name).engine_id
    knowing = []
    for other in draft.desired.nodes:
        view = draft.live(other.name)
        if other.name == name or view is None or view.cluster is None or engine_id not in view.cluster.nodes:
            continue
        if view.cluster.nodes[view.cluster.my_id].primary_id != engine_id:
            knowing.append(other.name)
    for other_name in knowing:
        draft.act(Forget(node=other_name, engine_ids=(engine_id,)))
    return bool(knowing)


def strangers(draft: Draft, view: ClusterView) -> list[ClusterNodeView]:
    """Nodes at addresses that none of ours has. An ended one that left its address counts, too, until it is forgotten."""
    ids = {known.engine_id for known in draft.memory.nodes.values()}
    hosts = {known.address for known in draft.memory.nodes.values()} | {""}
    return [node for node in view.nodes.values() if node.engine_id not in ids and node.host not in hosts and not node.handshake]


def is_living(node: ClusterNodeView) -> bool:
    return not node.failed and not node.suspected


def note_strangers(draft: Draft, views: dict[str, ClusterView]) -> None:
    """Tell of living ones, once. They are not forgotten: engines pass on whom to forget, to strangers as well, so that two
    clusters would make each other forget their own nodes, for as long as that goes on. A member that has become the replica
    of a stranger has nothing of ours any more and starts anew."""
    found = {node.engine_id: node for view in views.values() for node in strangers(draft, view) if is_living(node)}
    memory = draft.memory
    if not found:
        memory.strangers_since, memory.strangers = 0.0, ()
        return
    draft.waiting = True
    memory.strangers_since = memory.strangers_since or draft.now
    if draft.now - memory.strangers_since < STRANGER_PATIENCE_S * _crowd(draft):
        return
    hosts = tuple(sorted({node.host for node in found.values()}))
    if set(hosts) - set(memory.strangers):
        memory.strangers = hosts
        draft.tell_group(
            f"Nodes that do not belong to replication group {draft.name} were introduced to its cluster (CLUSTER MEET): "
            f"{', '.join(hosts)}. Slots and keys may have gone to them. Delete one of the groups, or end those nodes, and the "
            "other becomes whole again"
        )
    for name, view in views.items():
        if view.nodes[view.my_id].primary_id in found and not draft.remembered(name).reboot_of:
            begin_reboot(draft, name, draft.remembered(name).reboots)


def _crowd(draft: Draft) -> float:
    """Many nodes take longer to hear of each other."""
    return max(1.0, len(draft.memory.nodes) / 20)
