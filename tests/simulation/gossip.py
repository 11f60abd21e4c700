"""The cluster bus of one simulated node: its table of the others, pings with gossip, suspicion, failure by majority, and whose
claim on slots wins. Follows the engines' rules as far as the planners can see them.

Not modelled: bus links (a packet is lost or it is not), links half open, epochs on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from tests.simulation.encryption import Ports
from tests.simulation.network import Listener
from tests.simulation.process import Process
from tests.simulation.slots import ALL, NONE, Mask, has

CRON_S = 0.2
BUS_OFFSET = 10_000
_FORGOTTEN_S = 60.0
_WRITABLE_DELAY_S = 2.0


class Peer(msgspec.Struct):
    """A line of CLUSTER NODES."""

    engine_id: str
    host: str
    primary: bool = True
    primary_id: str = ""
    epoch: int = 0
    slots: Mask = NONE
    handshake: bool = False
    suspected: bool = False
    failed: bool = False
    failed_s: float = 0.0
    asked_s: float = 0.0  # when the ping was sent that is not answered yet
    heard_s: float = 0.0
    reports: dict[str, float] = {}  # who says that it fails, and when that was said last
    voted_s: float = -1e9  # when we voted for one of its replicas
    port: int = 0  # where it says that it serves


class Header(msgspec.Struct, frozen=True):
    """What a node says of itself with every message; a replica says its primary's slots and epoch."""

    engine_id: str
    host: str
    primary: bool
    primary_id: str
    epoch: int
    current_epoch: int
    slots: Mask
    port: int


class Bus:
    """me: the node itself, also in the table. on_lost(winner): all our slots, or our primary's, are another's now.
    on_less(slots): these of our own are."""

    def __init__(
        self,
        process: Process,
        chance: Random,
        timeout_s: float,
        other: Callable[[str, Header, Any], None],
        transit: Ports,
    ) -> None:
        self.process, self.chance, self.timeout_s, self.transit = process, chance, timeout_s, transit
        self._links: dict[str, Listener] = {}  # by address: the process that we have a link to
        self._other = other  # messages that are not the bus's own business
        self.me = Peer(f"{chance.getrandbits(160):040x}", process.party)
        self.table: dict[str, Peer] = {self.me.engine_id: self.me}
        self.current_epoch = 0
        self.on_lost: Callable[[Peer], None] = lambda winner: None
        self.on_less: Callable[[Mask], None] = lambda slots: None
        self.kept: Callable[[], Mask] = lambda: NONE  # slots whose owner nobody else changes: they are being imported by hand
        self._unclaimed: Mask = NONE  # slots that their owner does not claim any more: anybody may
        self.ok = False
        self._forgotten: dict[str, float] = {}
        self._telling = False
        self._began_s = 0.0
        self._minority_s = -1e9

    @property
    def now_s(self) -> float:
        return self.process.network.now()

    def start(self) -> None:
        self._began_s = self.now_s
        self.process.network.listen(self.process, self.process.party, self.process.port + BUS_OFFSET)
        self.process.after(CRON_S * self.chance.random(), self._first)

    def _first(self) -> None:
        self.process.every(CRON_S, self._cron)

    # --- the table ---

    def others(self) -> list[Peer]:
        return [peer for peer in self.table.values() if peer is not self.me]

    def owner(self, slot: int) -> Peer | None:
        return next((peer for peer in self.table.values() if has(peer.slots, slot)), None)

    def owned(self) -> Mask:
        """By anybody."""
        slots = NONE
        for peer in self.table.values():
            slots |= peer.slots
        return slots

    def give(self, slots: Mask, owner: Peer) -> None:
        """In our own table."""
        for peer in self.table.values():
            peer.slots &= ~slots
        owner.slots |= slots
        self._unclaimed &= ~slots

    def take(self, slots: Mask) -> None:
        """By an epoch that nobody agreed to, and say so at once."""
        self.current_epoch = max([self.current_epoch] + [peer.epoch for peer in self.table.values()]) + 1
        self.me.epoch = self.current_epoch
        self.give(slots, self.me)
        if not self._telling:
            self._telling = True
            self.process.after(0.0, self._tell)

    def _tell(self) -> None:
        self._telling = False
        self.refresh()
        self.broadcast("PONG")

    def voters(self) -> list[Peer]:
        """Primaries that own slots."""
        return [peer for peer in self.table.values() if peer.primary and peer.slots]

    def majority(self) -> int:
        return len(self.voters()) // 2 + 1

    def meet(self, host: str) -> None:
        if any(peer.host == host and peer.handshake for peer in self.table.values()):
            return
        name = f"{self.chance.getrandbits(160):040x}"
        self.table[name] = Peer(name, host, handshake=True, heard_s=self.now_s)
        self.post(host, "MEET")

    def forget(self, engine_id: str) -> None:
        del self.table[engine_id]
        self._forgotten[engine_id] = self.now_s + _FORGOTTEN_S
        for peer in self.table.values():
            peer.reports.pop(engine_id, None)
            if peer.primary_id == engine_id:
                peer.primary_id = ""

    # --- sending ---

    def header(self) -> Header:
        me = self.me
        source = me if me.primary else self.table.get(me.primary_id, me)
        return Header(
            me.engine_id,
            me.host,
            me.primary,
            me.primary_id,
            source.epoch,
            self.current_epoch,
            source.slots,
            self.transit.announced,
        )

    def post(self, host: str, kind: str, body: Any = None) -> None:
        if kind in ("PING", "PONG", "MEET"):
            body = [(peer.engine_id, peer.host, peer.suspected or peer.failed) for peer in self.others() if not peer.handshake]
        if self._is_linked(host):
            self.process.network.post(
                self.process.party, host, self.process.port + BUS_OFFSET, ("BUS", kind, self.header(), body)
            )

    def _is_linked(self, host: str) -> bool:
        """A link that there is stays as it is; a new one is made where both sides mean the same."""
        listener = self.process.network.listener(host, self.process.port + BUS_OFFSET)
        if listener is not None and self._links.get(host) is not listener:
            other = getattr(getattr(listener, "program", None), "transit", None)
            if isinstance(other, Ports) and other.gossips_encrypted != self.transit.gossips_encrypted:
                return False
            self._links[host] = listener
        return True

    def broadcast(self, kind: str, body: Any = None) -> None:
        for peer in self.others():
            if not peer.handshake:
                self.post(peer.host, kind, body)

    def _cron(self) -> None:
        now_s = self.now_s
        for peer in self.others():
            if peer.handshake:
                if now_s - peer.heard_s > max(self.timeout_s, 1.0):
                    del self.table[peer.engine_id]
                else:
                    self.post(peer.host, "MEET")
            elif peer.asked_s:
                if now_s - peer.asked_s > self.timeout_s / 2:
                    self._links.pop(peer.host, None)
                if now_s - peer.asked_s > self.timeout_s:
                    peer.suspected = True
                self.post(peer.host, "PING")
            elif now_s - peer.heard_s > self.timeout_s / 2 or self.chance.random() < CRON_S / 2:
                peer.asked_s = now_s
                self.post(peer.host, "PING")
            if peer.suspected and not peer.failed:
                self._judge(peer)
        self.refresh()

    # --- receiving ---

    def received(self, kind: str, header: Header, body: Any) -> None:
        sender = self.table.get(header.engine_id)
        if kind == "MEET" and sender is None:
            sender = self.table[header.engine_id] = Peer(header.engine_id, header.host, heard_s=self.now_s)
        if kind == "PONG" and sender is None:
            sender = self._recognise(header)
        if sender is None:
            return
        sender.host, sender.port = header.host, header.port
        self.current_epoch = max(self.current_epoch, header.current_epoch)
        if kind in ("PING", "MEET"):
            self.post(header.host, "PONG")
        elif kind == "PONG":
            self._heard(sender)
        self._believe(sender, header)
        if kind in ("PING", "PONG", "MEET"):
            self._take_gossip(sender, body)
        elif kind == "FAIL":
            failed = self.table.get(body)
            if failed is not None and failed is not self.me:
                self._fail(failed)
        elif kind == "UPDATE":
            self._update(body)
        else:
            self._other(kind, header, body)

    def _recognise(self, header: Header) -> Peer | None:
        """Whoever answers at an address that we shake hands with has a name now."""
        for peer in self.others():
            if peer.handshake and peer.host == header.host:
                del self.table[peer.engine_id]
                found = self.table[header.engine_id] = Peer(header.engine_id, header.host, heard_s=self.now_s)
                return found
        return None

    def _heard(self, peer: Peer) -> None:
        peer.heard_s, peer.asked_s, peer.suspected = self.now_s, 0.0, False
        if peer.failed and (not peer.slots or not peer.primary or self.now_s - peer.failed_s > 2 * self.timeout_s):
            peer.failed = False

    def _believe(self, sender: Peer, header: Header) -> None:
        """Role, epoch and slots, as the sender says itself."""
        if not header.primary:
            sender.primary, sender.primary_id, sender.slots = False, header.primary_id, NONE
            source = self.table.get(header.primary_id)
            if source is not None and source.primary and header.epoch < source.epoch:
                return
        else:
            sender.primary, sender.primary_id = True, ""
            sender.epoch = max(sender.epoch, header.epoch)
            self._claim(sender, header.slots, header.epoch)
            self._settle_collision(sender)
        self._correct(sender, header)

    def _claim(self, sender: Peer, slots: Mask, epoch: int) -> None:
        if not slots and sender.slots:
            sender.slots = NONE
        self._unclaimed = (self._unclaimed | (sender.slots & ~slots)) & ~(sender.slots & slots)
        new = slots & ~sender.slots & ~self.kept()
        if not new:
            return
        mine = self.me if self.me.primary else self.table.get(self.me.primary_id)
        had = mine.slots if mine is not None else NONE
        for peer in self.table.values():
            disputed = peer.slots & new
            if disputed:
                won = disputed if peer.epoch < epoch else disputed & self._unclaimed
                peer.slots &= ~won
                new &= ~(disputed & ~won)
        sender.slots |= new
        self._unclaimed &= ~new
        if mine is None or mine is sender or not had & ~mine.slots:
            return
        lost = had & ~mine.slots
        if not mine.slots and sender.slots == lost:  # else it is left without slots (cluster-allow-replica-migration no)
            self.on_lost(sender)
        elif mine is self.me:
            self.on_less(lost)

    def _settle_collision(self, sender: Peer) -> None:
        me = self.me
        if me.primary and sender.epoch == me.epoch and me.epoch and me.engine_id < sender.engine_id:
            self.current_epoch += 1
            me.epoch = self.current_epoch

    def _correct(self, sender: Peer, header: Header) -> None:
        """Whoever claims what another owns by a higher epoch is told so."""
        for owner in self.table.values():
            if (
                owner.slots & header.slots
                and owner.engine_id not in (header.engine_id, header.primary_id)
                and owner.epoch > header.epoch
            ):
                self.post(sender.host, "UPDATE", (owner.engine_id, owner.epoch, owner.slots))
                return

    def _update(self, body: Any) -> None:
        engine_id, epoch, slots = body
        winner = self.table.get(engine_id)
        if winner is None or winner.epoch >= epoch:
            return
        winner.primary, winner.primary_id, winner.epoch = True, "", epoch
        self._claim(winner, slots, epoch)

    def _take_gossip(self, sender: Peer, body: Any) -> None:
        for engine_id, host, failing in body:
            peer = self.table.get(engine_id)
            if peer is None:
                if self._forgotten.get(engine_id, 0.0) < self.now_s and not sender.handshake:
                    self.meet(host)
            elif peer is not self.me and sender.primary and sender.slots:
                if failing:
                    peer.reports[sender.engine_id] = self.now_s
                else:
                    peer.reports.pop(sender.engine_id, None)

    # --- failure ---

    def _judge(self, peer: Peer) -> None:
        recent = [at_s for at_s in peer.reports.values() if self.now_s - at_s < 2 * self.timeout_s]
        said = len(recent) + (1 if self.me.primary and self.me.slots else 0)
        if said >= self.majority():
            self._fail(peer)
            self.broadcast("FAIL", peer.engine_id)

    def _fail(self, peer: Peer) -> None:
        peer.suspected = False
        if not peer.failed:
            peer.failed, peer.failed_s = True, self.now_s

    def refresh(self) -> None:
        """cluster_state."""
        voters = self.voters()
        covered = NONE
        for peer in voters:
            if not peer.failed:
                covered |= peer.slots
        reachable = sum(1 for peer in voters if not peer.failed and not peer.suspected)
        if reachable < self.majority():
            self._minority_s = self.now_s
        ok = covered == ALL and reachable >= self.majority()
        if ok and not self.ok and self.me.primary:
            rejoin_s = min(5.0, max(0.5, self.timeout_s))
            ok = self.now_s - self._began_s >= _WRITABLE_DELAY_S and self.now_s - self._minority_s >= rejoin_s
        self.ok = ok
