"""Virtual time and repeatable chance: what other tests build upon."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    async def body() -> None:
        clock, woken = ManualClock(), []
        start = clock.monotonic()

        async def sleeper(name: str, *seconds: float) -> None:
            for length in seconds:
                await clock.sleep(length)
                woken.append((name, clock.monotonic() - start))

        tasks = [
            asyncio.create_task(sleeper("a", 5, 1)),
            asyncio.create_task(sleeper("b", 3, 2.5)),
            asyncio.create_task(sleeper("c", 60)),
        ]
        await clock.advance(10)
        assert woken == [("b", 3), ("a", 5), ("b", 5.5), ("a", 6)]
        assert clock.monotonic() - start == 10
        assert clock.sleepers == 1
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert clock.sleepers == 0
        await clock.advance(100)

    asyncio.run(body())


def test_a_jump_moves_the_wall_clock_only() -> None:
    clock = ManualClock(100.0)
    before = clock.monotonic()
    clock.jump(-50)
    assert (clock.now(), clock.monotonic()) == (50.0, before)
    clock.pass_time(7)
    assert (clock.now(), clock.monotonic()) == (57.0, before + 7)


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_to_sleep(seconds: float) -> None:
    asyncio.run(ManualClock().sleep(seconds))


def test_the_same_seed_draws_the_same() -> None:
    first, second, other = SeededEntropy(1), SeededEntropy(1), SeededEntropy(2)
    assert first.hex(8) == second.hex(8) != other.hex(8)
    assert len(first.hex(3)) == 6
    assert all(0 <= first.below(3) < 3 for _ in range(50))
