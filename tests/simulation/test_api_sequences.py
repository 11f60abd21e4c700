"""Whatever users of the API ask for, in whatever order: the installation converges, and what describes tell agrees, at every
moment. The real API, control loop and drivers; a simulated machine; virtual time, and nothing that goes wrong."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.component.rules.consistency import check_consistent
from tests.simulation.api_users import ApiUsers
from tests.simulation.world import World

SEEDS = range(12)
WISHES = 30
CONVERGENCE_S = 180.0


async def _play(world: World, users: ApiUsers) -> None:
    chance = world.chance("pauses")
    world.begin_plane()
    for _ in range(WISHES):
        await users.wish()
        await check_consistent(users.ask, told=True)
        if chance.random() < 0.6:
            await _settle(world, users, chance.uniform(1.0, 30.0))
            await check_consistent(users.ask, told=True)
    await _settle(world, users, CONVERGENCE_S)
    assert users.unsettled() == ""
    await check_consistent(users.ask, told=True)
    for plane in world.planes:
        plane.kill()
        await plane.gone()


async def _settle(world: World, users: ApiUsers, limit_s: float) -> None:
    end_s = world.loop.time() + limit_s
    while users.unsettled() and world.loop.time() < end_s:
        await world.clock.sleep(0.2)


def test_sequences_of_requests_converge_and_describes_agree() -> None:
    done: Counter[str] = Counter()
    for seed in SEEDS:
        world = World(seed, keep_trace=True)
        users = ApiUsers(world, world.chance("users"))
        try:
            with asyncio.Runner(loop_factory=lambda: world.loop) as runner:  # noqa: B023
                runner.run(_play(world, users))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}\n" + "\n".join(list(world.trace.lines)[-60:])) from error
        assert world.trace.violations == [], seed
        done.update(users.done)
    assert {"CreateReplicationGroup", "CreateCacheCluster", "ModifyReplicationGroup", "CreateSnapshot"} <= set(done), done
