"""Memcached clusters that are restored: which node is given what, when, and what becomes of feeds that end otherwise."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cachefleet.model import plan as actions
from cachefleet.model.group import incarnation
from cachefleet.model.observed import FeedView, Observed
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from cachefleet.planning.memcached_restoring import node_file
from tests.unit.planning.groups import memcached
from tests.unit.planning.world import World

FIRST, SECOND = "demo.0001", "demo.0002"
KEYS = 5
DONE = FeedView(done=True, keys=KEYS)


class Restored(World):
    """Feeds are what the test says: by launch, as this control plane knows them."""

    def __init__(self, used_bytes: int = 0) -> None:
        self.feeds: dict[str, FeedView] = {}
        self.begun: list[str] = []
        files = (
            SnapshotFile(shard_id="0001", object=name, keys=KEYS, used_bytes=used_bytes, node=name)
            for name in ("a.0001", "a.0002")
        )
        super().__init__(replace(memcached(2), restore=Restore(tuple(files), "daily")), replication_group=False)

    def launch_of(self, node: str) -> str:
        return incarnation(self.desired.uid, node, self.memory.nodes[node].launches)

    def observe(self) -> Observed:
        current = {name: self.launch_of(name) for name in self.memory.nodes}
        known = {name: self.feeds[launch] for name, launch in current.items() if launch in self.feeds}
        return replace(super().observe(), feeds=known, data_bytes=1000)

    def _feed(self, action: actions.Feed) -> None:
        self.begun.append(action.incarnation)
        self.feeds[action.incarnation] = FeedView(fed_bytes=1, total_bytes=4)

    def until_fed(self) -> Restored:
        for _ in range(100):
            if len(self.begun) == 2:
                return self
            self.step()
        raise AssertionError(self.status)

    def end(self, node: str, feed: FeedView) -> None:
        self.feeds[self.launch_of(node)] = feed


def test_no_client_is_told_of_a_node_before_it_has_everything() -> None:
    world = Restored().until_fed()
    for _ in range(20):
        world.now += 20.0
        world.step()
    assert world.status.state == "creating"
    assert f"{FIRST} is being restored (25 %)" in world.status.why
    world.end(FIRST, DONE)
    world.step()
    assert (world.memory.node_list, world.status.state) == ((FIRST,), "creating")
    world.end(SECOND, DONE)
    world.settle()
    assert world.status.state == "available"
    assert world.memory.node_list == (FIRST, SECOND)
    assert world.desired.restore is None
    assert len(world.begun) == 2, "each launch is fed once"


def test_each_node_has_the_file_of_its_place() -> None:
    desired = Restored().desired
    assert desired.restore is not None
    assert [node_file(desired, desired.restore, name).object for name in (FIRST, SECOND)] == ["a.0001", "a.0002"]
    with pytest.raises(LookupError):
        node_file(desired, desired.restore, "demo.0003")


def test_a_feed_that_breaks_costs_the_launch() -> None:
    world = Restored().until_fed()
    world.end(FIRST, DONE)
    world.end(SECOND, FeedView(failure="the store does not answer"))
    for _ in range(40):
        world.now += 1.0
        world.step()
        if len(world.begun) == 3:
            break
    assert world.begun[2] == world.launch_of(SECOND) == incarnation(world.desired.uid, SECOND, 2)
    assert world.memory.nodes[FIRST].launches == 1
    world.end(SECOND, DONE)
    world.settle()
    assert world.status.state == "available"


def test_nobody_goes_on_with_a_feed_that_is_not_known_any_more() -> None:
    """Its feeder died with an earlier life of ours: nobody knows what the node has."""
    world = Restored().until_fed()
    world.end(FIRST, DONE)
    world.step()
    world.feeds.clear()
    for _ in range(40):
        world.now += 1.0
        world.step()
        if len(world.begun) == 3:
            break
    assert world.begun[2] == incarnation(world.desired.uid, SECOND, 2)
    assert world.memory.nodes[FIRST].launches == 1, "it was seen to have everything"


def test_a_node_that_dies_with_its_items_is_filled_anew() -> None:
    world = Restored().until_fed()
    world.end(FIRST, DONE)
    world.step()
    world.kill(FIRST)
    for _ in range(40):
        world.now += 1.0
        world.step()
        if len(world.begun) == 3:
            break
    assert world.begun[2] == incarnation(world.desired.uid, FIRST, 2)
    assert world.status.state == "creating"


@pytest.mark.parametrize(
    ("feed", "why"),
    [
        (FeedView(failure="the object is damaged", lasting=True), "the object is damaged"),
        (FeedView(done=True, keys=KEYS - 1), "has 5 items of a.0001, and 4 were restored"),
    ],
)
def test_what_is_wrong_for_good_ends_it(feed: FeedView, why: str) -> None:
    world = Restored().until_fed()
    world.end(FIRST, feed)
    world.settle()
    assert world.status.state == "create-failed"
    assert why in world.status.why
    assert world.memory.unrestorable


def test_too_much_for_the_node_type_is_seen_before_anything_starts() -> None:
    world = Restored(used_bytes=2000)
    world.settle()
    assert world.status.state == "create-failed"
    assert "choose a larger node type" in world.status.why
    assert all(not node.launches for node in world.memory.nodes.values())
