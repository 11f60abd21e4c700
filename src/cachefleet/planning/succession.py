"""Who may succeed a primary, and the decision for one: what cluster mode disabled and enabled have in common. Pure.

Decides by what replicas hold; how a role is given to an engine is the shape's business.
"""

from __future__ import annotations

from collections.abc import Iterable

from cachefleet.model.group import ShardMemory
from cachefleet.planning.draft import Draft

UNDECIDED_S = 5.0  # how long replicas that run but do not answer are waited for before a dead primary starts empty


def decide(draft: Draft, memory: ShardMemory, primary: str) -> None:
    """Write the decision down; it is saved with the plan, before any effect."""
    draft.memory.epoch += 1
    memory.primary = primary
    memory.epoch = draft.memory.epoch
    memory.decided_at = draft.now
    memory.taken = False


def tell_failover(draft: Draft, old: str, new: str) -> None:
    message = f"Failover from primary node {old} to replica node {new} completed"
    draft.tell_node(old, message)
    draft.tell_group(message)


def candidates(draft: Draft, names: Iterable[str]) -> list[str]:
    """Replicas that may be promoted, best first: they answer, hold a whole data set (not loading, not in a full sync, in sync
    once), then highest offset, then smallest name."""
    found: list[tuple[int, str]] = []
    for name in names:
        view = draft.live(name)
        if view is None or view.primary or view.syncing or not draft.remembered(name).became_ready:
            continue
        found.append((-view.offset, name))
    return [name for _, name in sorted(found)]


def must_wait(draft: Draft, primary: str, names: Iterable[str]) -> bool:
    """A primary does not start empty while nodes run that may hold its data and have not said yet; says so as the reason."""
    holders = [name for name in names if name != primary and draft.running(name) and draft.remembered(name).became_ready]
    if not holders or draft.now - draft.remembered(primary).ended_at >= UNDECIDED_S:
        return False
    draft.why[primary] = f"waits for word from {', '.join(holders)}, which may hold its data"
    return True
