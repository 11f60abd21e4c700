"""A group that is restored: each shard's primary loads its data at its start, before the group is available first, or before
it is again (planning.refilling). Pure.

Decides which launches load a seed and when they are fed, whether what was loaded is everything, and what becomes of feeds that
fail. Until its shard is restored no node of it counts as live, so nobody gives it a role. Called by planning.group before the
shapes, and by planning.lifecycle.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.model.group import SLOTS, DesiredShard, NodeMemory, Shape, ShardMemory
from cachefleet.model.observed import FeedView, NodeView
from cachefleet.model.plan import Feed
from cachefleet.model.slots import common, count, without
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from cachefleet.planning.draft import Draft
from cachefleet.planning.succession import candidates

LOST_S = 2.0  # an engine whose feeder has ended unseen has ended by then, too, unless it never read a byte
REASON_S = 2.0  # for so long the feed of an engine that has ended may take to tell why
ROOM = 1.1  # what a full cache took there it takes here, more or less; eviction sees to the rest, as it did there
_MB = 1 << 20


def fill(draft: Draft) -> None:
    """One step for every shard that has not been restored yet; what is wrong for good becomes the reason to give up."""
    restore = draft.desired.restore
    if restore is None or not draft.memory.unfilled or draft.desired.shape is Shape.MEMCACHED:
        return
    if not any(known.launches for known in draft.memory.nodes.values()):
        _check_room(draft, restore)
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        if memory.restored and _is_lost(draft, shard, memory):
            memory.restored, memory.restored_keys = False, -1
        if not memory.restored:
            _fill_shard(draft, restore, shard, memory)
    if all(draft.shard_memory(shard).restored for shard in draft.desired.shards) and not draft.memory.refilling:
        _check_sum(draft, restore)


def _give_up(draft: Draft, why: str) -> None:
    """For good: trying again would not change it."""
    if not draft.memory.failure:
        draft.memory.failure, draft.memory.unrestorable = why, True


# --- what planning.lifecycle asks --------------------------------------------------------------------------------------


def why_not_launched(draft: Draft, node: str) -> str:
    """What a node that has no process waits for, "" when it may start: in a shard that is not restored, only its primary may,
    and that one not before it is known why its last launch ended."""
    if node not in draft.filling:
        return ""
    memcached = draft.desired.shape is Shape.MEMCACHED  # every node of it is fed
    if not memcached and all(memory.primary != node for memory in draft.memory.shards.values()):
        return "waits until its primary has been restored"
    return "has no engine process" if _awaits_reason(draft, node) else ""


def is_fed(draft: Draft, node: str) -> bool:
    """Its current launch is not to be judged at present: it may be silent for as long as it is fed. One whose feeder died with
    an earlier life of ours ends for nobody's fault; and why one has ended its feed tells in a moment."""
    known, feed = draft.remembered(node), draft.observed.feeds.get(node)
    if not (node in draft.filling and known.seeded and known.feed_at) or draft.process(node) is None:
        return False
    if feed is None:
        return not known.fed_at
    return _awaits_reason(draft, node) if not draft.running(node) else not (feed.done or feed.failure)


def broken_feed(draft: Draft, node: str) -> str:
    """Why the feed of its current launch has failed, or gave it something else than it had to; "" when neither is so."""
    if node in draft.unfit:
        return draft.unfit[node]
    feed = draft.observed.feeds.get(node) if node in draft.filling and draft.remembered(node).seeded else None
    return feed.failure if feed is not None else ""


def _awaits_reason(draft: Draft, node: str) -> bool:
    known, feed = draft.remembered(node), draft.observed.feeds.get(node)
    if draft.running(node) or feed is None or feed.done or feed.failure or not known.seeded:
        return False
    return bool(known.ended_at) and draft.now - known.ended_at < REASON_S


def forget_feeds(draft: Draft) -> None:
    """From now on nobody wants to know how they are; one that goes on is ended."""
    for known in draft.memory.nodes.values():
        known.seeded = False


# --- one shard ---------------------------------------------------------------------------------------------------------


def _is_lost(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> bool:
    """Its primary has ended before the group was available, and no replica can succeed it, nor has by the engines' election."""
    if memory.primary not in draft.memory.nodes or draft.running(memory.primary):
        return False
    others = [node.name for node in shard.nodes if node.name != memory.primary]
    return not candidates(draft, memory, others) and not any(_leads(draft.live(name)) for name in others)


def _leads(view: NodeView | None) -> bool:
    return view is not None and view.primary and (view.cluster is None or bool(view.cluster.nodes[view.cluster.my_id].slots))


def _fill_shard(draft: Draft, restore: Restore, shard: DesiredShard, memory: ShardMemory) -> None:
    """Whatever runs in it besides the launch that is fed is of an earlier attempt, and ends."""
    names = [node.name for node in shard.nodes]
    draft.filling.update(names)
    for name in names:
        known = draft.remembered(name)
        if name == memory.primary and known.seeded:
            _go_on(draft, restore, shard, memory, known)
        elif draft.running(name):
            known.given_up = known.launches


def _go_on(draft: Draft, restore: Restore, shard: DesiredShard, memory: ShardMemory, known: NodeMemory) -> None:
    name = memory.primary
    feed = draft.observed.feeds.get(name)
    view = _loaded(draft, name)
    if view is not None and (feed is None or feed.done or feed.failure):
        trouble = _mismatch(draft, restore, shard, view, feed) or _too_much(draft, shard, view)
        if trouble:
            _reject(draft, name, known, trouble)
            return
        memory.restored = True
        memory.restored_keys = _proven_keys(view, feed)
        draft.filling.difference_update(node.name for node in shard.nodes)
    elif feed is not None and feed.failure and feed.lasting and not draft.memory.refilling:
        _give_up(draft, feed.failure)
    elif draft.running(name) and not draft.is_doomed(name):
        draft.waiting = True
        draft.why[name] = _progress(feed)
        _see_to_feed(draft, name, known, feed)


def _reject(draft: Draft, name: str, known: NodeMemory, trouble: str) -> None:
    """What it has loaded is not what it had to. A group that is refilled is never given up, nor begun empty unasked: people may
    put a key or an object back, so that is tried again and again, and says why."""
    if not draft.memory.refilling:
        _give_up(draft, trouble)
    elif known.retry_at > known.launched_at:  # counted as a failure before
        known.given_up = known.launches
    else:
        draft.unfit[name] = trouble


def _loaded(draft: Draft, name: str) -> NodeView | None:
    """What it says once it has loaded its data: engines serve nobody before they have read all of it and found it whole."""
    view = draft.observed.views.get(name)
    if view is None or not view.reachable or view.loading or view.busy_reply:
        return None
    usable = view.incarnation == draft.current(name) and draft.running(name) and not draft.is_doomed(name)
    return view if usable else None


def _see_to_feed(draft: Draft, name: str, known: NodeMemory, feed: FeedView | None) -> None:
    """Saved before it is begun: an engine that may have read something from somebody who is no more is never fed again, since
    the two parts would become one. It ends by itself, unless it still waits for its first byte."""
    if feed is not None:
        known.fed_at = known.fed_at or (draft.now if feed.done else 0.0)
    elif not known.feed_at:
        known.feed_at = draft.now
        draft.act(Feed(node=name, incarnation=draft.current(name)))
    elif not known.fed_at and min(draft.now - known.feed_at, draft.observed.watched_s) > LOST_S:
        known.given_up = known.launches


def _progress(feed: FeedView | None) -> str:
    if feed is None or not feed.total_bytes:
        return "is being restored"
    return f"is being restored ({min(100, 100 * feed.fed_bytes // feed.total_bytes)} %)"


# --- whether it is everything ------------------------------------------------------------------------------------------


def _mismatch(draft: Draft, restore: Restore, shard: DesiredShard, view: NodeView, feed: FeedView | None) -> str:
    """What is wrong with what the node has loaded, "" when nothing is. Every checksum was right by now, else the engine would
    not have been given the end of its data; this proves that it kept every key. Engines from 7.0 on tell how many keys they
    have loaded, also how many of them had expired. An older one tells how many it has: as a node without a role it drops
    none, so they must be as many; in cluster mode it drops what has expired, and only too many keys are a proof."""
    expected = feed.keys if feed is not None and feed.keys >= 0 else _whole_keys(restore.files, shard)
    exact = view.loaded_keys >= 0 or not view.primary
    found = view.loaded_keys if view.loaded_keys >= 0 else view.keys
    if expected >= 0 and (found != expected if exact else found > expected):
        part = "" if len(draft.desired.shards) == 1 else f" for node group {shard.shard_id}"
        return f"{_named(restore)} {expected} keys{part}, and {found} were restored"
    mine = view.cluster.nodes[view.cluster.my_id] if view.cluster is not None else None
    foreign = without(mine.slots, shard.slots) if mine is not None and draft.desired.shape is Shape.CLUSTERED else ()
    if foreign:
        return f"node group {shard.shard_id} was given keys of slots that are not its own, such as slot {foreign[0][0]}"
    return ""


def _whole_keys(files: Sequence[SnapshotFile], shard: DesiredShard) -> int:
    """How many keys the files have that go to this shard, -1 when that is not known since only a part of one does."""
    taken = [file for file in files if not (file.slots and shard.slots) or common(file.slots, shard.slots)]
    parts = [file for file in taken if without(file.slots or ((0, SLOTS - 1),), shard.slots)] if shard.slots else []
    return -1 if parts or any(file.keys < 0 for file in taken) else sum(file.keys for file in taken)


def _proven_keys(view: NodeView, feed: FeedView | None) -> int:
    return view.loaded_keys if view.loaded_keys >= 0 or feed is None else feed.keys


def _check_sum(draft: Draft, restore: Restore) -> None:
    """Every key has gone to some shard, and none to two."""
    parts = [draft.shard_memory(shard).restored_keys for shard in draft.desired.shards]
    if restore.keys >= 0 and min(parts) >= 0 and sum(parts) != restore.keys:
        _give_up(draft, f"{_named(restore)} {restore.keys} keys, and {sum(parts)} were restored")


def _named(restore: Restore) -> str:
    return f"the snapshot {restore.snapshot} has" if restore.snapshot else "the RDB files have"


# --- whether it fits ---------------------------------------------------------------------------------------------------


def _check_room(draft: Draft, restore: Restore) -> None:
    """Before anything is launched; what is not known then is seen when it has been loaded."""
    for shard in draft.desired.shards:
        need_bytes = _need_bytes(restore.files, shard)
        if draft.observed.data_bytes and need_bytes > ROOM * draft.observed.data_bytes:
            _give_up(draft, _needs(draft, need_bytes, draft.observed.data_bytes))


def _need_bytes(files: Sequence[SnapshotFile], shard: DesiredShard) -> int:
    """What the shard's part of the files took where they were taken, slots being equally full."""
    if not shard.slots:
        return sum(file.used_bytes for file in files)
    parts = [(file.used_bytes, file.slots or ((0, SLOTS - 1),)) for file in files]
    return sum(used_bytes * count(common(slots, shard.slots)) // count(slots) for used_bytes, slots in parts)


def _too_much(draft: Draft, shard: DesiredShard, view: NodeView) -> str:
    if view.maxmemory_bytes <= 0 or view.used_bytes <= ROOM * view.maxmemory_bytes:
        return ""
    return _needs(draft, view.used_bytes, view.maxmemory_bytes)


def _needs(draft: Draft, need_bytes: int, has_bytes: int) -> str:
    instead = "a larger node type" if draft.desired.shape is not Shape.CLUSTERED else "a larger node type or more shards"
    return (
        f"restoring needs about {-(-need_bytes // _MB)} MB, a node of type {draft.desired.node_type} has {has_bytes // _MB} MB "
        f"for data; choose {instead}"
    )
