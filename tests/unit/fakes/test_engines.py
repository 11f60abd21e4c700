"""Frozen engines in memory: silent as real ones are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from cachefleet.engine_interfaces import Build, NodeSpec
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address
from tests.fakes.engines import LONG_AGO_S, FakeDriver
from tests.fakes.host import FakeHost

PRIMARY, REPLICA = Address("127.41.64.1", 6379), Address("127.41.128.1", 6379)
BUILD = Build(engine=Engine.VALKEY, version="9.1.2", binary="/valkey", origin="here")


async def hangs(call: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await call


async def start(host: FakeHost, driver: FakeDriver, at: Address, incarnation: str) -> None:
    spec = NodeSpec(name="n", incarnation=incarnation, address=at, zone="a", maxmemory_bytes=1, parameters={})
    await host.start(incarnation, driver.render(spec, BUILD, ""))


def test_a_frozen_primary_is_silent_until_it_is_thawed_or_ends() -> None:
    async def scenario() -> None:
        host = FakeHost()
        driver = FakeDriver(host.machine)
        assert driver.pulse(PRIMARY) is None
        await start(host, driver, PRIMARY, "u1.one.1")
        await start(host, driver, REPLICA, "u1.two.1")
        await driver.promote(PRIMARY, ())
        await driver.follow(REPLICA, PRIMARY, ())
        assert driver.pulse(PRIMARY) is True
        assert (await driver.probe(REPLICA, False)).heard_s == 0
        driver.frozen.add(PRIMARY.host)
        assert driver.pulse(PRIMARY) is False
        await hangs(driver.probe(PRIMARY, False))
        await hangs(driver.bind(PRIMARY, ()))
        view = await driver.probe(REPLICA, False)
        assert (view.link_up, view.heard_s) == (True, LONG_AGO_S)
        driver.frozen.clear()
        assert driver.pulse(PRIMARY) is True
        await host.stop("u1.one.1", kill=True)
        assert driver.pulse(PRIMARY) is None
        assert (await driver.probe(REPLICA, False)).heard_s == -1

    asyncio.run(scenario())
