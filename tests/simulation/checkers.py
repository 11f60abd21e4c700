"""The invariants, checked whenever an engine does something that could break one.

A write counts as held from its acknowledgement on. When a replica is promoted, what it lacks is lost; whether that was allowed
depends on who else was there to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from cachefleet.model.group import GroupDesired, GroupMemory, ShardMemory
from cachefleet.model.resource import GROUP_KINDS
from cachefleet.model.row import Row
from cachefleet.model.temporary import SUFFIX, is_temporary
from cachefleet.planning.addresses import held
from tests.simulation.cluster import ClusterEngine
from tests.simulation.custody import Custody, Ledger
from tests.simulation.election import ELECTION
from tests.simulation.engine import Engine
from tests.simulation.replication import OFFSET_UNIT
from tests.simulation.rolls import Rolls, named
from tests.simulation.slots import ALL, Mask
from tests.simulation.trace import Trace

STALE_S = 6.5  # a promoted replica may lack what was acknowledged so shortly before its primary ended; not older things
ASKED_S = 60.0  # for so long an operator's wish may take effect
CALM_S = 20.0  # for so long nothing hindered the control plane
SEEN_S = 3.0  # a report to a control plane that is older does not bind it
PROOF_S = 3.0  # whoever was well for so long has answered
BUSY_S = 25.0  # a busy primary is borne for longer than that
IN_FLIGHT_S = 8.0  # a decision that was replaced by another may still be carried out for so long


class Report(msgspec.Struct):
    """What an engine last told a control plane about itself."""

    length: int
    at_s: float


class Checkers:
    """now: virtual seconds. stalled_s(): how long the longest stall of a control plane was."""

    def __init__(self, trace: Trace, now: Callable[[], float]) -> None:
        self.trace, self._now = trace, now
        self.ledgers: dict[tuple[str, str], Ledger] = {}
        self.rows: dict[str, Row[GroupDesired]] = {}
        self.reports: dict[Engine, Report] = {}
        self.custody = Custody(trace, now, self.ledgers, self.shard_of)
        self.applied = self.custody.applied
        self.rolls = Rolls(trace, now, self.rows, self.ledgers)
        self.homes: dict[tuple[str, str], str] = {}  # (uid, node) -> the shard that it is of, or was
        self.stall_s = 0.0
        self.identities: dict[str, list[Engine]] = {}  # by engine id of cluster mode
        self.left: set[tuple[str, str]] = set()  # (uid, node) of those that were to go
        self.promotions = 0
        self.effects = 0
        self.calm_s: Callable[[], float] = lambda: 0.0  # how long nothing has hindered the control plane
        self.quiet_s: Callable[[Engine], float] = lambda engine: 0.0  # how long its paths have been whole
        self.told_s: Callable[[Engine], float] = lambda engine: 0.0  # how long its paths to control planes have been whole
        self.on_effect: Callable[[str, str], None] = lambda by, host: None

    # --- who belongs where ---

    def shard_of(self, engine: Engine) -> tuple[str, str]:
        uid, node = named(engine.process.incarnation)
        return uid, self._shard(uid, node)

    def _shard(self, uid: str, node: str) -> str:
        return self.homes.get((uid, node.removesuffix(SUFFIX)), "0001")

    def ledger(self, engine: Engine) -> Ledger:
        return self.ledgers.setdefault(self.shard_of(engine), Ledger())

    def booted(self, engine: Engine) -> None:
        self.ledger(engine).engines.append(engine)

    def identified(self, engine: Engine, engine_id: str) -> None:
        self.identities.setdefault(engine_id, []).append(engine)

    def rivals(self, engine: Engine) -> list[Engine]:
        return [other for other in self.ledger(engine).engines if other is not engine and other.process.running]

    # --- the store ---

    def committed(self, row: Row[GroupDesired]) -> None:
        if row.key.kind not in GROUP_KINDS:
            return
        uid = row.desired.uid
        before, self.rows[uid] = self.rows.get(uid), row
        if before is not None and before.desired is not row.desired:
            names = {node.name for node in row.desired.nodes}
            self.left |= {(uid, node.name) for node in before.desired.nodes if node.name not in names}
            self.left -= {(uid, name) for name in names}
        for shard in row.desired.shards:
            self.homes.update({(uid, node.name): shard.shard_id for node in shard.nodes})
        self._note_decisions(uid, row.memory)
        self.custody.committed(row)
        self.rolls.committed(before, row, self.calm_s())
        mine = set(held(row.memory))
        if not mine or row.desired.deleting:
            return
        for other_uid, other in self.rows.items():
            shared = mine & set(held(other.memory)) if other_uid != uid else set()
            if shared:
                self.trace.violation("address shared", f"{sorted(shared)} by {uid} and {other_uid}")

    def _note_decisions(self, uid: str, memory: GroupMemory) -> None:
        for shard_id, shard in memory.shards.items():
            self._check_headless(uid, shard_id, shard)
            ledger = self.ledgers.setdefault((uid, shard_id), Ledger())
            if ledger.decisions and ledger.decisions[-1][1] == shard.primary:
                continue
            ledger.decisions.append((self._now(), shard.primary))
            self.trace.note(f"decided  {shard.primary} is primary of {uid}/{shard_id}, epoch {shard.epoch}")
            for engine in ledger.engines:
                if named(engine.process.incarnation)[1] == shard.primary and engine.process.running and engine.leads:
                    self._lose(engine, ledger, sorted(ledger.held - engine.replication.data))  # adopted as it is

    def _could_tell(self, ledger: Ledger) -> bool:
        """Whoever was primary last did not fall still before anybody could hear from it whom it feeds."""
        decided_s, name = ledger.decisions[-1] if ledger.decisions else (0.0, "")
        return not any(
            engine.process.still and engine.process.still_since_s - decided_s < SEEN_S
            for engine in ledger.engines
            if named(engine.process.incarnation)[1] == name and engine.process.still_since_s > decided_s
        )

    def _check_headless(self, uid: str, shard_id: str, shard: ShardMemory) -> None:
        """It says that nobody can succeed its primary without losing writes."""
        ledger = self.ledgers.setdefault((uid, shard_id), Ledger())
        if shard.headless and not ledger.headless and self.calm_s() > CALM_S and self._could_tell(ledger):
            for engine in ledger.engines:
                whole = engine.process.running and self._seen(engine) and ledger.held <= engine.replication.data
                awake = self._now() - engine.process.last_still_s > CALM_S
                if whole and awake and self._is_desired(engine) and ledger.held and self.quiet_s(engine) > CALM_S:
                    self.trace.violation("needlessly headless", f"{engine.process.incarnation} has every write")
        ledger.headless = shard.headless

    def asked(self, uid: str, shard_id: str) -> None:
        """An operator asks for a hand-over."""
        self.ledgers.setdefault((uid, shard_id), Ledger()).asked_s = self._now()

    def deleted(self, row: Row[GroupDesired]) -> None:
        if row.key.kind in GROUP_KINDS:
            self.rows.pop(row.desired.uid, None)

    # --- roles ---

    def promoted(self, engine: Engine, by: str, slots: Mask = ALL) -> None:
        """About to become primary, with these slots, because `by` says so."""
        ledger = self.ledger(engine)
        self.promotions += 1
        _, node = named(engine.process.incarnation)
        self.trace.note(f"promoted {engine.process.incarnation} by {by}, {len(engine.replication.stream)} entries")
        ledger.elected = by == ELECTION
        engine.superseded = False
        if ledger.elected:
            for other in self.rivals(engine):
                other.superseded = other.leads  # it will hear so from the others, before or soon after it goes on
        else:
            self._check_saved(ledger, node)
            self._check_fenced(engine)
        self._check_not_empty(engine, ledger)
        self._lose(engine, ledger, sorted(ledger.held - engine.replication.data))

    def _check_saved(self, ledger: Ledger, node: str) -> None:
        since_s = self._now() - IN_FLIGHT_S - self.stall_s
        recent = [name for at_s, name in ledger.decisions if at_s >= since_s]
        older = [name for at_s, name in ledger.decisions if at_s < since_s][-1:]
        if node not in recent + older:
            self.trace.violation("not saved", f"{node} is promoted, and the store does not know of it")

    def _is_muddled(self, ledger: Ledger) -> bool:
        """Somebody made a primary by hand: what is true of roles and data is anybody's guess for a while."""
        return self._now() - ledger.by_hand_s < ASKED_S

    def _check_fenced(self, engine: Engine) -> None:
        if self._is_muddled(self.ledger(engine)):
            return
        for other in self.rivals(engine):
            if other.leads and not other.superseded and not other.retired and other.reachable():
                self.trace.violation(
                    "not fenced", f"{engine.process.incarnation} is promoted while {other.process.incarnation} may write"
                )

    def ordered(self, engine: Engine, by: str) -> None:
        """A take-over without the primary's consent was asked for."""
        self._check_fenced(engine)

    def led_by_hand(self, engine: Engine) -> None:
        self.trace.note(f"by hand  {engine.process.incarnation} is made primary")
        ledger = self.ledger(engine)
        ledger.by_hand_s = self._now()
        if ledger.decisions and ledger.decisions[-1][1] == named(engine.process.incarnation)[1]:
            self._lose(engine, ledger, sorted(ledger.held - engine.replication.data))  # nobody will promote it any more

    def forgot(self, engine: Engine, engine_id: str) -> None:
        for other in self.identities.get(engine_id, []):
            if other.process.running and self._is_desired(other) and not self.rolls.is_retired(other):
                self.trace.violation("forgot the living", f"{engine.process.incarnation} forgot {other.process.incarnation}")

    def _is_desired(self, engine: Engine) -> bool:
        """Nobody has asked for its removal. (Temporary replicas are not in the desired state, either.)"""
        uid, node = named(engine.process.incarnation)
        row = self.rows.get(uid)
        if is_temporary(node) and row is not None:
            shard = row.memory.shards.get(self._shard(uid, node))
            return shard is not None and shard.temporary
        return (uid, node) not in self.left

    def _check_not_empty(self, engine: Engine, ledger: Ledger) -> None:
        if self._is_muddled(ledger) or not ledger.held or engine.replication.data:
            return
        for other in self.rivals(engine):
            if self._is_desired(other) and self._seen(other) and other.replication.data:
                self.trace.violation(
                    "empty primary",
                    f"{engine.process.incarnation} begins empty while {other.process.incarnation} holds data",
                )

    def _seen(self, engine: Engine) -> bool:
        """A control plane had word from it of late, and it could be had now."""
        report = self.reports.get(engine)
        recent = report is not None and self._now() - report.at_s < SEEN_S and self.told_s(engine) > SEEN_S
        able = not engine.process.still and not engine.script_since_s
        return recent and able and engine.replication.state not in ("loading", "syncing")

    def _lose(self, engine: Engine, ledger: Ledger, lacking: list[int]) -> None:
        if not lacking:
            return
        name = engine.process.incarnation
        for other in self.rivals(engine):
            if other.leads and not self._is_muddled(ledger) and not ledger.elected and set(lacking) & other.replication.data:
                self.trace.violation("planned loss", f"{name} lacks {len(lacking)} writes that {other.process.incarnation} has")
        if not ledger.elected:
            self._check_choice(engine, ledger, lacking)
            self._check_fresh(engine, ledger, lacking)
        for write in lacking:
            ledger.held.discard(write)
            ledger.lost[write] = name
        self.trace.note(f"lost     {len(lacking)} writes, since {name} lacks them")

    def _check_fresh(self, engine: Engine, ledger: Ledger, lacking: list[int]) -> None:
        """Unless somebody asks for it, nobody is promoted who has not got what was acknowledged long ago. Where nobody watched
        the primary's end, the replica that is furthest has to do (docs/failover.md)."""
        old = self.applied.get(lacking[-1])
        ended_s = old.process.ended_s if old is not None and not old.process.running else self._now()
        aged = [write for write in lacking if ledger.acked_s[write] < ended_s - STALE_S]
        asked = self._now() - ledger.asked_s < ASKED_S
        watched = self.calm_s() > self._now() - ended_s + PROOF_S and not self._is_muddled(ledger)
        if aged and watched and not asked and engine.replication.data:
            self.trace.violation(
                "stale replica", f"{engine.process.incarnation} is promoted without {len(aged)} writes older than {STALE_S:g} s"
            )

    def _check_choice(self, engine: Engine, ledger: Ledger, lacking: list[int]) -> None:
        """Nobody else was seen to be further, and could have been chosen; unless somebody chose."""
        if self._now() - ledger.asked_s < ASKED_S or self._is_muddled(ledger):
            return
        decided_s = ledger.decisions[-1][0] if ledger.decisions else self._now()
        for other in self.rivals(engine):
            report = self.reports.get(other)
            if report is None or not self._is_desired(other) or not self._seen(other) or report.at_s > decided_s:
                continue
            ahead = report.length > len(engine.replication.stream) and set(lacking) & other.replication.data
            if ahead and not other.leads:
                self.trace.violation(
                    "worse replica",
                    f"{engine.process.incarnation} at {len(engine.replication.stream) * OFFSET_UNIT} is promoted; "
                    f"{other.process.incarnation} had told of {report.length * OFFSET_UNIT}",
                )

    def acted(self, name: str, leader: str) -> None:
        """leader: who holds the lease, "" when it has run out."""
        if leader not in ("", name):
            self.trace.violation("acted deposed", f"{name} acts while {leader} leads")

    def killed(self, engine: Engine) -> None:
        """A control plane ends it by force."""
        row = self.rows.get(self.shard_of(engine)[0])
        if row is None or row.desired.deleting or not engine.leads or not row.memory.provisioned:
            return
        name, process = engine.process.incarnation, engine.process
        if (process.busy or engine.script_since_s) and not process.frozen:
            since_s = min([since_s for since_s in (process.still_since_s, engine.script_since_s) if since_s])
            if self._now() - since_s < BUSY_S and self._fed(engine):
                self.trace.violation("busy primary ended", f"{name} had been busy for less than {BUSY_S:g} s")
        elif (
            not process.still
            and not engine.by_hand
            and self._now() - process.last_still_s > PROOF_S
            and self.quiet_s(engine) > PROOF_S
            and not self._was_given_up_by_another(engine)
        ):
            self.trace.violation("healthy primary ended", name)

    def _was_given_up_by_another(self, engine: Engine) -> bool:
        """What a control plane has given up stays so, also when that ended before it could act, and the node came back."""
        uid, node = named(engine.process.incarnation)
        known = self.rows[uid].memory.nodes.get(node)
        decided = known is not None and known.given_up == known.launches
        return decided and self._now() - self.calm_s() > engine.process.still_since_s

    def _fed(self, engine: Engine) -> bool:
        return any(
            other.replication.state == "up" and other.replication.follows == engine.host for other in self.rivals(engine)
        )

    # --- data ---

    def wrote(self, engine: Engine, address: str, write: int) -> None:
        """A write through this address was carried out, and is being acknowledged."""
        self.applied[write] = engine
        if isinstance(engine, ClusterEngine):
            self.custody.wrote(engine, write)
        ledger = self.ledger(engine)
        elected = ledger.elected or self._is_muddled(ledger)
        for other in self.rivals(engine):
            through = other.writable and not other.process.still and (engine.is_clustered or address != engine.host)
            if through and not (elected or other.superseded or engine.superseded) and other.reachable(address):
                self.trace.violation(
                    "two primaries", f"{engine.process.incarnation} and {other.process.incarnation} through {address}"
                )

    def acked(self, write: int) -> None:
        """A client knows that it was done."""
        engine = self.custody.custodian(self.applied[write], write)
        ledger = self.ledger(engine)
        ledger.acked_s[write] = self._now()
        ledger.held.add(write)
        if engine.process.running and engine.leads:
            return
        heir = next((other for other in self.rivals(engine) if other.leads), None)
        if heir is not None and write not in heir.replication.data:
            self._lose(heir, ledger, [write])

    def claimed(self, engine: Engine, slots: Mask) -> None:
        self.custody.claimed(engine, slots)

    def moved(self, engine: Engine, writes: Iterable[int]) -> None:
        self.custody.moved(engine, writes)

    def went_on(self, engine: Engine, slots: Mask) -> None:
        """It had given slots away and has not heard whether they were taken: the engines' own weakness."""
        if slots:
            self.trace.note(f"went on  {engine.process.incarnation} with slots that it has given away")
            engine.superseded = True

    def loaded(self, engine: Engine, before: set[int], after: set[int]) -> None:
        ledger = self.ledger(engine)
        gone = (ledger.held & before) - after
        if self._is_muddled(ledger):
            ledger.lost.update(dict.fromkeys(sorted(gone), "by hand"))
            ledger.held -= gone
            gone = set()
        self.trace.note(f"loaded   {engine.process.incarnation}: {len(before)} -> {len(after)} entries")
        if gone:
            self.trace.violation("wiped", f"{engine.process.incarnation} gave up {len(gone)} acknowledged writes")

    # --- what control planes do ---

    def reported(self, engine: Engine, to: str) -> None:
        self.reports[engine] = Report(len(engine.replication.stream), self._now())

    def commanded(self, engine: Engine, by: str, words: list[str]) -> None:
        self.trace.note(f"command  {engine.process.incarnation} <- {by}: {' '.join(words)}")
        self.effects += 1
        self.on_effect(by, engine.host)

    def unknown(self, engine: Engine, words: list[str]) -> None:
        self.trace.violation("unknown command", " ".join(words))
