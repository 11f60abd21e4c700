"""A Memcached cluster that is restored: every node is given the items of one file, before the cluster is available first. Pure.

A node answers from its start on, so a feed that fails leaves a node with a part of its items: such a launch is ended, and the
next one is fed anew. Until it has everything a node is not ready, so no client is told of it. Called by planning.group.
"""

from __future__ import annotations

from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.observed import FeedView
from cachefleet.model.plan import Feed
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from cachefleet.planning.draft import Draft

ROOM = 1.1  # as in planning.restoring
_MB = 1 << 20


def node_file(desired: GroupDesired, restore: Restore, node: str) -> SnapshotFile:
    """What this node is given: what the node in the same place had. Raises LookupError."""
    names = [member.name for member in desired.nodes]
    if node not in names or len(names) != len(restore.files):
        raise LookupError(f"there is no file for {node}: {len(restore.files)} files are for as many nodes")
    return restore.files[names.index(node)]


def fill_nodes(draft: Draft) -> None:
    """One step for every node that has not everything yet; what is wrong for good becomes the reason to give up."""
    restore = draft.desired.restore
    if draft.desired.shape is not Shape.MEMCACHED or restore is None or draft.memory.provisioned:
        return
    for node in draft.desired.nodes:
        file = node_file(draft.desired, restore, node.name)
        if not draft.remembered(node.name).launches:
            _check_room(draft, file)
        if not _is_full(draft, node.name, file):
            draft.filling.add(node.name)
            _fill(draft, node.name)


def _is_full(draft: Draft, name: str, file: SnapshotFile) -> bool:
    """Saved when it is seen first, since the feed is forgotten when we are started anew."""
    known, feed = draft.remembered(name), draft.observed.feeds.get(name)
    if not (known.seeded and draft.running(name)) or draft.is_doomed(name):
        return False
    if not known.fed_at and feed is not None and feed.done:
        if file.keys >= 0 and feed.keys != file.keys:
            _give_up(draft, f"the snapshot has {file.keys} items of {file.node}, and {feed.keys} were restored")
            return False
        known.fed_at = draft.now
    return bool(known.fed_at)


def _fill(draft: Draft, name: str) -> None:
    """Which launch is fed is saved before that begins: whoever fed it may be gone, and nobody knows then what it has."""
    known, feed = draft.remembered(name), draft.observed.feeds.get(name)
    if not draft.running(name) or draft.is_doomed(name):
        return
    draft.waiting = True
    if feed is not None and feed.failure:
        if feed.lasting:
            _give_up(draft, feed.failure)
    elif feed is not None:
        draft.why[name] = _progress(feed)
    elif not known.seeded or known.feed_at:
        known.given_up = known.launches
    elif (view := draft.observed.views.get(name)) is not None and view.reachable:
        known.feed_at = draft.now
        draft.why[name] = "is being restored"
        draft.act(Feed(node=name, incarnation=draft.current(name)))


def _progress(feed: FeedView) -> str:
    share = f" ({min(100, 100 * feed.fed_bytes // feed.total_bytes)} %)" if feed.total_bytes else ""
    return f"is being restored{share}"


def _check_room(draft: Draft, file: SnapshotFile) -> None:
    has_bytes = draft.observed.data_bytes
    if has_bytes and file.used_bytes > ROOM * has_bytes:
        _give_up(
            draft,
            f"restoring needs about {-(-file.used_bytes // _MB)} MB in one node, a node of type {draft.desired.node_type} has "
            f"{has_bytes // _MB} MB for data; choose a larger node type",
        )


def _give_up(draft: Draft, why: str) -> None:
    if not draft.memory.failure:
        draft.memory.failure, draft.memory.unrestorable = why, True
