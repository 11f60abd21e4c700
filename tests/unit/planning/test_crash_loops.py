"""Nodes that end again and again, against a model world: back-off, other addresses, and no harm to the others."""

from __future__ import annotations

from itertools import pairwise

from tests.unit.planning.groups import created, replicated


def test_a_node_that_dies_again_and_again_after_its_start_backs_off_and_says_why() -> None:
    world = created(replicated(2))
    starts = []
    for _ in range(3000):
        launches = world.memory.nodes["demo-002"].launches
        world.step()
        if world.memory.nodes["demo-002"].launches > launches:
            starts.append(world.now)
        if world.memory.nodes["demo-002"].ready and world.runs("demo-002"):
            world.kill("demo-002")
        if len(starts) >= 10:
            break
    pauses = [after - before for before, after in pairwise(starts)]
    assert pauses[-1] > 4 * pauses[0]
    assert any("ended soon after its start: signal 9 (SIGKILL)" in event for event in world.events)
    assert world.runs("demo-001")
    assert world.write(1)
    world.settle(2000)


def test_primaries_that_are_killed_as_fast_as_they_are_promoted_come_back_at_once() -> None:
    world = created(replicated(2))
    for _ in range(30):
        begun = world.now
        world.kill(world.memory.shards["0001"].primary)
        world.step()
        while not all(known.ready for known in world.memory.nodes.values()):
            world.step()
        assert world.now - begun < 0.5


def test_a_node_that_cannot_start_where_it_is_tries_another_address() -> None:
    world = created(replicated(2))
    before = world.memory.nodes["demo-002"].address
    world.failing_starts = {"demo-002"}
    world.kill("demo-002")
    for _ in range(400):
        world.step()
        if world.memory.nodes["demo-002"].address not in ("", before):
            break
    assert world.memory.nodes["demo-002"].address not in ("", before)
    world.failing_starts = set()
    world.now += 60
    world.settle()
    assert world.status.nodes["demo-002"].address == world.memory.nodes["demo-002"].address


def test_a_group_goes_on_without_the_address_that_is_missing() -> None:
    world = created(replicated(3))
    world.failing_starts = {"demo-003"}
    world.kill("demo-003")
    world.no_addresses = "the range is used up"
    for _ in range(400):
        world.step()
    assert world.memory.nodes["demo-003"].address == ""
    assert "the range is used up" in world.status.why
    world.kill("demo-001")
    world.step()
    assert world.write(1), "the other nodes fail over all the same"
