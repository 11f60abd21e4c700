"""Which node listens on which endpoint, cluster mode disabled. Pure.

The primary endpoint goes with the role; here the reader endpoint is led to a replica, and both to the primary while it has no
replica. An address moves only after it was let go.
"""

from __future__ import annotations

from cachefleet.model.group import EndpointRole, ShardMemory
from cachefleet.model.observed import NodeView
from cachefleet.model.plan import Spread
from cachefleet.model.temporary import is_temporary
from cachefleet.planning.draft import Draft
from cachefleet.planning.endpoint_ports import reader_port, serving_port
from cachefleet.planning.listening import bind_when_possible, hand_when_possible, is_held_in_silence, note_endpoint_holder
from cachefleet.planning.mode_change import is_cluster_node
from cachefleet.planning.succession import holders, is_in_touch


def follows(view: NodeView, host: str) -> bool:
    return not view.primary and view.follows == host


def in_sync_with(draft: Draft, name: str, primary: str) -> bool:
    """It has its primary's data, and gets every further write at once."""
    view, primary_view = draft.live(name), draft.live(primary)
    if view is None or primary_view is None or name == primary or not follows(view, draft.address(primary)):
        return False
    return is_in_touch(view, primary_view) and draft.address(name) in primary_view.streams_to


def primary_bind(draft: Draft, names: list[str], memory: ShardMemory) -> list[str]:
    """The primary serves its endpoint, and the reader endpoint while there is no replica in sync. At creation the reader
    endpoint waits for the first replica: nobody has been given it yet."""
    wanted = role_endpoints(draft)
    awaits_replicas = not draft.memory.provisioned and len(names) > 1
    readers = (name for name in names if may_serve_readers(draft, name, memory))
    if not awaits_replicas and not any(in_sync_with(draft, name, memory.primary) for name in readers):
        wanted.append(draft.endpoint(EndpointRole.READER))
    return [address for address in wanted if address]


def role_endpoints(draft: Draft) -> list[str]:
    """Those that go with the role."""
    return [address for role in (EndpointRole.PRIMARY, EndpointRole.NODE) if (address := draft.endpoint(role))]


def unclaimed(draft: Draft, node: str, addresses: list[str]) -> tuple[str, ...]:
    """Those that no other node listens on at present, by what it says or, while it does not answer, last said."""
    taken = {address for name in draft.memory.nodes if name != node and (view := draft.live(name)) for address in view.bound}
    if is_held_in_silence(draft, but=node):
        taken.add(draft.endpoint(EndpointRole.READER))
    return tuple(address for address in addresses if address not in taken)


def lead_reader(draft: Draft, names: list[str], memory: ShardMemory, in_sync: list[str]) -> None:
    """The reader endpoint is bound by one reader (the one that has it, if it may keep it), by the primary while there is none;
    where the kernel can, it spreads new connections over all readers."""
    reader = draft.endpoint(EndpointRole.READER)
    readers = _readers(draft, names, memory, in_sync)
    holder = _reader_holder(draft, reader, readers)
    settled = {name: view for name in names if (view := draft.live(name)) is not None and _has_role(draft, name, view, memory)}
    note_endpoint_holder(draft, settled, reader)
    giver = next((name for name, view in settled.items() if holder not in ("", name) and reader in view.bound), "")
    if giver:
        keeps = primary_bind(draft, names, memory) if giver == memory.primary else []
        hand_when_possible(draft, reader, giver, holder, keeps)
    for name, view in settled.items():
        if giver and name in (giver, holder):
            continue
        wanted = primary_bind(draft, names, memory) if name == memory.primary else []
        if name == holder:
            wanted.append(reader)
        bind_when_possible(draft, name, view, unclaimed(draft, name, wanted))
    port = reader_port(draft.desired, draft.memory)
    spread = [name for name in readers if serving_port(draft.desired, draft.memory, name) == port]
    targets = tuple(sorted(draft.address(name) for name in spread)) if len(spread) > 1 else ()
    if reader and draft.observed.can_spread and targets != draft.observed.spread:
        draft.act(Spread(node=memory.primary, address=reader, port=port, targets=targets))


def may_serve_readers(draft: Draft, name: str, memory: ShardMemory) -> bool:
    """Not one that is about to end on purpose, as an outdated one does at once when its primary is not, nor a temporary one,
    nor a cluster node, which sends readers to its primary."""
    ends = draft.retires(name) or (draft.is_outdated(name) and not draft.is_outdated(memory.primary))
    return not (ends or is_temporary(name) or is_cluster_node(draft, name))


def _readers(draft: Draft, names: list[str], memory: ShardMemory, in_sync: list[str]) -> list[str]:
    """Replicas in sync; while the primary is not there to be in sync with, all that hold data."""
    if draft.live(memory.primary) is not None:
        return [name for name in in_sync if may_serve_readers(draft, name, memory)]
    found = holders(draft, [name for name in names if name != memory.primary])
    return [name for name in found if not is_cluster_node(draft, name)]


def _has_role(draft: Draft, name: str, view: NodeView, memory: ShardMemory) -> bool:
    """Others are being given theirs, which sets their addresses, too."""
    return view.primary if name == memory.primary else follows(view, draft.address(memory.primary))


def _reader_holder(draft: Draft, reader: str, readers: list[str]) -> str:
    if not reader or not readers:
        return ""
    for name in readers:
        view = draft.live(name)
        if view is not None and reader in view.bound:
            return name
    return readers[0]
