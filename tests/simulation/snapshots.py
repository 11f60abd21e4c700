"""What must hold of snapshots and of groups that are restored from them, checked whenever a row is saved or a process begins.

A snapshot that is available has everything that was acknowledged a while before it was asked for; a group that becomes
available has everything of its snapshot; no launch is seeded later, or fed by two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cachefleet.model.group import GroupMemory, incarnation
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, SnapshotRow
from cachefleet.model.snapshot import SnapshotState
from tests.simulation.checkers import CALM_S, Checkers
from tests.simulation.engine import Engine
from tests.simulation.rolls import named
from tests.simulation.slots import ALL, mask_of, within
from tests.simulation.trace import Trace
from tests.simulation.transfers import Archive

STALE_S = 6.5  # what was acknowledged so shortly before may not have reached the replica that it was taken of
WORKING = (SnapshotState.CREATING, SnapshotState.COPYING, SnapshotState.DELETING)
_MISSING = "were restored"  # of the reason of a group that has not got everything


class Snapshots:
    """now: virtual seconds. engines: by incarnation."""

    def __init__(
        self, trace: Trace, now: Callable[[], float], archive: Archive, checkers: Checkers, engines: Mapping[str, Engine]
    ) -> None:
        self._trace, self._now, self._archive, self._checkers, self._engines = trace, now, archive, checkers, engines
        self._asked_s: dict[str, float] = {}  # by uid
        self.rows: dict[str, SnapshotRow] = {}  # by name
        self._available: set[str] = set()  # uids of those that have been
        self._wanted: dict[str, frozenset[int]] = {}  # uid of a group -> what it is to have
        self._whole: set[str] = set()  # uids of groups that have been available
        archive.on_fed_twice = lambda launch: trace.violation("fed twice", launch)

    # --- rows ---

    def committed(self, row: Any) -> None:
        if row.key.kind is Kind.SNAPSHOT:
            self.rows[row.key.name] = row
            self._note_snapshot(row)
        elif row.key.kind in (Kind.REPLICATION_GROUP, Kind.CACHE_CLUSTER):
            self._note_group(row)

    def deleted(self, row: Any) -> None:
        if row.key.kind is Kind.SNAPSHOT:
            self.rows.pop(row.key.name, None)

    def unsettled(self) -> str:
        """Those that are not at their end."""
        return "; ".join(
            f"{name} is {row.desired.state}: {row.desired.why}"
            for name, row in self.rows.items()
            if row.desired.state in WORKING
        )

    def strays(self) -> list[str]:
        """Objects of snapshots that are no more."""
        known = [f"/{name}-{row.desired.uid}/" for name, row in self.rows.items()]
        paths = (*self._archive.objects, *self._archive.documents)
        return sorted(path for path in paths if not any(folder in path for folder in known))

    # --- snapshots ---

    def _note_snapshot(self, row: SnapshotRow) -> None:
        desired = row.desired
        self._asked_s.setdefault(desired.uid, self._now())
        if desired.state is not SnapshotState.AVAILABLE or desired.uid in self._available:
            return
        self._available.add(desired.uid)
        there: set[int] = set()
        for file in desired.files:
            data = self._archive.objects.get(file.object)
            if data is None or len(data) != file.keys:
                self._trace.violation("no object", f"{row.key.name} is available without {file.object}")
                continue
            there |= data
            if file.slots and within(data, ALL & ~mask_of(file.slots)):
                self._trace.violation("foreign keys", f"{file.object} has keys of other slots")
        self._trace.note(f"snapshot {row.key.name} has {len(there)} writes in {len(desired.files)} objects")
        if not desired.copy_of:
            self._check_stale(row, there)

    def _check_stale(self, row: SnapshotRow, there: set[int]) -> None:
        """Only where nothing has kept control planes from seeing who lags."""
        asked_s = self._asked_s[row.desired.uid]
        if self._checkers.calm_s() < CALM_S:
            return
        for (uid, shard_id), ledger in self._checkers.ledgers.items():
            if uid != row.desired.group.uid:
                continue
            old = {write for write in ledger.held if ledger.acked_s[write] < asked_s - STALE_S}
            if old - there:
                self._trace.violation("stale snapshot", f"{row.key.name} lacks {len(old - there)} old writes of {shard_id}")

    # --- groups ---

    def _note_group(self, row: GroupRow) -> None:
        uid, restore = row.desired.uid, row.desired.restore
        if restore is not None and uid not in self._wanted:
            self._wanted[uid] = frozenset().union(*(self._archive.objects.get(file.object, ()) for file in restore.files))
        if uid not in self._wanted:
            return
        if _MISSING in row.memory.failure:
            self._trace.violation("restored otherwise", f"{uid}: {row.memory.failure}")
        if row.memory.provisioned and uid not in self._whole:
            self._whole.add(uid)
            self._check_whole(row, self._wanted[uid])

    def _check_whole(self, row: GroupRow, wanted: frozenset[int]) -> None:
        for shard in row.desired.shards:
            engine = self._engine(row, row.memory.shards[shard.shard_id].primary)
            if engine is None or not engine.process.running:
                continue  # it has ended since it was looked at
            mine = within(wanted, mask_of(shard.slots) if shard.slots else ALL)
            lacking = mine - engine.replication.data
            self._trace.note(f"restored {engine.process.incarnation} has {len(mine)} writes of its snapshot")
            if lacking:
                name = engine.process.incarnation
                self._trace.violation("restored less", f"{name} is available without {len(lacking)} of {len(mine)} writes")

    def _engine(self, row: GroupRow, node: str) -> Engine | None:
        return self._engines.get(incarnation(row.desired.uid, node, row.memory.nodes[node].launches))

    def booted(self, launch: str, *, seeded: bool) -> None:
        row = self._checkers.rows.get(named(launch)[0])
        memory = row.memory if row is not None else GroupMemory()
        if seeded and memory.provisioned and not memory.refilling:
            self._trace.violation("seeded late", f"{launch}, though its group was available")
