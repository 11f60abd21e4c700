"""Shards that own no slots (yet): who their primary is."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import DesiredNode, DesiredShard
from tests.unit.planning.groups import ZONES, clustered
from tests.unit.planning.world import World


def test_epochs_that_engines_give_to_newcomers_move_no_role() -> None:
    """Of two nodes with equal epochs, the engines raise one: of those without a role yet all have none."""
    world = World(clustered(2, 1))
    world.settle()
    members = tuple(DesiredNode(f"demo-0003-{number:03}", "0001", ZONES[number], 0.0) for number in (1, 2))
    shards = (*world.desired.shards, DesiredShard("0003", members))
    world.desired = replace(world.desired, shards=shards)
    for _ in range(200):
        newcomer = next((engine for engine in world.engines.values() if ".demo-0003-002." in engine.incarnation), None)
        if newcomer is not None and newcomer.primary and not newcomer.primary_id:
            newcomer.epoch = 99
        world.step()
    memory = world.memory.shards["0003"]
    assert (memory.primary, memory.taken) == ("demo-0003-001", True)
    assert world.of("demo-0003-002").primary_id == world.of("demo-0003-001").engine_id
    assert not [event for event in world.events if "Failover" in str(event)]
