"""Open connections, one per address, kept between calls.

Opens, keeps and drops; never retries and sets no deadline (the caller's asyncio.timeout does). The base of what each protocol
keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cachefleet.engines.conversation import Conversation
from cachefleet.engines.trust import Trust
from cachefleet.model.observed import Address

SHUTDOWN_S = 0.2  # who does not say goodbye by then is left without
C = TypeVar("C", bound=Conversation[Any])


class OpenConnections(Generic[C]):
    """A connection stays with the process that accepted it: a new launch at the same address is a new connection."""

    def __init__(self, make: Callable[[Address], C], trust: Trust | None = None) -> None:
        """trust: None where no engine speaks TLS."""
        self._make = make
        self._trust = trust
        self._cached: dict[Address, C] = {}

    def current(self, address: Address) -> C | None:
        """The one that is open now."""
        connection = self._cached.get(address)
        return None if connection is None or connection.ended else connection

    async def connected(self, address: Address) -> C:
        """The open one, or a new one. Raises OSError (ssl.SSLError is one)."""
        connection = self.current(address)
        if connection is not None:
            return connection
        self._cached.pop(address, None)  # or the new one would be kept under the old address, with what that says of itself
        made = await self._made(address)
        first = self.current(address)
        if first is not None:  # another call was faster
            made.abort("not needed")
            return first
        self._cached[address] = made
        return made

    async def swap(self, address: Address) -> None:
        """Drop the open one as soon as there is a new one; where there is no room for that it stays. Raises OSError."""
        made = await self._made(address)
        former = self._cached.pop(address, None)
        self._cached[address] = made
        if former is not None:
            former.abort("was made anew")

    async def _made(self, address: Address) -> C:
        context = None if self._trust is None else self._trust.context(address)
        encrypted: dict[str, Any] = {} if context is None else {"ssl": context, "ssl_shutdown_timeout": SHUTDOWN_S}
        _, made = await asyncio.get_running_loop().create_connection(
            lambda: self._make(address), address.host, address.own_port, **encrypted
        )
        return made

    def pulse(self, address: Address) -> bool | None:
        """See engine_interfaces.EngineDriver.pulse."""
        connection = self._cached.get(address)
        return None if connection is None else connection.pulse()

    async def close(self) -> None:
        """Drop all of them."""
        connections = list(self._cached.values())
        self._cached.clear()
        for connection in connections:
            connection.abort("no longer needed")
            await connection.closed.wait()
