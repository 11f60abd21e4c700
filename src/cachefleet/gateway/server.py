"""uvicorn around an ASGI application: one socket, no signal handlers, bounded connections, bounded patience.

Slow or endless requests are cut off here, before they cost memory; and whoever keeps us waiting makes room for who comes, so
that no number of slow clients keeps others out. Called by app.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio import TimerHandle
from collections.abc import Generator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cachefleet.gateway.exchange import CROWDED

KEEP_ALIVE_S = 75
MESSAGE_TIMEOUT_S = 60.0  # first byte (or connection) to the end of the request; the gateway gives up on a body earlier
MAX_HEAD_BYTES = 64 << 10
MAX_CONNECTIONS = 256  # beyond: who keeps us waiting is closed for who comes; API requests are answered 503 where nobody does
REFUSED_CONNECTIONS = 384  # beyond: closed unheard
MAX_PIPELINED = 4  # requests that wait for the answer to an earlier one; no SDK sends any
PATIENCE_S = 1.0  # who has taken longer over a request is closed first when there are too many
GRACE_S = 1


async def serve(app: Any, sock: socket.socket, stop: asyncio.Event) -> None:
    """Serve app on a bound socket until stop is set; then finish running requests within GRACE_S. Closes the socket."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol; without it every answer
    # waits 40 ms for the client's delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(config, stop)
    try:
        await server.serve(sockets=[sock])
    finally:
        if server.server_state.tasks:  # cancelled by now; they still answer
            await asyncio.wait(set(server.server_state.tasks), timeout=GRACE_S)
        for connection in list(server.server_state.connections):
            connection.transport.abort()


class _Server(uvicorn.Server):
    """Stops when told by an event, not by a signal."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        """on_tick(0) once a second keeps the Date header right."""
        while not self._stop.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stop.wait()


class _Pipelined(Exception):
    """More requests than anybody needs, who has not waited for an answer: each costs us more than them."""


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limit on the head's size and on the time that a whole request may take to arrive."""

    _deadline: TimerHandle | None = None
    _waits = True  # for its client, not the other way round
    _idle = False  # has had its answer, and nothing of another request has come yet
    _since = 0.0  # since when it waits; the loop's time
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        if len(self.connections) >= MAX_CONNECTIONS:
            self._make_room()
        if len(self.connections) >= REFUSED_CONNECTIONS:
            transport.abort()
            return
        super().connection_made(transport)
        self._since = self.loop.time()
        self._deadline = self.loop.call_later(MESSAGE_TIMEOUT_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._deadline is None:
            self._deadline = self.loop.call_later(MESSAGE_TIMEOUT_S, self.transport.abort)
        if self._idle:
            self._idle, self._since = False, self.loop.time()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"The request's head is larger than {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.abort()
            raise _Pipelined  # ends the parser, too
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.connections) > MAX_CONNECTIONS:
            cast(dict[str, Any], self.scope)[CROWDED] = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._waits = False
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self.pipeline:
            self._waits, self._idle, self._since = True, True, self.loop.time()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Also of a client that does not read its answer: closing would wait for that."""
        self.transport.abort()

    def _make_room(self) -> None:
        """Close the one that costs its client least: in the middle of a request for longer than anybody needs; else between two
        requests; else in the middle of one. Of these the one that waits for longest."""
        patient = self.loop.time() - PATIENCE_S
        waiting = [other for other in cast(set[BoundedProtocol], self.connections) if other._waits]
        if waiting:
            first = min(waiting, key=lambda other: ((1 if other._idle else 2 * (other._since > patient)), other._since))
            self.connections.discard(first)  # it leaves by itself only later
            first.transport.abort()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
