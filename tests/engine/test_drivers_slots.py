"""Slots that move between shards, against every installed version of Valkey and Redis."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cachefleet.engine_interfaces import EngineRefused, SlotsRefused
from cachefleet.model.group import Engine
from cachefleet.model.observed import NodeView, OpenSlot, SlotMigrationView
from cachefleet.model.plan import TakeOverBy
from tests.engine.engine_processes import Client, every_version, resp_processes, until
from tests.engine.slot_pairs import ALL, MB, PORT, SlotCluster, fill
from tests.engine.slot_writer import SlotWriter

UPPER, LOWER = ((8192, 16383),), ((0, 8191),)
by_keys = pytest.mark.parametrize(
    ("engine", "version"),
    [(Engine.VALKEY, "8.1"), (Engine.REDIS, "7.0"), (Engine.REDIS, "6.2")],
    ids=["valkey-8.1", "redis-7.0", "redis-6.2"],
)


@asynccontextmanager
async def slot_cluster(engine: Engine, version: str) -> AsyncIterator[SlotCluster]:
    async with resp_processes(engine, version) as (driver, engines):
        yield SlotCluster(driver, engines)


def slot_of(client: Client, key: str) -> int:
    slot: int = client.call("CLUSTER", "KEYSLOT", key)
    return slot


@every_version
def test_slots_move_with_their_keys(engine: Engine, version: str) -> None:
    """Names and values that are no text, times to live, large and many keys in one slot, empty slots, a slot again."""

    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, (), ())
            with cluster.client(0) as source, cluster.client(1) as target:
                fill(source, [(f"key:{number}", f"value:{number}") for number in range(4000)])
                fill(source, [(f"{{06S}}{number}", "x" * 50) for number in range(3000)])
                assert source.call("SET", b"{06S}\xff\x00\r\n", "binary") == "OK"
                assert source.call("SET", "{06S}fleeting", "soon", "PX", "600000") == "OK"
                assert source.call("RPUSH", "{06S}list", *map(str, range(2000))) == 2000
                assert slot_of(source, "{06S}") == 0
                assert await cluster.move(0, 1, LOWER) >= 1
                assert await cluster.move(0, 1, LOWER) == 0
                await cluster.slice(0, 1, LOWER)
                assert cluster.held(0) + cluster.held(1) == 7003
                assert source.call("CLUSTER", "COUNTKEYSINSLOT", "0") == 0
                assert target.call("GET", b"{06S}\xff\x00\r\n") == "binary"
                assert target.call("LRANGE", "{06S}list", "-1", "-1") == ["1999"]
                assert 500_000 < target.call("PTTL", "{06S}fleeting") <= 600_000
                for number in range(0, 4000, 7):
                    key = f"key:{number}"
                    owner = target if slot_of(source, key) <= 8191 else source
                    assert owner.call("GET", key) == f"value:{number}"
            third = cluster.nodes[2]
            await cluster.engines.view(third, lambda view: cluster.owns(view, 1) == LOWER, clustered=True)
            with pytest.raises(EngineRefused, match="slot 5 is not moved"):
                await cluster.slice(0, 2, ((5, 5),))
            await cluster.move(1, 0, ((0, 0), (17, 19)))
            assert cluster.held(0) + cluster.held(1) == 7003
            with cluster.client(0) as source:
                assert source.call("GET", b"{06S}\xff\x00\r\n") == "binary"

    asyncio.run(scenario())


@by_keys
def test_what_a_hand_or_a_dead_control_plane_left_half_open_is_seen_and_gone_on_with(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, ())
            first, second = cluster.ids
            with cluster.client(0) as source, cluster.client(1) as target:
                fill(source, [(f"{{06S}}{number}", str(number)) for number in range(100)])
                assert target.call("CLUSTER", "SETSLOT", "0", "IMPORTING", first) == "OK"
                assert source.call("CLUSTER", "SETSLOT", "0", "MIGRATING", second) == "OK"
                assert source.call("CLUSTER", "SETSLOT", "7", "MIGRATING", second) == "OK"
                host = cluster.nodes[1].address.host
                assert source.call("MIGRATE", host, str(PORT), "", "0", "1000", "KEYS", "{06S}1", "{06S}2") == "OK"
                assert target.call("ASKING") == "OK"
                assert target.call("SET", "{06S}new", "made while it moves") == "OK"
                marks = (await cluster.table(cluster.nodes[0])).open_slots
                assert marks == (OpenSlot(0, second, importing=False), OpenSlot(7, second, importing=False))
                assert (await cluster.table(cluster.nodes[1])).open_slots == (OpenSlot(0, first, importing=True),)
                await cluster.move(0, 1, ((0, 0), (7, 7)))
                assert cluster.held(0) == 0
                assert cluster.held(1) == 101
                assert target.call("GET", "{06S}1") == "1"

    asyncio.run(scenario())


@by_keys
def test_a_key_at_both_ends_is_taken_from_where_clients_found_it(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, ())
            with cluster.client(0) as source, cluster.client(1) as target:
                assert source.call("SET", "{06S}twin", "newer") == "OK"
                assert target.call("CLUSTER", "SETSLOT", "0", "IMPORTING", cluster.ids[0]) == "OK"
                assert target.call("ASKING") == "OK"
                assert target.call("SET", "{06S}twin", "older") == "OK"
                await cluster.move(0, 1, ((0, 0),))
                assert target.call("GET", "{06S}twin") == "newer"

    asyncio.run(scenario())


@by_keys
def test_a_slot_whose_key_the_target_does_not_take_goes_home_whole(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, ())
            with cluster.client(0) as source, cluster.client(1) as target:
                fill(source, [(f"{{06S}}{number:03}", "x" * 1000) for number in range(300)])
                fill(source, [(f"key:{number}", "small") for number in range(200)])
                assert source.call("SET", "{06S}giant", hashlib.shake_128(b"noise").digest(3 * MB)) == "OK"
                assert target.call("CONFIG", "SET", "proto-max-bulk-len", str(MB)) == "OK"
                with pytest.raises(SlotsRefused, match=r"slot 0 stays at .*'\{06S\}giant' \([34]\.\d MB\)") as refusal:
                    await _move_on(cluster, LOWER)
                assert refusal.value.slots == (0,)
                assert source.call("CLUSTER", "COUNTKEYSINSLOT", "0") == 301
                assert target.call("CLUSTER", "COUNTKEYSINSLOT", "0") == 0
                assert cluster.held(0) + cluster.held(1) == 501
                for node in cluster.nodes:
                    assert (await cluster.table(node)).open_slots == ()
                assert await cluster.moved(0, 1, ((1, 8191),))
                assert source.call("GET", "{06S}007") == "x" * 1000

                assert target.call("CONFIG", "SET", "proto-max-bulk-len", str(512 * MB)) == "OK"
                await cluster.move(0, 1, LOWER)
                assert target.call("STRLEN", "{06S}giant") == 3 * MB

    asyncio.run(scenario())


async def _move_on(cluster: SlotCluster, slots: tuple[tuple[int, int], ...]) -> None:
    """As the control loop does: other refusals are tried again, after a while."""
    for _ in range(200):
        try:
            await cluster.slice(0, 1, slots)
        except SlotsRefused:
            raise
        except EngineRefused:
            await asyncio.sleep(0.05)  # such as of a cluster that is down since one of two nodes was busy for a second


def test_an_item_that_is_too_large_is_found_before_its_slot_is_opened() -> None:
    async def scenario() -> None:
        async with slot_cluster(Engine.REDIS, "7.0") as cluster:
            await cluster.start(ALL, (), maxmemory_bytes=2048 * MB)
            with cluster.client(0) as source:
                fill(source, [(f"key:{number}", "small") for number in range(1000)])
                assert source.call("SETRANGE", "{06S}giant", str(257 * MB), "x") == 257 * MB + 1
                with pytest.raises(
                    SlotsRefused, match=r"slot 0 stays at .*'\{06S\}giant' takes \d+\.\d MB, and items"
                ) as refusal:
                    await _move_on(cluster, LOWER)
                assert refusal.value.slots == (0,)
                assert await cluster.moved(0, 1, ((1, 8191),))
                assert source.call("STRLEN", "{06S}giant") == 257 * MB + 1

    asyncio.run(scenario())


@by_keys
def test_a_move_goes_on_with_the_heir_of_a_target_that_died(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, ())
            await cluster.replicate(1)
            with cluster.client(0) as source:
                fill(source, [(f"key:{number}", str(number)) for number in range(60_000)])
            await cluster.slice(0, 1, LOWER)
            with cluster.client(1) as target:
                assert target.call("WAIT", "1", "5000") == 1
            cluster.nodes[1].kill()
            with pytest.raises(EngineRefused):
                await cluster.slice(0, 1, LOWER)
            await cluster.driver.take_over(cluster.replicas[1].address, TakeOverBy.ORDER)
            await cluster.succeed(1)
            await cluster.move(0, 1, LOWER, patient=True)
            assert cluster.held(0) + cluster.held(1) == 60_000
            with cluster.client(0) as source, cluster.client(1) as target:
                for number in range(0, 60_000, 997):
                    owner = target if slot_of(source, f"key:{number}") <= 8191 else source
                    assert owner.call("GET", f"key:{number}") == str(number)

    asyncio.run(scenario())


@by_keys
def test_the_heir_of_a_source_knows_at_once_which_of_its_slots_are_half_open(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, ())
            replica = await cluster.replicate(0)
            with cluster.client(0) as source, cluster.client(1) as target:
                fill(source, [(f"{{06S}}{number}", str(number)) for number in range(60)])
                assert target.call("CLUSTER", "SETSLOT", "0", "IMPORTING", cluster.ids[0]) == "OK"
                assert source.call("CLUSTER", "SETSLOT", "0", "MIGRATING", cluster.ids[1]) == "OK"
                host = cluster.nodes[1].address.host
                assert source.call("MIGRATE", host, str(PORT), "", "0", "1000", "KEYS", "{06S}1", "{06S}2") == "OK"
                assert source.call("WAIT", "1", "5000") == 1
            cluster.nodes[0].kill()
            await cluster.driver.take_over(replica.address, TakeOverBy.ORDER, {0: cluster.ids[1], 3: "f" * 40})
            with Client(replica.address.host, PORT) as heir:
                assert heir.call("GET", "{06S}1").startswith(f"-ASK 0 {host}")
                assert heir.call("GET", "{06S}3") == "3"
            await cluster.driver.take_over(replica.address, TakeOverBy.ORDER, {0: cluster.ids[1]})
            await cluster.succeed(0)
            await cluster.move(0, 1, ((0, 0),), patient=True)
            assert (cluster.held(0), cluster.held(1)) == (0, 60)

    asyncio.run(scenario())


@every_version
def test_half_open_slots_are_settled(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, ())
            source, target = (node.address for node in cluster.nodes)
            with cluster.client(0) as old, cluster.client(1) as new:
                for slot in ("3", "4"):
                    assert new.call("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.ids[0]) == "OK"
                    assert old.call("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.ids[1]) == "OK"
                for _ in range(2):
                    await cluster.driver.settle_slots(source, ((2, 3),), "")
                    await cluster.driver.settle_slots(target, ((2, 3),), "")
                assert [mark.slot for mark in (await cluster.table(cluster.nodes[0])).open_slots] == [4]
                assert [mark.slot for mark in (await cluster.table(cluster.nodes[1])).open_slots] == [4]
                for _ in range(2):
                    await cluster.driver.settle_slots(target, ((4, 4),), cluster.ids[1])
                    await cluster.driver.settle_slots(source, ((4, 4),), cluster.ids[1])
                assert await cluster.moved(0, 1, ((4, 4),))
                with pytest.raises(EngineRefused, match="CLUSTER SETSLOT"):
                    await cluster.driver.settle_slots(source, ((9, 9),), "f" * 40)

    asyncio.run(scenario())


@every_version
def test_functions_are_copied_once_and_unchanged(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(ALL, ())
            source, target = (node.address for node in cluster.nodes)
            with cluster.client(0) as old, cluster.client(1) as new:
                if (engine, version) == (Engine.REDIS, "6.2"):
                    await cluster.driver.copy_functions(source, target)
                    return
                for name in ("first", "second"):
                    code = (
                        f"#!lua name={name}\nlocal odd = '\xe9'\nredis.register_function('{name}_f', function() return odd end)"
                    )
                    assert old.call("FUNCTION", "LOAD", code.encode("latin-1")) == name
                kept = "#!lua name=first\nredis.register_function('first_f', function() return 'kept' end)"
                assert new.call("FUNCTION", "LOAD", kept) == "first"
                for _ in range(2):
                    await cluster.driver.copy_functions(source, target)
                await cluster.move(0, 1, ((0, 0),))
                assert new.call("FCALL", "first_f", "1", "{06S}") == "kept"
                assert {library[1] for library in new.call("FUNCTION", "LIST")} == {"first", "second"}

    asyncio.run(scenario())


@every_version
def test_what_slots_cost_is_told_where_engines_count(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(((0, 100),), ((101, 16383),))
            at = cluster.nodes[0].address
            with cluster.client(0) as client:
                assert client.call("SET", "{06S}", "counted") == "OK"
                loads = await cluster.driver.slot_loads(at)
                if engine is Engine.REDIS:
                    assert loads == {}
                    return
                assert set(loads) == set(range(101))
                assert (loads[0].keys, loads[0].cpu_us, loads[1].keys) == (1, -1, 0)
                await cluster.driver.set_parameters(at, {"cluster-slot-stats-enabled": "yes"})
                for _ in range(100):
                    client.call("GET", "{06S}")
                load = (await cluster.driver.slot_loads(at))[0]
                assert load.keys == 1
                assert min(load.cpu_us, load.in_bytes, load.out_bytes) > 0

    asyncio.run(scenario())


def test_jobs_of_the_engine_are_seen_may_be_asked_for_again_and_are_cancelled() -> None:
    async def scenario() -> None:
        async with slot_cluster(Engine.VALKEY, "9.1") as cluster:
            await cluster.start(ALL, (), ())
            (source, target, _), (first, second, third) = cluster.nodes, cluster.ids
            replica = await cluster.replicate(1)
            driver, at = cluster.driver, source.address
            with cluster.client(0) as client:
                fill(client, [(f"key:{number}", "x" * 100) for number in range(80_000)])
                for stranger in ("f" * 40, (await cluster.table(replica)).my_id):
                    with pytest.raises(EngineRefused, match="does not know it as a primary"):
                        await driver.migrate_slots(at, ((0, 0),), stranger)
                for _ in range(3):
                    await driver.migrate_slots(at, LOWER, second)
                jobs = (await cluster.table(source)).migrations
                assert {job.source_id for job in jobs} == {first}
                assert {job.target_id for job in jobs} == {second}
                assert sorted(pair for job in jobs for pair in job.slots) == [(n, n + 2047) for n in range(0, 8192, 2048)]
                assert all(job.exports for job in jobs)
                for node in (source, target):
                    await cluster.engines.view(node, lambda view: cluster.owns(view, 1) == LOWER, clustered=True)
                    await cluster.engines.view(node, lambda view: all(job.over for job in migrations(view)), clustered=True)
                seen = (await cluster.table(source)).migrations
                assert all(job.succeeded for job in seen)
                assert {job.exports for job in (await cluster.table(target)).migrations} == {False}
                await driver.migrate_slots(at, LOWER, second)
                assert len((await cluster.table(source)).migrations) == len(seen)
                assert cluster.held(0) + cluster.held(1) == 80_000

                await driver.cancel_migrations(at)
                await driver.migrate_slots(at, UPPER, third)
                await driver.cancel_migrations(at)
                await driver.cancel_migrations(at)
                ended = (await cluster.table(source)).migrations
                assert any(job.state == "cancelled" and not job.succeeded for job in ended)
                assert all(job.over for job in ended)

    asyncio.run(scenario())


def migrations(view: NodeView) -> tuple[SlotMigrationView, ...]:
    return view.cluster.migrations if view.cluster is not None else ()


@by_keys
def test_no_acknowledged_write_is_lost_while_slots_move(engine: Engine, version: str) -> None:
    """Every counter goes up by one each time, whichever node it is at, and no client sees an error."""

    async def scenario() -> None:
        async with slot_cluster(engine, version) as cluster:
            await cluster.start(LOWER, UPPER, ())
            for number in range(2):
                with cluster.client(number) as client:
                    keys = [key for key in map("{}".format, range(40_000)) if (slot_of(client, key) > 8191) == bool(number)]
                    fill(client, [(key, "x" * 100) for key in keys])
            await cluster.move(0, 2, ((0, 0),))  # redis-py stumbles at ASK to a node that it has never met: docs/limits.md
            with SlotWriter(cluster.nodes[0].address, 2000) as writer:
                await until(lambda: len(writer.acknowledged) == 2000)
                await asyncio.gather(cluster.move(0, 2, ((1, 2730),)), cluster.move(1, 2, ((8192, 10922),)))
                await cluster.move(2, 0, ((0, 1000),))
                done = sum(writer.acknowledged.values())
                await until(lambda: sum(writer.acknowledged.values()) > done + 500)
            assert writer.wrong == []
            assert sum(map(cluster.held, range(3))) == 42_000
            for number in range(3):
                with cluster.client(number) as client:
                    for key, value in writer.acknowledged.items():
                        answer = client.call("GET", key)
                        assert answer == str(value) or answer.startswith("-MOVED")

    asyncio.run(scenario())
