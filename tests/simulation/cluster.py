"""A simulated Valkey with cluster mode enabled: the commands of CLUSTER, on top of gossip and elections."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

from tests.simulation.election import Elections
from tests.simulation.engine import Engine, Witness
from tests.simulation.gossip import BUS_OFFSET, Bus, Peer, Slots
from tests.simulation.network import End
from tests.simulation.process import Process
from tests.simulation.replication import Tuning
from tests.simulation.resp import OK


class ClusterEngine(Engine):
    """It starts as a primary without slots that knows nobody."""

    def __init__(
        self, process: Process, config: dict[str, str], chance: Random, tuning: Tuning, witness: Witness, *, redis: bool
    ) -> None:
        super().__init__(process, config, chance, tuning, witness, redis=redis)
        self.bus = Bus(process, chance, int(config["cluster-node-timeout"]) / 1000, self._bus_said)
        self.bus.on_lost = self._follow
        self.elections = Elections(self.bus, self._won, lambda: len(self.replication.stream), self._unlinked_s, self.pause)
        self.replication.primary = True
        witness.identified(self, self.bus.me.engine_id)

    is_clustered: ClassVar[bool] = True

    @property
    def leads(self) -> bool:
        return self.bus.me.primary and bool(self.bus.me.slots)

    @property
    def writable(self) -> bool:
        return self.leads and self.bus.ok and not self.paused and self.replication.state != "loading"

    def reachable(self, address: str = "") -> bool:
        return True

    def serve(self) -> None:
        self.replication.start()
        self.bus.start()
        self.elections.start()

    def received(self, end: End | None, payload: Any) -> None:
        if end is None:
            self.bus.received(*payload[1:])
        else:
            super().received(end, payload)

    def _bus_said(self, kind: str, header: Any, body: Any) -> None:
        self.elections.received(kind, header, body)

    def _unlinked_s(self) -> float:
        state = self.replication
        if state.state == "up":
            return 0.0
        return state.now_s - state.down_since_s if state.down_since_s >= 0 else math.inf

    # --- roles ---

    def _won(self, by: str) -> None:
        self.witness.promoted(self, by)
        self.replication.lead()

    def _follow(self, primary: Peer) -> None:
        me = self.bus.me
        me.primary, me.primary_id, me.slots = False, primary.engine_id, ()
        self.replication.follow(primary.host)
        self.unpause()

    def refusal(self, slot: int) -> tuple[str, ...]:
        busy = super().refusal(slot)
        if busy and busy[0] != "READONLY":
            return busy
        self.bus.refresh()
        if not self.bus.ok:
            return ("CLUSTERDOWN",)
        owner = next((peer for peer in self.bus.table.values() if _covers(peer.slots, slot)), None)
        if owner is self.bus.me:
            return ()
        return ("MOVED", owner.host) if owner is not None else ("CLUSTERDOWN",)

    # --- commands ---

    def cluster(self, by: str, words: list[str]) -> Any:
        handler = self.verbs.get(words[0])
        if handler is None:
            self.witness.unknown(self, ["CLUSTER", *words])
            return "-ERR unknown subcommand"
        return handler(self, by, words[1:])

    def nodes(self, by: str, words: list[str]) -> Any:
        return "".join(map(self._line, self.bus.table.values()))

    def _line(self, peer: Peer) -> str:
        flags = ["myself"] if peer is self.bus.me else []
        flags.append("handshake" if peer.handshake else "master" if peer.primary else "slave")
        flags += ["fail"] if peer.failed else ["fail?"] if peer.suspected else []
        slots = "".join(f" {first}-{last}" for first, last in peer.slots)
        link = "connected" if not peer.asked_s or peer is self.bus.me else "disconnected"
        return (
            f"{peer.engine_id} {peer.host}:{self.process.port}@{self.process.port + BUS_OFFSET} {','.join(flags)} "
            f"{peer.primary_id or '-'} 0 0 {peer.epoch} {link}{slots}\n"
        )

    def state(self, by: str, words: list[str]) -> Any:
        self.bus.refresh()
        return f"cluster_state:{'ok' if self.bus.ok else 'fail'}\r\ncluster_current_epoch:{self.bus.current_epoch}\r\n"

    def identity(self, by: str, words: list[str]) -> Any:
        return self.bus.me.engine_id

    def meet(self, by: str, words: list[str]) -> Any:
        self.bus.meet(words[0])
        return OK

    def forget(self, by: str, words: list[str]) -> Any:
        known = self.bus.table.get(words[0])
        if known is None:
            return "-ERR Unknown node"
        if known is self.bus.me or known.engine_id == self.bus.me.primary_id:
            return "-ERR Can't forget my master!"
        self.witness.forgot(self, words[0])
        self.bus.forget(words[0])
        return OK

    def replicate(self, by: str, words: list[str]) -> Any:
        primary = self.bus.table.get(words[0])
        if primary is None or primary.handshake:
            return f"-ERR Unknown node {words[0]}"
        if not primary.primary:
            return "-ERR I can only replicate a master, not a replica."
        me = self.bus.me
        if me.primary and (me.slots or self.replication.stream):
            return "-ERR To set a master the node must be empty and without assigned slots."
        self._follow(primary)
        return OK

    def own(self, by: str, words: list[str]) -> Any:
        pairs = [(int(first), int(last)) for first, last in zip(words[::2], words[1::2], strict=True)]
        if any(self.bus.owner(pair) is not None for pair in pairs):
            return "-ERR Slot is already busy"
        if not self.bus.me.slots:
            self.witness.promoted(self, by)
        self.bus.me.slots = tuple(sorted((*self.bus.me.slots, *pairs)))
        self.bus.refresh()
        return OK

    def set_epoch(self, by: str, words: list[str]) -> Any:
        if len(self.bus.table) > 1 or self.bus.me.epoch:
            return "-ERR Node config epoch is already non-zero"
        self.bus.me.epoch = int(words[0])
        self.bus.current_epoch = max(self.bus.current_epoch, self.bus.me.epoch)
        return OK

    def bump_epoch(self, by: str, words: list[str]) -> Any:
        self.bus.current_epoch += 1
        self.bus.me.epoch = self.bus.current_epoch
        return f"+BUMPED {self.bus.me.epoch}"

    def failover(self, by: str, words: list[str]) -> Any:
        if self.bus.me.primary:
            return "-ERR You should send CLUSTER FAILOVER to a replica"
        if words == ["TAKEOVER"]:
            self.witness.ordered(self, by)
            self.elections.by_order(by)
        elif words == ["FORCE"]:
            self.witness.ordered(self, by)
            self.elections.by_vote(by)
        else:
            return self.elections.by_agreement(by) or OK
        return OK

    handlers: ClassVar[dict[str, Callable[[Any, str, list[str]], Any]]] = {**Engine.handlers, "CLUSTER": cluster}
    verbs: ClassVar[dict[str, Callable[[Any, str, list[str]], Any]]] = {
        "INFO": state,
        "NODES": nodes,
        "MYID": identity,
        "MEET": meet,
        "FORGET": forget,
        "REPLICATE": replicate,
        "ADDSLOTSRANGE": own,
        "SET-CONFIG-EPOCH": set_epoch,
        "BUMPEPOCH": bump_epoch,
        "FAILOVER": failover,
    }


def _covers(slots: Slots, slot: int) -> bool:
    return any(first <= slot <= last for first, last in slots)
