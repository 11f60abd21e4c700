"""Which addresses a group still needs, and how offered ones are taken into memory. Pure."""

from __future__ import annotations

from collections import Counter

from cachefleet.model.group import EndpointRole, GroupDesired, GroupMemory, NodeMemory, Shape
from cachefleet.planning.draft import Draft
from cachefleet.planning.temporaries import effective

ENDPOINTS = {
    Shape.REPLICATED: (EndpointRole.PRIMARY, EndpointRole.READER),
    Shape.CLUSTERED: (EndpointRole.CONFIGURATION,),
    Shape.MEMCACHED: (EndpointRole.CONFIGURATION,),
}


def endpoint_roles(desired: GroupDesired, replication_group: bool) -> tuple[EndpointRole, ...]:
    """A standalone Valkey or Redis node has its own address only."""
    if desired.shape is Shape.REPLICATED and not replication_group:
        return ()
    if desired.shape is Shape.CLUSTERED and desired.cluster_mode != "enabled":
        return (*ENDPOINTS[Shape.REPLICATED], *ENDPOINTS[Shape.CLUSTERED])
    return ENDPOINTS[desired.shape]


def zone_letter(zone: str) -> str:
    """Zones of every region stand on the same host; their last letter tells them apart."""
    return zone[-1:]


def wanted(desired: GroupDesired, memory: GroupMemory, replication_group: bool) -> dict[str, int]:
    """Addresses missing, by zone letter ("" for endpoints)."""
    if desired.deleting or memory.failure:
        return {}
    missing: Counter[str] = Counter()
    for node in effective(desired, memory).nodes:
        if node.name not in memory.nodes or not memory.nodes[node.name].address:
            missing[zone_letter(node.zone)] += 1
    for role in endpoint_roles(desired, replication_group):
        if role not in memory.endpoints:
            missing[""] += 1
    return dict(missing)


def take_offers(draft: Draft) -> bool:
    """Move offered addresses into memory. True when nothing is missing any more."""
    free = {zone: list(addresses) for zone, addresses in draft.observed.offers.items()}
    for node in draft.desired.nodes:
        known = draft.memory.nodes.setdefault(node.name, NodeMemory(zone=node.zone))
        if not known.address and free.get(zone_letter(node.zone)):
            known.address = free[zone_letter(node.zone)].pop(0)
    for role in endpoint_roles(draft.desired, draft.replication_group):
        if role not in draft.memory.endpoints and free.get(""):
            draft.memory.endpoints[role] = free[""].pop(0)
    return not wanted(draft.desired, draft.memory, draft.replication_group)


def held(memory: GroupMemory) -> list[str]:
    """Every address that a group's memory holds."""
    return [node.address for node in memory.nodes.values() if node.address] + list(memory.endpoints.values())
