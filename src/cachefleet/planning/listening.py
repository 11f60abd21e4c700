"""When a node's listening addresses are changed. Pure; called by the shapes that have endpoints."""

from __future__ import annotations

from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Bind
from cachefleet.planning.draft import Draft


def bind_when_possible(draft: Draft, node: str, view: NodeView, addresses: tuple[str, ...]) -> None:
    """Listen on own address plus these. An engine that has just forked may lose all its sockets when they are changed, so that
    waits for the child to end, unless the node listens nowhere at present."""
    if set(view.bound) == {draft.address(node), *addresses}:
        return
    if view.has_child and view.bound:
        draft.waiting = True
        return
    draft.act(Bind(node=node, addresses=addresses))
