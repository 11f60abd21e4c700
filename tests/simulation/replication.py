"""Replication of one simulated engine: a log of writes that is the data set, streamed to replicas with latency, resynchronised
in part or in full. Offsets are positions in the log; entry 0 is a ping.

As the engines are configured here (engines/valkey_config.py), a replica that holds data keeps it until the new data are
complete; one that holds none loads straight from the socket, and has nothing when that breaks off.
Not modelled: chains of replicas (a replica refuses to feed another), buffers that overflow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any, Union

import msgspec

from tests.simulation.network import End
from tests.simulation.process import Process
from tests.simulation.slots import slot_of

Entry = Union[int, "Change"]  # of the stream: a write, PING, or more at once
OFFSET_UNIT = 10  # bytes of the stream per entry
PING = 0
PERIOD_S = 1.0  # pings, acknowledgements, attempts to connect
TIMEOUT_S = 60.0  # repl-timeout
_BACKLOG = 400  # entries


class Change(msgspec.Struct, frozen=True):
    """Of the data set, other than by a client's write: slots that come and go, function libraries; and words about slots, for
    whoever keeps them (`mark`)."""

    add: tuple[int, ...] = ()
    drop: frozenset[int] = frozenset()
    functions: tuple[str, ...] = ()
    mark: tuple[Any, ...] = ()


class Feed(msgspec.Struct):
    """A replica as its primary knows it."""

    host: str
    began_s: float
    online: bool = False
    acknowledged_s: float = -1.0  # when last


class Tuning(msgspec.Struct, frozen=True):
    """How long things take."""

    full_sync_s: tuple[float, float] = (0.02, 0.6)
    load_s: tuple[float, float] = (0.005, 0.1)


class Replication:
    """loaded(before, after): a full sync replaced the data set. dialled from the node's own address."""

    def __init__(self, process: Process, chance: Random, tuning: Tuning, loaded: Callable[[set[int], set[int]], None]) -> None:
        self._process = process
        self._chance = chance
        self._tuning = tuning
        self._loaded = loaded
        self.feeds_nobody: Callable[[], bool] = lambda: False  # it puts full syncs off
        self.stream: list[Entry] = []
        self.data: set[int] = set()  # what the stream so far comes to
        self.by_slot: defaultdict[int, set[int]] = defaultdict(set)
        self.functions: set[str] = set()
        self.marked: Callable[[tuple[Any, ...]], None] = lambda mark: None  # told of each mark that is applied
        self.replid = self._new_id()
        self.replid2, self.second = "", -1
        self.primary = False
        self.follows = ""
        self.follows_port = process.port
        self.way: Callable[[], tuple[int, bool]] = lambda: (self.follows_port, False)  # port, and whether with TLS
        self.state = "none"  # none | connect | syncing | loading | up
        self.cached = False  # it knows an offset that it can go on from
        self.link: End | None = None
        self.down_since_s = -1.0  # when the link broke; before 0: it never was up
        self.heard_s = -1.0
        self.feeds: dict[End, Feed] = {}
        self.children = self.full_syncs = 0
        self._before: set[int] = set()  # what a load replaces
        self._waiting: list[Entry] = []  # of the stream, until the load is complete
        self._broken = False
        self._attempts = 0

    def start(self) -> None:
        self._process.every(PERIOD_S, self._each_second)

    def _new_id(self) -> str:
        return f"{self._chance.getrandbits(64):016x}"

    @property
    def now_s(self) -> float:
        return self._process.network.now()

    # --- roles ---

    def lead(self) -> None:
        """REPLICAOF NO ONE."""
        if self.primary:
            return
        self.replid2, self.second = (self.replid, len(self.stream)) if self.cached or self.state == "up" else ("", -1)
        self.replid = self._new_id()
        self.primary, self.follows = True, ""
        self._unlink("none")

    def follow(self, host: str, port: int = 0) -> None:
        """REPLICAOF host port; "" to wait for a role. A link to another port is made anew."""
        if not self.primary and (self.follows, self.follows_port) == (host, port) and self.state != "none":
            return
        self.follows_port = port
        if self.primary or self.state == "up":
            self.cached = True
            self.down_since_s = -1.0 if self.primary else self.now_s
        self.primary, self.follows = False, host
        self._drop_feeds()
        self._unlink("connect" if host else "none")
        if host:
            self._connect()

    def _drop_feeds(self) -> None:
        for end in list(self.feeds):
            end.close()
        self.feeds.clear()

    def _unlink(self, state: str) -> None:
        self._attempts += 1
        if self.link is not None:
            self.link.close()
        self.link = None
        self.state = state

    # --- the primary's side ---

    def append(self, entry: Entry) -> None:
        self._extend([entry])
        for end, feed in self.feeds.items():
            if feed.online:
                end.send(("STREAM", [entry]))

    def _extend(self, entries: list[Entry]) -> None:
        self.stream.extend(entries)
        for entry in entries:
            if isinstance(entry, int):
                if entry != PING:
                    self.data.add(entry)
                    self.by_slot[slot_of(entry)].add(entry)
                continue
            self.data.update(entry.add)
            self.data -= entry.drop
            for write in entry.add:
                self.by_slot[slot_of(write)].add(write)
            for write in entry.drop:
                self.by_slot[slot_of(write)].discard(write)
            self.functions.update(entry.functions)
            if entry.mark:
                self.marked(entry.mark)

    def begin_with(self, writes: tuple[int, ...]) -> None:
        """What it has loaded at its start."""
        self._extend([Change(add=writes)])

    def asked_to_sync(self, end: End, host: str, replid: str, offset: int) -> None:
        if not self.primary or self.feeds_nobody():
            end.send(("NO",))
            return
        feed = self.feeds[end] = Feed(host, began_s=self.now_s)
        known = replid == self.replid or (replid == self.replid2 and offset <= self.second)
        if known and len(self.stream) - _BACKLOG <= offset <= len(self.stream):
            end.send(("CONTINUE", self.replid))
            end.send(("STREAM", self.stream[offset:]))
            feed.online = True
            return
        end.send(("FULL",))
        self.full_syncs += 1
        self.children += 1
        self._process.after(self._chance.uniform(*self._tuning.full_sync_s), self._snapshot_sent, end, list(self.stream))

    def _snapshot_sent(self, end: End, snapshot: list[int]) -> None:
        self.children -= 1
        feed = self.feeds.get(end)
        if feed is None or not self.primary:
            return
        end.send(("DATA", self.replid, snapshot))
        end.send(("STREAM", self.stream[len(snapshot) :]))
        feed.online = True

    # --- the replica's side ---

    def _connect(self) -> None:
        self._attempts += 1
        port, encrypted = self.way()
        self._process.network.dial(self._process, self.follows, port, self._answer_for(self._attempts), encrypted=encrypted)

    def _answer_for(self, attempt: int) -> Callable[[End | None], None]:
        return lambda end: self._process.do(self._connected, attempt, end)

    def _connected(self, attempt: int, end: End | None) -> None:
        if attempt != self._attempts or end is None:
            if end is not None:
                end.close()
            return
        self.link = end
        offset = len(self.stream) if self.cached else -1
        end.send(("PSYNC", self._process.party, self.replid if self.cached else "?", offset))

    def heard(self, payload: Any) -> None:
        """From the primary, over the link."""
        self.heard_s = self.now_s
        kind = payload[0]
        if kind == "CONTINUE":
            self.replid = payload[1]
            self.replid2, self.second = "", -1
            self.state = "up"
        elif kind == "FULL":
            self.cached = False
            self.state = "syncing"
        elif kind == "DATA":
            self.state = "loading"
            self._before, self._waiting, self._broken = self.data, [], False
            self.stream, self.data, self.functions = [], set(), set()
            self.by_slot = defaultdict(set)
            self._process.after(self._chance.uniform(*self._tuning.load_s), self._complete, self._attempts, payload)
        elif kind == "STREAM":
            if self.state == "loading":
                self._waiting.extend(payload[1])
            else:
                self._extend(payload[1])
        elif kind == "NO":
            self.link_lost()

    def _complete(self, attempt: int, payload: Any) -> None:
        if attempt != self._attempts:
            return
        self._extend(payload[2])
        self._loaded(self._before, self.data)
        self.replid = payload[1]
        self.replid2, self.second = "", -1
        self.state = "up"
        self._extend(self._waiting)
        if self._broken:
            self.link_lost()

    def link_lost(self) -> None:
        """A load from a file goes on all the same; one from the socket had no data before, and has none then."""
        if self.state == "loading" and self._before:
            self._broken = True
            return
        if self.state == "up":
            self.cached = True
            self.down_since_s = self.now_s
        self.link = None
        self._attempts += 1
        self.state = "connect"
        if self.follows:
            self._process.after(0.01, self._reconnect, self._attempts)

    def _reconnect(self, attempt: int) -> None:
        if attempt == self._attempts and self.state == "connect" and self.follows:
            self._connect()

    # --- every second ---

    def _each_second(self) -> None:
        if self.primary:
            if self.feeds and not self.quiet():
                self.append(PING)
        elif self.state == "connect" and self.follows:
            self._connect()
        elif self.link is not None and self.state == "up":
            self.link.send(("ACK",))
            if self.now_s - self.heard_s > TIMEOUT_S:
                self.link.close()
                self.link_lost()

    quiet: Callable[[], bool] = staticmethod(lambda: False)  # writes are paused
