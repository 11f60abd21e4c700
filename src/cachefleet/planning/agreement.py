"""The primary role goes over by agreement with its living holder, which waits until the replica has everything. Pure.

Cluster mode only: the two speak over the cluster bus. Whether a role shall move, and to whom, its callers decide: hand-overs
that were asked for, rolling changes, and balance between zones.
"""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.model.group import ShardMemory
from cachefleet.model.observed import ClusterView
from cachefleet.model.plan import TakeOver, TakeOverBy
from cachefleet.planning.draft import Draft
from cachefleet.planning.mode_change import hand_over
from cachefleet.planning.succession import decide


def is_linked(views: Mapping[str, ClusterView], name: str, primary: str) -> bool:
    """The replica reaches its primary over the cluster bus: without that no agreement can be asked for."""
    view, of = views.get(name), views.get(primary)
    known = view.nodes.get(of.my_id) if view is not None and of is not None else None
    return known is not None and known.link_up and not known.handshake


def agree(draft: Draft, memory: ShardMemory, to: str, views: Mapping[str, ClusterView]) -> None:
    """Now, or when the two are linked. A node of the other cluster mode gets the role as that change has it."""
    if hand_over(draft, memory, to):
        return
    if not is_linked(views, to, memory.primary):
        draft.waiting = True
        return
    memory.handing_from = memory.primary
    decide(draft, memory, to)
    draft.act(TakeOver(node=to, by=TakeOverBy.AGREEMENT))
