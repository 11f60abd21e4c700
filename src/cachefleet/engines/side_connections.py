"""Connections of their own for moving users' data: raw, and several per node where waits can overlap.

What runs here may stop a connection for long; probes, pulses and other verbs do not stand behind it. Called by the verbs that
move slots.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from cachefleet.access_interfaces import Passwords
from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections, accepted
from cachefleet.engines.trust import Trust
from cachefleet.interfaces import Permit
from cachefleet.model.observed import Address

WIDTH = 4  # with more, engines on one machine get in each other's way


class SideConnections:
    """Replies are raw (see Connection)."""

    def __init__(self, permit: Permit, passwords: Passwords | None = None, trust: Trust | None = None) -> None:
        self._all = tuple(Connections(permit, raw=True, passwords=passwords, trust=trust) for _ in range(WIDTH))

    @property
    def one(self) -> Connections:
        """For what has an order."""
        return self._all[0]

    async def ask_all(self, address: Address, commands: Sequence[Command]) -> list[Any]:
        """Every command's reply, in order of the commands, which do not depend on each other. An engine that answers CLUSTER
        SETSLOT only when its replicas know of it lets each connection wait by itself. Raises EngineRefused."""
        if not commands:
            return []
        identity = await self.one.identity(address)
        width = min(WIDTH if "setslot-replicated" in identity.capabilities else 1, len(commands))
        parts = await asyncio.gather(*(self._all[lane].ask(address, *commands[lane::width]) for lane in range(width)))
        return [reply for row in itertools.zip_longest(*parts, fillvalue=_NONE) for reply in row if reply is not _NONE]

    async def call_all(self, address: Address, commands: Sequence[Command]) -> list[Any]:
        """`ask_all` where every command must succeed. Raises EngineRefused."""
        return accepted(address, commands, await self.ask_all(address, commands))

    async def close(self) -> None:
        for connections in self._all:
            await connections.close()


_NONE = object()
