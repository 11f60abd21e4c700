"""Which running nodes are given up because they do not answer, or because their zone is out. Pure.

A node that is given up is ended through its host first; only when it is gone is anybody promoted in its place. So a process
that was merely stopped can never serve again as what it was. Called by planning.group before the shapes decide on roles.
"""

from __future__ import annotations

from cachefleet.model.group import DesiredShard, Shape
from cachefleet.model.observed import Silence
from cachefleet.model.plan import Stop
from cachefleet.planning.draft import Draft
from cachefleet.planning.succession import candidates, role_holder

HEARD_S = 1  # primaries speak to their replicas once a second: one that heard later, in whole seconds, hears nothing any more


def give_up(draft: Draft, nodes: list[str]) -> None:
    """Write down whom, with the reason as an event, and end them."""
    shard_of = {node.name: shard for shard in draft.desired.shards for node in shard.nodes}
    for node in nodes:
        known, silence = draft.remembered(node), draft.observed.silences.get(node)
        if not draft.running(node):
            continue
        if not draft.is_doomed(node) and silence is not None and known.became_ready:
            shard = shard_of.get(node)
            limit_s, why = _limit(draft, shard, node, silence)
            if silence.seconds >= limit_s and not _is_busy_last_copy(draft, shard, node):
                known.given_up = known.launches
                if shard is not None:
                    draft.tell_node(node, f"Cache node {draft.node_id(node)} does not answer and is replaced: {why}")
            else:
                draft.waiting = True
        if draft.is_out(node) and known.given_up != known.launches:
            known.given_up = known.launches
            draft.tell_node(
                node, f"Cache node {draft.node_id(node)} ends: zone {known.zone} is out. It is replaced when the zone is back"
            )
        if draft.is_doomed(node):
            draft.act(Stop(node=node, incarnation=draft.current(node)))


def _limit(draft: Draft, shard: DesiredShard | None, node: str, silence: Silence) -> tuple[float, str]:
    """(after how many seconds of silence, why then). shard: None for the process behind a configuration endpoint."""
    patient_s = draft.rules.busy_limit_s
    soon_s = draft.rules.silence_limit_s
    if not _is_spare(draft, shard, node):
        return patient_s, f"it was silent for {patient_s:g} s, and no other node has all of its data"
    if silence.stopped:
        return soon_s, "its process is stopped"
    if silence.busy:
        return patient_s, f"it was busy for {patient_s:g} s"
    if _is_heard(draft, shard, node):
        return patient_s, f"it was silent for {patient_s:g} s, though its replicas hear it"
    return soon_s, "neither we nor its replicas hear from it"


def _is_busy_last_copy(draft: Draft, shard: DesiredShard | None, node: str) -> bool:
    """It answers, though only that it is busy, and there is nobody else: nothing is won by ending it."""
    view = draft.observed.views.get(node)
    return view is not None and view.reachable and not _is_spare(draft, shard, node)


def _is_spare(draft: Draft, shard: DesiredShard | None, node: str) -> bool:
    """Others have what it has: a replica's living primary, or a replica that could succeed it; or it has no data."""
    if shard is None:
        return True
    if draft.desired.shape is Shape.MEMCACHED:
        return False
    memory = draft.shard_memory(shard)
    if node != role_holder(memory):
        view = draft.live(memory.primary)
        return view is not None and view.primary
    return bool(candidates(draft, memory, [other.name for other in shard.nodes if other.name != node]))


def _is_heard(draft: Draft, shard: DesiredShard | None, node: str) -> bool:
    """One of its replicas has heard from it just now."""
    nodes = shard.nodes if shard is not None else ()
    views = [view for other in nodes if (view := draft.live(other.name)) is not None]
    return any(view.follows == draft.address(node) and 0 <= view.heard_s <= HEARD_S for view in views)
