"""Connections to engines, one per address, kept open between calls and verified when they are made.

Opens, caches and drops; never retries and sets no deadline (the caller's asyncio.timeout does). Called by ValkeyDriver and
its verbs.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.access_interfaces import Passwords
from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.access import CONTROLLER
from cachefleet.engines.connection import Command, Connection, ErrorReply
from cachefleet.engines.conversation import ConnectionEnded
from cachefleet.engines.open_connections import OpenConnections
from cachefleet.engines.replies import Identity, has_iam_module, parse_fields, parse_identity
from cachefleet.engines.trust import Trust
from cachefleet.interfaces import Permit, always
from cachefleet.model.observed import Address

CLIENT_NAME = "cachefleet"


class Connections(OpenConnections[Connection]):
    """A new connection shows who we are (passwords; an engine that does not know us yet takes us for a client, and is told by
    AccessVerbs), and is asked who it is; see OpenConnections. permit: asked at the instant in which something is sent, in the
    middle of a verb, too; not for looking (open, pulse). raw: see Connection."""

    def __init__(
        self,
        permit: Permit = always,
        *,
        raw: bool = False,
        passwords: Passwords | None = None,
        trust: Trust | None = None,
    ) -> None:
        super().__init__(lambda address: Connection(raw=raw, login=_login(address, passwords), launch=address.launch), trust)
        self._permit = permit
        self.passwords = passwords
        self.trust = trust

    async def open(self, address: Address) -> Connection:
        """The open connection, or a new one. Raises OSError, ConnectionEnded."""
        connection = await self._introduced(address)
        if self.passwords is not None and connection.launch != address.launch != "" and not connection.logged_in:
            # Who still took it for an earlier launch was first, and showed that one's password.
            connection.abort("has to be made anew, for this launch")
            connection = await self._introduced(address)
        return connection

    async def _introduced(self, address: Address) -> Connection:
        connection = await self.connected(address)
        if connection.identity is None:
            await _introduce(connection, may_check_tokens=bool(address.transit))
        return connection

    async def ask(self, address: Address, *commands: Command) -> list[Any]:
        """The replies of a batch, ErrorReply among them. Raises EngineRefused when it did not arrive."""
        connection = await self._opened(address, commands[0])
        self._permit()
        try:
            return await connection.batch(*commands)
        except ConnectionEnded as error:
            raise EngineRefused(f"{_spoken(commands[0])} did not reach {address}: {reason(error)}") from error

    async def call(self, address: Address, *commands: Command) -> list[Any]:
        """The replies of a batch in which every command must succeed. Raises EngineRefused."""
        return accepted(address, commands, await self.ask(address, *commands))

    async def ask_change(self, address: Address, *commands: Command) -> list[Any]:
        """`ask` for a batch that changes the node's addresses: they are in doubt until all of it was accepted, also when nobody
        waits for that any more."""
        connection = await self._opened(address, commands[0])
        self._permit()
        try:
            return await asyncio.shield(_in_doubt(connection, commands))
        except ConnectionEnded as error:
            raise EngineRefused(f"{_spoken(commands[0])} did not reach {address}: {reason(error)}") from error

    def send(self, address: Address, *commands: Command, change: bool = False) -> asyncio.Future[list[Any]] | None:
        """Write a batch at once on the connection that is open; the replies need not be waited for. None without a connection.

        change: it changes the node's addresses (see ask_change)."""
        connection = self.current(address)
        if connection is None:
            return None
        self._permit()
        return _in_doubt(connection, commands) if change else connection.send(*commands)

    def drop(self, address: Address, why: str) -> None:
        """The next call makes a new connection."""
        connection = self.current(address)
        if connection is not None:
            connection.abort(why)

    def renew(self, address: Address) -> None:
        """Drop a connection that was made before the engine knew us: what it may do is a client's."""
        connection = self.current(address)
        if connection is not None and not connection.logged_in:
            connection.abort("has to be made anew, as ourselves")

    def doubted(self, address: Address) -> bool:
        connection = self._cached.get(address)
        return connection is not None and connection.deaf

    async def identity(self, address: Address) -> Identity:
        """Who answers there. Raises EngineRefused."""
        identity = (await self._opened(address, ("INFO", "server"))).identity
        if identity is None:
            raise EngineRefused(f"{address} does not tell who it is (it is busy, or wants a password)")
        return identity

    async def _opened(self, address: Address, command: Command) -> Connection:
        try:
            return await self.open(address)
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"{_spoken(command)} did not reach {address}: {reason(error)}") from error


def _login(address: Address, passwords: Passwords | None) -> Command:
    return ("AUTH", CONTROLLER, passwords.controller(address.launch)) if passwords is not None and address.launch else ()


def _in_doubt(connection: Connection, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
    """Raises ConnectionEnded."""
    connection.deaf = True
    future = connection.send(*commands)
    future.add_done_callback(lambda done: _heard(connection, done))
    return future


def _heard(connection: Connection, done: asyncio.Future[list[Any]]) -> None:
    if not done.cancelled() and done.exception() is None:
        connection.deaf = any(isinstance(reply, ErrorReply) for reply in done.result())


async def _introduce(connection: Connection, *, may_check_tokens: bool) -> None:
    """Name the connection, and learn who is there. A process that cannot say now is asked again by the next call."""
    more: tuple[Command, ...] = (("INFO", "modules"),) if may_check_tokens else ()
    _, info, *modules = await connection.batch(("CLIENT", "SETNAME", CLIENT_NAME), ("INFO", "server"), *more)
    if isinstance(info, ErrorReply):
        return
    fields = parse_fields(_text(info))
    if "redis_version" not in fields:
        connection.abort("what answers there is neither Valkey nor Redis")
        raise ConnectionEnded(connection.ended)
    checks_tokens = any(has_iam_module(_text(told)) for told in modules)
    connection.identity = replace(parse_identity(fields), checks_tokens=checks_tokens)


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def accepted(address: Address, commands: Sequence[Command], replies: list[Any]) -> list[Any]:
    """The replies when none is an error; raises EngineRefused for the first that is."""
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, ErrorReply):
            raise EngineRefused(f"{_spoken(command)} was refused by {address}: {reply}")
    return replies


def reason(error: Exception) -> str:
    """In words: "Connection refused" rather than an error number."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _spoken(command: Command) -> str:
    """A command for people: its name and first word; never further arguments, which may be secret."""
    return " ".join(word for word in command[:2] if isinstance(word, str))
