"""Cluster mode enabled: shards that own slots, one primary each, a configuration endpoint.

Every launch has a fresh cluster identity, so a node that comes back owns nothing and decides nothing: it is introduced again
and told whom to replicate. What engines elected among themselves is adopted, not fought. Promotion by order needs proof of
death (the process has ended): by vote while a majority of primaries lives, else by takeover.
"""

from __future__ import annotations

from cachefleet.model.group import DesiredShard, EndpointRole, ShardMemory
from cachefleet.model.observed import ClusterView
from cachefleet.model.plan import TakeOver, TakeOverBy
from cachefleet.model.slots import common, contains, union, without
from cachefleet.planning.agreement import agree, is_linked
from cachefleet.planning.balance import balance
from cachefleet.planning.books import in_motion, keep_books, take_emptied_away
from cachefleet.planning.departure import is_held_by_leaver
from cachefleet.planning.draft import Draft
from cachefleet.planning.endpoints import in_sync_with
from cachefleet.planning.handover import asked_for, begin, note_done
from cachefleet.planning.lifecycle import launch_missing
from cachefleet.planning.listening import bind_when_possible, hand_when_possible, is_held_in_silence, note_endpoint_holder
from cachefleet.planning.mesh import shard_of, weave
from cachefleet.planning.mode_change import (
    client_addresses,
    is_cluster_node,
    launch_beside_cluster,
    lead_plain,
    settle,
)
from cachefleet.planning.resharding import reshard
from cachefleet.planning.resharding_progress import owned
from cachefleet.planning.rolling import roll
from cachefleet.planning.succession import (
    able_to_begin,
    candidates,
    decide,
    holders,
    is_blank,
    is_holder_hidden,
    is_in_touch,
    last_resorts,
    must_wait,
    note_headless,
    note_sync,
    note_taken,
)

VOTE_PATIENCE_S = 0.15  # a vote takes some 10 ms; then a takeover replaces it: the old primary is proven dead anyway
AGREEMENT_PATIENCE_S = 6.0  # engines before Valkey 8.1 give a manual failover up after 5 s
HEARSAY_S = 5.0  # within that a replica hears who took slots from its primary, unless the network is in parts


def plan_clustered(draft: Draft) -> None:
    names = [node.name for node in draft.desired.nodes]
    for name in names:
        view = draft.live(name)
        if view is not None and view.cluster is not None:
            _note_identity(draft, name, view.cluster.my_id)
    keep_books(draft, _views(draft, names))
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        if memory.primary not in [node.name for node in shard.nodes]:
            decide(draft, memory, shard.nodes[0].name)
        _adopt_election(draft, shard, memory)
        _replace_dead_primary(draft, shard, memory)
    launch_missing(draft, names, lambda node: _follow_on_launch(draft, node))
    views = _views(draft, names)
    staying = {name: view for name, view in views.items() if not draft.retires(name)}
    weave(draft, staying)
    settle(draft)
    lead_plain(draft)
    _lead_configuration(draft, views)
    _judge(draft, staying)
    for shard in draft.desired.shards:
        _note_roles(draft, shard, views)
    reshard(draft, views)
    roll(draft, lambda shard, memory, to: agree(draft, memory, to, views))
    balance(draft, views)
    take_emptied_away(draft, views)


def _views(draft: Draft, names: list[str]) -> dict[str, ClusterView]:
    return {name: view.cluster for name in names if (view := draft.live(name)) is not None and view.cluster is not None}


def _note_identity(draft: Draft, name: str, engine_id: str) -> None:
    """One that changed it in its lifetime was reset (a client said CLUSTER RESET HARD): it has nothing left of what it had."""
    known = draft.remembered(name)
    if known.engine_id not in ("", engine_id):
        known.became_ready = known.held_data = False
        known.lagging_since = known.launched_at  # whatever offset it still tells: it is no heir before it is in sync again
        draft.tell_recovering(name)
    known.engine_id = engine_id


# --- who is primary ------------------------------------------------------------------------------------------------


def _cluster(draft: Draft, name: str) -> ClusterView | None:
    view = draft.live(name)
    return view.cluster if view is not None else None


def _adopt_election(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    """The member that says itself that it owns slots is the primary; of several the one with the highest epoch. In a shard that
    owns none it is one with an epoch, which a node without a role mostly has none of, and never beside the one that is chosen:
    of newcomers with equal epochs the engines raise one."""
    owners: list[tuple[int, str]] = []
    empty = not owned(draft.memory, shard.shard_id)
    chosen = _cluster(draft, memory.primary)
    sole = empty and chosen is not None and chosen.nodes[chosen.my_id].primary
    for node in shard.nodes:
        view = _cluster(draft, node.name)
        mine = view.nodes[view.my_id] if view is not None else None
        if mine is None or not mine.primary or (sole and node.name != memory.primary):
            continue
        if mine.slots or (empty and mine.epoch):
            owners.append((mine.epoch, node.name))
    if not owners:
        return
    owner = max(owners)[1]
    if owner == memory.primary:
        note_taken(draft, memory)
        return
    if memory.primary in [name for _, name in owners]:
        return  # two claim the slots; the engines settle that by epoch, then this is looked at again
    if _is_handing_over(draft, memory, owner):
        draft.waiting = True
        return
    decide(draft, memory, owner)
    note_taken(draft, memory)


def _is_handing_over(draft: Draft, memory: ShardMemory, owner: str) -> bool:
    """The role is about to pass to a living heir."""
    begun = not memory.taken and memory.handing_from == owner and draft.now - memory.decided_at < AGREEMENT_PATIENCE_S
    return begun and draft.live(memory.primary) is not None


def _replace_dead_primary(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    if memory.taken and (heir := _heir_of_unseen(draft, shard, memory)):
        decide(draft, memory, heir)
    old = memory.primary
    others = [node.name for node in shard.nodes if node.name != old and is_cluster_node(draft, node.name)]
    if not draft.remembered(old).launches or (draft.running(old) and not is_blank(draft, old, others)):
        if not memory.taken and draft.live(old) is not None and _replica_of_dead(draft, shard, old):
            draft.act(_take_over(draft, shard, memory))
        return
    if is_holder_hidden(draft, memory):
        draft.waiting = True
        return
    heirs = candidates(draft, memory, others)
    if not heirs:
        heirs = last_resorts(draft, memory, others, asked=asked_for(shard, memory))
    if not heirs and (risen := _risen(draft, others)):
        decide(draft, memory, risen)
        return
    if not heirs:
        note_headless(draft, shard, memory)
        for name in able_to_begin(draft, memory, others)[:1]:
            decide(draft, memory, name)
        return
    if _is_behind(draft, shard, heirs[0], old):
        draft.waiting = True
        return
    memory.handing_from = old if asked_for(shard, memory) else ""
    decide(draft, memory, heirs[0])
    draft.act(_take_over(draft, shard, memory))


def _heir_of_unseen(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> str:
    """The engines elected another primary while nobody watched, and it ended before anybody saw it in its role: of those that
    follow it the one that has most. "" otherwise."""
    view = _cluster(draft, memory.primary)
    elected = view.nodes.get(view.nodes[view.my_id].primary_id) if view is not None else None
    if elected is None or not common(elected.slots, owned(draft.memory, shard.shard_id)):
        return ""
    if any(
        draft.remembered(node.name).engine_id == elected.engine_id and draft.running(node.name) for node in draft.desired.nodes
    ):
        return ""
    names = [node.name for node in shard.nodes]
    views = {name: known.nodes[known.my_id] for name in names if (known := _cluster(draft, name)) is not None}
    followers = [name for name, mine in views.items() if not mine.primary and mine.primary_id == elected.engine_id]
    best = last_resorts(draft, memory, followers, asked=True)
    return best[0] if best else ""


def _risen(draft: Draft, names: list[str]) -> str:
    """One that was a replica with all data and has become primary by the engines' own election, of a shard that owned no slots
    at that time. Its primary got some just before it ended."""
    found = [
        (view.nodes[view.my_id].epoch, name)
        for name in names
        if (view := _cluster(draft, name)) is not None
        and view.nodes[view.my_id].primary
        and view.nodes[view.my_id].epoch
        and draft.remembered(name).became_ready
    ]
    return max(found)[1] if found else ""


def _take_over(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> TakeOver:
    """By order where slots of the shard are half moved: then the new primary has their marks from its first instant."""
    migrating = {
        mark.slot: view.my_id
        for other in draft.desired.shards
        if other.shard_id != shard.shard_id and (view := _cluster(draft, draft.shard_memory(other).primary)) is not None
        for mark in view.open_slots
        if mark.importing and contains(owned(draft.memory, shard.shard_id), mark.slot)
    }
    by = TakeOverBy.ORDER if migrating else _by(draft, shard, memory)
    return TakeOver(node=memory.primary, by=by, migrating=migrating)


def _is_behind(draft: Draft, shard: DesiredShard, heir: str, old: str) -> bool:
    """It has not heard yet that others took slots from its primary just before that one ended: with a higher epoch it would
    take them back, and their new owner would delete the keys. Gossip tells within milliseconds."""
    view = _cluster(draft, heir)
    if view is None or draft.now - draft.remembered(old).ended_at > HEARSAY_S:
        return False
    would_claim = view.nodes.get(view.nodes[view.my_id].primary_id)
    if would_claim is None or not would_claim.slots:
        return False
    others = [other for other in draft.desired.shards if other.shard_id != shard.shard_id]
    names = [node.name for other in others for node in other.nodes]
    claims = [known.nodes[known.my_id] for known in _views(draft, names).values()]
    return bool(common(would_claim.slots, union(*(mine.slots for mine in claims if mine.primary))))


def _replica_of_dead(draft: Draft, shard: DesiredShard, name: str) -> bool:
    """It was told to take over and has not done so yet. Without data it only does so when nobody else has any: it is to begin
    empty, and lost the node that it was to copy."""
    view = _cluster(draft, name)
    if view is None or view.nodes[view.my_id].primary:
        return False
    others = [node.name for node in shard.nodes if node.name != name and draft.running(node.name)]
    if not holders(draft, [name]) and (holders(draft, others) or any(draft.live(other) is None for other in others)):
        return False
    primary_id = view.nodes[view.my_id].primary_id
    return all(draft.remembered(node.name).engine_id != primary_id or not draft.running(node.name) for node in shard.nodes)


def _by(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> TakeOverBy:
    """A vote needs a majority of all slot-owning primaries, and is held for such only; the shard in question counts as a dead
    one."""
    owners = [other for other in draft.desired.shards if owned(draft.memory, other.shard_id)]
    if draft.now - memory.decided_at > VOTE_PATIENCE_S or shard not in owners:
        return TakeOverBy.ORDER
    alive = sum(
        1
        for other in owners
        if other.shard_id != shard.shard_id
        and (known := draft.memory.shards.get(other.shard_id)) is not None
        and known.taken
        and draft.live(known.primary) is not None
    )
    return TakeOverBy.VOTE if alive > len(owners) // 2 else TakeOverBy.ORDER


def _follow_on_launch(draft: Draft, name: str) -> str | None:
    shard = shard_of(draft, name)
    memory = draft.shard_memory(shard)
    if not draft.form.clustered:
        return launch_beside_cluster(draft, memory, name)
    if name != memory.primary:
        return None if draft.memory.provisioned and not memory.taken and draft.running(memory.primary) else ""
    if must_wait(draft, name, [node.name for node in shard.nodes]):
        return None
    memory.taken = False
    return ""


def _note_roles(draft: Draft, shard: DesiredShard, views: dict[str, ClusterView]) -> None:
    """Who is in sync with a primary that is seen in its role; then hand it over when that was asked for."""
    memory = draft.shard_memory(shard)
    primary = views.get(memory.primary)
    if primary is None or not primary.nodes[primary.my_id].primary:
        return
    names = [node.name for node in shard.nodes]
    note_sync(draft, names, memory.primary, [name for name in names if _is_fed(draft, name, memory.primary, primary, views)])
    note_done(shard, memory)
    heirs = [name for name in names if name in draft.ready and is_linked(views, name, memory.primary)]
    to = begin(draft, shard, memory, heirs)
    if to:
        agree(draft, memory, to, views)


def _is_fed(draft: Draft, name: str, primary_name: str, primary: ClusterView, views: dict[str, ClusterView]) -> bool:
    """It replicates this primary, has its data and gets every write at once."""
    if not is_cluster_node(draft, name):
        return in_sync_with(draft, name, primary_name)
    view, primary_view, cluster = draft.live(name), draft.live(primary_name), views.get(name)
    if view is None or primary_view is None or cluster is None or name == primary_name:
        return False
    mine = cluster.nodes[cluster.my_id]
    follows = not mine.primary and mine.primary_id == primary.my_id
    return follows and is_in_touch(view, primary_view) and draft.address(name) in primary_view.streams_to


# --- endpoint and readiness ----------------------------------------------------------------------------------------


def _lead_configuration(draft: Draft, views: dict[str, ClusterView]) -> None:
    """Any member can tell the topology; the endpoint stays where it is while that one lives, belongs to the mesh and stays."""
    endpoint = draft.endpoint(EndpointRole.CONFIGURATION)
    live = {name: view for name in views if (view := draft.live(name)) is not None}
    bound = [name for name, view in live.items() if endpoint in view.bound]
    staying = [name for name in views if not draft.retires(name)]
    able = [name for name in staying if views[name].ok] or staying
    note_endpoint_holder(draft, live, endpoint)
    holder = next((name for name in bound if name in able), able[0] if able else "")
    if is_held_in_silence(draft) or is_held_by_leaver(draft, endpoint):
        holder = ""
    if holder and len(bound) == 1 and draft.retires(bound[0]):
        hand_when_possible(draft, endpoint, bound[0], holder, [])
        return
    for name, view in live.items():
        held = (endpoint,) if endpoint and name == holder and bound in ([], [name]) else ()
        bind_when_possible(draft, name, view, (*held, *client_addresses(draft, name, view)))


def _judge(draft: Draft, views: dict[str, ClusterView]) -> None:
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        primary = views.get(memory.primary)
        for node in shard.nodes:
            why = _why_not_ready(draft, shard, node.name, primary, views)
            if why:
                draft.why.setdefault(node.name, why)
            else:
                draft.mark_ready(node)


def _why_not_ready(
    draft: Draft, shard: DesiredShard, name: str, primary: ClusterView | None, views: dict[str, ClusterView]
) -> str:
    memory = draft.shard_memory(shard)
    view, cluster = draft.live(name), views.get(name)
    if view is not None and not is_cluster_node(draft, name):
        return "" if in_sync_with(draft, name, memory.primary) else "is being synchronised with its primary"
    if view is None or cluster is None:
        return draft.why_not_live(name)
    mine = cluster.nodes[cluster.my_id]
    strangers = _strangers(draft, cluster, views, thorough=not draft.remembered(name).became_ready)
    if strangers:
        return f"has not heard of {strangers} of the other nodes yet"
    if name == memory.primary:
        if not mine.slots and (owned(draft.memory, shard.shard_id) or not mine.epoch):
            return "has no slots yet"
        return "" if cluster.ok else "says that the cluster is not ok yet"
    if primary is None or mine.primary or mine.primary_id != primary.my_id:
        return "has no primary to replicate yet"
    if not _is_fed(draft, name, memory.primary, primary, views):
        return "is being synchronised with its primary"
    return "" if cluster.ok else "says that the cluster is not ok yet"


def _strangers(draft: Draft, cluster: ClusterView, views: dict[str, ClusterView], thorough: bool) -> int:
    """How many of the other nodes this one does not know. thorough: nor their roles and slots, as they themselves say; clients
    ask any node for the topology, so a new node tells only when it has heard all (its own state is ok without all slots).
    Slots that are on their way change hands all the time."""
    moving = in_motion(draft)
    count = 0
    for other in views.values():
        known, own = cluster.nodes.get(other.my_id), other.nodes[other.my_id]
        met = known is not None and not known.handshake
        agrees = known is not None and (
            (known.primary, known.primary_id) == (own.primary, own.primary_id)
            and (known.slots == own.slots or without(known.slots, moving) == without(own.slots, moving))
        )
        count += not met or (thorough and not agrees)
    return count
