"""Verbs of cluster mode disabled against every installed version of Valkey and Redis."""

from __future__ import annotations

import asyncio

import pytest

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address, NodeView
from tests.engine.engine_processes import Client, endpoints, every_version, free_address, refused, resp_processes

PORT = 6379


def synced(view: NodeView) -> bool:
    return view.link_up and not view.syncing


@every_version
def test_a_fresh_node_waits_for_its_role(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node = engines.start()
            view = await engines.view(node)
            assert (view.primary, view.link_up, view.follows, view.offset) == (False, False, "", -1)
            assert (view.incarnation, view.version) == (node.incarnation, engines.build.version)
            assert (view.pid, view.bound) == (node.process.pid, (node.address.host,))
            with Client(node.address.host, PORT) as client:
                assert client.call("SET", "a", "1").startswith(("-READONLY", "-MASTERDOWN"))
                assert client.call("GET", "a").startswith("-MASTERDOWN")
                assert client.call("PSYNC", "?", "-1").startswith("-")
            await driver.promote(node.address, ())
            with Client(node.address.host, PORT) as client:
                assert client.call("SET", "a", "1") == "OK"

    asyncio.run(scenario())


@every_version
def test_a_waiting_node_empties_no_replica(engine: Engine, version: str) -> None:
    """A primary that came back without its data answers nobody's request to synchronise."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            primary = engines.start()
            await engines.view(primary)
            await driver.promote(primary.address, ())
            with Client(primary.address.host, PORT) as client:
                assert client.call("SET", "kept", "1") == "OK"
            replica = engines.start(follow=primary.address)
            await engines.view(replica, synced)
            primary.kill()
            await engines.view(replica, lambda view: not view.link_up)
            back = engines.start(primary.address)
            view = await engines.view(back)
            assert view.incarnation == back.incarnation != primary.incarnation
            # The replica tries again every second.
            await engines.view(replica, lambda view: view.link_down_s >= 2)
            with Client(replica.address.host, PORT) as client:
                assert client.call("GET", "kept") == "1"

    asyncio.run(scenario())


@every_version
def test_promote_moves_the_endpoint_and_is_idempotent(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            (endpoint,) = endpoints(1)
            node = engines.start()
            await engines.view(node)
            await driver.promote(node.address, [endpoint])
            with Client(endpoint, PORT) as client:
                assert client.call("SET", "a", "1") == "OK"
                await driver.promote(node.address, [endpoint])
                assert client.call("GET", "a") == "1"
            view = await engines.view(node)
            assert view.primary and set(view.bound) == {node.address.host, endpoint}

    asyncio.run(scenario())


@every_version
def test_bind_closes_what_came_through_an_address_that_goes_away(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            first, second = endpoints(2)
            node = engines.start(bind=(first,))
            await engines.view(node)
            await driver.promote(node.address, [first])
            with Client(first, PORT) as leaving, Client(node.address.host, PORT) as staying:
                assert leaving.call("PING") == staying.call("PING") == "PONG"
                await driver.bind(node.address, [second])
                with pytest.raises(ConnectionError):
                    leaving.call("PING")
                assert staying.call("PING") == "PONG"
            assert refused(first, PORT)
            with Client(second, PORT) as client:
                assert client.call("PING") == "PONG"
                await driver.bind(node.address, [second])
                assert client.call("PING") == "PONG"

    asyncio.run(scenario())


@every_version
def test_an_address_that_another_has_is_refused_and_nothing_is_lost(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            (endpoint,) = endpoints(1)
            holder, other = engines.start(), engines.start()
            for node in (holder, other):
                await engines.view(node)
            await driver.promote(holder.address, [endpoint])
            with pytest.raises(EngineRefused, match="CONFIG SET"):
                await driver.promote(other.address, [endpoint])
            with Client(other.address.host, PORT) as client:
                assert client.call("PING") == "PONG"
            assert (await engines.view(other)).bound == (other.address.host,)
            await driver.bind(holder.address, ())
            await driver.bind(other.address, [endpoint])
            with Client(endpoint, PORT) as client:
                assert client.call("PING") == "PONG"

    asyncio.run(scenario())


@every_version
def test_bind_survives_children_that_hold_the_old_sockets(engine: Engine, version: str) -> None:
    """Every request to synchronise forks the engine; a change of addresses at that moment must not leave it deaf."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            (endpoint,) = endpoints(1)
            node = engines.start()
            await engines.view(node)
            await driver.promote(node.address, ())
            with Client(node.address.host, PORT) as client:  # so that a fork takes a while
                client.call("EVAL", "for i = 1, 100000 do redis.call('SET', i, i) end", "0")
            for turn in range(20):
                with Client(node.address.host, PORT) as replica:
                    replica.call("REPLCONF", "capa", "eof")
                    replica.send("SYNC")
                    try:
                        await driver.bind(node.address, [endpoint] if turn % 2 else [])
                    except EngineRefused as error:  # to be asked again later; the others have no such state
                        assert version == "6.2" and "begun to feed a replica" in str(error)
                    Client(node.address.host, PORT).__exit__()
            assert node.process.poll() is None

    asyncio.run(scenario())


@every_version
def test_follow(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            endpoint, reader = endpoints(2)
            old, new = engines.start(), engines.start()
            for node in (old, new):
                await engines.view(node)
            await driver.promote(old.address, [endpoint])
            await driver.promote(new.address, [])
            with Client(new.address.host, PORT) as client:
                client.call("SET", "whose", "new")
            with Client(endpoint, PORT) as client:
                await driver.follow(old.address, new.address, [reader])
                with pytest.raises(ConnectionError):
                    client.call("PING")
            view = await engines.view(old, synced)
            assert (view.follows, view.primary, set(view.bound)) == (new.address.host, False, {old.address.host, reader})
            assert refused(endpoint, PORT)
            with Client(reader, PORT) as client:
                assert client.call("GET", "whose") == "new"
                await driver.follow(old.address, new.address, [reader])
                assert client.call("GET", "whose") == "new"
                assert client.call("SET", "a", "1").startswith("-READONLY")
            await engines.view(new, lambda view: view.streams_to == (old.address.host,))
            assert synced(await engines.view(old))

    asyncio.run(scenario())


@every_version
def test_a_replica_goes_on_serving_reads_when_its_primary_dies(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            primary = engines.start()
            await engines.view(primary)
            await driver.promote(primary.address, ())
            replica = engines.start(follow=primary.address)
            assert (await engines.view(replica, synced)).offset >= 0
            with Client(primary.address.host, PORT) as client:
                client.call("SET", "a", "1")
            offset = (await engines.view(primary)).offset
            assert offset > 0
            await engines.view(replica, lambda view: view.offset >= offset)
            primary.kill()
            view = await engines.view(replica, lambda view: not view.link_up)
            assert view.link_down_s >= 0 and view.offset >= offset and view.follows == primary.address.host
            with Client(replica.address.host, PORT) as client:
                assert client.call("GET", "a") == "1"
            await driver.promote(replica.address, ())
            assert (await engines.view(replica)).primary

    asyncio.run(scenario())


@every_version
def test_data_that_shall_not_touch_a_disk_do_not_when_a_replica_that_has_some_gets_others(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            primaries = [engines.start(memory_only=True), engines.start(memory_only=True)]
            for primary in primaries:
                await engines.view(primary)
                await driver.promote(primary.address, ())
                with Client(primary.address.host, PORT) as client:
                    for number in range(30):
                        assert client.call("SET", f"key:{number}", "canary" * 100_000) == "OK"
            replica = engines.start(memory_only=True)
            await engines.view(replica)
            files: set[str] = set()
            for primary in primaries:
                await driver.follow(replica.address, primary.address, ())
                while not synced(await driver.probe(replica.address, False)):
                    files |= {path.name for path in replica.folder.iterdir()}
            assert {name for name in files if name.endswith(".rdb")} == set()
            assert (await driver.probe(replica.address, False)).keys == 30

    asyncio.run(scenario())


@every_version
def test_set_parameters(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node = engines.start(parameters={"maxmemory-policy": "volatile-lru", "notify-keyspace-events": ""})
            await engines.view(node)
            await driver.set_parameters(node.address, {"maxmemory-policy": "allkeys-lru", "maxmemory-samples": "7"})
            with Client(node.address.host, PORT) as client:
                assert client.call("CONFIG", "GET", "maxmemory-policy")[1] == "allkeys-lru"
                assert client.call("CONFIG", "GET", "maxmemory-samples")[1] == "7"
            with pytest.raises(EngineRefused, match="maxmemory-policy"):
                await driver.set_parameters(node.address, {"maxmemory-policy": "sometimes"})

    asyncio.run(scenario())


def test_nobody_there() -> None:
    async def scenario() -> None:
        async with resp_processes(Engine.VALKEY, "9.1") as (driver, _):
            nobody: Address = free_address(PORT)
            view = await driver.probe(nobody, False)
            assert not view.reachable and view.why == "Connection refused"
            with pytest.raises(EngineRefused, match=nobody.host):
                await driver.promote(nobody, ())

    asyncio.run(scenario())
