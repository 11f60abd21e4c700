"""A model world in which groups are restored: seeded engines wait for their feed, load it, and claim the slots of their keys.

Feeds go on with every pass while they flow, and end with the control plane that began them. A snapshot's data are numbers; what
a shard is to get of them follows from its place. Asserts that nobody is fed twice, seeded after the group was available, or
touched while it loads.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model import plan as actions
from cachefleet.model.group import GroupDesired, Shape
from cachefleet.model.observed import FeedView, NodeView, Observed
from cachefleet.model.plan import Plan
from cachefleet.model.slots import count, first_of
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from tests.unit.planning.groups import clustered, replicated
from tests.unit.planning.world import Engine, World

KEYS = 60  # of each shard of a snapshot
TOTAL_BYTES = 100


def files(shards: int, **more: Any) -> tuple[SnapshotFile, ...]:
    """Of a snapshot of a group with cluster mode enabled and so many shards; 0: of one without."""
    size = 16384 // max(1, shards)
    return tuple(
        SnapshotFile(
            **{
                "shard_id": f"{number + 1:04}",
                "object": f"s/{number}.rdb",
                "slots": ((number * size, 16383 if number == shards - 1 else (number + 1) * size - 1),) if shards else (),
                "keys": KEYS,
                **more,
            }
        )
        for number in range(max(1, shards))
    )


def restored(desired: GroupDesired, shards: int | None = None, **more: Any) -> GroupDesired:
    """The group is to be restored from a snapshot of so many shards, by default of its own layout."""
    own = len(desired.shards) if desired.shape is Shape.CLUSTERED else 0
    return replace(desired, restore=Restore(files(own if shards is None else shards, **more), "daily"))


class RestoringWorld(World):
    def __init__(self, desired: GroupDesired, **more: Any) -> None:
        super().__init__(desired, **more)
        self.begins_restored = desired.restore is not None
        self.feeds: dict[str, FeedView] = {}  # by incarnation, as this control plane knows them
        self.fed: set[str] = set()  # incarnations that anybody ever began to feed
        self.loading: set[str] = set()  # incarnations that answer nothing yet
        self.loaded: dict[str, int] = {}
        self.flows = True  # feeds go on
        self.counts = True  # feeds tell how many keys they gave
        self.tells_load = True  # engines tell how many keys they loaded
        self.full = False  # keys in every slot of a shard; else in the first half of its slots
        self.withheld = 0  # keys that a feed leaves out, and does not count
        self.loss = 0  # keys that an engine drops while it loads
        self.failing: list[FeedView] = []  # how the next feeds end
        self._wanted: dict[str, set[int]] = {}

    def keys_of(self, node: str) -> set[int]:
        """What the node's shard gets: an equal part of everything, or all of it."""
        assert self.desired.restore is not None
        every = range(self.desired.restore.keys)
        numbers = [any(member.name == node for member in shard.nodes) for shard in self.desired.shards]
        return {key for key in every if key % len(numbers) == numbers.index(True)}

    def restart(self) -> None:
        """Another control plane: every feed ends, and with it the engine that read it."""
        for incarnation, feed in self.feeds.items():
            if incarnation in self.loading and not feed.done:
                self._end(incarnation)
        self.feeds.clear()

    def _end(self, incarnation: str) -> None:
        engine = self.engines.get(incarnation)
        if engine is not None and engine.running:
            engine.running, engine.exit = False, "exit code 1"

    def fail(self, node: str, reason: str, lasting: bool = False) -> None:
        """The feed of the node's current launch breaks off; its engine ends with it."""
        incarnation = self.of(node).incarnation
        self.feeds[incarnation] = replace(self.feeds[incarnation], failure=reason, lasting=lasting)
        self._end(incarnation)

    # --- the course of a pass ---

    def observe(self) -> Observed:
        observed = super().observe()
        views = {}
        for name, view in observed.views.items():
            engine = self.of(name)
            views[name] = NodeView(reachable=False, why="did not answer") if engine.incarnation in self.loading else view
        names = {f"{self.desired.uid}.{name}.{known.launches}": name for name, known in self.memory.nodes.items()}
        feeds = {names[incarnation]: feed for incarnation, feed in self.feeds.items() if incarnation in names}
        return replace(observed, views=views, feeds=feeds)

    def view(self, engine: Engine) -> NodeView:
        loaded = self.loaded.get(engine.incarnation, 0) if self.tells_load else -1
        return replace(super().view(engine), keys=len(engine.data), loaded_keys=loaded)

    def step(self, apply: bool = True) -> Plan:
        was_there = self.memory.provisioned
        without_epoch = {one.host for one in self.engines.values() if one.running and one.slots and not one.epoch}
        plan = super().step(apply)
        for action in plan.actions:
            if isinstance(action, actions.Meet):
                met = {self.memory.nodes[action.node].address, *action.others}
                assert not met & without_epoch, "met before it has an epoch: any older claim would take its slots"
        if self.memory.provisioned and not was_there and self.begins_restored:
            assert self.everything(), "available without all keys"
        for incarnation in list(self.feeds):
            self._flow(incarnation)
        return plan

    def everything(self) -> bool:
        """Each shard's primary has all that it is to have; of what was asked for at the beginning."""
        primaries = [shard.primary for shard in self.memory.shards.values()]
        return all(self.runs(name) and self.of(name).data == self.wanted[name] for name in primaries)

    def _flow(self, incarnation: str) -> None:
        feed = self.feeds[incarnation]
        engine = self.engines.get(incarnation)
        if feed.done or feed.failure or engine is None or not engine.running or not self.flows:
            return
        if self.failing:
            self.feeds[incarnation] = self.failing.pop(0)
            self._end(incarnation)
            return
        node = incarnation.split(".")[1]
        given = set(sorted(self.wanted[node])[self.withheld :])
        done = feed.fed_bytes >= TOTAL_BYTES
        fed_bytes = min(TOTAL_BYTES, feed.fed_bytes + TOTAL_BYTES // 2)
        self.feeds[incarnation] = FeedView(done, "", False, len(given) if self.counts else -1, fed_bytes, TOTAL_BYTES)
        if done:
            self._load(engine, given)

    def _load(self, engine: Engine, given: set[int]) -> None:
        engine.data = set(sorted(given)[self.loss :])
        self.loaded[engine.incarnation] = len(engine.data)
        self.loading.discard(engine.incarnation)
        if self.desired.shape is Shape.CLUSTERED:
            node = engine.incarnation.split(".")[1]
            slots = next(shard.slots for shard in self.desired.shards if any(member.name == node for member in shard.nodes))
            engine.slots = slots if self.full else first_of(slots, count(slots) // 2)

    @property
    def wanted(self) -> dict[str, set[int]]:
        if self.desired.restore is not None:
            self._wanted = {node.name: self.keys_of(node.name) for node in self.desired.nodes}
        return self._wanted

    # --- what actions do ---

    def apply(self, action: actions.Action) -> None:
        if action.node in self.memory.nodes and not isinstance(action, actions.Launch | actions.Stop | actions.Erase):
            engine = self.of(action.node)
            may_load = isinstance(action, actions.Feed)
            assert may_load or engine.incarnation not in self.loading, f"{type(action).__name__} to one that loads"
        super().apply(action)

    def _launch(self, action: actions.Launch) -> None:
        super()._launch(action)
        if action.seeded:
            assert self.memory.unfilled, "seeded although the group was available"
            self.loading.add(action.incarnation)
            self.of(action.node).size_bytes = self.data_bytes or -1

    def _feed(self, action: actions.Feed) -> None:
        assert action.incarnation in self.loading
        assert action.incarnation not in self.fed, "fed twice"
        self.fed.add(action.incarnation)
        self.feeds[action.incarnation] = FeedView(total_bytes=TOTAL_BYTES)


FIRST, SECOND = "demo-001", "demo-002"
SHAPES = [replicated(1), replicated(3), clustered(1, 0), clustered(1, 1), clustered(3, 1)]


def settled(world: RestoringWorld) -> RestoringWorld:
    world.settle(600)
    assert world.status.state == "available", world.status
    return world


def fed(world: RestoringWorld, node: str = FIRST) -> RestoringWorld:
    """Until that node is being fed."""
    world.flows = False
    while node not in world.memory.nodes or not world.memory.nodes[node].feed_at:
        world.step()
    world.step()
    return world
