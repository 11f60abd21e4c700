"""Slots that move gently: one move at a time, key by key, whatever engines could do; and a pace that changes meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.group import SLOTS, GroupDesired
from cachefleet.model.pace import FAST, GENTLE
from cachefleet.model.plan import MigrateSlots, MoveKeys, Plan
from tests.unit.planning.groups import clustered
from tests.unit.planning.moving_world import MovingWorld, growing, shrinking

WAYS = pytest.mark.parametrize("atomic", [True, False])


class PacedWorld(MovingWorld):
    """Every pass is held against the pace that its group has by then."""

    def __init__(self, desired: GroupDesired, atomic: bool) -> None:
        super().__init__(desired, atomic)
        self.most = 0  # moves that got on in one pass, or had a job
        self.asked: list[MigrateSlots | MoveKeys] = []

    def step(self, apply: bool = True) -> Plan:
        gentle = self.desired.gentle
        plan = super().step(apply)
        running = sum(not job.over for job in self.jobs)
        steps = [action for action in plan.actions if isinstance(action, MigrateSlots | MoveKeys)]
        if apply:
            running -= sum(isinstance(step, MigrateSlots) for step in steps)
        if gentle:
            assert len(steps) <= 1 and not (steps and running), "two moves got on at once"
            assert all(isinstance(step, MoveKeys) and step.pace == GENTLE for step in steps)
        self.most = max(self.most, len(steps) + running)
        self.asked += steps
        return plan

    def set_pace(self, gentle: bool) -> None:
        self.desired = replace(self.desired, gentle=gentle)


def changing(atomic: bool, gentle: bool, replicas: int = 0) -> tuple[PacedWorld, set[int]]:
    """Three shards that are to become five: several pairs have slots to move."""
    world = PacedWorld(replace(clustered(3, replicas), gentle=gentle), atomic)
    world.settle()
    values = world.fill()
    world.desired = growing(world.desired, 5, replicas)
    return world, values


@WAYS
def test_one_move_at_a_time_and_key_by_key(atomic: bool) -> None:
    world, values = changing(atomic, gentle=True, replicas=1)
    world.run()
    world.assert_whole(values)
    world.desired = shrinking(world.desired, {"0002", "0004"})
    world.run()
    world.assert_whole(values)
    assert world.most == 1 and not world.jobs and world.asked
    assert world.progress[-1] > 50


@WAYS
def test_without_it_several_get_on_at_once(atomic: bool) -> None:
    world, values = changing(atomic, gentle=False)
    world.run()
    world.assert_whole(values)
    assert world.most > 1
    assert {type(step) for step in world.asked} == {MigrateSlots if atomic else MoveKeys}


@WAYS
def test_a_group_that_need_not_be_gentle_any_more_speeds_up(atomic: bool) -> None:
    """What is half moved is finished key by key, and nothing else goes that way where engines have jobs."""
    world, values = changing(atomic, gentle=True)
    while not world.half:
        world.step()
    half = set(world.half)
    world.set_pace(False)
    world.asked.clear()
    world.run()
    world.assert_whole(values)
    assert world.most > 1
    by_keys = [step for step in world.asked if isinstance(step, MoveKeys)]
    assert by_keys and all(step.pace == FAST for step in by_keys)
    if atomic:
        assert world.jobs
        assert {slot for step in by_keys for first, last in step.slots for slot in range(first, last + 1)} == half


def test_a_group_that_has_to_be_gentle_from_now_on_finishes_its_jobs() -> None:
    world, values = changing(True, gentle=False)
    while not any(job.looks for job in world.jobs):
        world.step()
    begun = len(world.jobs)
    world.set_pace(True)
    world.run()
    world.assert_whole(values)
    assert len(world.jobs) == begun and {job.state for job in world.jobs} == {"success"}
    assert isinstance(world.asked[-1], MoveKeys)


def test_jobs_that_failed_too_often_are_not_begun_again_when_the_pace_changes() -> None:
    world, values = changing(True, gentle=False)
    world.stuck, world.refusing = True, set(range(SLOTS))
    while not world.memory.moves or not all(move.by_keys for move in world.memory.moves):
        world.step()
    begun = len(world.jobs)
    for gentle in (True, False):
        world.set_pace(gentle)
        world.step()
        world.step()
        assert len(world.jobs) == begun
        assert all(move.by_keys for move in world.memory.moves)
    world.stuck = False
    world.refusing.clear()
    world.run()
    world.assert_whole(values)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.booleans(), st.booleans())
def test_any_order_of_paces_and_deaths(data: st.DataObject, atomic: bool, gentle: bool) -> None:
    """It always gets on, and never two moves at once while it is gentle."""
    world, values = changing(atomic, gentle, replicas=1)
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(0, 20))):
            world.step(apply=data.draw(st.integers(0, 9)) > 0)
        world.set_pace(data.draw(st.booleans()))
        shard = data.draw(st.sampled_from(world.desired.shards))
        if data.draw(st.booleans()) and world.can_spare(shard):
            world.kill(data.draw(st.sampled_from(shard.nodes)).name)
    world.run(3000)
    world.assert_whole(values)
