"""Who may succeed a primary, and the decision for one: what cluster mode disabled and enabled have in common. Pure.

Decides by what replicas hold; how a role is given to an engine is the shape's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cachefleet.model.event import NoticeName
from cachefleet.model.group import DesiredShard, ShardMemory
from cachefleet.model.observed import NodeView
from cachefleet.model.temporary import is_temporary
from cachefleet.planning.draft import Draft

# A link that broke longer than this before its primary ended is no sign of that end: the replica had been cut off before.
STALE_S = 1.0
HEARD_LATELY_S = 3  # primaries speak to their replicas once a second at least


def decide(draft: Draft, memory: ShardMemory, primary: str) -> None:
    """Write the decision down; it is saved with the plan, before any effect. Who had the role last is remembered until
    somebody has taken it."""
    if memory.taken:
        memory.previous = memory.primary
    draft.memory.epoch += 1
    memory.primary = primary
    memory.epoch = draft.memory.epoch
    memory.decided_at = draft.now
    memory.taken = False
    memory.headless = False


def note_taken(draft: Draft, memory: ShardMemory) -> None:
    """The primary was seen in its role. What came before is told now that it is true (reference 8.2)."""
    old, memory.previous = memory.previous, ""
    memory.taken = True
    memory.headless = False
    if old in ("", memory.primary) or old not in draft.memory.nodes or is_temporary(old) or is_temporary(memory.primary):
        return
    told = len(draft.events)
    message = f"Failover from primary node {old} to replica node {memory.primary} completed"
    draft.tell_node(old, message, NoticeName.FAILOVER_COMPLETE)
    draft.tell_group(message)
    draft.events[:] = draft.events[told:] + draft.events[:told]  # before what follows from it (reference 4.3)
    if draft.running(old) and not draft.is_outdated(old):
        draft.tell_recovering(old)


def role_holder(memory: ShardMemory) -> str:
    """Who has the role, or had it last while its heir has not taken it yet."""
    return memory.primary if memory.taken else memory.previous or memory.primary


def is_holder_hidden(draft: Draft, memory: ShardMemory) -> bool:
    """Who had the role last runs and does not say whether it still has it: nobody is promoted beside it."""
    holder = role_holder(memory)
    if holder == memory.primary or holder not in draft.memory.nodes or not draft.running(holder):
        return False
    return draft.live(holder) is None


def is_in_touch(view: NodeView, primary: NodeView) -> bool:
    """A replica's link is up, and it hears from its primary, unless that one runs a script, which says nothing to anybody. Of
    packets that just do not arrive, the engine takes notice only after a minute."""
    return view.link_up and not view.syncing and (primary.busy_reply or view.heard_s <= HEARD_LATELY_S)


def note_sync(draft: Draft, names: Iterable[str], primary: str, in_sync: Iterable[str]) -> None:
    """Carry into memory which replicas get every write at once; called only while the primary is seen in its role, so that
    after its end the last word stands."""
    for name in names:
        known = draft.remembered(name)
        if name == primary or name in in_sync:
            known.lagging_since = 0.0
        elif not known.lagging_since and not _is_only_unseen(draft, name, primary):
            view = draft.live(name)  # it may have been so for a while before we looked
            told_s = max(view.heard_s, view.link_down_s) if view is not None else 0
            known.lagging_since = draft.now - max(0, told_s - 1)  # seconds are whole: 1 may be a moment ago


def _is_only_unseen(draft: Draft, name: str, primary: str) -> bool:
    """The primary says that it gets every write, and it is only we who do not see it."""
    view = draft.live(primary)
    return draft.live(name) is None and view is not None and draft.address(name) in view.streams_to


def candidates(draft: Draft, memory: ShardMemory, names: Sequence[str]) -> list[str]:
    """Replicas that may be promoted, best first: they answer, hold a whole data set (not loading, not in a full sync, in sync
    once) and still got every write when the primary was last seen; then highest offset, then the zone, then smallest name.
    Of a primary whose end nobody saw, it is not known when the links to it broke: then only replicas that no other one is
    ahead of may be promoted, and none before all that may be ahead have answered.
    One that lost touch, but has all that a qualified one has and more (it was stopped, and woke up) qualifies through that."""
    held = holders(draft, names)
    if _is_end_unseen(draft, memory):
        if unheard(draft, memory.primary, names):
            return []
        furthest = max((_offset(draft, name) for name in held), default=0)
        held = [name for name in held if _offset(draft, name) == furthest]
    fit = [name for name in held if not _is_stale(draft, memory, name)]
    return _ranked(draft, memory, [name for name in held if name in fit or any(_is_ahead(draft, name, of) for of in fit)])


def _is_ahead(draft: Draft, name: str, of: str) -> bool:
    """Offsets tell that in one history of writes only."""
    view, other = draft.live(name), draft.live(of)
    same = view is not None and other is not None and view.history == other.history != ""
    return same and _offset(draft, name) > _offset(draft, of)


def last_resorts(draft: Draft, memory: ShardMemory, names: Sequence[str], *, asked: bool) -> list[str]:
    """Replicas that hold data, though not all: only for somebody who asks for it. Best first. Nobody can ask for the second
    node of one that is alone, which is not shown, and alone that would have come back with nothing."""
    alone = memory.temporary and not unheard(draft, memory.primary, names)
    return _ranked(draft, memory, holders(draft, names)) if asked or alone else []


def holders(draft: Draft, names: Iterable[str]) -> list[str]:
    """Replicas that answer and have a whole data set, of whatever age. Before a group was available once, and while it is
    refilled, it has no data but what it was restored from."""
    if draft.memory.unfilled:
        names = _restored(draft, names)
    return [name for name in names if (view := draft.live(name)) is not None and not view.primary and _has_data(draft, name)]


def _restored(draft: Draft, names: Iterable[str]) -> list[str]:
    """Those in shards that have been restored."""
    shards = [shard for shard in draft.desired.shards if draft.shard_memory(shard).restored]
    filled = {node.name for shard in shards for node in shard.nodes}
    return [name for name in names if name in filled]


def _has_data(draft: Draft, name: str) -> bool:
    """By the engine's own word too: it may have been synchronised while nobody looked."""
    view = draft.live(name)
    known = draft.remembered(name)
    return view is not None and not view.syncing and (known.became_ready or known.held_data or view.offset > 0)


def note_data(draft: Draft, names: Iterable[str]) -> None:
    """Which replicas have data by their own word. One that begins a full synchronisation says that it has none, and still has
    what it had when that is broken off."""
    for name in names:
        view = draft.live(name)
        if view is not None and not view.primary and view.offset > 0:
            draft.remembered(name).held_data = True


def _ranked(draft: Draft, memory: ShardMemory, names: list[str]) -> list[str]:
    crowd = Counter(draft.zone(shard.primary) for shard in draft.memory.shards.values() if _holds_role(draft, shard, memory))
    home = draft.zone(memory.primary) if memory.primary in draft.memory.nodes else ""

    def rank(name: str) -> tuple[int, int, bool, str]:
        zone = draft.zone(name)
        return -_offset(draft, name), crowd[zone], zone != home, name

    return sorted(names, key=rank)


def _offset(draft: Draft, name: str) -> int:
    view = draft.live(name)
    return view.offset if view is not None else 0


def _holds_role(draft: Draft, shard: ShardMemory, but: ShardMemory) -> bool:
    return shard is not but and shard.primary in draft.memory.nodes


def _is_stale(draft: Draft, memory: ShardMemory, name: str) -> bool:
    """Whether it was cut off before its primary ended. While nobody watched, it may have been in touch again; else its own word
    that it was counts for nothing: one that was frozen or busy learns that its link broke when it wakes."""
    known, view = draft.remembered(name), draft.live(name)
    old = draft.memory.nodes.get(memory.primary)
    ended_at = (old.ended_at if old is not None else 0.0) or draft.now
    lagged = bool(known.lagging_since) and ended_at - known.lagging_since > STALE_S
    if _is_end_unseen(draft, memory):
        in_touch = view is not None and 0 <= view.link_down_s < draft.now - known.lagging_since - 1.0  # told in whole seconds
        return lagged and not in_touch
    if lagged:
        return known.became_ready or not _broke_with_end(draft, view, ended_at)
    broke_before_s = view.link_down_s - (draft.now - ended_at) if view is not None else 0.0
    return broke_before_s > STALE_S + 1.0  # told in whole seconds


def _broke_with_end(draft: Draft, view: NodeView | None, ended_at: float) -> bool:
    """Of a new launch: it got its data and stayed in touch until the primary ended, though nobody saw it so."""
    if view is None or view.link_down_s < 0:
        return False
    return -0.5 <= draft.now - ended_at - view.link_down_s <= 1.5  # told in whole seconds


def _is_end_unseen(draft: Draft, memory: ShardMemory) -> bool:
    """Nor is it known any more once it was started anew."""
    old = draft.memory.nodes.get(memory.primary)
    return old is not None and (old.end_unseen if old.ended_at else bool(old.launches) and not old.became_ready)


def note_headless(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    """The primary has ended and the replicas that are left lack some of its writes: none is promoted unasked."""
    names = [node.name for node in shard.nodes if node.name != memory.primary]
    left = holders(draft, names)
    if _is_end_unseen(draft, memory) and unheard(draft, memory.primary, names):
        draft.waiting = True  # see candidates
        return
    if not left:
        memory.headless = False
        return
    why = f"has ended, and {', '.join(left)} had lost touch with it before"
    draft.why[memory.primary] = f"{why}; promote one all the same, or delete the group"
    if not memory.headless:
        memory.headless = True
        draft.tell_node(
            memory.primary,
            f"No replica can succeed primary node {memory.primary} without losing writes: it {why}. Reads go on. To promote a "
            "replica all the same call TestFailover, or ModifyReplicationGroup with PrimaryClusterId",
        )
        draft.tell_group(f"Node group {shard.shard_id} has no primary: no replica had all of its writes")


def must_wait(draft: Draft, primary: str, names: Sequence[str]) -> bool:
    """A primary does not start empty while nodes run that hold some of its data, or may. Says so as the reason."""
    silent = unheard(draft, primary, names)
    if silent:
        draft.why[primary] = f"waits for word from {', '.join(silent)}, which may hold its data"
    return bool(silent) or any(not _is_mute(draft, name) for name in _keepers(draft, primary, names))


def unheard(draft: Draft, primary: str, names: Iterable[str]) -> list[str]:
    """Nodes that may hold data of the primary that ended and do not answer; waited for as long as their silence is borne."""
    if draft.now - draft.remembered(primary).ended_at >= draft.rules.busy_limit_s:
        return []
    return [name for name in _keepers(draft, primary, names) if _is_mute(draft, name)]


def _is_mute(draft: Draft, name: str) -> bool:
    """It does not answer; or only that it is busy, and what it last said was that it had no data, which may be long ago."""
    view = draft.live(name)
    return view is None or (view.busy_reply and not _has_data(draft, name))


def _keepers(draft: Draft, primary: str, names: Iterable[str]) -> list[str]:
    """Others that hold data, may do so, or are about to: one that loads has received all of it."""
    if draft.memory.unfilled:
        names = _restored(draft, names)
    return [name for name in names if name != primary and draft.running(name) and _may_have_data(draft, name)]


def _may_have_data(draft: Draft, name: str) -> bool:
    """Not known is not none: it may have been synchronised while nobody looked."""
    return _has_data(draft, name) or draft.remembered(name).became_ready or _is_mute(draft, name)


def is_blank(draft: Draft, name: str, others: Iterable[str]) -> bool:
    """A new launch without data and without its role yet, while others, not heard of before, turned out to hold data. Who was
    not launched before it can only have what it had itself: the two are not looked at in one instant."""
    view = draft.live(name)
    before = [other for other in others if draft.remembered(other).launched_at < draft.remembered(name).launched_at]
    if view is None or draft.remembered(name).became_ready or view.offset > 0 or not holders(draft, before):
        return False
    return not view.primary or (view.cluster is not None and not view.cluster.nodes[view.cluster.my_id].slots)


def able_to_begin(draft: Draft, memory: ShardMemory, others: list[str]) -> list[str]:
    """The primary's zone is out, and nobody holds data: then one begins empty where it can run."""
    old = memory.primary
    if not draft.is_out(old) or must_wait(draft, old, [old, *others]):
        return []
    return [name for name in others if not draft.is_out(name)]
