"""Connections to engines, one per address, kept open between calls and verified when they are made.

Opens, caches and drops; never retries and sets no deadline (the caller's asyncio.timeout does). Called by ValkeyDriver and
its verbs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from cachefleet.engines.connection import Command, Connection, ConnectionEnded, ErrorReply
from cachefleet.engines.replies import Identity, parse_fields, parse_identity
from cachefleet.interfaces import EngineRefused
from cachefleet.model.observed import Address

CLIENT_NAME = "cachefleet"


class Connections:
    """A connection stays with the process that accepted it: a new launch at the same address is a new connection and is asked
    anew who it is."""

    def __init__(self) -> None:
        self._cached: dict[Address, Connection] = {}

    async def open(self, address: Address) -> Connection:
        """The open connection, or a new one. Raises OSError, ConnectionEnded."""
        connection = self._cached.get(address)
        if connection is None or connection.ended:
            self._cached.pop(address, None)
            connection = await self._connect(address)
        if connection.identity is None:
            await _introduce(connection)
        return connection

    async def ask(self, address: Address, *commands: Command) -> list[Any]:
        """The replies of a batch, ErrorReply among them. Raises EngineRefused when it did not arrive."""
        try:
            connection = await self.open(address)
            return await connection.batch(*commands)
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"{_spoken(commands[0])} did not reach {address}: {reason(error)}") from error

    async def call(self, address: Address, *commands: Command) -> list[Any]:
        """The replies of a batch in which every command must succeed. Raises EngineRefused."""
        return accepted(address, commands, await self.ask(address, *commands))

    def send(self, address: Address, *commands: Command) -> None:
        """Write a batch at once on the connection that is open, if one is, and do not wait for the replies."""
        connection = self._cached.get(address)
        if connection is not None and not connection.ended:
            connection.send(*commands)

    def drop(self, address: Address, why: str) -> None:
        """End the connection, so that the next call has to come in by the address as everybody does."""
        connection = self._cached.pop(address, None)
        if connection is not None:
            connection.abort(why)

    async def identity(self, address: Address) -> Identity:
        """Who answers there. Raises EngineRefused."""
        try:
            identity = (await self.open(address)).identity
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"{address} does not answer: {reason(error)}") from error
        if identity is None:
            raise EngineRefused(f"{address} does not tell who it is (it is busy, or wants a password)")
        return identity

    async def close(self) -> None:
        """Drop all of them."""
        connections = list(self._cached.values())
        self._cached.clear()
        for connection in connections:
            connection.abort("no longer needed")
            await connection.closed.wait()

    async def _connect(self, address: Address) -> Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, address.host, address.port)
        first = self._cached.get(address)
        if first is not None and not first.ended:  # another call was faster
            made.abort("not needed")
            return first
        self._cached[address] = made
        return made


async def _introduce(connection: Connection) -> None:
    """Name the connection, and learn who is there. A process that cannot say now is asked again by the next call."""
    _, info = await connection.batch(("CLIENT", "SETNAME", CLIENT_NAME), ("INFO", "server"))
    if isinstance(info, ErrorReply):
        return
    fields = parse_fields(str(info))
    if "redis_version" not in fields:
        connection.abort("what answers there is neither Valkey nor Redis")
        raise ConnectionEnded(connection.ended)
    connection.identity = parse_identity(fields)


def accepted(address: Address, commands: Sequence[Command], replies: list[Any]) -> list[Any]:
    """The replies when none is an error; raises EngineRefused for the first that is."""
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, ErrorReply):
            raise EngineRefused(f"{_spoken(command)} was refused by {address}: {reply}")
    return replies


def reason(error: Exception) -> str:
    """In words: "Connection refused" rather than an error number."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _spoken(command: Command) -> str:
    """A command for people: its name and first word; never further arguments, which may be secret."""
    return " ".join(command[:2])
