"""Nodes whose launch is not made of what their group asks for by now (engine, version, port, mode) are launched anew. Pure.

In each shard replicas first, one at a time, each only while all other nodes are ready; then the role goes to one of them by a
planned hand-over; then the old primary at once, since it may not understand what the new one sends. Shards in parallel,
hand-overs one after another. A shard with one node gets a temporary replica for that time. Which launch has to end is saved
before it is ended, and no client is sent to it any more by then. Called by the shapes when everything else is planned; how a
role is handed over is theirs to say.
"""

from __future__ import annotations

from collections.abc import Callable

from cachefleet.model.group import DesiredShard, EndpointRole, Shape, ShardMemory
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Stop
from cachefleet.model.temporary import is_temporary
from cachefleet.planning.belonging import is_known_to_others
from cachefleet.planning.draft import Draft
from cachefleet.planning.handover import asked_for
from cachefleet.planning.succession import candidates
from cachefleet.planning.transit import are_links_settled

# Engines before Valkey 8 may list a replica as in sync that gets nothing before its second word to them, a second after the
# first: with an heir that is not in sync writers would be held up for that long.
STEADY_S = 1.2
LEFT_BEHIND_S = 3.0  # a replica that is not in sync for so long does not just take up after a failover

HandOver = Callable[[DesiredShard, ShardMemory, str], None]
"""Gives the role of a shard to its replica of this name: decides (saved before), and acts. The old primary then follows it."""


def is_rolling(draft: Draft) -> bool:
    """Some node has to be launched anew, or was and is not ready yet, or stands in for one."""
    return any(draft.is_outdated(name) or draft.remembered(name).roll_of for name in _names(draft)) or any(
        memory.temporary for memory in draft.memory.shards.values()
    )


def roll(draft: Draft, hand_over: HandOver) -> None:
    """One step in every shard that has outdated nodes."""
    if not is_rolling(draft):
        return
    draft.modifying = draft.waiting = True
    why = _why_not_on(draft)
    if why:
        draft.holds["roll"] = f"nodes are launched anew later: {why}"
    else:
        for shard in draft.desired.shards:
            if _roll_shard(draft, shard, hand_over):
                break  # only one role is on its way at a time
    _end_retired(draft)


def _names(draft: Draft) -> list[str]:
    return [node.name for node in draft.desired.nodes if node.name in draft.memory.nodes]


def _why_not_on(draft: Draft) -> str:
    """What is under way that a roll could disturb, "" when nothing is."""
    if draft.memory.unfilled:
        return "they are being created"
    if draft.memory.moves:
        return "slots are on their way"
    if not are_links_settled(draft):
        return "they are told how to reach each other"
    for name in _names(draft):
        if draft.is_out(name):
            return f"zone {draft.zone(name)} is out"
        if is_temporary(name) and not draft.address(name):
            return f"one that is alone needs a second one meanwhile; {draft.observed.no_addresses or 'it has no address yet'}"
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        if not memory.taken or memory.handing_from or asked_for(shard, memory):
            return f"the role of node group {shard.shard_id} is on its way"
    return ""


def _roll_shard(draft: Draft, shard: DesiredShard, hand_over: HandOver) -> bool:
    """Whether it hands its role over."""
    memory = draft.shard_memory(shard)
    names = [node.name for node in shard.nodes]
    if any(_is_going(draft, name) for name in names):
        return False
    unready = [name for name in names if name not in draft.ready]
    if not draft.is_outdated(memory.primary) and memory.primary not in unready:
        return _finish_shard(draft, shard, memory, unready, hand_over)
    if len(names) == 1:
        memory.temporary = draft.is_outdated(memory.primary)
        return False
    replicas = [name for name in names if draft.is_outdated(name) and name != memory.primary]
    if replicas:
        spare = [name for name in replicas if not set(unready) - {name} and _others_steady(draft, memory, names, name)]
        for name in spare[:1]:
            draft.remembered(name).roll_of = draft.remembered(name).launches
        return False
    heirs = candidates(draft, memory, [name for name in names if name != memory.primary])
    if unready or not heirs or not _is_steady(draft, heirs[0]):
        return False
    hand_over(shard, memory, heirs[0])
    return True


def _is_steady(draft: Draft, name: str) -> bool:
    known = draft.remembered(name)
    return known.became_ready and draft.now - known.ready_at >= STEADY_S


def _others_steady(draft: Draft, memory: ShardMemory, names: list[str], name: str) -> bool:
    """Engines may list a replica as in sync a moment before they stream to it: until they do, it is no spare copy."""
    return all(_is_steady(draft, other) for other in names if other not in (name, memory.primary))


def _finish_shard(draft: Draft, shard: DesiredShard, memory: ShardMemory, unready: list[str], hand_over: HandOver) -> bool:
    """The primary has the new form. Who has the old one may fall behind for ever, so who is behind is launched anew at once;
    where several are, as for a moment after a failover, only those that stay behind. Of those in sync one after the other."""
    names = [node.name for node in shard.nodes]
    replicas = [name for name in names if draft.is_outdated(name)]
    late = [name for name in replicas if name in unready and (len(unready) == 1 or _is_left_behind(draft, name))]
    for name in late or [name for name in replicas if not unready and _others_steady(draft, memory, names, name)][:1]:
        draft.remembered(name).roll_of = draft.remembered(name).launches
    lasting = next(node.name for node in shard.nodes if not is_temporary(node.name))
    if replicas or not memory.temporary:
        return False
    if memory.primary == lasting:
        memory.temporary = False
    elif lasting not in unready and _is_steady(draft, lasting):
        hand_over(shard, memory, lasting)
        return True
    return False


def _is_left_behind(draft: Draft, name: str) -> bool:
    since = draft.remembered(name).lagging_since
    return bool(since) and draft.now - since >= LEFT_BEHIND_S


# --- ending a launch -----------------------------------------------------------------------------------------------


def _is_going(draft: Draft, name: str) -> bool:
    known = draft.remembered(name)
    return bool(known.roll_of) and known.roll_of == known.launches


def _end_retired(draft: Draft) -> None:
    """End launches that are to end, when no client is sent to them any more. A shard whose primary is in doubt keeps what it
    has: it may need it."""
    for shard in draft.desired.shards:
        memory = draft.shard_memory(shard)
        for node in shard.nodes:
            known = draft.remembered(node.name)
            if not _is_going(draft, node.name) or not draft.running(node.name):
                continue
            if known.became_ready and (node.name == memory.primary or not _is_led(draft, memory)):
                known.roll_of = 0
            elif not (known.became_ready and _is_in_use(draft, node.name)):
                end_launch(draft, node.name)


def end_launch(draft: Draft, name: str) -> None:
    """Its next launch has a new address where it stands elsewhere by then; and where clients know the node by its own address
    only, which stays theirs: it becomes an endpoint, so that whoever has the role can take it."""
    known = draft.remembered(name)
    known.became_ready = known.ready = False
    draft.act(Stop(node=name, incarnation=draft.current(name), kill=False))
    if draft.desired.shape is Shape.REPLICATED and not draft.replication_group and not is_temporary(name):
        lasting = draft.memory.endpoints.setdefault(EndpointRole.NODE, known.address)
        known.address = "" if known.address == lasting else known.address
    if draft.is_misplaced(name):
        known.address, known.zone = "", next(node.zone for node in draft.desired.nodes if node.name == name)


def _is_led(draft: Draft, memory: ShardMemory) -> bool:
    view = draft.live(memory.primary)
    return view is not None and view.primary and memory.taken


def _is_in_use(draft: Draft, name: str) -> bool:
    """Clients may be sent to it; what is to be done about that is under way: the shape leads endpoints to others, and others
    in the cluster forget it, so that they do not tell clients of it (by gossip it does not come back for a minute)."""
    view = draft.live(name)
    if view is None:
        return False
    if draft.desired.shape is Shape.CLUSTERED:
        return _serves(draft, view, EndpointRole.CONFIGURATION) | is_known_to_others(draft, name)
    return _serves(draft, view, EndpointRole.READER) or draft.address(name) in draft.observed.spread


def _serves(draft: Draft, view: NodeView, role: EndpointRole) -> bool:
    endpoint = draft.endpoint(role)
    return bool(endpoint) and endpoint in view.bound
