"""Who can reach whom, and how long it takes: connections with an order, partitions one way and both ways, slow paths.

Knows parties by name (a control plane, "clients", the own address of a node's process) and listeners by address. As with TCP,
what is sent into a partition arrives when that is over; a process that ends resets its connections.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol, runtime_checkable

from tests.simulation.loop import VirtualLoop

_RETRY_S = 1.0  # of a lost packet


class Owner(Protocol):
    """One who has ends of connections. party: name on the network."""

    party: str

    def received(self, end: End | None, payload: Any) -> None:
        """end: None for a packet without a connection."""

    def lost(self, end: End) -> None:
        """The other side has closed it, or is gone."""


@runtime_checkable
class Listener(Owner, Protocol):
    def accepted(self, end: End) -> None: ...


class End:
    """One side of a connection. address, port: what the connecting side connected to; both ends know it."""

    __slots__ = ("_arrivals", "_last_s", "_network", "address", "open", "owner", "peer", "port", "state")

    def __init__(self, network: Network, owner: Owner, address: str, port: int) -> None:
        self._network = network
        self._arrivals: deque[tuple[float, Any]] = deque()  # on the way to the peer
        self._last_s = 0.0
        self.owner = owner
        self.address, self.port = address, port
        self.open = True
        self.peer: End
        self.state: Any = None  # the owner's

    def send(self, payload: Any) -> None:
        """Ignored when this side is closed."""
        if self.open:
            self._put(payload)

    def close(self) -> None:
        """The peer gets everything sent before, then hears of the end."""
        if self.open:
            self.open = False
            self._put(_END)

    def reset(self) -> None:
        """Both sides lose it at once, with what is on its way."""
        for end in (self, self.peer):
            if end.open:
                end.open = False
                end.owner.lost(end)

    def forget(self) -> None:
        """What is on its way does not arrive."""
        self._arrivals = deque((arrival_s, _NOTHING) for arrival_s, _ in self._arrivals)

    def _put(self, payload: Any) -> None:
        arrival_s = max(self._last_s, self._network.now() + self._network.latency(self.owner.party, self.peer.owner.party))
        self._last_s = arrival_s
        self._arrivals.append((arrival_s, payload))
        if len(self._arrivals) == 1:
            self._network.loop.after(arrival_s - self._network.now(), self._arrive)

    def _arrive(self) -> None:
        wait_s = self._network.retry_s(self.owner.party, self.peer.owner.party)
        if wait_s:
            self._network.loop.after(wait_s, self._arrive)
            return
        _, payload = self._arrivals.popleft()
        if self._arrivals:
            self._network.loop.after(max(0.0, self._arrivals[0][0] - self._network.now()), self._arrive)
        peer = self.peer
        if payload is not _END:
            if peer.open and payload is not _NOTHING:
                peer.owner.received(peer, payload)
        elif peer.open:
            peer.open = False
            peer.owner.lost(peer)


_END = object()
_NOTHING = object()


class Network:
    """latency_s: of a quiet path, one way."""

    def __init__(self, loop: VirtualLoop, chance: Random, latency_s: float) -> None:
        self.loop = loop
        self.now = loop.time
        self._chance = chance
        self._latency_s = latency_s
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._encrypted: set[tuple[str, int]] = set()  # where TLS is spoken, and nothing else
        self._cut: dict[tuple[str, str], int] = {}
        self._slow: dict[tuple[str, str], float] = {}
        self.last_cut_s: dict[tuple[str, str], float] = {}  # when a path was cut or slow last

    # --- paths ---

    def latency(self, source: str, target: str) -> float:
        slow_s = self._slow.get((source, target), 0.0)
        return self._latency_s * (0.5 + self._chance.random()) + (slow_s * self._chance.random() if slow_s else 0.0)

    def is_cut(self, source: str, target: str) -> bool:
        return (source, target) in self._cut

    def retry_s(self, source: str, target: str) -> float:
        """0 when packets get through now, else when to try again."""
        return _RETRY_S * (0.2 + self._chance.random()) if (source, target) in self._cut else 0.0

    def cut(self, source: str, target: str) -> None:
        """Packets that way are dropped until as many `mend`."""
        self._cut[source, target] = self._cut.get((source, target), 0) + 1

    def mend(self, source: str, target: str) -> None:
        left = self._cut.get((source, target), 0) - 1
        if left > 0:
            self._cut[source, target] = left
        else:
            self._cut.pop((source, target), None)
        self.last_cut_s[source, target] = self.now()

    def slow(self, source: str, target: str, most_s: float) -> None:
        """Every packet that way takes up to that much longer; 0: no more."""
        self._slow[source, target] = most_s
        self.last_cut_s[source, target] = self.now()

    def quiet_s(self, party: str, others: str = "") -> float:
        """For how long its paths, to and from those whose names begin like that, have been neither cut nor slow."""

        def concerned(path: tuple[str, str]) -> bool:
            return party in path and any(name != party and name.startswith(others) for name in path)

        if any(map(concerned, self._cut)) or any(slow_s and concerned(path) for path, slow_s in self._slow.items()):
            return 0.0
        return self.now() - max((at_s for path, at_s in self.last_cut_s.items() if concerned(path)), default=-1e9)

    # --- listening ---

    def listener(self, host: str, port: int) -> Listener | None:
        return self._listeners.get((host, port))

    def speaks_tls(self, host: str, port: int) -> bool:
        return (host, port) in self._encrypted

    def listen(self, listener: Listener, host: str, port: int, *, encrypted: bool = False) -> bool:
        """False: another one listens there."""
        if self._listeners.setdefault((host, port), listener) is not listener:
            return False
        (self._encrypted.add if encrypted else self._encrypted.discard)((host, port))
        return True

    def deafen(self, listener: Listener, host: str, port: int) -> None:
        if self._listeners.get((host, port)) is listener:
            del self._listeners[host, port]

    def silence(self, listener: Listener) -> None:
        """It listens nowhere any more."""
        for place in [place for place, known in self._listeners.items() if known is listener]:
            del self._listeners[place]

    # --- packets without a connection ---

    def post(self, source: str, host: str, port: int, payload: Any) -> None:
        """It arrives, or it does not."""
        self.loop.after(self.latency(source, host), self._deliver, source, host, port, payload)

    def _deliver(self, source: str, host: str, port: int, payload: Any) -> None:
        listener = self._listeners.get((host, port))
        if listener is not None and (source, listener.party) not in self._cut:
            listener.received(None, payload)

    # --- connecting ---

    def dial(self, owner: Owner, host: str, port: int, done: Callable[[End | None], None], *, encrypted: bool = False) -> None:
        """done(end), or done(None) when nobody listens there, or for something else. Never answers while packets get lost."""
        self.loop.after(self.latency(owner.party, host), self._knock, owner, host, port, encrypted, done)

    def _knock(self, owner: Owner, host: str, port: int, encrypted: bool, done: Callable[[End | None], None]) -> None:
        listener = self._listeners.get((host, port))
        party = listener.party if listener is not None else host
        wait_s = self.retry_s(owner.party, party) or self.retry_s(party, owner.party)
        if wait_s:
            self.loop.after(wait_s, self._knock, owner, host, port, encrypted, done)
            return
        if listener is None or self.speaks_tls(host, port) != encrypted:
            self.loop.after(self.latency(party, owner.party), done, None)
            return
        near, far = End(self, owner, host, port), End(self, listener, host, port)
        near.peer, far.peer = far, near
        listener.accepted(far)
        if isinstance(owner, Listener):
            owner.accepted(near)  # it ends with its process, too
        self.loop.after(self.latency(party, owner.party), done, near)


async def dialled(network: Network, owner: Owner, host: str, port: int, *, encrypted: bool = False) -> End:
    """Raises ConnectionRefusedError."""
    future: asyncio.Future[End | None] = network.loop.create_future()

    def done(end: End | None) -> None:
        if not future.done():
            future.set_result(end)
        elif end is not None:
            end.close()

    network.dial(owner, host, port, done, encrypted=encrypted)
    end = await future
    if end is None:
        raise ConnectionRefusedError(111, "Connection refused")
    return end
