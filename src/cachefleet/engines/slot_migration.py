"""The verbs that move slots between shards: jobs of the engine where it has atomic migration, key by key elsewhere.

Each looks at the node's jobs or its own slots first and does what is missing, so that it may be repeated. Called by
ValkeyDriver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections
from cachefleet.engines.key_migration import KeyMigration, Troubles
from cachefleet.engines.replies import parse_cluster
from cachefleet.engines.side_connections import SideConnections
from cachefleet.engines.slot_jobs import MOST_JOBS, slot_jobs
from cachefleet.engines.slot_replies import parse_libraries, parse_migrations, parse_slot_loads
from cachefleet.interfaces import Permit
from cachefleet.model.group import SLOTS, SlotRanges
from cachefleet.model.observed import Address, ClusterView, SlotLoad
from cachefleet.model.pace import Pace
from cachefleet.model.slots import without


class SlotMigrationVerbs:
    """A node is named by its own address; another node by its engine id."""

    def __init__(self, connections: Connections, permit: Permit) -> None:
        self._connections = connections
        self._side = SideConnections(permit, connections.passwords, connections.trust)
        self._troubles: dict[tuple[Address, Address], Troubles] = {}

    async def close(self) -> None:
        self._troubles.clear()
        await self._side.close()

    async def migrate_slots(self, at: Address, slots: SlotRanges, target_id: str) -> None:
        """Slots that a running job already takes there, and those that the node does not own (any more), are left out. Several
        jobs, which the engine queues, each of so few keys that its end is no long break (slot_jobs); what is too much for
        them waits to be asked for again. Raises EngineRefused for a target that the node does not know as a primary: the engine
        would find out only later."""
        nodes, under_way = await self._connections.call(at, ("CLUSTER", "NODES"), ("CLUSTER", "GETSLOTMIGRATIONS"))
        view = parse_cluster(nodes, {}, parse_migrations(under_way))
        target = view.nodes.get(target_id)
        if target is None or not target.primary or target.handshake:
            raise EngineRefused(f"CLUSTER MIGRATESLOTS to {target_id} was not sent: {at} does not know it as a primary")
        missing = _not_under_way(view, slots, target_id)
        if missing:
            stats = (("CLUSTER", "SLOT-STATS", "SLOTSRANGE", str(first), str(last)) for first, last in missing)
            loads = [load for reply in await self._connections.call(at, *stats) for load in parse_slot_loads(reply).items()]
            jobs = slot_jobs((slot, load.keys) for slot, load in loads)
            await self._connections.call(at, *(_job(part, target_id) for part in jobs[:MOST_JOBS]))

    async def cancel_migrations(self, at: Address) -> None:
        (jobs,) = await self._connections.call(at, ("CLUSTER", "GETSLOTMIGRATIONS"))
        if any(not job.over and job.exports for job in parse_migrations(jobs)):
            await self._connections.ask(at, ("CLUSTER", "CANCELSLOTMIGRATIONS"))  # refused when the last has just ended

    async def move_keys(self, at: Address, to: Address, slots: SlotRanges, others: Sequence[Address], pace: Pace) -> None:
        troubles = self._troubles.setdefault((at, to), Troubles())
        await KeyMigration(self._side, self._connections, troubles, pace, at, to).run(slots, others)

    async def settle_slots(self, at: Address, slots: SlotRanges, owner_id: str) -> None:
        """Only slots for which the node says something else are touched."""
        (nodes,) = await self._connections.call(at, ("CLUSTER", "NODES"))
        view = parse_cluster(nodes, {})
        unsettled = {mark.slot for mark in view.open_slots}
        if owner_id:
            owner = view.nodes.get(owner_id)
            foreign = without(slots, owner.slots if owner is not None else ())
            unsettled |= {slot for first, last in foreign for slot in range(first, last + 1)}
        words = ("NODE", owner_id) if owner_id else ("STABLE",)
        commands: list[Command] = [
            ("CLUSTER", "SETSLOT", str(slot), *words)
            for first, last in slots
            for slot in range(first, last + 1)
            if slot in unsettled
        ]
        if commands:
            await self._connections.call(at, *commands)

    async def copy_functions(self, at: Address, to: Address) -> None:
        """Library by library: a FUNCTION RESTORE of all of them is refused when the target has one already."""
        identity = await self._side.one.identity(at)
        if "functions" not in identity.capabilities:
            return
        (ours,), (theirs,) = await asyncio.gather(
            self._side.one.call(at, ("FUNCTION", "LIST", "WITHCODE")), self._side.one.call(to, ("FUNCTION", "LIST"))
        )
        known = set(parse_libraries(theirs))
        missing = [code for name, code in parse_libraries(ours).items() if name not in known]
        if missing:
            await self._side.one.call(to, *(("FUNCTION", "LOAD", code) for code in missing))

    async def slot_loads(self, at: Address) -> dict[int, SlotLoad]:
        identity = await self._connections.identity(at)
        if "slot-stats" not in identity.capabilities:
            return {}
        (reply,) = await self._connections.call(at, ("CLUSTER", "SLOT-STATS", "SLOTSRANGE", "0", str(SLOTS - 1)))
        return parse_slot_loads(reply)


def _job(slots: SlotRanges, target_id: str) -> Command:
    return "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *(str(end) for pair in slots for end in pair), "NODE", target_id


def _not_under_way(view: ClusterView, slots: SlotRanges, target_id: str) -> SlotRanges:
    """Those of the slots that the node owns and that no job takes to the target."""
    for job in view.migrations:
        if job.exports and not job.over and job.target_id == target_id:
            slots = without(slots, job.slots)
    mine = view.nodes[view.my_id].slots if view.my_id in view.nodes else ()
    return without(slots, without(slots, mine))
