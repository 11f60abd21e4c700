"""Replicas whose link has not broken, and on which nothing arrives any more."""

from __future__ import annotations

import pytest

from cachefleet.model.group import EndpointRole, GroupDesired
from tests.unit.planning.groups import clustered, created, holder, replicated

PAIRS = [(replicated(2), "demo-001", "demo-002"), (clustered(3, 1), "demo-0001-001", "demo-0001-002")]


@pytest.mark.parametrize(("desired", "primary", "replica"), PAIRS, ids=["replicated", "clustered"])
def test_one_that_hears_nothing_from_its_primary_is_no_heir(desired: GroupDesired, primary: str, replica: str) -> None:
    world = created(desired)
    world.deaf = {replica}
    for _ in range(3):
        world.step()
        world.now += 1
    assert world.status.nodes[replica].state != "available"
    world.kill(primary)
    for _ in range(50):
        world.step()
    assert world.memory.shards["0001"].headless
    assert not world.of(replica).primary


@pytest.mark.parametrize(("desired", "primary", "replica"), PAIRS, ids=["replicated", "clustered"])
def test_one_that_hears_again_is_one(desired: GroupDesired, primary: str, replica: str) -> None:
    world = created(desired)
    world.deaf = {replica}
    for _ in range(3):
        world.step()
        world.now += 1
    world.deaf = set()
    world.settle()
    world.kill(primary)
    world.settle()
    assert world.memory.shards["0001"].primary == replica


def test_the_reader_endpoint_leaves_a_replica_that_hears_nothing() -> None:
    world = created(replicated(3))
    reading = holder(world, EndpointRole.READER)
    (deaf,) = [node.name for node in world.desired.nodes if world.of(node.name).host == reading]
    world.deaf = {deaf}
    for _ in range(5):
        world.step()
    assert holder(world, EndpointRole.READER) not in (reading, world.of("demo-001").host)
