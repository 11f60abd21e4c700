"""Slots that do not get on: people are told in whose words, for as long as that is so, and once in an event where it lasts."""

from __future__ import annotations

import pytest

from cachefleet.planning.resharding import LONGEST_REFUSAL
from tests.unit.planning.moving_world import MovingWorld
from tests.unit.planning.test_resharding import begun

WORDS = "NOREPLICAS Not enough good replicas to write."


def until_told(world: MovingWorld, words: str) -> None:
    for _ in range(1000):
        world.step()
        if words in world.status.why:
            return
    raise AssertionError(world.status)


@pytest.mark.parametrize("atomic", [True, False])
def test_what_was_said_is_told_until_slots_get_on(atomic: bool) -> None:
    world, values = begun(2, 1, atomic)
    world.closed = world.failing = WORDS
    until_told(world, f"to 0003 failed in an attempt: {WORDS}")
    until_told(world, f"to 0003 failed in 4 attempts in a row: {WORDS}")
    assert world.status.state == "modifying"
    for _ in range(5):  # also while it waits for the next attempt, and by a control plane that knows nothing but the row
        world.step(apply=False)
        assert WORDS in world.status.why
    world.closed = world.failing = ""
    world.run()
    world.assert_whole(values)
    assert world.status.why == ""


def test_what_lasts_is_told_in_one_event() -> None:
    """Slots that are half moved cannot be given up."""
    world, values = begun(2, 0, False)
    world.closed = WORDS
    until_told(world, "failed in 12 attempts")
    assert not any("stays where it is" in event for event in world.events)
    told = [event for event in world.events if "stands still" in event]
    assert len(told) == len(world.memory.moves)
    assert all(WORDS in event for event in told)
    world.closed = ""
    world.run()
    world.assert_whole(values)


def test_a_job_that_gets_nowhere_is_told() -> None:
    world, values = begun(2, 0, True)
    world.stuck = True
    until_told(world, "a job got nowhere for 20 s")
    world.stuck = False
    world.run()
    world.assert_whole(values)


def test_long_words_are_cut() -> None:
    world, _ = begun(2, 0, False)
    world.closed = "x" * 10_000
    until_told(world, "x" * LONGEST_REFUSAL)
    assert len(world.status.why) < 3 * LONGEST_REFUSAL
