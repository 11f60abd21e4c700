"""Nodes whose memory for data is not that of the group's node type are given it while they run. Pure.

Nothing is restarted. It is read back on the next look, so that it is known to hold; what a client has set is set back. Where
data would have to go for it nothing is changed, and a node type that was asked for is taken back. Called by planning.group.
"""

from __future__ import annotations

from cachefleet.model.group import Shape
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Resize
from cachefleet.planning.draft import Draft
from cachefleet.planning.settling import give_up_node_type

_MB = 1_048_576


def resize(draft: Draft) -> None:
    """All nodes of the group, or none while some node's data do not fit."""
    size_bytes = draft.observed.data_bytes
    if not size_bytes or not draft.memory.provisioned:
        return
    views = {name: view for name, view in _views(draft).items() if name not in draft.later}
    wrong = {name: view for name, view in views.items() if _differs(draft, view, size_bytes)}
    asked_for = draft.memory.settled is not None and draft.memory.settled.node_type != draft.desired.node_type
    if not wrong:
        return
    draft.modifying = draft.modifying or asked_for
    draft.waiting = True
    too_much = [name for name, view in wrong.items() if view.used_bytes > size_bytes]
    if too_much and draft.desired.shape is not Shape.MEMCACHED:  # which gives items up as it does when it is full
        why = f"{', '.join(too_much)} holds more data than {draft.desired.node_type} has memory for"
        draft.holds["size"] = why
        if asked_for:
            give_up_node_type(draft, why)
        return
    for name in wrong:
        draft.act(Resize(node=name))


def has_other_size(draft: Draft, name: str) -> bool:
    """The node answers and has not the memory of the group's node type."""
    view, size_bytes = _views(draft).get(name), draft.observed.data_bytes
    return bool(size_bytes) and view is not None and _differs(draft, view, size_bytes)


def _views(draft: Draft) -> dict[str, NodeView]:
    """Of nodes that answer. Memcached does not tell which launch it is."""
    names = [node.name for node in draft.desired.nodes if node.name in draft.memory.nodes and draft.running(node.name)]
    if draft.desired.shape is Shape.MEMCACHED:
        views = {name: draft.observed.views.get(name) for name in names}
    else:
        views = {name: draft.live(name) for name in names}
    return {name: view for name, view in views.items() if view is not None and view.reachable and not view.why}


def _differs(draft: Draft, view: NodeView, size_bytes: int) -> bool:
    if view.maxmemory_bytes < 0:
        return False
    if draft.desired.shape is Shape.MEMCACHED:  # counts in whole MB
        return view.maxmemory_bytes // _MB != max(1, size_bytes // _MB)
    return view.maxmemory_bytes != size_bytes
