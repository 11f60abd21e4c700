"""Whatever users of the API ask for, in whatever order: the installation converges, and what describes tell agrees, at every
moment, with itself and with whom engines let in. The real API, control loop and drivers; a simulated machine; virtual time, and
nothing that goes wrong. Once in the middle newer engines are installed, and the service is started again."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.component.rules.consistency import check_consistent
from tests.simulation.api_users import ApiUsers
from tests.simulation.world import World

SEEDS = range(12)
WISHES = 36
CONVERGENCE_S = 180.0
_DONE = {
    "CreateReplicationGroup",
    "CreateCacheCluster",
    "ModifyReplicationGroup",
    "CreateSnapshot",
    "CreateUser",
    "ModifyUser",
    "CreateUserGroup",
    "ModifyUserGroup",
    "BatchApplyUpdateAction",
    "BatchStopUpdateAction",
}


async def _play(world: World, users: ApiUsers) -> None:
    chance = world.chance("pauses")
    await users.install(newer=False)
    world.begin_plane()
    for number in range(WISHES):
        if number == WISHES // 3:
            await _start_again(world, users)
        await users.wish()
        await _check(users)
        what = chance.random()
        if what < 0.4:
            await world.clock.sleep(chance.uniform(0.005, 0.5))
        elif what < 0.8:
            await _settle(world, users, chance.uniform(1.0, 30.0))
        await _check(users)
    await _settle(world, users, CONVERGENCE_S)
    assert users.unsettled() == ""
    states = {one["Status"] for one in (await _check(users))["Users"]}
    assert states == {"active"}, states
    await _end(world)


async def _check(users: ApiUsers) -> dict[str, list[dict[str, object]]]:
    found = await check_consistent(users.ask, told=True)
    users.known.check(found)
    return found


async def _start_again(world: World, users: ApiUsers) -> None:
    await _end(world)
    await users.install(newer=True)
    world.begin_plane()


async def _end(world: World) -> None:
    for plane in world.planes:
        plane.kill()
        await plane.gone()


async def _settle(world: World, users: ApiUsers, limit_s: float) -> None:
    end_s = world.loop.time() + limit_s
    while users.unsettled() and world.loop.time() < end_s:
        await world.clock.sleep(0.2)


def play(seed: int) -> ApiUsers:
    """Raises AssertionError with the seed, and what happened last."""
    world = World(seed, keep_trace=True)
    users = ApiUsers(world, world.chance("users"))
    try:
        with asyncio.Runner(loop_factory=lambda: world.loop) as runner:
            runner.run(_play(world, users))
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}\n" + "\n".join(list(world.trace.lines)[-60:])) from error
    assert world.trace.violations == [], seed
    return users


def test_sequences_of_requests_converge_and_describes_agree() -> None:
    done: Counter[str] = Counter()
    for seed in SEEDS:
        done.update(play(seed).done)
    assert set(done) >= _DONE, done
