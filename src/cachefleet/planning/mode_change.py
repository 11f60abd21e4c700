"""Cluster mode disabled -> compatible and back, node by node, while clients go on. Pure.

The shape of a group is that of its primary. planning.rolling launches the replicas anew in the other form: cluster nodes that
follow a primary without cluster mode through a stand-in (engines.stand_ins), or ordinary replicas of a cluster's primary. Then
the role is handed over (ChangeMode); then the old primary is launched anew. Into the cluster the shape changes when the new
primary is seen in its role, out of it with the decision for the new one. When a primary dies meanwhile, whoever succeeds it
decides the shape. A change that cannot be done is taken back. Called by planning.group before the shape, and by the shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.model.group import SLOTS, EndpointRole, NodeMemory, Shape, ShardMemory, stand_in
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import ChangeMode, Erase, Follow, Launch, Promote, PromoteInCluster, SettleInCluster, Stop
from cachefleet.planning.draft import Draft
from cachefleet.planning.handover import asked_for
from cachefleet.planning.succession import candidates, decide, is_holder_hidden, last_resorts, must_wait

ALL_SLOTS = ((0, SLOTS - 1),)
COMPATIBLE = "compatible"
DISABLED = "disabled"


def is_cluster_node(draft: Draft, name: str) -> bool:
    """Its current launch has cluster mode enabled."""
    form = draft.remembered(name).form
    return draft.form.clustered if form is None else form.clustered


def is_under_way(draft: Draft) -> bool:
    return draft.memory.mode not in ("", draft.desired.cluster_mode)


def change_mode(draft: Draft) -> None:
    """Before the shape plans: take back what cannot be done, and let the shape follow the primary."""
    if draft.desired.shape is Shape.MEMCACHED or not draft.memory.provisioned:
        return
    if is_under_way(draft):
        draft.modifying = True
        _take_back(draft)
    if draft.desired.shape is Shape.REPLICATED:
        _enter(draft)
    else:
        _leave(draft)
    _end_rivals(draft)


def note_mode(draft: Draft) -> None:
    """At the end of a pass: whether the mode that was asked for is reached, and whether another could be asked for."""
    desired, memory = draft.desired, draft.memory
    if desired.shape is Shape.MEMCACHED or not memory.provisioned:
        return
    primary = draft.live(draft.shard_memory(desired.shards[0]).primary) if desired.shape is Shape.REPLICATED else None
    if primary is not None and primary.primary:
        memory.other_databases = primary.other_databases
    reached = (desired.cluster_mode == DISABLED) == (desired.shape is Shape.REPLICATED)
    if any(draft.is_outdated(node.name) or node.name not in draft.ready for node in desired.nodes):
        reached = False
    if memory.mode and not reached:
        return
    _release_endpoints(draft)
    if memory.mode in ("", desired.cluster_mode):
        memory.mode = desired.cluster_mode
    elif not _superfluous(draft) and draft.changed is None:
        memory.mode = desired.cluster_mode
        draft.tell_group(f"Cluster mode of replication group {draft.name} has been changed to {memory.mode}")


# --- the shape follows the primary ---------------------------------------------------------------------------------


def _enter(draft: Draft) -> None:
    """The primary is a cluster node, and says that it is a primary."""
    memory = draft.shard_memory(draft.desired.shards[0])
    if memory.primary not in draft.memory.nodes or not is_cluster_node(draft, memory.primary):
        return
    view = draft.live(memory.primary)
    if view is not None and view.primary:
        _reshape(draft, Shape.CLUSTERED)


def _leave(draft: Draft) -> None:
    """The primary has ended, and its best successor is no cluster node; or nothing is left, and all begins anew in the form
    that is asked for."""
    shard = draft.desired.shards[0]
    memory = draft.shard_memory(shard)
    names = [node.name for node in shard.nodes]
    plain = [name for name in names if draft.remembered(name).launches and not is_cluster_node(draft, name)]
    if len(draft.desired.shards) > 1 or memory.primary not in names or (not plain and draft.form.clustered):
        return
    if draft.running(memory.primary) or not draft.remembered(memory.primary).launches or is_holder_hidden(draft, memory):
        return
    others = [name for name in names if name != memory.primary]
    heirs = candidates(draft, memory, others)
    if not heirs:
        heirs = last_resorts(draft, memory, others, asked=asked_for(shard, memory))
    best = [name for name in heirs if _offset(draft, name) == _offset(draft, heirs[0])]
    fit = [name for name in best if draft.remembered(name).form == draft.form] or heirs
    if fit and fit[0] in plain:
        decide(draft, memory, fit[0])
        _reshape(draft, Shape.REPLICATED)
    elif not heirs and not draft.form.clustered and not must_wait(draft, memory.primary, names):
        _reshape(draft, Shape.REPLICATED)


def _offset(draft: Draft, name: str) -> int:
    view = draft.live(name)
    return view.offset if view is not None else -1


def _reshape(draft: Draft, shape: Shape) -> None:
    """Saved with this pass, in which the planner of the new shape goes on."""
    clustered = shape is Shape.CLUSTERED
    shard = draft.desired.shards[0]
    shards = (replace(shard, slots=ALL_SLOTS if clustered else ()),)
    _desire(draft, shape=shape, shards=shards)
    draft.memory.slots = {shard.shard_id: ALL_SLOTS} if clustered else {}
    draft.memory.moves = []


def _desire(draft: Draft, **changes: Any) -> None:
    draft.desired = draft.changed = replace(draft.changed or draft.desired, **changes)


def _end_rivals(draft: Draft) -> None:
    """Who had the role in the other form goes on as a primary where it could not be told otherwise. It has nothing that its
    heir has not, and no endpoint."""
    memory = draft.shard_memory(draft.desired.shards[0])
    if len(draft.desired.shards) > 1 or memory.primary not in draft.memory.nodes or not memory.taken:
        return
    heir = draft.live(memory.primary)
    if heir is None or not heir.primary:
        return
    clustered = is_cluster_node(draft, memory.primary)
    for node in draft.desired.nodes:
        known = draft.memory.nodes.get(node.name)
        view = draft.live(node.name) if known is not None else None
        if known is None or view is None or node.name == memory.primary or is_cluster_node(draft, node.name) == clustered:
            continue
        if view.primary:
            launch_anew(draft, known)
            draft.act(Stop(node=node.name, incarnation=draft.current(node.name), kill=True))


def launch_anew(draft: Draft, known: NodeMemory) -> None:
    """Its launch is to end on purpose (planning.rolling)."""
    known.roll_of = known.launches
    draft.modifying = draft.waiting = True


# --- the role ------------------------------------------------------------------------------------------------------


def promotion(draft: Draft, node: str, bind: tuple[str, ...]) -> Promote | PromoteInCluster:
    """Gives the role to a node that is planned for without cluster mode, whichever form it has."""
    return PromoteInCluster(node=node, bind=bind) if is_cluster_node(draft, node) else Promote(node=node, bind=bind)


def hand_over(draft: Draft, memory: ShardMemory, to: str) -> bool:
    """Give the role to a node of the other form; False when it has the same. The decision is saved first."""
    old = memory.primary
    into = is_cluster_node(draft, to)
    if is_cluster_node(draft, old) == into:
        return False
    decide(draft, memory, to)
    draft.actions[:] = [action for action in draft.actions if isinstance(action, Launch | Stop | Erase)]
    draft.act(mode_action(draft, old, to))
    if not into:
        _reshape(draft, Shape.REPLICATED)
    return True


def mode_action(draft: Draft, old: str, to: str) -> ChangeMode:
    """Both endpoints go to the new primary: nobody else can serve readers of the mode that it has."""
    into = is_cluster_node(draft, to)
    endpoints = (draft.endpoint(EndpointRole.PRIMARY), draft.endpoint(EndpointRole.READER))
    held = {
        address for name in draft.memory.nodes if name not in (old, to) and (view := draft.live(name)) for address in view.bound
    }
    return ChangeMode(
        node=old,
        to=draft.address(to),
        to_bind=tuple(address for address in endpoints if address and address not in held),
        into_cluster=into,
        others=() if into else plain_hosts(draft, but=(old, to)),
    )


def plain_hosts(draft: Draft, but: Sequence[str]) -> tuple[str, ...]:
    """Hosts of live nodes that can be told to follow another."""
    return tuple(
        draft.address(name)
        for name in draft.memory.nodes
        if name not in but and draft.live(name) is not None and not is_cluster_node(draft, name)
    )


def launch_beside_cluster(draft: Draft, memory: ShardMemory, name: str) -> str | None:
    """The host to follow for a node that is launched without cluster mode while the primary is a cluster node; None for not
    now."""
    view = draft.live(memory.primary)
    return draft.address(memory.primary) if name != memory.primary and view is not None and view.primary else None


def lead_plain(draft: Draft) -> None:
    """Nodes without cluster mode follow the primary that the cluster has by now."""
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        primary = draft.live(memory.primary)
        if primary is None or not primary.primary or not memory.taken or not is_cluster_node(draft, memory.primary):
            continue
        host = draft.address(memory.primary)
        for node in shard.nodes:
            view = draft.live(node.name)
            if view is not None and not is_cluster_node(draft, node.name) and not view.primary and view.follows != host:
                draft.act(Follow(node=node.name, host=host, bind=()))


def settle(draft: Draft) -> None:
    """Cluster nodes that followed a stand-in forget it when they follow somebody real, and watch the others from then on."""
    ids = {stand_in(draft.desired.uid, known.address) for known in draft.memory.nodes.values()}
    for name in draft.memory.nodes:
        view = draft.live(name)
        if view is None or view.cluster is None:
            continue
        known = tuple(sorted(ids & set(view.cluster.nodes)))
        mine = view.cluster.nodes[view.cluster.my_id]
        if known and (bool(mine.slots) if mine.primary else mine.primary_id not in ids):
            draft.act(SettleInCluster(node=name, engine_ids=known))


# --- a change that cannot be done ----------------------------------------------------------------------------------


def _take_back(draft: Draft) -> None:
    """As long as no primary has the new form: back to the mode that the group was in."""
    desired, memory = draft.desired, draft.memory
    to_cluster = desired.cluster_mode != DISABLED
    if to_cluster == (desired.shape is Shape.CLUSTERED):
        return
    primary = memory.shards[desired.shards[0].shard_id].primary
    if primary not in memory.nodes or is_cluster_node(draft, primary) == to_cluster:
        return
    why = _obstacle(draft, primary) if to_cluster else _failed_launch(draft)
    if not why:
        return
    settled = memory.settled
    group = settled.parameter_group if settled is not None else desired.parameter_group
    _desire(draft, cluster_mode=memory.mode, parameter_group=group)
    asked = f"Failed changing cluster mode of replication group {draft.name} to {desired.cluster_mode}"
    draft.tell_group(f"{asked}: {why}. It stays {memory.mode}")
    for known in memory.nodes.values():
        known.failures, known.failure, known.retry_at = 0, "", 0.0


def _obstacle(draft: Draft, primary: str) -> str:
    view = draft.live(primary)
    if view is not None and view.primary and view.other_databases:
        return "there are keys outside database 0, which clusters do not have; move or delete them first"
    for name in draft.memory.nodes:
        view = draft.live(name)
        if view is not None and view.stream_errors and is_cluster_node(draft, name) and not draft.retires(name):
            return "a client used a database other than 0, which clusters do not have"
    return _failed_launch(draft)


def _failed_launch(draft: Draft) -> str:
    tries = [known for known in draft.memory.nodes.values() if known.form == draft.form and not known.became_ready]
    return next((known.failure for known in tries if known.failures >= draft.rules.create_attempts), "")


# --- endpoints -----------------------------------------------------------------------------------------------------


def client_addresses(draft: Draft, name: str, view: NodeView) -> tuple[str, ...]:
    """Endpoints of clients without cluster mode, which they go on to use while the primary is a cluster node: that one serves
    all of them, since a cluster's replicas send whoever did not say READONLY there."""
    if draft.desired.cluster_mode == "enabled" or not view.primary or view.cluster is None:
        return ()
    if not view.cluster.nodes[view.cluster.my_id].slots:
        return ()
    others = (live for other in draft.memory.nodes if other != name and (live := draft.live(other)) is not None)
    held = {address for live in others for address in live.bound}
    endpoints = (draft.endpoint(role) for role in (EndpointRole.PRIMARY, EndpointRole.READER))
    return tuple(address for address in endpoints if address and address not in held)


def _superfluous(draft: Draft) -> list[str]:
    if draft.desired.shape is Shape.REPLICATED:
        return [role for role in (EndpointRole.CONFIGURATION,) if role in draft.memory.endpoints]
    lost = (EndpointRole.PRIMARY, EndpointRole.READER) if draft.desired.cluster_mode == "enabled" else ()
    return [role for role in lost if role in draft.memory.endpoints]


def _release_endpoints(draft: Draft) -> None:
    """Their addresses are free when nobody listens on them any more."""
    unheard = any(draft.running(name) and draft.live(name) is None for name in draft.memory.nodes)
    bound = {address for name in draft.memory.nodes if (view := draft.live(name)) for address in view.bound}
    for role in _superfluous(draft):
        if not unheard and draft.memory.endpoints[role] not in bound:
            del draft.memory.endpoints[role]
        draft.waiting = True
