"""The planner of a group: desired, observed and memory in; actions, new memory, status and events out. Pure.

Called by the controller on every pass, by tests and by the simulation. Each shape has a module of its own.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.event import NoticeName
from cachefleet.model.group import IN_SYNC, EndpointRole, GroupDesired, GroupMemory, GroupStatus, NodeStatus, Shape
from cachefleet.model.observed import Observed
from cachefleet.model.plan import Plan, Spread
from cachefleet.model.temporary import is_temporary, temporary_of
from cachefleet.planning import lifecycle
from cachefleet.planning.access import admit
from cachefleet.planning.addresses import take_offers, wanted
from cachefleet.planning.automatic_updates import begin_update, tell_offered
from cachefleet.planning.clustered import plan_clustered
from cachefleet.planning.departure import depart
from cachefleet.planning.draft import Draft
from cachefleet.planning.endpoint_ports import endpoint_ports, reader_port
from cachefleet.planning.guarding import note_guarded, protect, unprotect
from cachefleet.planning.load_balance import balance_load
from cachefleet.planning.memcached import DISCOVERY, discovery_node, plan_memcached
from cachefleet.planning.memcached_restoring import fill_nodes
from cachefleet.planning.memory_use import note_use
from cachefleet.planning.mode_change import change_mode, note_mode
from cachefleet.planning.node_count import note_count, note_lack
from cachefleet.planning.parameters import apply_parameters
from cachefleet.planning.pending import begin_due, take_along
from cachefleet.planning.refilling import begin_refill, end_refill
from cachefleet.planning.replicated import plan_replicated
from cachefleet.planning.restoring import fill, forget_feeds
from cachefleet.planning.resync import relieve
from cachefleet.planning.settling import note_settled, take_back
from cachefleet.planning.silence import give_up
from cachefleet.planning.sizes import resize
from cachefleet.planning.succession import note_data
from cachefleet.planning.temporaries import effective, lasting, lasting_nodes
from cachefleet.planning.transit import certify, choose_links, encrypt_links
from cachefleet.planning.update_course import note_update
from cachefleet.settings import ControlSettings

MOVING_S = 0.05  # while slots are on their way; how far they are is not announced
_SHAPES = {Shape.REPLICATED: plan_replicated, Shape.CLUSTERED: plan_clustered, Shape.MEMCACHED: plan_memcached}


def plan_group(
    name: str,
    replication_group: bool,
    desired: GroupDesired,
    observed: Observed,
    memory: GroupMemory,
    now: float,
    rules: ControlSettings,
) -> Plan:
    """now: epoch seconds. replication_group: False for a standalone or Memcached cluster."""
    draft = Draft(name, replication_group, effective(desired, memory), observed, memory, now, rules)
    lifecycle.follow_clock(draft)
    if desired.deleting:
        return _plan_deletion(draft)
    if not memory.failure:
        _plan_life(draft)
    if draft.memory.failure:
        return _plan_failure(draft, told=bool(memory.failure))
    return Plan(
        memory=draft.memory,
        status=_status(draft),
        actions=tuple(draft.actions),
        events=tuple(draft.events),
        look_again_s=_look_again_s(draft),
        desired=_lasting_desired(draft),
    )


def _lasting_desired(draft: Draft) -> GroupDesired | None:
    """See Plan.desired. What a group was restored from is no part of it once it is available."""
    changed = draft.changed
    if not draft.memory.unfilled and draft.desired.restore is not None:
        changed = replace(changed or draft.desired, restore=None)
    return None if changed is None else lasting(changed)


def _plan_life(draft: Draft) -> None:
    complete = take_offers(draft)
    note_lack(draft, complete)
    if not complete:
        draft.waiting = True
        addressless = [node.name for node in draft.desired.nodes if not draft.address(node.name)]
        draft.why.update(dict.fromkeys(addressless, draft.observed.no_addresses or "has no address yet"))
        if not draft.memory.provisioned:
            draft.memory.failure = draft.observed.no_addresses
            return
    protect(draft)
    keep = {node.name for node in draft.desired.nodes}
    if draft.desired.shape is Shape.MEMCACHED:
        keep.add(discovery_node(draft.name))
    lifecycle.clear_stale(draft)
    nodes = [name for name in draft.memory.nodes if name in keep]
    lifecycle.note_ends(draft, nodes)
    if begin_refill(draft):
        return
    fill(draft)
    fill_nodes(draft)
    lifecycle.note_failures(draft, nodes)
    note_data(draft, nodes)
    choose_links(draft)
    change_mode(draft)
    take_back(draft)
    if draft.memory.failure or take_along(draft):
        return
    lifecycle.continue_reboots(draft, nodes)
    give_up(draft, nodes)
    _SHAPES[draft.desired.shape](draft)
    depart(draft, keep)
    relieve(draft)
    lifecycle.note_ready(draft, nodes)
    note_use(draft)
    resize(draft)
    apply_parameters(draft)
    admit(draft)
    encrypt_links(draft)
    certify(draft)
    end_refill(draft)
    if (
        not draft.memory.provisioned
        and all(node.name in draft.ready for node in draft.desired.nodes)
        and _endpoints_lead(draft)
    ):
        draft.memory.provisioned = True
        forget_feeds(draft)
        _tell_created(draft)
    note_guarded(draft)
    note_count(draft)
    balance_load(draft)
    note_mode(draft)
    note_update(draft)
    note_settled(draft)
    begin_due(draft)
    begin_update(draft)
    tell_offered(draft)


def _endpoints_lead(draft: Draft) -> bool:
    """Every endpoint is served by someone."""
    if draft.desired.shape is Shape.MEMCACHED:
        return discovery_node(draft.name) in draft.ready
    bound = {address for name in draft.memory.nodes if (view := draft.live(name)) is not None for address in view.bound}
    return all(address in bound for address in draft.memory.endpoints.values())


def _tell_created(draft: Draft) -> None:
    for node in draft.desired.nodes:
        draft.remembered(node.name).introduced = True
        draft.tell_node(node.name, f"Added cache node {node.node_id} in availability zone {node.zone}")
    draft.tell_clusters("Cache cluster created", NoticeName.CACHE_CLUSTER_PROVISIONING_COMPLETE)
    draft.tell_group(f"Replication group {draft.name} created", NoticeName.CREATE_REPLICATION_GROUP_COMPLETE)
    if draft.desired.automatic_failover:
        draft.tell_group(f"Automatic failover has been turned on for replication group {draft.name}")


def _plan_deletion(draft: Draft) -> Plan:
    cleared = lifecycle.clear_all(draft)
    _unspread(draft)
    if cleared:
        unprotect(draft)
    finished = cleared and not draft.actions
    if finished:
        draft.tell_clusters("Cache cluster deleted", NoticeName.DELETE_CACHE_CLUSTER_COMPLETE)
        draft.tell_group(f"Replication group {draft.name} deleted")
    nodes = {name: NodeStatus("deleting", known.address) for name, known in draft.memory.nodes.items()}
    status = GroupStatus("deleting", nodes, {}, "")
    return Plan(
        memory=draft.memory,
        status=status,
        actions=tuple(draft.actions),
        events=tuple(draft.events),
        look_again_s=0.5,
        finished=finished,
    )


def _plan_failure(draft: Draft, told: bool) -> Plan:
    """A creation that was given up: everything is cleared away, the row stays and says why, until it is deleted."""
    draft.actions.clear()
    if lifecycle.clear_all(draft):
        unprotect(draft)
    for known in draft.memory.nodes.values():
        known.address = ""
    draft.memory.endpoints = {}
    why = draft.memory.failure
    if not told:
        done = "restore" if draft.memory.unrestorable else "create"
        message = f"Failed to {done} the cache cluster: {why}"
        if why == draft.observed.no_addresses:
            message = f"Failed to create the cache cluster due to incompatible network state. {why}"
        draft.tell_clusters(message, NoticeName.CACHE_CLUSTER_PROVISIONING_FAILED)
        draft.tell_group(f"Failed to {done} replication group {draft.name}: {why}")
    nodes = {node.name: NodeStatus("failed", "", "", why) for node in draft.desired.nodes}
    return Plan(
        memory=draft.memory,
        status=GroupStatus("create-failed", nodes, {}, why),
        actions=tuple(draft.actions),
        events=tuple(draft.events),
        look_again_s=0.5 if draft.actions else 3600.0,
    )


def _unspread(draft: Draft) -> None:
    reader = draft.memory.endpoints.get(EndpointRole.READER, "")
    if reader and draft.observed.spread:
        draft.act(Spread(node=draft.name, address=reader, port=reader_port(draft.desired, draft.memory), targets=()))


def _status(draft: Draft) -> GroupStatus:
    lasting = lasting_nodes(draft.desired.nodes)
    nodes = {node.name: _node_status(draft, node.name, node.reboots) for node in lasting}
    states = {status.state for status in nodes.values()}
    if not draft.memory.provisioned:
        state = "creating"
    elif "rebooting" in states:
        state = "rebooting"
    elif "creating" in states or _is_changing(draft):
        state = "modifying"
    else:
        state = "snapshotting" if draft.desired.snapshotting else "available"
    waits = [name for name in sorted(draft.why) if name not in draft.ready and not is_temporary(name)]
    why = "; ".join([*(f"{name} {draft.why[name]}" for name in waits), *draft.holds.values()])
    endpoints = dict(draft.memory.endpoints) if draft.memory.provisioned else {}
    return GroupStatus(state, nodes, endpoints, why, endpoint_ports(draft))


def _is_changing(draft: Draft) -> bool:
    under_way = draft.modifying or draft.changed is not None or draft.memory.refilling or _is_leaving(draft)
    return under_way or bool(wanted(draft.desired, draft.memory, draft.replication_group))


def _is_leaving(draft: Draft) -> bool:
    """A node that is no longer desired is still there."""
    return any(not draft.is_desired(name) and not name.endswith(DISCOVERY) for name in draft.memory.nodes)


def _node_status(draft: Draft, name: str, reboots: int) -> NodeStatus:
    known = draft.memory.nodes.get(name)
    if known is None:
        return NodeStatus("creating")
    why = "" if name in draft.ready else draft.why.get(name, "")
    if reboots > known.reboots or known.reboot_of:
        state = "rebooting"
    elif known.roll_of:
        state = "modifying"
    elif name in draft.ready:
        state = "snapshotting" if draft.desired.snapshotting else "available"
    else:
        state = "recovering" if known.became_ready or (known.launches and not lifecycle.is_first_launch(known)) else "creating"
    role = ""
    if draft.desired.shape is not Shape.MEMCACHED:
        names = (name, temporary_of(name))
        role = "primary" if any(shard.primary in names for shard in draft.memory.shards.values()) else "replica"
    form = known.form or draft.form
    port = form.port if form.port != draft.desired.port else 0
    return NodeStatus(state, known.address, role, why, port, draft.parameters.get(name, IN_SYNC))


def _look_again_s(draft: Draft) -> float:
    """Soon while something is under way, later the longer nothing has changed, else at the probing interval."""
    if draft.memory.moves and "slots" not in draft.holds:
        return MOVING_S
    settled = all(node.name in draft.ready for node in draft.desired.nodes) and draft.memory.provisioned
    if settled and not draft.actions and not draft.waiting and draft.changed is None:
        return draft.rules.probe_interval_s
    changes = [max(known.launched_at, known.ended_at) for known in draft.memory.nodes.values()]
    changes += [shard.decided_at for shard in draft.memory.shards.values()]
    quiet_s = draft.now - max(changes, default=draft.now)
    crowd = max(1.0, len(draft.memory.nodes) / 20)  # looking at many costs the time that they need themselves
    if quiet_s < 1.0:
        return 0.02 * crowd
    return (0.1 if quiet_s < 5.0 or draft.filling else 0.5) * crowd
