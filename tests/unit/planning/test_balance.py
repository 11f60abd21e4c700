"""Primaries that piled up in one zone: when a role is handed over, to whom, and that it comes to an end."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.model.group import DesiredShard, GroupDesired
from cachefleet.model.plan import TakeOver
from cachefleet.planning.balance import AGAIN_S, QUIET_S
from tests.unit.planning.groups import ZONES, clustered, created
from tests.unit.planning.world import World


def multi_az(shards: int, replicas: int) -> GroupDesired:
    """All primaries begin in the same zone."""
    return msgspec.structs.replace(clustered(shards, replicas), multi_az=True)


def crowd(world: World) -> Counter[str]:
    return Counter(world.memory.nodes[shard.primary].zone for shard in world.memory.shards.values())


def roles(world: World) -> dict[str, str]:
    return {name: shard.primary for name, shard in world.memory.shards.items()}


def pass_time(world: World, seconds: float, pace_s: float = 1.0) -> list[float]:
    """When hand-overs were ordered meanwhile. pace_s: added to every pass, so that long times pass soon."""
    ordered = []
    end = world.now + seconds
    while world.now < end:
        now = world.now
        ordered += [now for action in world.step().actions if isinstance(action, TakeOver)]
        world.now += pace_s
    return ordered


@pytest.mark.parametrize(("shards", "replicas", "moves"), [(3, 1, 1), (3, 2, 2), (4, 1, 2), (5, 2, 3)])
def test_roles_that_piled_up_are_handed_over_one_at_a_time_until_no_zone_has_a_majority(
    shards: int, replicas: int, moves: int
) -> None:
    world = created(multi_az(shards, replicas))
    assert max(crowd(world).values()) == shards
    assert pass_time(world, QUIET_S - 5) == []
    ordered = pass_time(world, 100)
    assert len(ordered) == moves
    assert all(after - before >= QUIET_S for before, after in pairwise(ordered))
    best = 2 if (shards, replicas) == (3, 1) else shards // 2  # with one replica, two zones share three primaries
    assert max(crowd(world).values()) == best
    assert pass_time(world, 3 * AGAIN_S, 60) == []
    assert world.lost == set()
    world.settle()


@settings(max_examples=30)
@given(zones=st.lists(st.lists(st.sampled_from(ZONES), min_size=2, max_size=3), min_size=3, max_size=5))
def test_wherever_nodes_stand_it_comes_to_an_end(zones: list[list[str]]) -> None:
    desired = multi_az(len(zones), 2)
    shards = [
        msgspec.structs.replace(
            shard,
            nodes=tuple(msgspec.structs.replace(node, zone=zone) for node, zone in zip(shard.nodes, places, strict=False)),
        )
        for shard, places in zip(desired.shards, zones, strict=True)
    ]
    world = created(msgspec.structs.replace(desired, shards=tuple(shards)))
    fullest = max(crowd(world).values())
    assert len(pass_time(world, 6 * QUIET_S, 3)) <= len(zones)
    assert max(crowd(world).values()) <= fullest
    assert pass_time(world, 2 * AGAIN_S, 120) == []


@pytest.mark.parametrize("why", ["not Multi-AZ", "two shards", "a replica is away", "a zone is out", "no majority"])
def test_roles_stay_where_they_are_when(why: str) -> None:
    desired = multi_az(2 if why == "two shards" else 3, 1)
    if why == "not Multi-AZ":
        desired = msgspec.structs.replace(desired, multi_az=False)
    if why == "no majority":
        spread = [
            msgspec.structs.replace(shard, nodes=shard.nodes[::step])
            for shard, step in zip(desired.shards, (1, 1, -1), strict=True)
        ]
        nodes = [msgspec.structs.replace(spread[1].nodes[0], zone=ZONES[0]), spread[1].nodes[1]]
        spread[1] = msgspec.structs.replace(spread[1], nodes=tuple(nodes))
        desired = msgspec.structs.replace(desired, shards=tuple(spread))
    world = created(desired)
    if why == "a replica is away":
        world.failing_starts = {"demo-0003-002"}
        world.kill("demo-0003-002")
    if why == "a zone is out":
        world.zones_out = frozenset("a")
    before = roles(world)
    assert pass_time(world, 60) == []
    assert roles(world) == before


def test_a_primary_that_was_chosen_by_hand_stays() -> None:
    desired = multi_az(3, 1)
    chosen = [
        DesiredShard(shard.shard_id, shard.nodes, shard.slots, handovers=0, handover_to=shard.nodes[0].name)
        for shard in desired.shards
    ]
    world = created(msgspec.structs.replace(desired, shards=tuple(chosen)))
    assert pass_time(world, 60) == []


def test_engines_that_do_not_agree_are_asked_seldom() -> None:
    world = created(multi_az(3, 1))
    asked = 0
    end = world.now + AGAIN_S
    while world.now < end:
        asked += any(isinstance(action, TakeOver) for action in world.step(apply=False).actions)
        world.now += 3
    assert 1 <= asked <= len(world.desired.shards)
    assert len(roles(world)) == 3


def test_a_hand_over_that_was_saved_and_not_begun_leaves_the_role_with_its_holder() -> None:
    world = created(multi_az(3, 1))
    while not any(isinstance(action, TakeOver) for action in world.step(apply=False).actions):
        world.now += 1
    pass_time(world, 8)
    shard = world.memory.shards["0001"]
    assert shard.taken
    assert shard.handing_from == ""
    assert world.of(shard.primary).slots
    world.settle()


def test_a_replica_that_does_not_reach_its_primary_over_the_bus_is_not_asked() -> None:
    world = created(multi_az(3, 1))
    world.off_the_bus = {node.name for shard in world.desired.shards for node in shard.nodes[1:]}
    before = roles(world)
    assert pass_time(world, 60) == []
    assert roles(world) == before
    world.off_the_bus = set()
    assert len(pass_time(world, 60)) == 1
