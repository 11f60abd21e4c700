"""Nodes that are no longer desired leave before they are stopped: first no client is sent to them any more. Pure.

Cluster mode disabled: the reader endpoint goes to another node. Enabled: so does the configuration endpoint, and all others
forget the node. Memcached: it leaves the list of auto discovery. Then it is stopped, erased and forgotten. A node that does not
answer is stopped at once. Called by planning.group after the shape has planned for those that stay.
"""

from __future__ import annotations

from cachefleet.model.event import NoticeName
from cachefleet.model.group import EndpointRole, Shape
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import (
    Bind,
    Erase,
    EventDraft,
    Follow,
    HandAddress,
    Promote,
    Stop,
    Switch,
    TakeOver,
)
from cachefleet.model.temporary import is_temporary
from cachefleet.planning.belonging import is_known_to_others
from cachefleet.planning.draft import Draft
from cachefleet.planning.memcached import discovery_node
from cachefleet.planning.memcached_roll import is_discovered

_ON_SOCKETS = (Bind, Follow, HandAddress, Promote, Switch, TakeOver)  # an address must not move at the same time
_MOVING = {
    Shape.REPLICATED: EndpointRole.READER,
    Shape.CLUSTERED: EndpointRole.CONFIGURATION,
}


def depart(draft: Draft, keep: set[str]) -> None:
    """keep: names of nodes that stay."""
    dropped = []
    for name in [name for name in draft.memory.nodes if name not in keep]:
        current = draft.current(name)
        process = draft.observed.processes.get(current)
        if process is None:
            launches = draft.memory.nodes.pop(name).launches
            if launches:
                draft.memory.departed[name] = launches
            dropped.append(name)
        elif not process.running:
            draft.act(Erase(node=name, incarnation=current))
        elif not _lingers(draft, name):
            view = draft.observed.views.get(name)
            draft.act(Stop(node=name, incarnation=current, kill=view is None or not view.reachable))
    _tell(draft, dropped)


def is_held_by_leaver(draft: Draft, address: str) -> bool:
    """A node that is to go still listens on the address: nobody else can."""
    return any(
        (view := draft.live(name)) is not None and address in view.bound
        for name in draft.memory.nodes
        if not draft.is_desired(name)
    )


def _tell(draft: Draft, dropped: list[str]) -> None:
    names = [name for name in dropped if not is_temporary(name)]
    if draft.desired.shape is Shape.MEMCACHED:
        if names:
            node_ids = ", ".join(sorted(name.rpartition(".")[2] for name in names))
            draft.tell_node(draft.name, f"Removed cache nodes {node_ids}", NoticeName.REMOVE_CACHE_NODE_COMPLETE)
        return
    for name in names:
        draft.events.append(
            EventDraft("cache-cluster", name, "Cache cluster deleted", NoticeName.DELETE_CACHE_CLUSTER_COMPLETE)
        )


# --- leaving -------------------------------------------------------------------------------------------------------


def _lingers(draft: Draft, name: str) -> bool:
    """Clients may still be sent to it; what has to be done about that is under way."""
    if draft.desired.shape is Shape.MEMCACHED:
        lingers = is_discovered(draft, name, discovery_node(draft.name))
    else:
        view = draft.live(name)
        lingers = view is not None and (_serves_endpoint(draft, name, view) | is_known_to_others(draft, name))
    draft.waiting = draft.waiting or lingers
    return lingers


def _serves_endpoint(draft: Draft, name: str, view: NodeView) -> bool:
    """It listens on an endpoint that another node can take; or the kernel still spreads connections to it."""
    if draft.address(name) in draft.observed.spread:
        return True  # the shape has planned another spread
    address = draft.endpoint(_MOVING[draft.desired.shape])
    if not address or address not in view.bound or draft.endpoint(EndpointRole.PRIMARY) in view.bound:
        return False
    taker = _taker(draft, address)
    if taker and not view.has_child and not any(isinstance(action, _ON_SOCKETS) for action in draft.actions):
        has = draft.observed.views[taker].bound
        to_bind = (*(bound for bound in has if bound != draft.address(taker)), address)
        draft.act(HandAddress(node=name, to=draft.address(taker), from_bind=(), to_bind=to_bind))
    return True


def _taker(draft: Draft, address: str) -> str:
    """A ready node whose sockets may be touched: for the reader endpoint a replica, the primary when there is none."""
    ready = [name for name in draft.memory.nodes if name in draft.ready and draft.live(name) is not None]
    primaries = {shard.primary for shard in draft.memory.shards.values()}
    replicas = [name for name in ready if name not in primaries]
    fit = replicas if replicas and draft.desired.shape is Shape.REPLICATED else ready
    return next((name for name in fit if not draft.observed.views[name].has_child), "")
