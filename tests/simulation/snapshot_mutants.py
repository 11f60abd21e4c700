"""Narrow places in which mutants.py breaks snapshots and restores."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from cachefleet.model.group import GroupMemory, NodeMemory, ShardMemory
from cachefleet.model.observed import FeedView
from cachefleet.model.plan import Feed
from cachefleet.planning import group, lifecycle, restoring, snapshotting
from cachefleet.planning.draft import Draft


def restores_nothing() -> list[Any]:
    """A group that is to be restored begins as any other."""
    return [patch.object(group, "fill", lambda draft: None)]


def forgets_what_is_lost() -> list[Any]:
    """What was restored counts as there, whatever becomes of who had it."""
    return [patch.object(restoring, "_is_lost", lambda *given: False)]


def feeds_again() -> list[Any]:
    """An engine whose feed is not known is fed from the beginning."""

    def again(draft: Draft, name: str, known: NodeMemory, feed: FeedView | None) -> None:
        known.feed_at = known.feed_at or draft.now
        if feed is None:
            draft.act(Feed(node=name, incarnation=draft.current(name)))

    return [patch.object(restoring, "_see_to_feed", again)]


def seeds_late() -> list[Any]:
    """Primaries that begin anew are seeded."""
    launch = lifecycle.launch

    def seeded(draft: Draft, node: str, follow: str = "") -> None:
        if draft.memory.provisioned and any(shard.primary == node for shard in draft.memory.shards.values()):
            draft.filling.add(node)
        launch(draft, node, follow)

    return [patch.object(lifecycle, "launch", seeded)]


def takes_any_replica() -> list[Any]:
    """For a snapshot: one that runs, whether it gets writes or not."""

    def fit(memory: GroupMemory, shard: ShardMemory, name: str) -> bool:
        known = memory.nodes.get(name)
        return known is not None and bool(known.launches) and not known.ended_at

    return [patch.object(snapshotting, "_is_fit", fit)]
