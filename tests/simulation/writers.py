"""Clients that write through the primary endpoint, one unique value after the other, and remember what was acknowledged.

A patient one waits long for an answer: it is the one whom a frozen primary would deceive when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

from tests.simulation.network import End, Network

_FIRST_PAUSE_S = 0.02
Ways = Callable[[], Sequence[tuple[int, bool]]]


class Client(msgspec.Struct, frozen=True):
    """numbers(slot): the next unique value. acked(write): the client was told that it is done."""

    numbers: Callable[[int], int]
    acked: Callable[[int], None]
    interval_s: float
    patience_s: float


class Writer:
    """where: the endpoint, "" while there is none yet."""

    party = "clients"

    def __init__(self, network: Network, chance: Random, ways: Ways, client: Client, where: Callable[[], str]) -> None:
        """ways: ports, and whether with TLS; the next one is tried when one is refused."""
        self._network, self._chance, self._ways, self._client = network, chance, ways, client
        self._refusals = 0
        self._where, self._slot, self._asking = where, 0, False
        self._end: End | None = None
        self._attempt = 0
        self.stopped = False
        network.loop.after(chance.random(), self._go)

    def _later(self, delay_s: float) -> None:
        self._attempt += 1
        self._network.loop.after(delay_s * (0.5 + self._chance.random()), self._go, self._attempt)

    def _go(self, attempt: int = 0) -> None:
        """The next write, on a connection that is made first when there is none."""
        if self.stopped or attempt != self._attempt:
            return
        self._attempt += 1
        if self._end is None or not self._end.open:
            host = self._where()
            if not host:
                self._later(0.2)
                return
            ways = self._ways()
            port, encrypted = ways[self._refusals % len(ways)]
            self._network.dial(self, host, port, self._answer_for(self._attempt), encrypted=encrypted)
        else:
            self._end.send(("SET", self._client.numbers(self._slot), self._slot, self._asking))
            self._asking = False
        self._network.loop.after(self._client.patience_s, self._give_up, self._attempt)

    def _answer_for(self, attempt: int) -> Callable[[End | None], None]:
        return lambda end: self._connected(attempt, end)

    def _connected(self, attempt: int, end: End | None) -> None:
        if attempt != self._attempt or self.stopped:
            if end is not None:
                end.close()
        elif end is None:
            self._refusals += 1
            self._later(_FIRST_PAUSE_S)
        else:
            self._end = end
            self._go(attempt)

    def _give_up(self, attempt: int) -> None:
        if attempt == self._attempt:
            self._drop()
            self._later(_FIRST_PAUSE_S)

    def _drop(self) -> None:
        if self._end is not None:
            self._end.close()
        self._end = None

    def received(self, end: End | None, payload: Any) -> None:
        if payload[0] == "OK":
            self._client.acked(payload[1])
        if end is None or end is not self._end:
            return
        if payload[0] == "OK":
            self._done(self._end)
        else:
            self._refused(payload)
        self._later(self._client.interval_s)

    def _done(self, end: End) -> None:
        """A write was answered."""

    def _refused(self, payload: Any) -> None:
        self._drop()

    def lost(self, end: End) -> None:
        if end is self._end:
            self._end = None
            self._later(_FIRST_PAUSE_S)

    def stop(self) -> None:
        self.stopped = True
        self._drop()


class ClusterWriter(Writer):
    """Writes to one of its slots after the other; asks anybody, and goes where it is sent. seeds: addresses of all nodes."""

    def __init__(
        self,
        network: Network,
        chance: Random,
        ways: Ways,
        client: Client,
        seeds: Callable[[], list[str]],
        slots: tuple[int, ...],
    ) -> None:
        self._seeds, self._slots = seeds, slots
        self._homes: dict[int, str] = {}  # slot -> where its last write was answered, or sent to
        self._ask = ""  # where to ask the next time only
        self._strayed = False  # the connection is to such a one
        super().__init__(network, chance, ways, client, self._next)
        self._slot = slots[0]

    def _next(self) -> str:
        self._asking = self._strayed = bool(self._ask)
        host, self._ask = self._ask or self._homes.pop(self._slot, ""), ""
        seeds = self._seeds()
        return host or (self._chance.choice(seeds) if seeds else "")

    def _done(self, end: End) -> None:
        if not self._strayed:
            self._homes[self._slot] = end.address
        self._slot = self._chance.choice(self._slots)
        if self._strayed or self._homes.get(self._slot) != end.address:
            self._drop()

    def _refused(self, payload: Any) -> None:
        here = self._end.address if self._end is not None else ""
        super()._refused(payload)
        if payload[1] == "MOVED":
            self._homes[self._slot] = payload[2]
        elif payload[1] == "ASK":
            self._homes[self._slot], self._ask = here, payload[2]
