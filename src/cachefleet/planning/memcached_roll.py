"""Memcached nodes that have to be launched anew, for another version or another number of threads, one after the other. Pure.

A node leaves the list of auto discovery, is ended when no client that follows the list can still be sent to it, is launched
anew at its address and comes back to the list; only then the next one goes. What it held is gone, as in Amazon ElastiCache. A
cluster with one node gets a second one for that time, so that clients always have one. Called by planning.memcached.
"""

from __future__ import annotations

from cachefleet.planning.draft import Draft
from cachefleet.planning.rolling import end_launch


def choose_next(draft: Draft) -> None:
    """Decide which launch ends; saved before it does."""
    (shard,) = draft.desired.shards
    names = [node.name for node in shard.nodes if node.name in draft.memory.nodes]
    memory = draft.memory.shards.get(shard.shard_id)
    doubled = memory is not None and memory.temporary
    outdated = [name for name in names if _is_outdated(draft, name) and name not in draft.later]
    if not (outdated or doubled or any(draft.remembered(name).roll_of for name in names)):
        return
    draft.modifying = draft.waiting = True
    if not draft.memory.provisioned or any(draft.is_out(name) for name in names):
        return
    if len(names) == 1 and outdated:
        draft.shard_memory(shard).temporary = True
    elif any(draft.remembered(name).roll_of or name not in draft.ready for name in names):
        return
    elif outdated:
        draft.remembered(outdated[0]).roll_of = draft.remembered(outdated[0]).launches
    elif memory is not None:
        memory.temporary = False


def end_retired(draft: Draft, endpoint: str) -> None:
    """End launches that are to end once no client is sent to them any more. endpoint: the node that serves the list. Called
    when the list is planned."""
    for node in draft.desired.shards[0].nodes:
        name = node.name
        if not draft.retires(name):
            continue
        draft.why[name] = "is launched anew"
        if draft.running(name) and not is_discovered(draft, name, endpoint):
            end_launch(draft, name)


def move_endpoint(draft: Draft, endpoint: str) -> None:
    """The process behind the configuration endpoint is launched anew on another port after all nodes: a short break, which is
    over when it serves the list. What fails to start again and again is not waited for: the nodes have changed by then."""
    known = draft.remembered(endpoint)
    other = known.form is not None and known.form.port != draft.form.port
    coming = bool(known.roll_of) and endpoint not in draft.ready and known.failures < draft.rules.create_attempts
    if not (other or coming):
        return
    draft.modifying = draft.waiting = True
    nodes = [node.name for node in draft.desired.nodes]
    if other and draft.running(endpoint) and not any(draft.is_outdated(name) or name not in draft.ready for name in nodes):
        known.roll_of = known.launches
        end_launch(draft, endpoint)


def is_discovered(draft: Draft, name: str, endpoint: str) -> bool:
    """It is in the list that clients have, or in one that they may have read shortly before."""
    known = draft.remembered(name)
    if not known.became_ready:
        return False
    if not known.left_at and endpoint in draft.ready:  # which serves the list without it
        known.left_at = draft.now
    known.left_at = min(known.left_at, draft.now)
    return not known.left_at or draft.now - known.left_at < draft.rules.discovery_grace_s


def _is_outdated(draft: Draft, name: str) -> bool:
    return draft.is_outdated(name) or has_other_threads(draft, name)


def has_other_threads(draft: Draft, name: str) -> bool:
    """Than a node of the group's type; their number cannot be changed while it runs."""
    view, threads = draft.observed.views.get(name), draft.observed.threads
    return bool(threads) and view is not None and view.threads > 0 and view.threads != threads and draft.running(name)
