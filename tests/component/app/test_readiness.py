"""Ready or not: by the database and by who leads, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from cachefleet.app.readiness import FRESH_S, PATIENCE_S, ReadinessProbe
from cachefleet.control.leadership import Leadership
from cachefleet.gateway.health import Readiness
from cachefleet.interfaces import StoreError
from cachefleet.model.resource import Key, Kind
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

LEASE_S = 3.0


class Database(MemoryStore):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.away = False
        self.hangs: asyncio.Event | None = None
        self.asked = 0

    async def keys(self, kinds: Sequence[Kind]) -> list[Key]:
        self.asked += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.away:
            raise StoreError("postgresql at db.internal: the password of cachefleet is wrong")
        return await super().keys(kinds)

    async def hold_lease(self, *args: Any, **options: Any) -> Any:
        if self.away:
            raise StoreError("postgresql at db.internal: the password of cachefleet is wrong")
        return await super().hold_lease(*args, **options)


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = Database(self.clock)
        self.leadership = Leadership(self.store, self.clock, "me", LEASE_S)
        self.runs = True
        self.probe = ReadinessProbe(self.store, self.leadership, lambda: self.runs, self.clock)

    async def look(self) -> Readiness:
        self.clock.pass_time(FRESH_S)
        return await self.probe.ready()


def test_a_service_is_ready_when_it_leads_or_stands_by() -> None:
    async def body() -> None:
        stage = Stage()
        assert (await stage.look()).failed == ("control_loop",)  # nobody has asked for the lease yet
        await stage.leadership.obtain()
        found = await stage.look()
        assert (found.failed, found.checks) == ((), {"database": "answers", "control_loop": "leads"})
        stage.runs = False
        found = await stage.look()
        assert (found.failed, found.checks["control_loop"]) == (("control_loop",), "has ended")

        other = Leadership(stage.store, stage.clock, "other", LEASE_S)
        waits = asyncio.create_task(other.obtain())
        await stage.clock.settle()
        found = await ReadinessProbe(stage.store, other, lambda: True, stage.clock).ready()
        assert (found.failed, found.checks["control_loop"]) == ((), "stands by: another service leads")
        waits.cancel()
        stage.clock.pass_time(LEASE_S)
        stage.runs = True
        assert (await stage.look()).failed == ("control_loop",)  # its lease may be another one's by now

    asyncio.run(body())


def test_a_database_that_is_away_is_said_without_its_words() -> None:
    async def body() -> None:
        stage = Stage()
        stage.store.away = True
        waits = asyncio.create_task(stage.leadership.obtain())
        await stage.clock.settle()
        found = await stage.look()
        assert found.failed == ("database", "control_loop")
        assert "db.internal" not in str(found) and "the database does not say" in found.checks["control_loop"]
        stage.store.away = False
        await stage.clock.advance(1)
        await waits
        assert (await stage.look()).failed == ()

    asyncio.run(body())


def test_a_database_that_hangs_is_asked_once_by_all() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.leadership.obtain()
        stage.store.hangs = asyncio.Event()
        asking = [asyncio.create_task(stage.probe.ready()) for _ in range(50)]
        await stage.clock.advance(PATIENCE_S)
        for found in await asyncio.gather(*asking):
            assert (found.failed, found.checks["database"]) == (("database",), "it does not answer")
        assert stage.store.asked == 1
        stage.store.hangs.set()
        await stage.clock.settle()
        assert (await stage.probe.ready()).failed == ()
        for _ in range(50):
            await stage.probe.ready()
        assert stage.store.asked <= 2

    asyncio.run(body())
