"""Cluster mode enabled: shards that own slots, one primary each, a configuration endpoint.

Every launch has a fresh cluster identity, so a node that comes back owns nothing and decides nothing: it is introduced again
and told whom to replicate. What engines elected among themselves is adopted, not fought. Promotion by order needs proof of
death (the process has ended): by vote while a majority of primaries lives, else by takeover.
"""

from __future__ import annotations

from cachefleet.model.group import DesiredShard, EndpointRole, ShardMemory
from cachefleet.model.observed import ClusterView
from cachefleet.model.plan import Forget, Meet, OwnSlots, Replicate, TakeOver, TakeOverBy
from cachefleet.model.slots import count, without
from cachefleet.planning.draft import Draft
from cachefleet.planning.lifecycle import launch_missing
from cachefleet.planning.listening import bind_when_possible
from cachefleet.planning.succession import candidates, decide, must_wait, tell_failover

VOTE_PATIENCE_S = 0.4  # after that a takeover replaces the vote: the old primary is proven dead anyway


def plan_clustered(draft: Draft) -> None:
    names = [node.name for node in draft.desired.nodes]
    for name in names:
        view = draft.live(name)
        if view is not None and view.cluster is not None:
            draft.remembered(name).engine_id = view.cluster.my_id
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        if memory.primary not in [node.name for node in shard.nodes]:
            decide(draft, memory, shard.nodes[0].name)
        _adopt_election(draft, shard, memory)
        _replace_dead_primary(draft, shard, memory)
    launch_missing(draft, names, lambda node: _follow_on_launch(draft, node))
    views = {name: view.cluster for name in names if (view := draft.live(name)) is not None and view.cluster is not None}
    for shard in draft.desired.shards:
        _own_slots(draft, shard, views)
    _introduce(draft, views)
    for shard in draft.desired.shards:
        _replicate(draft, shard, views)
    _forget(draft, views)
    _lead_configuration(draft, views)
    _judge(draft, views)


# --- who is primary ------------------------------------------------------------------------------------------------


def _cluster(draft: Draft, name: str) -> ClusterView | None:
    view = draft.live(name)
    return view.cluster if view is not None else None


def _adopt_election(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    """The member that says itself that it owns slots is the primary; of several the one with the highest epoch."""
    owners: list[tuple[int, str]] = []
    for node in shard.nodes:
        view = _cluster(draft, node.name)
        if view is not None and view.nodes[view.my_id].primary and view.nodes[view.my_id].slots:
            owners.append((view.nodes[view.my_id].epoch, node.name))
    if not owners:
        return
    owner = max(owners)[1]
    if owner == memory.primary:
        memory.taken = True
        return
    if memory.primary in [name for _, name in owners]:
        return  # two claim the slots; the engines settle that by epoch, then this is looked at again
    old = memory.primary
    decide(draft, memory, owner)
    memory.taken = True
    tell_failover(draft, old, owner)


def _replace_dead_primary(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    old = memory.primary
    if not draft.remembered(old).launches or draft.running(old):
        if not memory.taken and draft.live(old) is not None and _replica_of_dead(draft, shard, old):
            draft.act(TakeOver(node=old, by=_by(draft, shard, memory)))
        return
    heirs = candidates(draft, [node.name for node in shard.nodes if node.name != old])
    if not heirs:
        return
    decide(draft, memory, heirs[0])
    draft.act(TakeOver(node=heirs[0], by=_by(draft, shard, memory)))
    tell_failover(draft, old, heirs[0])


def _replica_of_dead(draft: Draft, shard: DesiredShard, name: str) -> bool:
    """It was told to take over and has not done so yet."""
    view = _cluster(draft, name)
    if view is None or view.nodes[view.my_id].primary or not draft.remembered(name).became_ready:
        return False
    primary_id = view.nodes[view.my_id].primary_id
    return all(draft.remembered(node.name).engine_id != primary_id or not draft.running(node.name) for node in shard.nodes)


def _by(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> TakeOverBy:
    """A vote needs a majority of all slot-owning primaries; the shard in question counts as a dead one."""
    if draft.now - memory.decided_at > VOTE_PATIENCE_S:
        return TakeOverBy.ORDER
    alive = sum(
        1
        for other in draft.desired.shards
        if other.shard_id != shard.shard_id
        and (known := draft.memory.shards.get(other.shard_id)) is not None
        and known.taken
        and draft.live(known.primary) is not None
    )
    return TakeOverBy.VOTE if alive > len(draft.desired.shards) // 2 else TakeOverBy.ORDER


def _shard_of(draft: Draft, name: str) -> DesiredShard:
    return next(shard for shard in draft.desired.shards if any(node.name == name for node in shard.nodes))


def _follow_on_launch(draft: Draft, name: str) -> str | None:
    shard = _shard_of(draft, name)
    memory = draft.shard_memory(shard)
    if name != memory.primary:
        return None if draft.memory.provisioned and not memory.taken and draft.running(memory.primary) else ""
    if must_wait(draft, name, [node.name for node in shard.nodes]):
        return None
    memory.taken = False
    return ""


# --- the mesh ------------------------------------------------------------------------------------------------------


def _own_slots(draft: Draft, shard: DesiredShard, views: dict[str, ClusterView]) -> None:
    """A primary without slots claims those of its shard that nobody alive owns, before it is introduced to anybody: its own
    epoch, above all that were seen, settles what dead nodes' records still say."""
    memory = draft.shard_memory(shard)
    view = views.get(memory.primary)
    if view is None or not view.nodes[view.my_id].primary:
        return
    if view.nodes[view.my_id].slots:
        _reclaim_slots(draft, shard, view, views)
        return
    if any(other in views and views[other].nodes[views[other].my_id].slots for other in (node.name for node in shard.nodes)):
        return
    seen = max([known.current_epoch for known in views.values()] + [draft.memory.epoch])
    if memory.epoch <= max((known.current_epoch for known in views.values()), default=0) and draft.memory.provisioned:
        memory.epoch = draft.memory.epoch = seen + 1
    draft.act(OwnSlots(node=memory.primary, slots=shard.slots, epoch=memory.epoch))


def _reclaim_slots(draft: Draft, shard: DesiredShard, view: ClusterView, views: dict[str, ClusterView]) -> None:
    """What a primary has lost to nobody (a client said CLUSTER DELSLOTS) is claimed again: others would send clients to it
    for ever. What another owns, by its own or by the primary's word, is not."""
    mine = view.nodes[view.my_id].slots
    if count(mine) >= count(shard.slots):
        return  # found first: nearly always so, and cheap
    said = [known.slots for known in view.nodes.values()] + [other.nodes[other.my_id].slots for other in views.values()]
    lost = without(shard.slots, tuple(pair for slots in said for pair in slots))
    if lost:
        memory = draft.shard_memory(shard)
        draft.act(OwnSlots(node=memory.primary, slots=lost, epoch=memory.epoch))


def _introduce(draft: Draft, views: dict[str, ClusterView]) -> None:
    """Whoever is not known to the anchor is introduced by it; a replica also by its own primary, which saves a round of
    gossip. A primary is introduced only after it has its slots."""
    settled = {name: view for name, view in views.items() if not _awaits_slots(draft, name, view)}
    if not settled:
        return
    anchor = max(settled, key=lambda name: (len(settled[name].nodes), [-ord(letter) for letter in name]))
    introductions: dict[str, dict[str, str]] = {}
    for name, view in settled.items():
        viewers = {anchor, draft.shard_memory(_shard_of(draft, name)).primary} & set(settled)
        for viewer in viewers - {name}:
            if view.my_id not in settled[viewer].nodes and not _shaking_hands(settled[viewer], draft.address(name)):
                introductions.setdefault(viewer, {})[draft.address(name)] = view.my_id
    for viewer, others in introductions.items():
        draft.act(Meet(node=viewer, others=others))


def _awaits_slots(draft: Draft, name: str, view: ClusterView) -> bool:
    memory = draft.shard_memory(_shard_of(draft, name))
    mine = view.nodes[view.my_id]
    return name == memory.primary and mine.primary and not mine.slots


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
    """Identities that are no node's current one belong to ended processes. One that still owns slots is kept until its shard
    has a successor, or is known to have lost everything."""
    current = {draft.remembered(node.name).engine_id for node in draft.desired.nodes}
    if any(draft.running(name) and name not in views for name in draft.memory.nodes):
        return  # somebody's identity may not be known yet
    for name, view in views.items():
        mine = view.nodes[view.my_id]
        gone = tuple(
            sorted(
                known.engine_id
                for known in view.nodes.values()
                if known.engine_id not in current
                and not known.handshake
                and known.engine_id != mine.primary_id
                and (not known.slots or _orphaned(draft, known.slots[0][0]))
            )
        )
        if gone:
            draft.act(Forget(node=name, engine_ids=gone))


def _orphaned(draft: Draft, slot: int) -> bool:
    """The shard of this slot has no member left that held its data."""
    for shard in draft.desired.shards:
        if any(first <= slot <= last for first, last in shard.slots):
            return not any(draft.running(node.name) and draft.remembered(node.name).became_ready for node in shard.nodes)
    return False


# --- endpoint and readiness ----------------------------------------------------------------------------------------


def _lead_configuration(draft: Draft, views: dict[str, ClusterView]) -> None:
    """Any member can tell the topology; the endpoint stays where it is while that one lives and belongs to the mesh."""
    endpoint = draft.endpoint(EndpointRole.CONFIGURATION)
    live = {name: view for name in views if (view := draft.live(name)) is not None}
    holders = [name for name, view in live.items() if endpoint in view.bound]
    able = [name for name in views if views[name].ok] or list(views)
    holder = next((name for name in holders if name in able), able[0] if able else "")
    for name, view in live.items():
        bind_when_possible(draft, name, view, (endpoint,) if name == holder and holders in ([], [name]) else ())


def _judge(draft: Draft, views: dict[str, ClusterView]) -> None:
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        primary = views.get(memory.primary)
        for node in shard.nodes:
            why = _why_not_ready(draft, node.name, memory, primary, views)
            if why:
                draft.why.setdefault(node.name, why)
            else:
                draft.mark_ready(node)


def _why_not_ready(
    draft: Draft, name: str, memory: ShardMemory, primary: ClusterView | None, views: dict[str, ClusterView]
) -> str:
    view, cluster = draft.live(name), views.get(name)
    if view is None or cluster is None:
        if not draft.running(name):
            return "has no engine process"
        seen = draft.observed.views.get(name)
        return seen.why if seen is not None and seen.why else "has not answered yet"
    mine = cluster.nodes[cluster.my_id]
    strangers = _strangers(cluster, views, thorough=not draft.remembered(name).became_ready)
    if strangers:
        return f"has not heard of {strangers} of the other nodes yet"
    if name == memory.primary:
        if not mine.slots:
            return "has no slots yet"
        return "" if cluster.ok else "says that the cluster is not ok yet"
    if primary is None or mine.primary or mine.primary_id != primary.my_id:
        return "has no primary to replicate yet"
    primary_view = draft.live(memory.primary)
    streamed = primary_view is not None and draft.address(name) in primary_view.streams_to
    if not view.link_up or view.syncing or not streamed:
        return "is being synchronised with its primary"
    return "" if cluster.ok else "says that the cluster is not ok yet"


def _strangers(cluster: ClusterView, views: dict[str, ClusterView], thorough: bool) -> int:
    """How many of the other nodes this one does not know. thorough: nor their roles and slots, as they themselves say; clients
    ask any node for the topology, so a new node tells only when it has heard all (its own state is ok without all slots)."""
    count = 0
    for other in views.values():
        known, own = cluster.nodes.get(other.my_id), other.nodes[other.my_id]
        met = known is not None and not known.handshake
        agrees = known is not None and (known.primary, known.primary_id, known.slots) == (
            own.primary,
            own.primary_id,
            own.slots,
        )
        count += not met or (thorough and not agrees)
    return count
