"""When a node's listening addresses are changed. Pure; called by the shapes that have endpoints."""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Bind, HandAddress
from cachefleet.planning.draft import Draft


def bind_when_possible(draft: Draft, node: str, view: NodeView, addresses: tuple[str, ...]) -> None:
    """Listen on own address plus these. An engine that has just forked may lose all its sockets when they are changed, so that
    waits for the child to end, unless the node listens nowhere at present."""
    if set(view.bound) == {draft.address(node), *addresses}:
        return
    if _busy(view):
        draft.waiting = True
        return
    draft.act(Bind(node=node, addresses=addresses))


def hand_when_possible(draft: Draft, address: str, giver: str, taker: str, keeps: list[str]) -> None:
    """Move an address from one node to another that has no further one; the giver `keeps` those."""
    views = [view for node in (giver, taker) if (view := draft.live(node)) is not None]
    if len(views) < 2 or any(_busy(view) for view in views):
        draft.waiting = True
        return
    draft.act(HandAddress(node=giver, to=draft.address(taker), from_bind=tuple(keeps), to_bind=(address,)))


def note_endpoint_holder(draft: Draft, views: Mapping[str, NodeView], address: str) -> None:
    """Remember who listens on the address that moves among readers, or members."""
    held = draft.memory.endpoint_holder
    draft.memory.endpoint_holder = next((name for name, view in views.items() if address and address in view.bound), held)


def is_held_in_silence(draft: Draft, but: str = "") -> bool:
    """Whether a node other than `but` listens on that address and does not answer: to bind it elsewhere would fail."""
    holder = draft.memory.endpoint_holder
    return holder in draft.memory.nodes and holder != but and draft.running(holder) and draft.live(holder) is None


def _busy(view: NodeView) -> bool:
    return view.has_child and bool(view.bound)
