"""One look at a group: processes from the host, views from the engines, offers of addresses. Decides nothing."""

from __future__ import annotations

import asyncio

from cachefleet.control.seams import Seams
from cachefleet.interfaces import EngineDriver, NoAddresses
from cachefleet.model.group import EndpointRole, GroupDesired, GroupMemory, Shape, incarnation
from cachefleet.model.observed import Address, NodeView, Observed
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow
from cachefleet.planning.addresses import wanted
from cachefleet.planning.memcached import discovery_node


async def observe(seams: Seams, row: GroupRow) -> Observed:
    desired, memory = row.desired, row.memory
    processes = seams.host.inspect(desired.uid)
    targets = [
        name
        for name, node in memory.nodes.items()
        if (process := processes.get(incarnation(desired.uid, name, node.launches))) is not None and process.running
    ]
    views = {} if desired.deleting else await _probe(seams, row, targets)
    offers: dict[str, tuple[str, ...]] = {}
    no_addresses = ""
    missing = wanted(desired, memory, row.key.kind is Kind.REPLICATION_GROUP)
    if missing:
        try:
            offers = seams.host.offer(desired.uid, missing)
        except NoAddresses as error:
            no_addresses = str(error)
    return Observed(
        processes=processes,
        views=views,
        offers=offers,
        no_addresses=no_addresses,
        spread=_spread(seams, desired, memory),
        can_spread=seams.host.can_spread,
    )


def _spread(seams: Seams, desired: GroupDesired, memory: GroupMemory) -> tuple[str, ...]:
    reader = memory.endpoints.get(EndpointRole.READER, "")
    return seams.host.spreads().get((reader, desired.port), ()) if reader else ()


def driver_of(seams: Seams, row: GroupRow, node: str) -> EngineDriver:
    if row.desired.shape is not Shape.MEMCACHED:
        return seams.resp[row.desired.engine]
    return seams.discovery if node == discovery_node(row.key.name) else seams.memcached


async def _probe(seams: Seams, row: GroupRow, nodes: list[str]) -> dict[str, NodeView]:
    clustered = row.desired.shape is Shape.CLUSTERED

    async def probe(node: str) -> NodeView:
        try:
            async with asyncio.timeout(seams.settings.control.probe_timeout_s):
                address = Address(row.memory.nodes[node].address, row.desired.port)
                return await driver_of(seams, row, node).probe(address, clustered)
        except TimeoutError:
            return NodeView(reachable=False, why=f"did not answer within {seams.settings.control.probe_timeout_s:g} s")

    return dict(zip(nodes, await asyncio.gather(*(probe(node) for node in nodes)), strict=True))
