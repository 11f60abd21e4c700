"""How a simulated replica becomes primary in cluster mode: by an election of its own, by a vote that was asked for, by
agreement with its living primary, or by order. And how primaries vote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tests.simulation.gossip import Bus, Header, Peer
from tests.simulation.slots import NONE, Mask

ELECTION = "an election"
_AGREEMENT_S = 5.0
_VALIDITY_FACTOR = 10


class Campaign(msgspec.Struct):
    epoch: int
    votes: int = 0
    asked: bool = False  # by a command, so that primaries vote though they have not agreed that ours has failed
    began_s: float = 0.0
    by: str = ""


class Elections:
    """won(by, slots): take the role; done(): it has it. position(): how much we have of our primary's stream; unlinked_s(): how
    long its link has been down. pause(seconds): let no client write."""

    def __init__(
        self,
        bus: Bus,
        won: Callable[[str, Mask], None],
        position: Callable[[], int],
        unlinked_s: Callable[[], float],
        pause: Callable[[float], None],
        done: Callable[[], None],
    ) -> None:
        self._bus, self._won, self._position, self._unlinked_s, self._pause = bus, won, position, unlinked_s, pause
        self._done = done
        self._campaign: Campaign | None = None
        self._due_s = 0.0  # when to stand for election; 0: not decided yet
        self._again_s = 0.0
        self._last_vote_epoch = 0
        self._agreed: tuple[float, str, int] | None = (
            None  # until when, by whom it was asked for, position to reach (-1: unknown)
        )

    def start(self) -> None:
        self._bus.process.every(0.1, self._cron)

    def _primary(self) -> Peer | None:
        return None if self._bus.me.primary else self._bus.table.get(self._bus.me.primary_id)

    # --- commands ---

    def by_order(self, by: str) -> None:
        """FAILOVER TAKEOVER."""
        bus = self._bus
        bus.current_epoch = max([bus.current_epoch] + [peer.epoch for peer in bus.table.values()]) + 1
        self._take(bus.current_epoch, by)

    def by_vote(self, by: str) -> None:
        """FAILOVER FORCE."""
        self._stand(asked=True, by=by)

    def by_agreement(self, by: str) -> str:
        """FAILOVER. Why not, if so."""
        primary = self._primary()
        if primary is None or primary.failed:
            return "-ERR Primary is down or failed, please use CLUSTER FAILOVER FORCE"
        self._agreed = (self._bus.now_s + _AGREEMENT_S, by, -1)
        self._bus.post(primary.host, "MFSTART")
        return ""

    # --- standing ---

    def _cron(self) -> None:
        self._pursue_agreement()
        primary = self._primary()
        if primary is None or not primary.failed or not primary.slots:
            self._due_s = 0.0
            return
        now_s = self._bus.now_s
        if self._unlinked_s() > self._bus.timeout_s * _VALIDITY_FACTOR + 1.0 or now_s < self._again_s:
            return
        if not self._due_s:
            self._due_s = now_s + 0.5 + 0.5 * self._bus.chance.random()
        elif now_s >= self._due_s:
            self._due_s = 0.0
            self._again_s = now_s + max(4.0, 4 * self._bus.timeout_s)
            self._stand(asked=False, by=ELECTION)

    def _pursue_agreement(self) -> None:
        if self._agreed is None:
            return
        until_s, by, target = self._agreed
        if self._bus.now_s > until_s or self._bus.me.primary:
            self._agreed = None
        elif 0 <= target <= self._position():
            self._agreed = None
            self._stand(asked=True, by=by)

    def _stand(self, *, asked: bool, by: str) -> None:
        primary = self._primary()
        if primary is None:
            return
        self._bus.current_epoch += 1
        self._campaign = Campaign(self._bus.current_epoch, 0, asked, self._bus.now_s, by)
        self._bus.broadcast("AUTH", (self._campaign.epoch, primary.slots, primary.epoch, asked))

    def _take(self, epoch: int, by: str) -> None:
        bus = self._bus
        primary = self._primary()
        slots = primary.slots if primary is not None else NONE
        self._campaign = None
        self._won(by, slots)
        if primary is not None:
            primary.slots = NONE
        bus.me.primary, bus.me.primary_id, bus.me.slots, bus.me.epoch = True, "", slots, epoch
        bus.refresh()
        bus.broadcast("PONG")
        self._done()

    # --- messages ---

    def received(self, kind: str, header: Header, body: Any) -> None:
        if kind == "AUTH":
            self._asked_to_vote(header, *body)
        elif kind == "ACK":
            self._got_vote(header, body)
        elif kind == "MFSTART" and self._bus.me.primary and header.primary_id == self._bus.me.engine_id:
            self._pause(2 * _AGREEMENT_S)
            self._bus.post(header.host, "MFOFFSET", self._position())
        elif kind == "MFOFFSET" and self._agreed is not None:
            self._agreed = (self._agreed[0], self._agreed[1], body)

    def _asked_to_vote(self, header: Header, epoch: int, slots: Any, claim_epoch: int, asked: bool) -> None:
        bus = self._bus
        candidate, primary = bus.table.get(header.engine_id), bus.table.get(header.primary_id)
        if not bus.me.primary or not bus.me.slots or candidate is None or candidate.primary or primary is None:
            return
        if epoch < bus.current_epoch or self._last_vote_epoch == epoch:
            return
        if not (primary.failed or asked) or bus.now_s - primary.voted_s < 2 * bus.timeout_s:
            return
        if any(peer.slots & slots and peer.epoch > claim_epoch for peer in bus.table.values()):
            return
        self._last_vote_epoch = epoch
        primary.voted_s = bus.now_s
        bus.post(header.host, "ACK", epoch)

    def _got_vote(self, header: Header, epoch: int) -> None:
        campaign, voter = self._campaign, self._bus.table.get(header.engine_id)
        if campaign is None or campaign.epoch != epoch or voter is None or not voter.slots or self._bus.me.primary:
            return
        if self._bus.now_s - campaign.began_s > max(2.0, 2 * self._bus.timeout_s):
            return
        campaign.votes += 1
        if campaign.votes >= self._bus.majority():
            self._take(campaign.epoch, campaign.by)
