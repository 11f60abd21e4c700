"""Cluster mode enabled: who knows whom, who replicates whom, who owns which slots, once it is clear who is primary. Pure.

Called by planning.clustered with the views of all nodes that answer.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import DesiredShard, ShardMemory, SlotRanges
from cachefleet.model.observed import ClusterView
from cachefleet.model.plan import Announce, Forget, Meet, OwnSlots, Replicate
from cachefleet.model.slots import common, union, without
from cachefleet.planning.belonging import is_living, note_forgotten, note_strangers, strangers
from cachefleet.planning.draft import Draft
from cachefleet.planning.resharding_progress import owned

FEW_NODES = 32  # of which each primary may introduce a newcomer by itself


def weave(draft: Draft, views: dict[str, ClusterView]) -> None:
    """In the order in which one needs the other: addresses, slots, introductions, replicas, farewells."""
    _announce(draft, views)
    for shard in draft.desired.shards:
        _own_slots(draft, shard, views)
    _introduce(draft, views)
    for shard in draft.desired.shards:
        _replicate(draft, shard, views)
    note_strangers(draft, views)
    _forget(draft, views)


def shard_of(draft: Draft, name: str) -> DesiredShard:
    return next(shard for shard in draft.desired.shards if any(node.name == name for node in shard.nodes))


def _announce(draft: Draft, views: dict[str, ClusterView]) -> None:
    """A node that tells others a wrong address (a client changed it) is told to announce its own again."""
    for name, view in views.items():
        if view.nodes[view.my_id].host not in ("", draft.address(name)):
            draft.act(Announce(node=name))


def _own_slots(draft: Draft, shard: DesiredShard, views: dict[str, ClusterView]) -> None:
    """A primary without slots claims those of its shard, by the books, that nobody alive owns, before it is introduced to
    anybody: an epoch of its own, above all that were ever seen, settles what dead nodes' records still say, also where nobody
    can look now. One whose shard owns none yet takes its role in the same way, with no slots."""
    draft.memory.epoch = max([draft.memory.epoch] + [known.current_epoch for known in views.values()])
    memory = draft.shard_memory(shard)
    view = views.get(memory.primary)
    if view is None or not view.nodes[view.my_id].primary or memory.headless:
        return
    books = owned(draft.memory, shard.shard_id)
    if view.nodes[view.my_id].slots and not _is_newly_filled(draft, memory, view):
        _reclaim_slots(draft, shard, view, views)
        return
    if not books and view.nodes[view.my_id].epoch:
        return
    others = [node.name for node in shard.nodes if node.name != memory.primary]
    if any(other in views and views[other].nodes[views[other].my_id].slots for other in others):
        return
    if memory.claimant != view.my_id:
        # Others believe a claim only when its epoch is higher than that of whom they know to own the slots, dead or not.
        memory.claimant = view.my_id
        draft.memory.epoch += 1
        memory.epoch = draft.memory.epoch
    free = without(books, _said(_without_ended(draft, memory.primary, view), views))
    if free or not books or view.nodes[view.my_id].slots:
        draft.act(OwnSlots(node=memory.primary, slots=free, epoch=memory.epoch))


def _is_newly_filled(draft: Draft, memory: ShardMemory, view: ClusterView) -> bool:
    """It has loaded what the group is restored from, and claimed the slots of these keys by itself: without an epoch."""
    return draft.memory.unfilled and memory.restored and not view.nodes[view.my_id].epoch


def _reclaim_slots(draft: Draft, shard: DesiredShard, view: ClusterView, views: dict[str, ClusterView]) -> None:
    """What a primary has lost to nobody (a client said CLUSTER DELSLOTS) is claimed again: others would send clients to it
    for ever. What another owns, by its own or by the primary's word, is not."""
    lost = without(owned(draft.memory, shard.shard_id), view.nodes[view.my_id].slots)
    lost = lost and without(lost, _said(view, views))  # nearly always none, and then nothing more is looked at
    if lost:
        memory = draft.shard_memory(shard)
        draft.act(OwnSlots(node=memory.primary, slots=lost, epoch=memory.epoch))


def _said(view: ClusterView, views: dict[str, ClusterView]) -> SlotRanges:
    """Slots that some node that answers says it owns; and those of which this one says that somebody else owns them, unless
    that one answers and knows of no living owner either: it has given them to one that is no more."""
    living = {other.my_id: other for other in views.values()}
    said = union(*(other.nodes[other.my_id].slots for other in views.values()))
    for node in view.nodes.values():
        hearsay = node.slots and without(node.slots, said)
        witness = living.get(node.engine_id)
        if hearsay and witness is not None:
            hearsay = common(hearsay, union(*(known.slots for known in witness.nodes.values() if known.engine_id in living)))
        said = union(said, hearsay)
    return said


def _without_ended(draft: Draft, name: str, view: ClusterView) -> ClusterView:
    """Where the primary has the data of its shard, what it says of identities of ours that have ended counts for nothing."""
    if not draft.remembered(name).became_ready:
        return view
    running = {known.engine_id for name, known in draft.memory.nodes.items() if draft.running(name)}
    hosts = {known.address for known in draft.memory.nodes.values()}
    nodes = {node.engine_id: node for node in view.nodes.values() if node.engine_id in running or node.host not in hosts}
    return replace(view, nodes=nodes)


def _introduce(draft: Draft, views: dict[str, ClusterView]) -> None:
    """Whoever is not known to the anchor is introduced by it; a replica also by its own primary, and in a small cluster by all
    primaries, which saves rounds of gossip. A primary is introduced only after it has its slots, if it is to have any. Of those
    that were whole once, each must know each: one that was forgotten (a client said CLUSTER FORGET) is banned from gossip for a
    minute, so everybody meets it again."""
    settled = {name: view for name, view in views.items() if not _awaits_slots(draft, name, view)}
    if not settled:
        return
    anchor = max(settled, key=lambda name: (len(settled[name].nodes), [-ord(letter) for letter in name]))
    # A node that is back answers clients from its start on: the sooner it knows all slots, the less it misleads them.
    hurried = draft.memory.provisioned and len(settled) <= FEW_NODES
    primaries = {shard.primary for shard in draft.memory.shards.values()}
    introductions: dict[str, dict[str, str]] = {}
    forgotten = set()
    for name, view in settled.items():
        viewers = {anchor, draft.shard_memory(shard_of(draft, name)).primary} & set(settled)
        if hurried:
            viewers |= primaries & set(settled)
        if draft.remembered(name).became_ready:
            mates = {other for other in settled if draft.remembered(other).became_ready}
            if any(view.my_id not in settled[mate].nodes for mate in mates):
                forgotten.add(name)
            viewers |= mates
        for viewer in sorted(viewers - {name}):
            if view.my_id not in settled[viewer].nodes and not _shaking_hands(settled[viewer], draft.address(name)):
                introductions.setdefault(viewer, {})[draft.address(name)] = view.my_id
            if hurried and settled[viewer].my_id not in view.nodes and not _shaking_hands(view, draft.address(viewer)):
                introductions.setdefault(name, {})[draft.address(viewer)] = settled[viewer].my_id
    for viewer, others in introductions.items():
        draft.act(Meet(node=viewer, others=others))
    note_forgotten(draft, forgotten)


def _awaits_slots(draft: Draft, name: str, view: ClusterView) -> bool:
    """It is a primary that has not taken its role yet."""
    shard = shard_of(draft, name)
    mine = view.nodes[view.my_id]
    memory = draft.shard_memory(shard)
    if name != memory.primary or not mine.primary or (mine.slots and not _is_newly_filled(draft, memory, view)):
        return False
    return bool(owned(draft.memory, shard.shard_id)) or not mine.epoch


def _shaking_hands(view: ClusterView, host: str) -> bool:
    return any(node.handshake and node.host == host for node in view.nodes.values())


def _replicate(draft: Draft, shard: DesiredShard, views: dict[str, ClusterView]) -> None:
    memory = draft.shard_memory(shard)
    primary = views.get(memory.primary)
    if primary is None or not primary.nodes[primary.my_id].primary:
        return
    for node in shard.nodes:
        view = views.get(node.name)
        if node.name == memory.primary or view is None:
            continue
        mine = view.nodes[view.my_id]
        known = view.nodes.get(primary.my_id)
        if known is None or known.handshake or (not mine.primary and mine.primary_id == primary.my_id):
            continue
        if not mine.slots:
            draft.act(Replicate(node=node.name, primary_id=primary.my_id))


def _forget(draft: Draft, views: dict[str, ClusterView]) -> None:
    """Identities that are no node's current one belong to ended processes, or to strangers, who are forgotten when they have
    failed. One of ours that still owns slots is kept until its shard has a successor, or is known to have lost everything: then
    it is forgotten although its node has not begun anew, which waits for whoever is to own these slots."""
    current = {draft.remembered(node.name).engine_id for node in draft.desired.nodes}
    ended = {draft.remembered(node.name).engine_id for node in draft.desired.nodes if not draft.running(node.name)}
    if any(draft.running(name) and name not in views for name in draft.memory.nodes):
        return  # somebody's identity may not be known yet
    for name, view in views.items():
        mine = view.nodes[view.my_id]
        strange = {node.engine_id: is_living(node) for node in strangers(draft, view)}
        gone = tuple(
            sorted(
                known.engine_id
                for known in view.nodes.values()
                if (known.engine_id not in current or (known.engine_id in ended and known.slots))
                and not known.handshake
                and known.engine_id != mine.primary_id
                and not strange.get(known.engine_id)
                and (known.engine_id in strange or all(_orphaned(draft, first) for first, _ in known.slots))
            )
        )
        if gone:
            draft.act(Forget(node=name, engine_ids=gone))


def _orphaned(draft: Draft, slot: int) -> bool:
    """The shard of this slot has no member left that held its data."""
    for shard in draft.desired.shards:
        if any(first <= slot <= last for first, last in owned(draft.memory, shard.shard_id)):
            return not any(draft.running(node.name) and draft.remembered(node.name).became_ready for node in shard.nodes)
    return False
