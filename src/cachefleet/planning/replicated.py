"""Cluster mode disabled: one shard, one primary, replicas, a primary and a reader endpoint. Also standalone nodes.

Decides who is primary (saved before it is done), who follows whom, and which addresses each node listens on. A node is only
ever started without a role, or as a replica: an engine whose group has live replicas never comes back as an empty primary.
"""

from __future__ import annotations

from cachefleet.model.group import DesiredShard, EndpointRole, ShardMemory
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Follow, Promote, Spread, Switch
from cachefleet.planning.draft import Draft
from cachefleet.planning.lifecycle import begin_reboot, launch_missing
from cachefleet.planning.listening import bind_when_possible, hand_when_possible
from cachefleet.planning.succession import candidates, decide, must_wait, tell_failover


def plan_replicated(draft: Draft) -> None:
    shard = draft.desired.shards[0]
    memory = draft.shard_memory(shard)
    names = [node.name for node in shard.nodes]
    if memory.primary not in names:
        _choose_first(draft, shard, memory)
    _replace_dead_primary(draft, names, memory)
    launch_missing(draft, names, lambda node: _follow_on_launch(draft, names, memory, node))
    primary_view = draft.live(memory.primary)
    _give_roles(draft, names, memory, primary_view)
    in_sync = [name for name in names if _in_sync(draft, name, memory.primary)]
    _lead_reader(draft, names, memory, in_sync)
    for node in shard.nodes:
        if _is_ready(draft, node.name, memory, in_sync):
            draft.mark_ready(node)
    _reboot(draft, shard, memory, in_sync)
    _return_role(draft, memory, in_sync)


# --- who is primary ------------------------------------------------------------------------------------------------


def _choose_first(draft: Draft, shard: DesiredShard, memory: ShardMemory) -> None:
    """At creation the first node; later (the primary was removed) the most advanced replica."""
    survivors = candidates(draft, [node.name for node in shard.nodes])
    decide(draft, memory, survivors[0] if survivors else shard.nodes[0].name)


def _replace_dead_primary(draft: Draft, names: list[str], memory: ShardMemory) -> None:
    """Promotion needs proof of death: the process has ended. (A rebooting primary has ended, too, but on purpose.)"""
    old = memory.primary
    if not draft.remembered(old).launches or draft.running(old):
        return
    heirs = candidates(draft, [name for name in names if name != old])
    if not heirs:
        return
    if not draft.desired.automatic_failover and not memory.return_to:
        memory.return_to = old
    decide(draft, memory, heirs[0])
    tell_failover(draft, old, heirs[0])


def _follow_on_launch(draft: Draft, names: list[str], memory: ShardMemory, node: str) -> str | None:
    """The host to replicate from, "" to wait for a role, None for not now: a promotion comes before everything else, and a
    primary does not start empty while replicas run that may hold its data."""
    if node != memory.primary:
        view = draft.live(memory.primary)
        if view is not None and view.primary:
            return draft.address(memory.primary)
        return None if draft.memory.provisioned and not memory.taken else ""
    return None if must_wait(draft, node, names) else ""


# --- roles and addresses -------------------------------------------------------------------------------------------


def _give_roles(draft: Draft, names: list[str], memory: ShardMemory, primary_view: NodeView | None) -> None:
    primary = memory.primary
    if primary_view is None:
        return
    if not primary_view.primary:
        rivals = [name for name in names if name != primary and (view := draft.live(name)) is not None and view.primary]
        if not rivals:
            draft.act(Promote(node=primary, bind=_free_for(draft, primary, _primary_bind(draft, names, memory))))
        elif _in_sync(draft, primary, rivals[0]) and not memory.taken:
            draft.act(_switch_action(draft, rivals[0], primary))
        else:
            decide(draft, memory, rivals[0])  # a hand-over that failed, or one made by hand: the truth is adopted
        return
    memory.taken = True
    host = draft.address(primary)
    for name in names:
        view = draft.live(name)
        if name != primary and view is not None and not _follows(view, host):
            draft.act(Follow(node=name, host=host, bind=()))


def _follows(view: NodeView, host: str) -> bool:
    return not view.primary and view.follows == host


def _primary_bind(draft: Draft, names: list[str], memory: ShardMemory) -> list[str]:
    """The primary serves its endpoint, and the reader endpoint while there is no replica in sync. At creation the reader
    endpoint waits for the first replica: nobody has been given it yet."""
    wanted = [draft.endpoint(EndpointRole.PRIMARY)]
    awaits_replicas = not draft.memory.provisioned and len(names) > 1
    if not awaits_replicas and not any(_in_sync(draft, name, memory.primary) for name in names):
        wanted.append(draft.endpoint(EndpointRole.READER))
    return [address for address in wanted if address]


def _free_for(draft: Draft, node: str, addresses: list[str]) -> tuple[str, ...]:
    """Those that no other live node listens on at present; an address moves only after it was let go."""
    taken = {address for name in draft.memory.nodes if name != node and (view := draft.live(name)) for address in view.bound}
    return tuple(address for address in addresses if address not in taken)


def _in_sync(draft: Draft, name: str, primary: str) -> bool:
    """It has its primary's data, and gets every further write at once."""
    view, primary_view = draft.live(name), draft.live(primary)
    if view is None or primary_view is None or name == primary or not _follows(view, draft.address(primary)):
        return False
    return view.link_up and not view.syncing and draft.address(name) in primary_view.streams_to


def _lead_reader(draft: Draft, names: list[str], memory: ShardMemory, in_sync: list[str]) -> None:
    """The reader endpoint is bound by one replica in sync (the one that has it, if it may keep it), by the primary while
    there is none; where the kernel can, it spreads new connections over all replicas."""
    reader = draft.endpoint(EndpointRole.READER)
    holder = _reader_holder(draft, reader, in_sync)
    settled = {name: view for name in names if (view := draft.live(name)) is not None and _has_role(draft, name, view, memory)}
    giver = next((name for name, view in settled.items() if holder not in ("", name) and reader in view.bound), "")
    if giver:
        keeps = _primary_bind(draft, names, memory) if giver == memory.primary else []
        hand_when_possible(draft, reader, giver, holder, keeps)
    for name, view in settled.items():
        if giver and name in (giver, holder):
            continue
        wanted = _primary_bind(draft, names, memory) if name == memory.primary else []
        if name == holder:
            wanted.append(reader)
        bind_when_possible(draft, name, view, _free_for(draft, name, wanted))
    targets = tuple(sorted(draft.address(name) for name in in_sync)) if len(in_sync) > 1 else ()
    if reader and draft.observed.can_spread and targets != draft.observed.spread:
        draft.act(Spread(node=memory.primary, address=reader, port=draft.desired.port, targets=targets))


def _has_role(draft: Draft, name: str, view: NodeView, memory: ShardMemory) -> bool:
    """Others are being given theirs, which sets their addresses, too."""
    return view.primary if name == memory.primary else _follows(view, draft.address(memory.primary))


def _reader_holder(draft: Draft, reader: str, in_sync: list[str]) -> str:
    if not reader or not in_sync:
        return ""
    for name in in_sync:
        view = draft.live(name)
        if view is not None and reader in view.bound:
            return name
    return in_sync[0]


def _is_ready(draft: Draft, name: str, memory: ShardMemory, in_sync: list[str]) -> bool:
    view = draft.live(name)
    if view is None:
        draft.why.setdefault(name, _why_not_live(draft, name))
        return False
    if name == memory.primary:
        ready = view.primary and draft.endpoint(EndpointRole.PRIMARY) in ("", *view.bound)
    else:
        ready = name in in_sync
    if not ready:
        draft.why.setdefault(name, "takes its role" if name == memory.primary else "is being synchronised with its primary")
    return ready


def _why_not_live(draft: Draft, name: str) -> str:
    if not draft.running(name):
        return "has no engine process"
    view = draft.observed.views.get(name)
    return view.why if view is not None and view.why else "has not answered yet"


# --- reboots and roles that come back ------------------------------------------------------------------------------


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
    elif home in in_sync and not _reboot_due(draft, home):
        memory.return_to = ""
        _switch(draft, memory, home)


def _reboot_due(draft: Draft, name: str) -> bool:
    return any(node.name == name and node.reboots > draft.remembered(name).reboots for node in draft.desired.nodes)


def _switch(draft: Draft, memory: ShardMemory, to: str) -> None:
    """Planned hand-over. The decision is saved first: if we die in the middle, the next pass does the rest of it, or takes
    the decision back when the old primary went on."""
    old = memory.primary
    decide(draft, memory, to)
    draft.actions.clear()
    draft.act(_switch_action(draft, old, to))
    tell_failover(draft, old, to)


def _switch_action(draft: Draft, old: str, to: str) -> Switch:
    """The primary endpoint goes along with the role, and the reader endpoint the other way if `to` has it."""
    view = draft.live(to)
    primary, reader = draft.endpoint(EndpointRole.PRIMARY), draft.endpoint(EndpointRole.READER)
    return Switch(
        node=old,
        to=draft.address(to),
        to_bind=(primary,) if primary else (),
        from_bind=(reader,) if reader and view is not None and reader in view.bound else (),
        others=tuple(draft.address(name) for name in draft.memory.nodes if name not in (old, to) and draft.live(name)),
    )
