"""Cluster mode disabled: one shard, one primary, replicas, a primary and a reader endpoint. Also standalone nodes.

Decides who is primary (saved before it is done), who follows whom, and which addresses each node listens on. A node is only
ever started without a role, or as a replica: an engine whose group has live replicas never comes back as an empty primary.
"""

from __future__ import annotations

from cachefleet.model.group import DesiredShard, EndpointRole, ShardMemory
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import ChangeMode, Erase, Follow, Launch, Stop, Switch
from cachefleet.model.temporary import is_temporary
from cachefleet.planning.draft import Draft
from cachefleet.planning.endpoints import follows, in_sync_with, lead_reader, primary_bind, role_endpoints, unclaimed
from cachefleet.planning.handover import asked_for, begin, note_done
from cachefleet.planning.lifecycle import begin_reboot, launch_missing
from cachefleet.planning.mode_change import hand_over, is_cluster_node, launch_anew, mode_action, plain_hosts, promotion
from cachefleet.planning.rolling import roll
from cachefleet.planning.succession import (
    able_to_begin,
    candidates,
    decide,
    is_blank,
    is_holder_hidden,
    last_resorts,
    must_wait,
    note_headless,
    note_sync,
    note_taken,
)
from cachefleet.planning.transit import linking_port


def plan_replicated(draft: Draft) -> None:
    shard = draft.desired.shards[0]
    memory = draft.shard_memory(shard)
    names = [node.name for node in shard.nodes]
    if memory.primary not in names:
        _choose_first(draft, shard, memory)
    _note_carried_out(draft, memory)
    _replace_dead_primary(draft, shard, memory)
    launch_missing(draft, names, lambda node: _follow_on_launch(draft, names, memory, node))
    primary_view = draft.live(memory.primary)
    _give_roles(draft, names, memory, primary_view)
    in_sync = [name for name in names if in_sync_with(draft, name, memory.primary)]
    if primary_view is not None and primary_view.primary:
        note_sync(draft, names, memory.primary, in_sync)
    lead_reader(draft, names, memory, in_sync)
    for node in shard.nodes:
        if _is_ready(draft, node.name, memory, in_sync):
            draft.mark_ready(node)
    note_done(shard, memory)
    _reboot(draft, shard, memory, in_sync)
    _hand_over(draft, shard, memory, in_sync)
    _return_role(draft, memory, in_sync)
    roll(draft, lambda shard, memory, to: _switch(draft, memory, to))


# --- who is primary ------------------------------------------------------------------------------------------------


def _choose_first(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    """At creation the first node; later (the primary was removed) the most advanced replica."""
    survivors = candidates(draft, memory, [node.name for node in shard.nodes])
    decide(draft, memory, survivors[0] if survivors else shard.nodes[0].name)


def _replace_dead_primary(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    """Promotion needs proof of death: the process has ended. (A rebooting primary has ended, too, but on purpose.)"""
    old = memory.primary
    others = [node.name for node in shard.nodes if node.name != old]
    if not draft.remembered(old).launches or (draft.running(old) and not is_blank(draft, old, others)):
        return
    holder = next((name for name in others if _leads(draft, name)), "")
    if holder:
        _adopt(draft, others, memory, holder)  # the heir of a hand-over died before it had the role
        return
    heirs = candidates(draft, memory, others)
    if not heirs and not memory.taken and memory.previous in others:
        heirs = _given_back(draft, memory.previous)
    if not heirs:
        wanted = last_resorts(draft, memory, others, asked=asked_for(shard, memory))
        heirs = [name for name in wanted if shard.handover_to in ("", name)]
    if not heirs:
        note_headless(draft, shard, memory)
        heirs = able_to_begin(draft, memory, others)
    if not heirs:
        return
    if not draft.desired.automatic_failover and not memory.return_to and not asked_for(shard, memory):
        memory.return_to = old
    memory.handing_from = old if asked_for(shard, memory) else ""
    decide(draft, memory, heirs[0])


def _given_back(draft: Draft, previous: str) -> list[str]:
    """Who gave the role to an heir that has ended, and still has what there was: nobody else has it. A cluster node may have
    given its slots up already."""
    return [previous] if draft.live(previous) is not None and draft.remembered(previous).became_ready else []


def _leads(draft: Draft, name: str) -> bool:
    """It has the primary role. A cluster node that has just been launched says that it is a primary, too: of nothing."""
    view = draft.live(name)
    return view is not None and view.primary and (view.cluster is None or bool(view.cluster.nodes[view.cluster.my_id].slots))


def _note_carried_out(draft: Draft, memory: ShardMemory) -> None:
    """Who had the role follows its heir: the hand-over was done, also when the heir cannot be seen."""
    view = draft.live(memory.previous) if memory.previous in draft.memory.nodes else None
    if not memory.taken and view is not None and follows(view, draft.address(memory.primary)):
        note_taken(draft, memory)


def _follow_on_launch(draft: Draft, names: list[str], memory: ShardMemory, node: str) -> str | None:
    """The host to replicate from, "" to wait for a role, None for not now: a promotion comes before everything else, and a
    primary does not start empty while replicas run that may hold its data. A cluster node with nobody to follow would take
    itself for a primary."""
    if node != memory.primary:
        view = draft.live(memory.primary)
        if view is not None and view.primary:
            return draft.address(memory.primary)
        return None if draft.memory.provisioned and (not memory.taken or draft.form.clustered) else ""
    return None if must_wait(draft, node, names) else ""


# --- roles and addresses -------------------------------------------------------------------------------------------


def _give_roles(draft: Draft, names: list[str], memory: ShardMemory, primary_view: NodeView | None) -> None:
    primary = memory.primary
    if primary_view is None:
        return
    if not primary_view.primary:
        if memory.headless:
            return
        rivals = [name for name in names if name != primary and _leads(draft, name)]
        if not rivals and is_holder_hidden(draft, memory):
            draft.waiting = True
            draft.why[primary] = f"waits for word from {memory.previous}, which had the role"
        elif not rivals:
            draft.act(promotion(draft, primary, unclaimed(draft, primary, primary_bind(draft, names, memory))))
        elif in_sync_with(draft, primary, rivals[0]) and not memory.taken:
            draft.act(_switch_action(draft, rivals[0], primary))
        else:
            _adopt(draft, names, memory, rivals[0])  # a hand-over that failed, or one made by hand
        return
    note_taken(draft, memory)
    host, port = draft.address(primary), linking_port(draft.desired, draft.memory, primary)
    for name in names:
        view = draft.live(name)
        if name == primary or view is None or (follows(view, host) and view.follows_port in (0, port)):
            continue
        if is_cluster_node(draft, name):
            launch_anew(draft, draft.remembered(name))  # it cannot be told
        else:
            draft.act(Follow(node=name, host=host, bind=()))


def _is_ready(draft: Draft, name: str, memory: ShardMemory, in_sync: list[str]) -> bool:
    view = draft.live(name)
    if view is None:
        draft.why.setdefault(name, draft.why_not_live(name))
        return False
    leads = view.primary and set(role_endpoints(draft)) <= set(view.bound)
    ready = leads if name == memory.primary else name in in_sync
    if not ready:
        draft.why.setdefault(name, "takes its role" if name == memory.primary else "is being synchronised with its primary")
    return ready


# --- reboots and roles that come back ------------------------------------------------------------------------------


def _adopt(draft: Draft, names: list[str], memory: ShardMemory, holder: str) -> None:
    """Who has the role shall keep it. It is given the role once more, since a hand-over that was broken off may have left it
    without its endpoint and its writers paused."""
    decide(draft, memory, holder)
    draft.act(promotion(draft, holder, unclaimed(draft, holder, primary_bind(draft, names, memory))))


def _reboot(draft: Draft, shard: DesiredShard, memory: ShardMemory, in_sync: list[str]) -> None:
    """A primary with a replica in sync hands its role over first and gets it back afterwards (AWS loses the data here)."""
    for node in shard.nodes:
        if node.reboots <= draft.remembered(node.name).reboots or not draft.running(node.name):
            continue
        if node.name == memory.primary and in_sync:
            memory.return_to = memory.return_to or node.name
            _switch(draft, memory, in_sync[0])
            return
        begin_reboot(draft, node.name, node.reboots)
        return  # one at a time


def _return_role(draft: Draft, memory: ShardMemory, in_sync: list[str]) -> None:
    home = memory.return_to
    if not home or draft.actions:
        return
    if home == memory.primary or home not in draft.memory.nodes:
        memory.return_to = ""
    elif home in in_sync and not _reboot_due(draft, home) and not draft.is_outdated(home):
        memory.return_to = ""
        _switch(draft, memory, home)


def _reboot_due(draft: Draft, name: str) -> bool:
    return any(node.name == name and node.reboots > draft.remembered(name).reboots for node in draft.desired.nodes)


def _hand_over(draft: Draft, shard: DesiredShard, memory: ShardMemory, in_sync: list[str]) -> None:
    """TestFailover, or a primary that was chosen by hand. It waits until there is a replica in sync."""
    to = begin(draft, shard, memory, in_sync)
    if to:
        memory.return_to = ""
        _switch(draft, memory, to)


def _switch(draft: Draft, memory: ShardMemory, to: str) -> None:
    """Planned hand-over. The decision is saved first: if we die in the middle, the next pass does the rest of it, or takes
    the decision back when the old primary went on. Nothing else touches roles and addresses meanwhile."""
    old = memory.primary
    if hand_over(draft, memory, to):
        return
    decide(draft, memory, to)
    draft.actions[:] = [action for action in draft.actions if isinstance(action, Launch | Stop | Erase)]
    draft.act(_switch_action(draft, old, to))


def _switch_action(draft: Draft, old: str, to: str) -> Switch | ChangeMode:
    """The primary endpoint goes along with the role, and the reader endpoint the other way if `to` has it; not to a node that
    is about to end: then `to` has both."""
    if is_cluster_node(draft, old) != is_cluster_node(draft, to):
        return mode_action(draft, old, to)
    bound, bound_old = (view.bound if (view := draft.live(name)) is not None else () for name in (to, old))
    reader = draft.endpoint(EndpointRole.READER)
    ends = is_temporary(old) or draft.is_outdated(old)
    keeps_reader = reader and ends and reader in (*bound, *bound_old)
    return Switch(
        node=old,
        to=draft.address(to),
        to_bind=(*role_endpoints(draft), *((reader,) if keeps_reader else ())),
        from_bind=(reader,) if reader and not ends and reader in bound else (),
        others=plain_hosts(draft, but=(old, to)),
    )
