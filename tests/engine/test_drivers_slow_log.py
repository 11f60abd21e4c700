"""The slow log by ids, on every version that the machine has: nothing missed, nothing twice, also after a reset."""

from __future__ import annotations

import asyncio

from cachefleet.logs.slow_entries import hidden
from cachefleet.model.group import Engine
from tests.engine.engine_processes import Client, every_version, resp_processes

PORT = 6379
EVERYTHING = {"slowlog-log-slower-than": "0", "slowlog-max-len": "128"}


@every_version
def test_entries_are_read_by_their_ids(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node = engines.start(parameters=EVERYTHING)
            await engines.view(node)
            await driver.promote(node.address, ())
            await driver.keep_slow_entries(node.address, 1000)
            with Client(node.address.host, PORT) as client:
                client.call("CLIENT", "SETNAME", "shopper")
                for number in range(300):
                    client.call("SET", f"key-{number}", "value")
                first = await driver.slow_entries(node.address, -1)
                assert [entry.number for entry in first] == list(range(first[-1].number + 1))
                mine = [entry for entry in first if entry.client == "shopper" and entry.command[0].upper() == "SET"]
                assert len(mine) == 300 and {hidden(entry.command) for entry in mine} == {"SET ... (2 more arguments)"}
                assert all(entry.address and entry.duration_us >= 0 and entry.at_s > 0 for entry in mine)
                client.call("SLOWLOG", "RESET")
                for _ in range(10):
                    client.call("GET", "key-1")
                later = await driver.slow_entries(node.address, first[-1].number)
                assert later[0].number > first[-1].number
                assert sum(entry.command[0].upper() == "GET" for entry in later) == 10
                await driver.keep_slow_entries(node.address, 5)
                few = await driver.slow_entries(node.address, first[-1].number)
                assert len(few) <= 5 and few[-1].number > later[-1].number

    asyncio.run(scenario())
