"""A simulated Valkey with cluster mode enabled: the commands of CLUSTER, on top of gossip, elections and slots on their way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar

from cachefleet.engine_interfaces import Build
from tests.simulation.election import Elections
from tests.simulation.engine import Engine, Witness
from tests.simulation.gossip import BUS_OFFSET, Bus, Peer
from tests.simulation.network import End
from tests.simulation.open_slots import OpenSlots
from tests.simulation.process import Process
from tests.simulation.replication import Change, Tuning
from tests.simulation.resp import OK
from tests.simulation.slot_jobs import Migrations
from tests.simulation.slots import NONE, Mask, has, mask_of, ranges_of, text_of, within


class ClusterEngine(Engine):
    """It starts as a primary without slots that knows nobody."""

    def __init__(
        self,
        process: Process,
        config: dict[str, str],
        chance: Random,
        tuning: Tuning,
        witness: Witness,
        build: Build,
        files: Callable[[], Mapping[str, bytes]],
    ) -> None:
        super().__init__(process, config, chance, tuning, witness, build, files)
        self.bus = Bus(process, chance, int(config["cluster-node-timeout"]) / 1000, self._bus_said, self.transit)
        self.replication.way = self._way
        self.bus.on_lost = self._follow
        self.elections = Elections(
            self.bus, self._won, lambda: len(self.replication.stream), self._unlinked_s, self.pause, self.took_over
        )
        self.open_slots = OpenSlots(self)
        self.migrations = Migrations(self)
        self.bus.on_less = self._lost_slots
        self.bus.kept = lambda: self.open_slots.imported
        self.replication.marked = self._marked
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
        elif not isinstance(payload, bytes) and payload[0] == "MIGRATION":
            self.migrations.received(end, *payload[1:])
        else:
            super().received(end, payload)

    def lost(self, end: End) -> None:
        super().lost(end)
        self.migrations.lost(end)

    def _bus_said(self, kind: str, header: Any, body: Any) -> None:
        self.elections.received(kind, header, body)

    def _unlinked_s(self) -> float:
        state = self.replication
        if state.state == "up":
            return 0.0
        return state.now_s - state.down_since_s if state.down_since_s >= 0 else math.inf

    def _way(self) -> tuple[int, bool]:
        """To its primary: as that says where it serves."""
        primary = self.bus.table.get(self.bus.me.primary_id)
        known = primary.port if primary is not None else 0
        return known or self.process.port, self.transit.replicates_encrypted

    # --- roles ---

    def _won(self, by: str, slots: Mask) -> None:
        self.witness.promoted(self, by, slots)
        self.replication.lead()

    def _follow(self, primary: Peer) -> None:
        me = self.bus.me
        me.primary, me.primary_id, me.slots = False, primary.engine_id, NONE
        self.migrations.stepped_down()
        self.replication.follow(primary.host)
        self.unpause()

    def took_over(self) -> None:
        """It has a role, and slots, since just now."""
        self.migrations.took_over()

    # --- slots ---

    def claim_seeded(self) -> None:
        """It takes responsibility for the slots of all keys that it finds, with epoch 0."""
        slots = NONE
        for slot, writes in self.replication.by_slot.items():
            slots |= 1 << slot if writes else NONE
        if slots:
            self.witness.claimed(self, slots)
            self.bus.give(slots, self.bus.me)
            self.bus.refresh()

    def _lost_slots(self, slots: Mask) -> None:
        """Others own them now; what was in them goes."""
        self.open_slots.lost(slots)
        self.migrations.lost_slots(slots)
        self.drop(slots)

    def drop(self, slots: Mask) -> None:
        gone = within(self.replication.data, slots)
        if gone:
            self.replication.append(Change(drop=frozenset(gone)))

    def _marked(self, mark: tuple[Any, ...]) -> None:
        """A word of our primary, or our own, about slots on their way."""
        if mark[0] == "SETSLOT":
            self.open_slots.marked(*mark[1:])
        else:
            self.migrations.marked(*mark)

    def applied(self, write: int) -> None:
        self.migrations.wrote(write)

    def restore(self, keys: list[int]) -> str:
        return self.open_slots.restore(keys)

    @property
    def gives_or_takes(self) -> bool:
        """Slots are on their way from or to it."""
        return bool(self.open_slots.migrating or self.open_slots.importing or self.migrations.open())

    def owns(self, slot: int) -> bool:
        """It would take a write for this slot from whoever asks."""
        return has(self.bus.me.slots, slot) and slot not in self.open_slots.migrating

    def refusal(self, slot: int, *, asking: bool = False) -> tuple[str, ...]:
        busy = super().refusal(slot)
        if busy and busy[0] != "READONLY":
            return busy
        self.bus.refresh()
        if not self.bus.ok:
            return ("CLUSTERDOWN",)
        owner = self.bus.owner(slot)
        if owner is self.bus.me:
            target = self.bus.table.get(self.open_slots.migrating.get(slot, ""))
            return ("ASK", target.host) if target is not None else ()  # a write is a new key: it is not here
        if asking and slot in self.open_slots.importing and self.bus.me.primary:
            return ()
        return ("MOVED", owner.host) if owner is not None else ("CLUSTERDOWN",)

    # --- commands ---

    def cluster(self, by: str, words: list[str]) -> Any:
        handler = self.verbs.get(words[0])
        if handler is None or _NEEDS.get(words[0], "") not in ("", *self.build.capabilities):
            self.witness.unknown(self, ["CLUSTER", *words])
            return "-ERR unknown subcommand"
        return handler(self, by, words[1:])

    def nodes(self, by: str, words: list[str]) -> Any:
        return "".join(map(self._line, self.bus.table.values()))

    def _line(self, peer: Peer) -> str:
        flags = ["myself"] if peer is self.bus.me else []
        flags.append("handshake" if peer.handshake else "master" if peer.primary else "slave")
        flags += ["fail"] if peer.failed else ["fail?"] if peer.suspected else []
        slots = f" {text_of(peer.slots)}" if peer.slots else ""
        if peer is self.bus.me:
            slots += self.open_slots.text()
        link = "connected" if not peer.asked_s or peer is self.bus.me else "disconnected"
        return (
            f"{peer.engine_id} {peer.host}:{self._port_of(peer)}@{self.process.port + BUS_OFFSET} {','.join(flags)} "
            f"{peer.primary_id or '-'} 0 0 {peer.epoch} {link}{slots}\n"
        )

    def _port_of(self, peer: Peer) -> int:
        return self.transit.announced if peer is self.bus.me else peer.port or self.process.port

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
        if me.primary and (me.slots or self.replication.data):
            return "-ERR To set a master the node must be empty and without assigned slots."
        self._follow(primary)
        return OK

    def own(self, by: str, words: list[str]) -> Any:
        slots = mask_of(tuple((int(first), int(last)) for first, last in zip(words[::2], words[1::2], strict=True)))
        if self.bus.owned() & slots:
            return "-ERR Slot is already busy"
        if not self.bus.me.slots:
            self.witness.promoted(self, by, slots)
        self.witness.claimed(self, slots)
        self.bus.give(slots, self.bus.me)
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

    # --- slots on their way ---

    def set_slot(self, by: str, words: list[str]) -> Any:
        return self.open_slots.set_slot(words)

    def keys_in_slot(self, by: str, words: list[str]) -> Any:
        return [f"w{write}" for write in sorted(self.replication.by_slot[int(words[0])])[: int(words[1])]]

    def count_keys(self, by: str, words: list[str]) -> Any:
        return len(self.replication.by_slot[int(words[0])])

    def migrate_keys(self, by: str, words: list[str]) -> Any:
        return self.open_slots.migrate(words)

    def key_size(self, by: str, words: list[str]) -> Any:
        """MEMORY USAGE key"""
        return 100

    def count_existing(self, by: str, words: list[str]) -> Any:
        return sum(int(key.removeprefix("w")) in self.replication.data for key in words)

    def asking(self, by: str, words: list[str]) -> Any:
        return OK

    def unlink(self, by: str, words: list[str]) -> Any:
        """After ASKING, of a key of which another node has a newer twin."""
        there = frozenset(int(key.removeprefix("w")) for key in words) & self.replication.data
        if there:
            self.replication.append(Change(drop=frozenset(there)))
        return len(there)

    def take_keys(self, by: str, words: list[str]) -> Any:
        """The only script that drivers send (engines/key_batches.take)."""
        slot, host, port, patience_ms, most = words[2:7]
        keys = self.keys_in_slot(by, [slot, most])
        answer = self.open_slots.migrate([host, port, "", "0", patience_ms, "REPLACE", "KEYS", *keys]) if keys else OK
        return answer if answer.startswith("-") else self.count_keys(by, [slot])

    def begin_job(self, by: str, words: list[str]) -> Any:
        return self.migrations.begin(words)

    def jobs(self, by: str, words: list[str]) -> Any:
        return self.migrations.told()

    def cancel_jobs(self, by: str, words: list[str]) -> Any:
        return self.migrations.cancel()

    def slot_stats(self, by: str, words: list[str]) -> Any:
        first, last = int(words[1]), int(words[2])
        held = {slot: len(writes) for slot, writes in self.replication.by_slot.items()}
        found = []
        for low, high in ranges_of(self.bus.me.slots & mask_of(((first, last),))):
            for slot in range(low, high + 1):
                keys = held.get(slot, 0)
                load = {"key-count": keys, "cpu-usec": 10 * keys, "network-bytes-in": 90 * keys, "network-bytes-out": 5 * keys}
                found.append([slot, [word for pair in load.items() for word in pair]])
        return found

    handlers: ClassVar[dict[str, Callable[[Any, str, list[str]], Any]]] = {
        **Engine.handlers,
        "CLUSTER": cluster,
        "MIGRATE": migrate_keys,
        "EVAL": take_keys,
        "MEMORY": key_size,
        "EXISTS": count_existing,
        "ASKING": asking,
        "UNLINK": unlink,
    }
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
        "SETSLOT": set_slot,
        "GETKEYSINSLOT": keys_in_slot,
        "COUNTKEYSINSLOT": count_keys,
        "MIGRATESLOTS": begin_job,
        "GETSLOTMIGRATIONS": jobs,
        "CANCELSLOTMIGRATIONS": cancel_jobs,
        "SLOT-STATS": slot_stats,
    }


_NEEDS = {
    "MIGRATESLOTS": "atomic-slot-migration",
    "GETSLOTMIGRATIONS": "atomic-slot-migration",
    "CANCELSLOTMIGRATIONS": "atomic-slot-migration",
    "SLOT-STATS": "slot-stats",
    "ADDSLOTSRANGE": "addslotsrange",
}
