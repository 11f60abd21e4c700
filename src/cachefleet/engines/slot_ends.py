"""What is left to do for slots that move key by key, from what both ends say of them. Pure.

Called by KeyMigration at the beginning of every slice: whatever an earlier one, a failover or a hand left is gone on with.
"""

from __future__ import annotations

import msgspec

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import Address, ClusterNodeView, ClusterView


class SlotsLeft(msgspec.Struct, frozen=True):
    """Slots that the target does not own by everybody's word yet."""

    source_id: str
    target_id: str
    half_open: tuple[
        int, ...
    ] = ()  # an end has a mark, or knows the new owner where the other does not: go on with these first
    fresh: tuple[int, ...] = ()  # nothing has happened yet
    unmarked_source: frozenset[int] = frozenset()  # to be marked as migrating to the target
    unmarked_target: frozenset[int] = frozenset()  # to be marked as importing from the source
    given: tuple[int, ...] = ()  # the source has given them to a primary of the target's shard that has died since


def slots_left(slots: SlotRanges, at: Address, source: ClusterView, to: Address, target: ClusterView) -> SlotsLeft:
    """Raises EngineRefused when an end is no primary, does not know the other, or a slot belongs to a third."""
    for address, view in ((at, source), (to, target)):
        for engine_id in (source.my_id, target.my_id):
            known = view.nodes.get(engine_id)
            if known is None or known.handshake or not known.primary:
                raise EngineRefused(f"slots are not moved from {at} to {to}: {address} does not know {engine_id} as a primary")
    wanted = [slot for first, last in slots for slot in range(first, last + 1)]
    by_source, by_target = _owners(source), _owners(target)
    migrating = {mark.slot: mark.other_id for mark in source.open_slots if not mark.importing}
    importing = {mark.slot: mark.other_id for mark in target.open_slots if mark.importing}
    mine = [slot for slot in wanted if by_source.get(slot) == source.my_id]
    taken = {slot for slot in wanted if by_target.get(slot) == target.my_id}
    given = [slot for slot in wanted if by_source.get(slot) != source.my_id and slot not in taken]
    for slot in given:
        _require_heir(slot, by_source.get(slot), at, source, target)
    marked = migrating.keys() | importing.keys() | taken
    return SlotsLeft(
        source_id=source.my_id,
        target_id=target.my_id,
        half_open=tuple(slot for slot in mine if slot in marked),
        fresh=tuple(slot for slot in mine if slot not in marked),
        unmarked_source=frozenset(slot for slot in mine if migrating.get(slot) != target.my_id),
        unmarked_target=frozenset(slot for slot in mine if slot not in taken and importing.get(slot) != source.my_id),
        given=tuple(given),
    )


def _owners(view: ClusterView) -> dict[int, str]:
    return {
        slot: node.engine_id for node in view.nodes.values() for first, last in node.slots for slot in range(first, last + 1)
    }


def _require_heir(slot: int, owner_id: str | None, at: Address, source: ClusterView, target: ClusterView) -> None:
    """A slot that the source gave away, empty, to one that is gone: where nobody else can have its keys, they are with the
    target, who was its replica."""
    owner = source.nodes.get(owner_id or "")
    if owner is None or owner.primary_id == target.my_id or (owner.failed and not _replicas(target, owner)):
        return
    raise EngineRefused(f"slot {slot} is not moved: {at} says that it belongs to {owner_id}")


def _replicas(view: ClusterView, primary: ClusterNodeView) -> list[str]:
    return [node.engine_id for node in view.nodes.values() if node.primary_id == primary.engine_id]
