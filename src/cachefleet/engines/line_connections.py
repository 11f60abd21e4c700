"""Connections that speak in lines (Memcached, the configuration endpoint): a question, and lines until its last.

Sets no deadline and retries nothing. Called by the drivers of Memcached and of its configuration endpoint.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cachefleet.engines.conversation import ConnectionEnded, Conversation
from cachefleet.engines.open_connections import OpenConnections
from cachefleet.engines.trust import Trust, certificate_view
from cachefleet.model.observed import Address
from cachefleet.model.transit import CertificateView

_MOST_BYTES = 1_048_576  # of lines that no answer ends with


class Exchange(msgspec.Struct, frozen=True):
    """A question. complete: whether these lines are a whole answer; raises ConnectionEnded for what no answer ever is."""

    request: bytes
    complete: Callable[[list[str]], bool]


class LineConnection(Conversation[str]):
    """A reply is one line, without its end."""

    def __init__(self, pulse: Exchange) -> None:
        super().__init__(pulse.request, pulse.complete)
        self._rest = b""  # the beginning of a line
        self._read_bytes = 0  # since an answer was last complete

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._read_bytes += len(data)
        try:
            for line in lines:
                self.take(line.decode("utf-8", "replace").rstrip("\r"))
        except ConnectionEnded as error:
            self.abort(str(error))
        if not self._waiting:
            self._read_bytes = len(self._rest)
        elif self._read_bytes > _MOST_BYTES:
            self.abort("an answer without end")


class LineConnections:
    """What a driver asks of the connections that it keeps. pulse: the cheapest exchange."""

    def __init__(self, pulse: Exchange, trust: Trust | None = None) -> None:
        self._open = OpenConnections(lambda _: LineConnection(pulse), trust)

    async def ask(self, address: Address, exchange: Exchange) -> list[str]:
        """The lines of the answer. Raises OSError, ConnectionEnded."""
        connection = await self._open.connected(address)
        return await connection.answer(connection.ask(exchange.request, exchange.complete))

    def certificate(self, address: Address) -> CertificateView | None:
        """That the other side of the open connection has shown."""
        connection = self._open.current(address)
        return None if connection is None else certificate_view(connection.peer_certificate())

    async def renew(self, address: Address) -> None:
        """Go on with a new connection; the former one stays where none can be made. Raises OSError."""
        await self._open.swap(address)

    def pulse(self, address: Address) -> bool | None:
        """See engine_interfaces.EngineDriver.pulse."""
        return self._open.pulse(address)

    async def close(self) -> None:
        await self._open.close()
