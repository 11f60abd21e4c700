"""The verbs that move slots between shards: jobs of the engine where it has atomic migration, key by key elsewhere.

Called by ValkeyDriver.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections
from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import Address


class SlotMigrationVerbs:
    """A node is named by its own address; another node by its engine id."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def migrate_slots(self, at: Address, slots: SlotRanges, target_id: str) -> None:
        ends = [str(end) for pair in slots for end in pair]
        await self._connections.call(at, ("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ends, "NODE", target_id))

    async def cancel_migrations(self, at: Address) -> None:
        await self._connections.call(at, ("CLUSTER", "CANCELSLOTMIGRATIONS"))

    async def move_keys(self, at: Address, to: Address, slots: SlotRanges, others: Sequence[Address]) -> None:
        raise NotImplementedError

    async def settle_slots(self, at: Address, slots: SlotRanges, owner_id: str) -> None:
        commands: list[Command] = []
        for first, last in slots:
            words = ("NODE", owner_id) if owner_id else ("STABLE",)
            commands += [("CLUSTER", "SETSLOT", str(slot), *words) for slot in range(first, last + 1)]
        await self._connections.call(at, *commands)

    async def copy_functions(self, at: Address, to: Address) -> None:
        raise NotImplementedError
