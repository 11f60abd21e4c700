"""Shards that own no slots (yet): who their primary is."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import DesiredNode, DesiredShard
from cachefleet.model.plan import TakeOver
from cachefleet.planning.books import ALL
from tests.unit.planning.groups import ZONES, clustered, created
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


def test_nothing_is_done_for_a_shard_that_is_taken_away_in_the_same_pass() -> None:
    """Its primary ends just when it owns nothing any more: whoever would succeed it is not saved."""
    world = created(clustered(2, 1))
    first, second = world.desired.shards
    world.desired = replace(world.desired, shards=(replace(first, slots=ALL), replace(second, slots=(), leaving=True)))
    world.memory.slots = {first.shard_id: ALL, second.shard_id: ()}
    world.of("demo-0001-001").slots, world.of("demo-0002-001").slots = ALL, ()
    world.of("demo-0002-002").data = {7}
    world.kill("demo-0002-001")
    plan = world.step(apply=False)
    assert second.shard_id not in plan.memory.shards
    assert not [action for action in plan.actions if isinstance(action, TakeOver)]
    world.settle()
