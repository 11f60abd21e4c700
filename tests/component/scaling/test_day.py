"""A whole day of a load that rises, falls and is noisy, with real alarms, in virtual time: shards follow it and do not flap."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

import msgspec
import pytest

from tests.component.api.stage import Stage
from tests.component.scaling.stage import ScalingStage
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

DAY_MINUTES = 24 * 60
LEAST, MOST = 40.0, 180.0  # percent of one shard's processor, at night and at noon


def load(minute: int) -> float:
    return LEAST + (MOST - LEAST) * (1 - math.cos(2 * math.pi * minute / DAY_MINUTES)) / 2


class Day(msgspec.Struct):
    """Numbers of shards as they followed each other, and the minutes of the changes."""

    course: list[int]
    minutes: list[int] = []

    @property
    def turns(self) -> int:
        """How often shards were taken away after some had been added, or added after some had been taken away."""
        ups = [after > before for before, after in itertools.pairwise(self.course)]
        return sum(before != after for before, after in itertools.pairwise(ups))


async def day(noise: float, seed: int) -> Day:
    """noise: of a value, as a part of it."""
    stage = ScalingStage(Stage(MemoryStore(), ManualClock()))
    await stage.make(2)
    await stage.register(2, 8)
    await stage.track()
    chance, found = random.Random(seed), Day([2])
    for minute in range(DAY_MINUTES):
        shards = await stage.shards()
        await stage.minute(min(100.0, load(minute) / shards * (1 + noise * (2 * chance.random() - 1))))
        asked = await stage.shards()
        if asked != shards:
            found.course.append(asked)
            found.minutes.append(minute)
            for _ in range(3):  # slots are on their way for some minutes
                await stage.minute(min(100.0, load(minute) / shards))
            await stage.finish()
    return found


def test_shards_follow_the_load_of_a_day() -> None:
    assert asyncio.run(day(0.0, 1)).course == [2, 3, 4, 3, 2]


@pytest.mark.parametrize("seed", range(3))
def test_a_noisy_metric_makes_nothing_flap(seed: int) -> None:
    found = asyncio.run(day(0.2, seed))
    assert found.turns == 1
    assert (found.course[0], found.course[-1]) == (2, 2)
    assert 4 <= max(found.course) <= 5


def test_even_a_wild_one_turns_seldom_and_never_soon() -> None:
    found = asyncio.run(day(0.6, 4))
    assert found.turns <= 3
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(found.minutes))
