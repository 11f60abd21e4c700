"""The model world with slots on their way: jobs that take some looks and die with either end, keys that move in slices.

A value belongs to the slot of its number. Replicas have at once what their primary has.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cachefleet.model import plan as actions
from cachefleet.model.group import SLOTS, DesiredShard, GroupDesired, SlotRanges
from cachefleet.model.observed import ClusterView, NodeView, Observed, OpenSlot, SlotMigrationView
from cachefleet.model.plan import Plan
from cachefleet.model.slots import common, contains, count, first_of, union, without
from cachefleet.planning import slot_targets
from cachefleet.planning.resharding_progress import resharding_progress
from tests.unit.planning.groups import clustered
from tests.unit.planning.world import Engine, World

JOB_LOOKS = 4
SLICE_SLOTS = 1500
EVERY = 97  # one value in so many slots
STAGES = ("snapshotting", "replicating", "failover-paused", "failover-granted")


@dataclass
class Job:
    name: str
    source: str  # engine ids
    target: str
    slots: SlotRanges
    looks: int = 0
    state: str = "snapshotting"
    message: str = ""

    @property
    def over(self) -> bool:
        return self.state in ("success", "failed", "cancelled")


class MovingWorld(World):
    def __init__(self, desired: GroupDesired, atomic: bool = True) -> None:
        super().__init__(desired)
        self.atomic = atomic
        self.jobs: list[Job] = []
        self.half: dict[int, tuple[str, str]] = {}  # slot -> engine ids of source and target that have marks of it
        self.refused: dict[str, str] = {}
        self.refusing: set[int] = set()  # slots whose keys cannot be moved
        self.stuck = False  # jobs get nowhere
        self.failing = ""  # jobs fail, and say so
        self.closed = ""  # no slice moves anything, and this is said
        self.old_words: dict[str, dict[str, SlotRanges]] = {}  # engine id -> engine id -> what it still believes that one owns
        self.progress: list[float] = []
        self.used_bytes: dict[str, int] = {}  # by node
        self.maxmemory_bytes = 0

    # --- what tests do to it ---

    def fill(self) -> set[int]:
        values = set(range(0, SLOTS, EVERY))
        for engine in self.primaries():
            engine.data = {value for value in values if contains(engine.slots, value)}
            self._copy(engine)
        return values

    def can_spare(self, shard: DesiredShard) -> bool:
        """Any one of its nodes may die: each has all that its primary has, and has had it in the planner's eyes."""
        names = [node.name for node in shard.nodes]
        if not all(name in self.memory.nodes and self.runs(name) for name in names):
            return False
        first = self.of(self.memory.shards[shard.shard_id].primary)
        others = [self.of(name) for name in names if self.of(name) is not first]
        synced = all(other.synced and not other.primary and other.primary_id == first.engine_id for other in others)
        role = first.primary and (bool(first.slots) or not self.memory.slots[shard.shard_id])
        return role and synced and all(self.memory.nodes[name].became_ready for name in names)

    def primaries(self) -> list[Engine]:
        return [self.of(shard.primary) for shard in self.memory.shards.values()]

    def step(self, apply: bool = True) -> Plan:
        self._advance()
        self._check_books()
        plan = super().step(apply)
        if plan.desired is not None:
            self.desired = plan.desired
        progress = resharding_progress(self.desired, self.memory)
        if progress is not None:
            self.progress.append(progress)
        self._check_books()
        return plan

    def run(self, passes: int = 600) -> None:
        """Until nothing is left to do, which takes longer than a kill."""
        self.settle(passes)
        assert not self.memory.moves and self.status.state == "available", self.status

    def assert_whole(self, values: set[int]) -> None:
        """Every slot and every value has one owner, where it is to be, and all of its nodes have it."""
        owned = [pair for engine in self.primaries() for pair in engine.slots]
        assert count(tuple(owned)) == SLOTS and union(tuple(owned)) == ((0, SLOTS - 1),)
        for shard in self.desired.shards:
            primary = self.of(self.memory.shards[shard.shard_id].primary)
            assert primary.slots == shard.slots == self.memory.slots[shard.shard_id]
            for node in shard.nodes:
                assert self.of(node.name).data == {value for value in values if contains(shard.slots, value)}
        assert not self.half and all(job.over for job in self.jobs)
        assert not self.lost

    def _check_books(self) -> None:
        books = [pair for slots in self.memory.slots.values() for pair in slots]
        assert not books or (count(tuple(books)) == SLOTS and union(tuple(books)) == ((0, SLOTS - 1),))

    # --- what the planner sees ---

    def observe(self) -> Observed:
        refused, self.refused = self.refused, {}
        return msgspec.structs.replace(super().observe(), refusals=refused)

    def view(self, engine: Engine) -> NodeView:
        node = engine.incarnation.split(".")[1]
        used = self.used_bytes.get(node, 1)
        return msgspec.structs.replace(super().view(engine), used_bytes=used, maxmemory_bytes=self.maxmemory_bytes)

    def _cluster(self, engine: Engine) -> ClusterView:
        jobs = [
            SlotMigrationView(
                job=job.name,
                slots=job.slots,
                source_id=job.source,
                target_id=job.target,
                exports=job.source == engine.engine_id,
                state=job.state,
                over=job.over,
                succeeded=job.state == "success",
                message=job.message,
            )
            for job in reversed(self.jobs)
            if engine.engine_id in (job.source, job.target)
        ]
        marks = []
        for slot, (source, target) in self.half.items():
            if engine.engine_id == source:
                marks.append(OpenSlot(slot, target, importing=False))
            if engine.engine_id == target:
                marks.append(OpenSlot(slot, source, importing=True))
        view = super()._cluster(engine)
        for engine_id, slots in self.old_words.get(engine.engine_id, {}).items():
            view.nodes[engine_id] = msgspec.structs.replace(view.nodes[engine_id], slots=slots)
        return msgspec.structs.replace(view, migrations=tuple(jobs), open_slots=tuple(marks), atomic=self.atomic)

    # --- what engines do ---

    def _by_id(self, engine_id: str) -> Engine | None:
        return next((engine for engine in self.engines.values() if engine.engine_id == engine_id and engine.running), None)

    def _copy(self, primary: Engine) -> None:
        for engine in self.engines.values():
            if engine.running and engine.synced and engine.primary_id == primary.engine_id:
                engine.data = set(primary.data)

    def _give(self, source: Engine, target: Engine, slots: SlotRanges) -> None:
        moved = {value for value in source.data if contains(slots, value)}
        source.data, target.data = source.data - moved, target.data | moved
        self._copy(source)
        self._copy(target)

    def _hand(self, source: Engine, target: Engine, slots: SlotRanges) -> None:
        source.slots, target.slots = without(source.slots, slots), union(target.slots, slots)
        target.epoch = max(engine.epoch for engine in self.engines.values()) + 1

    def _advance(self) -> None:
        for job in self.jobs:
            source, target = self._by_id(job.source), self._by_id(job.target)
            if job.over or self.stuck:
                continue
            if self.failing or source is None or target is None or not (source.primary and target.primary):
                job.state, job.message = "failed", self.failing
                continue
            job.looks += 1
            if job.looks < JOB_LOOKS:
                job.state = STAGES[job.looks]
                continue
            job.state = "success"
            self._give(source, target, job.slots)
            self._hand(source, target, job.slots)

    # --- what actions do ---

    def _migrateslots(self, action: actions.MigrateSlots) -> None:
        source, target = self._current(action.node), self._by_id(action.target_id)
        assert target is not None and target.primary, "slots were sent to nobody"
        assert without(action.slots, source.slots) == (), "slots were sent away by who does not own them"
        busy = [job for job in self.jobs if not job.over and source.engine_id == job.source and job.target == target.engine_id]
        assert not busy, "two moves between the same two"
        self.jobs.append(Job(f"job-{len(self.jobs)}", source.engine_id, target.engine_id, action.slots))

    def _cancelmigrations(self, action: actions.CancelMigrations) -> None:
        for job in self.jobs:
            if job.source == self._current(action.node).engine_id and not job.over:
                job.state = "cancelled"

    def _movekeys(self, action: actions.MoveKeys) -> None:
        """What is half moved, then as much as a slice holds; of one more slot the keys are moved and the slot is not."""
        source, target = self._current(action.node), self._must(action.to)
        assert source.primary and target.primary
        if self.closed:
            self.refused[action.node] = self.closed
            return
        half = union(tuple((slot, slot) for slot in self.half if contains(action.slots, slot)))
        fresh = common(without(action.slots, half), source.slots)
        stuck = min((slot for slot in self.refusing if contains(fresh, slot)), default=None)
        if stuck is not None:
            self.refused[action.node] = f"slot {stuck} was not moved"
            fresh = without(fresh, ((stuck, SLOTS - 1),))
        done = union(common(half, source.slots), first_of(fresh, SLICE_SLOTS))
        self._give(source, target, done)
        self._hand(source, target, done)
        for slot in [slot for slot in self.half if contains(half, slot)]:
            del self.half[slot]
        for slot, _ in first_of(without(fresh, done), 1):
            self._give(source, target, ((slot, slot),))
            self.half[slot] = (source.engine_id, target.engine_id)

    def _settleslots(self, action: actions.SettleSlots) -> None:
        me = self._current(action.node)
        for first, last in action.slots:
            for slot in range(first, last + 1):
                ends = self.half.get(slot, ("", ""))
                assert self._by_id(ends[0]) is None or self._by_id(ends[1]) is None, "a half-moved slot was closed"
                if me.engine_id in ends:
                    del self.half[slot]

    def _ownslots(self, action: actions.OwnSlots) -> None:
        for engine in self.engines.values():
            if engine.running and engine.primary and engine is not self._current(action.node):
                assert without(action.slots, engine.slots) == action.slots, "claimed what somebody owns"
        super()._ownslots(action)

    def _takeover(self, action: actions.TakeOver) -> None:
        """Marks go along where the planner says so."""
        engine = self._current(action.node)
        old_id = engine.primary_id
        super()._takeover(action)
        for slot, (source, target) in list(self.half.items()):
            if source == old_id:
                self.half[slot] = (engine.engine_id if slot in action.migrating else old_id, target)
            elif target == old_id:
                self.half[slot] = (source, old_id)

    def _copyfunctions(self, action: actions.CopyFunctions) -> None:
        raise AssertionError("this world has no functions")


def growing(desired: GroupDesired, shards: int, replicas: int) -> GroupDesired:
    """So many shards are asked for."""
    larger = clustered(shards, replicas)
    new = [shard for shard in larger.shards if shard.shard_id not in {old.shard_id for old in desired.shards}]
    targets = slot_targets.grown({shard.shard_id: shard.slots for shard in desired.shards}, [shard.shard_id for shard in new])
    return _with_slots(desired, (*desired.shards, *new), targets)


def shrinking(desired: GroupDesired, leaving: set[str]) -> GroupDesired:
    """These are to leave."""
    targets = slot_targets.shrunk({shard.shard_id: shard.slots for shard in desired.shards}, leaving)
    shards = [msgspec.structs.replace(shard, leaving=shard.shard_id in leaving) for shard in desired.shards]
    return _with_slots(desired, tuple(shards), targets)


def _with_slots(desired: GroupDesired, shards: tuple[DesiredShard, ...], targets: dict[str, SlotRanges]) -> GroupDesired:
    return msgspec.structs.replace(
        desired, shards=tuple(msgspec.structs.replace(shard, slots=targets[shard.shard_id]) for shard in shards)
    )
