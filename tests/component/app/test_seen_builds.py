"""Since when engine versions are known stays, over restarts, services and installations of others."""

from __future__ import annotations

import asyncio

from cachefleet.app.seen_builds import remember_builds
from cachefleet.model.group import DesiredNode, DesiredShard, Engine, GroupDesired, Shape
from cachefleet.model.resource import Key, Kind
from cachefleet.model.row import GroupRow
from tests.fakes.catalogue import BUILDS, StaticCatalogue
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore


def test_dates_stay_and_new_builds_get_theirs() -> None:
    async def body() -> None:
        store, clock = MemoryStore(), ManualClock()
        began = clock.now()
        first = await remember_builds(store, StaticCatalogue(BUILDS[1:]), clock)
        assert {(build.engine, build.version) for build in first} == {(one.engine, one.version) for one in BUILDS[1:]}
        clock.pass_time(100)
        found = {build.version: build.first_seen_at for build in await remember_builds(store, StaticCatalogue(), clock)}
        assert found.pop(BUILDS[0].version) == began + 100
        assert set(found.values()) == {began}
        clock.pass_time(100)
        gone = await remember_builds(store, StaticCatalogue(()), clock)
        assert len(gone) == len(BUILDS), "what is not installed any more is not forgotten"

    asyncio.run(body())


def test_versions_of_caches_are_known_though_their_builds_are_gone() -> None:
    async def body() -> None:
        store = MemoryStore()
        node = DesiredNode("demo-001", "0001", "local-1a", 0.0)
        desired = GroupDesired(
            uid="u", shape=Shape.REPLICATED, engine=Engine.VALKEY, engine_version="9.1.0", node_type="cache.t4g.micro",
            port=6379, shards=(DesiredShard("0001", (node,)),), parameter_group="p", subnet_group="default",
        )  # fmt: skip
        async with store.transaction() as transaction:
            await transaction.insert(GroupRow(key=Key(Kind.REPLICATION_GROUP, "0", "local-1", "demo"), desired=desired))
        found = await remember_builds(store, StaticCatalogue(), ManualClock())
        assert ("valkey", "9.1.0") in {(build.engine, build.version) for build in found}

    asyncio.run(body())


def test_two_services_that_start_at_once_agree() -> None:
    async def body() -> None:
        store, early, late = MemoryStore(), ManualClock(), ManualClock(1_800_000_000.0)
        one, other = await asyncio.gather(
            remember_builds(store, StaticCatalogue(), early), remember_builds(store, StaticCatalogue(), late)
        )
        assert len({build.version for build in one}) == len(BUILDS)
        again = await remember_builds(store, StaticCatalogue(), late)
        assert set(again) == set(other) == set(one)

    asyncio.run(body())
