"""Shards that own no slots (yet): who their primary is."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import DesiredNode, DesiredShard
from cachefleet.model.plan import TakeOver
from cachefleet.planning.books import ALL
from tests.unit.planning.groups import ZONES, clustered, created
from tests.unit.planning.world import World


def with_a_new_shard() -> World:
    """That is asked for; nothing was done for it yet."""
    world = World(clustered(2, 1))
    world.settle()
    members = tuple(DesiredNode(f"demo-0003-{number:03}", "0001", ZONES[number], 0.0) for number in (1, 2))
    world.desired = replace(world.desired, shards=(*world.desired.shards, DesiredShard("0003", members)))
    return world


def test_epochs_that_engines_give_to_newcomers_move_no_role() -> None:
    """Of two nodes with equal epochs, the engines raise one: of those without a role yet all have none."""
    world = with_a_new_shard()
    for _ in range(200):
        newcomer = next((engine for engine in world.engines.values() if ".demo-0003-002." in engine.incarnation), None)
        if newcomer is not None and newcomer.primary and not newcomer.primary_id:
            newcomer.epoch = 99
        world.step()
    memory = world.memory.shards["0003"]
    assert (memory.primary, memory.taken) == ("demo-0003-001", True)
    assert world.of("demo-0003-002").primary_id == world.of("demo-0003-001").engine_id
    assert not [event for event in world.events if "Failover" in str(event)]


def test_a_replica_that_was_looked_at_after_its_first_synchronisation_is_no_heir() -> None:
    """Its primary was looked at before that, and seemed to have nothing of what the replica has."""
    world = with_a_new_shard()
    looked = False
    while not looked:
        world.step()
        if not (world.runs("demo-0003-001") and world.runs("demo-0003-002")):
            continue
        new, first = world.of("demo-0003-002"), world.of("demo-0003-001")
        if new.primary_id == first.engine_id:
            new.data, looked = {7}, True
            world.memory.nodes["demo-0003-001"].became_ready = False
    world.step()
    world.settle()
    assert world.memory.shards["0003"].primary == "demo-0003-001"
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
