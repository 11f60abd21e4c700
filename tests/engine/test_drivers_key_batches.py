"""The script that moves keys of a slot, against every installed version that moves slots key by key."""

from __future__ import annotations

import asyncio

import pytest

from cachefleet.engines.key_batches import take
from cachefleet.model.group import Engine
from cachefleet.model.pace import FAST, GENTLE
from tests.engine.engine_processes import Client, resp_processes, until
from tests.engine.slot_pairs import ALL, SlotCluster, fill

SLOT = 0  # of {06S}
VERSIONS = [(Engine.VALKEY, "8.1"), (Engine.REDIS, "7.0"), (Engine.REDIS, "6.2")]


@pytest.mark.parametrize(("engine", "version"), VERSIONS)
def test_keys_leave_in_batches_of_a_number_and_of_a_size_and_replicas_forget_them(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, ())
            replica = await cluster.replicate(0)
            to = cluster.nodes[1].address
            with (
                cluster.client(0) as source,
                cluster.client(1) as target,
                Client(replica.address.host, replica.address.port) as copy,
            ):
                fill(source, [(f"{{06S}}{number}", "x" * (FAST.batch_bytes // 3)) for number in range(6)])
                assert target.call("CLUSTER", "SETSLOT", str(SLOT), "IMPORTING", cluster.ids[0]) == "OK"
                assert source.call("CLUSTER", "SETSLOT", str(SLOT), "MIGRATING", cluster.ids[1]) == "OK"
                assert source.call(*take(SLOT, to, 1, 0)) == 5, "as many as asked for"
                assert source.call(*take(SLOT, to, 5, FAST.batch_bytes)) == 3, "no more than fit"
                assert source.call(*take(SLOT, to, 5, 0)) == 0
                assert source.call(*take(SLOT, to, 5, 0)) == 0, "there is nothing left to do"
                assert target.call("DBSIZE") == 6
                await until(lambda: copy.call("DBSIZE") == 0)
                stats = copy.call("INFO", "commandstats")
                assert "cmdstat_migrate" not in stats
                assert "cmdstat_eval" not in stats

    asyncio.run(scenario())


@pytest.mark.parametrize(("engine", "version"), [(Engine.VALKEY, "9.1"), (Engine.REDIS, "7.0")])
def test_a_gentle_slice_moves_less_in_smaller_batches(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL, ())
            at, to = cluster.nodes[0].address, cluster.nodes[1].address
            with cluster.client(0) as source:
                fill(source, [(f"{{06S}}{number}", "x") for number in range(60_000)])
                left, moved = [60_000], []
                for pace in (GENTLE, FAST):
                    assert source.call("CONFIG", "RESETSTAT") == "OK"
                    await driver.move_keys(at, to, ((SLOT, SLOT),), [], pace)
                    left.append(int(source.call("DBSIZE")))
                    moved.append(left[-2] - left[-1])
                    batches = int(source.call("INFO", "commandstats").partition("cmdstat_eval:calls=")[2].partition(",")[0])
                    assert 0 < moved[-1] <= batches * pace.batch_keys
                assert 2 * moved[0] < moved[1]

    asyncio.run(scenario())
