"""Connections of a control plane over the simulated network: the real drivers speak their real wire format through these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from tests.simulation.encryption import proven
from tests.simulation.loop import ACTOR, Actor
from tests.simulation.network import End, Network, dialled

_VERBS = (b"REPLICAOF", b"FAILOVER", b"ADDSLOTS", b"REPLICATE", b"FORGET", b"PAUSE")


class Wire(asyncio.Transport):
    """An asyncio transport whose other side is a simulated process."""

    def __init__(self, actor: Actor, network: Network, protocol: asyncio.Protocol, acts: Callable[[str], None]) -> None:
        super().__init__()
        self._acts = acts
        self.party = actor.name
        self._network = network
        self._protocol = protocol
        self._context = copy_context()
        self._over = False
        self.peer_certificate: dict[str, Any] | None = None
        self.end: End

    def write(self, data: Any) -> None:
        if any(verb in data for verb in _VERBS):
            self._acts(self.party)
        self.end.send(bytes(data))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.peer_certificate if name == "peercert" else default

    def is_closing(self) -> bool:
        return self._over

    def close(self) -> None:
        self.end.close()
        self._lose()

    abort = close

    def received(self, end: End | None, payload: Any) -> None:
        self._network.loop.call_soon(self._take, payload, context=self._context)

    def lost(self, end: End) -> None:
        self._lose()

    def _take(self, data: bytes) -> None:
        if not self._over:
            self._protocol.data_received(data)

    def _lose(self) -> None:
        self._network.loop.call_soon(self._end, context=self._context)

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._protocol.connection_lost(None)


class Cables:
    """What a control plane's loop connects with. Pulled out when the control plane is killed: its kernel closes the sockets,
    and nothing that it still does arrives anywhere."""

    def __init__(self, network: Network, acts: Callable[[str], None]) -> None:
        """acts(name): told when that control plane sends something that changes roles."""
        self._network, self._acts = network, acts
        self._wires: dict[str, list[Wire]] = {}
        self._pulled: set[str] = set()

    async def connect(self, factory: Any, host: str, port: int, encrypted: bool) -> tuple[Wire, asyncio.Protocol]:
        """As loop.create_connection. Raises OSError; ssl.SSLError is one."""
        actor = ACTOR.get()
        assert actor is not None, "only control planes make connections this way"
        protocol: asyncio.Protocol = factory()
        wire = Wire(actor, self._network, protocol, self._acts)
        if actor.name in self._pulled:
            raise OSError(101, "Network is unreachable")
        wire.end = await dialled(self._network, wire, host, port, encrypted=encrypted)
        if encrypted:
            try:
                wire.peer_certificate = proven(wire.end)
            except OSError:
                wire.end.close()
                raise
        if actor.name in self._pulled:
            wire.end.close()
            raise OSError(101, "Network is unreachable")
        self._wires.setdefault(actor.name, []).append(wire)
        protocol.connection_made(wire)
        return wire, protocol

    def pull(self, name: str) -> None:
        self._pulled.add(name)
        for wire in self._wires.pop(name, []):
            wire.end.close()

    def break_one(self, name: str, host: str) -> None:
        """The connections to that address are reset: what was asked is done, and nobody hears of it."""
        for wire in self._wires.get(name, []):
            if wire.end.address == host and wire.end.open:
                wire.end.open = False
                wire.end.peer.open = False
                wire.lost(wire.end)
