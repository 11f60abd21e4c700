"""Groups that were saved for a stop of everything: refilled when they have lost their nodes, or else told to forget it. Pure.

Per shard: one of which a node still runs has newer data than what was saved, and keeps them. A refill begins before anything is
launched and ends when every primary is ready; in between planning.restoring does it as it does for a new group, only that it is
never given up. Called by planning.group.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import DesiredShard, ShardMemory
from cachefleet.model.saving import KEPT_S, STALE_S
from cachefleet.model.snapshot_file import Restore
from cachefleet.planning.draft import Draft


def begin_refill(draft: Draft) -> bool:
    """True when a refill begins: nothing else is planned in this pass. What is saved is forgotten where caches outlive it."""
    saved = draft.desired.saved
    if saved is None:
        return False
    draft.modifying = True  # nobody changes what is about to be stopped
    lost = [shard for shard in draft.desired.shards if _is_lost(draft, shard)]
    if not lost:
        if _is_stale(draft, saved):
            draft.changed = replace(draft.changed or draft.desired, saved=None)
        else:
            draft.holds["saved"] = f"{draft.name} has been saved, and is about to be stopped"
        return False
    draft.memory.refilling = True
    draft.changed = replace(draft.changed or draft.desired, restore=saved, saved=None)
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        memory.restored, memory.restored_keys = shard not in lost, -1
        if shard in lost:
            _forget_roles(memory)
    draft.waiting = True
    draft.why.update({node.name: "is being restored" for shard in lost for node in shard.nodes})
    _tell(draft, f"Restoring the data that {draft.name} had when it was stopped")
    return True


def end_refill(draft: Draft) -> None:
    """Every shard is restored and has a primary that serves; replicas are everybody's business again."""
    if not draft.memory.refilling:
        return
    if all(memory.restored and memory.primary in draft.ready for memory in map(draft.shard_memory, draft.desired.shards)):
        draft.memory.refilling = False
        _tell(draft, f"Restored the data that {draft.name} had when it was stopped")


def _is_lost(draft: Draft, shard: DesiredShard) -> bool:
    return not any(draft.running(node.name) for node in shard.nodes if node.name in draft.memory.nodes)


def _is_stale(draft: Draft, saved: Restore) -> bool:
    """Nobody has stopped them after all: this service found them running, or they were saved long ago."""
    at = max((file.taken_at for file in saved.files), default=0.0)
    earlier = not draft.now - draft.observed.watched_s <= at <= draft.now  # before this service has led, or by another clock
    return draft.now - at > KEPT_S or (earlier and draft.observed.watched_s > STALE_S)


def _forget_roles(memory: ShardMemory) -> None:
    """Nobody has the role, nor what it was about to become."""
    memory.taken = memory.headless = False
    memory.previous = memory.handing_from = memory.return_to = ""


def _tell(draft: Draft, message: str) -> None:
    if draft.replication_group:
        draft.tell_group(message)
    else:
        draft.tell_node(draft.name, message)
