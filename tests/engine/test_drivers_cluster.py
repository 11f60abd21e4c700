"""Verbs of cluster mode enabled against every installed version of Valkey and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.model.group import Engine
from cachefleet.model.observed import ClusterView, NodeView
from cachefleet.model.plan import TakeOverBy
from tests.engine.engine_processes import Client, EngineProcesses, Node, endpoints, every_version, refused, resp_processes

PORT = 6379
THIRDS = (((0, 5461),), ((5462, 10922),), ((10923, 16383),))


async def table(engines: EngineProcesses, node: Node) -> ClusterView:
    seen = (await engines.view(node, clustered=True)).cluster
    assert seen is not None
    return seen


async def join(driver: ValkeyDriver, engines: EngineProcesses, nodes: list[Node]) -> list[str]:
    """Everybody knows everybody; their ids."""
    ids = [(await table(engines, node)).my_id for node in nodes]
    await driver.meet(nodes[0].address, {node.address: engine_id for node, engine_id in zip(nodes, ids, strict=True)})
    for node in nodes:
        await engines.view(node, lambda view: _known(view) == set(ids), clustered=True)
    return ids


def _known(view: NodeView) -> set[str]:
    return {name for name, node in view.cluster.nodes.items() if not node.handshake} if view.cluster else set()


async def all_ok(engines: EngineProcesses, nodes: list[Node]) -> None:
    for node in nodes:
        await engines.view(node, lambda view: view.cluster is not None and view.cluster.ok, clustered=True)


@every_version
def test_a_cluster_from_nothing_to_a_forgotten_node(engine: Engine, version: str) -> None:
    """Three shards, one with a replica, which takes over by vote; the dead primary is forgotten by all."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            nodes = [engines.start(clustered=True, parameters={"cluster-require-full-coverage": "no"}) for _ in range(4)]
            for node in nodes:
                view = await engines.view(node, clustered=True)
                assert view.primary and view.cluster is not None and not view.cluster.ok
                assert view.incarnation == node.incarnation
            for number, (node, slots) in enumerate(zip(nodes[:3], THIRDS, strict=True), 1):
                await driver.own_slots(node.address, slots, number)
                await driver.own_slots(node.address, slots, number)
                me = (await table(engines, node)).nodes[(await table(engines, node)).my_id]
                assert (me.slots, me.epoch) == (slots, number)
            ids = await join(driver, engines, nodes)
            replica = nodes[3]
            await driver.replicate(replica.address, ids[0])
            await driver.replicate(replica.address, ids[0])
            await engines.view(replica, lambda view: view.link_up and view.follows == nodes[0].address.host, clustered=True)
            await all_ok(engines, nodes)
            assert (await table(engines, nodes[1])).nodes[ids[3]].primary_id == ids[0]
            with Client(nodes[0].address.host, PORT) as client:
                assert client.call("SET", "{06S}", "kept") == "OK"
                assert client.call("WAIT", "1", "5000") == 1

            nodes[0].kill()
            await driver.take_over(replica.address, by=TakeOverBy.VOTE)
            await engines.view(replica, lambda view: view.primary, clustered=True)
            await driver.take_over(replica.address, by=TakeOverBy.VOTE)
            mine = await table(engines, replica)
            assert mine.nodes[ids[3]].slots == THIRDS[0]
            with Client(replica.address.host, PORT) as client:
                assert client.call("GET", "{06S}") == "kept"

            for node in nodes[1:]:
                await driver.forget(node.address, [ids[0], "f" * 40])
                await driver.forget(node.address, [ids[0]])
            for node in nodes[1:]:
                assert ids[0] not in (await table(engines, node)).nodes
            await driver.own_slots(replica.address, THIRDS[0], 9)

    asyncio.run(scenario())


@every_version
def test_one_shard_is_taken_over_without_a_vote(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            primary, replica = engines.start(clustered=True), engines.start(clustered=True)
            for node in (primary, replica):
                await engines.view(node)
            await driver.own_slots(primary.address, ((0, 9), (11, 16383)), 1)
            await driver.own_slots(primary.address, ((0, 16383),), 1)
            ids = await join(driver, engines, [primary, replica])
            await driver.replicate(replica.address, ids[0])
            await engines.view(replica, lambda view: view.link_up, clustered=True)
            await all_ok(engines, [primary, replica])
            assert (await table(engines, replica)).nodes[ids[0]].slots == ((0, 16383),)
            primary.kill()
            await driver.take_over(replica.address, by=TakeOverBy.ORDER)
            await engines.view(
                replica, lambda view: view.primary and view.cluster is not None and view.cluster.ok, clustered=True
            )
            with Client(replica.address.host, PORT) as client:
                assert client.call("SET", "a", "1") == "OK"

    asyncio.run(scenario())


@every_version
def test_nobody_is_met_who_is_not_who_was_expected(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            first, second, third = (engines.start(clustered=True) for _ in range(3))
            ids = [(await table(engines, node)).my_id for node in (first, second, third)]
            with pytest.raises(EngineRefused, match=f"{second.address}.*answers as {ids[1]}, not as {ids[2]}"):
                await driver.meet(first.address, {third.address: ids[2], second.address: ids[2]})
            for node in (first, second, third):
                assert len((await table(engines, node)).nodes) == 1
            third.kill()
            with pytest.raises(EngineRefused, match="did not reach"):
                await driver.meet(first.address, {third.address: ids[2]})

    asyncio.run(scenario())


@every_version
def test_slots_are_claimed_from_whom_the_table_names_by_who_is_told_to(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            first, second = engines.start(clustered=True), engines.start(clustered=True)
            for node in (first, second):
                await engines.view(node)
            await driver.own_slots(first.address, ((0, 100),), 1)
            await driver.own_slots(second.address, ((200, 300),), 2)
            ids = await join(driver, engines, [first, second])
            await engines.view(
                second,
                lambda view: view.cluster is not None and view.cluster.nodes[ids[0]].slots == ((0, 100),),
                clustered=True,
            )
            await driver.own_slots(second.address, ((50, 60),), 3)
            await engines.view(
                first,
                lambda view: view.cluster is not None and view.cluster.nodes[ids[1]].slots == ((50, 60), (200, 300)),
                clustered=True,
            )
            with pytest.raises(EngineRefused, match="CLUSTER REPLICATE"):
                await driver.replicate(second.address, "f" * 40)

    asyncio.run(scenario())


@every_version
def test_the_configuration_endpoint_is_an_address_of_a_node(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            (endpoint,) = endpoints(1)
            node = engines.start(clustered=True)
            await engines.view(node)
            await driver.bind(node.address, [endpoint])
            await driver.own_slots(node.address, ((0, 16383),), 1)
            view = await engines.view(node, lambda view: view.cluster is not None and view.cluster.ok, clustered=True)
            assert set(view.bound) == {node.address.host, endpoint}
            assert view.cluster is not None and view.cluster.nodes[view.cluster.my_id].host == node.address.host
            with Client(endpoint, PORT) as client:
                (slots,) = client.call("CLUSTER", "SLOTS")
                assert slots[2][0] == node.address.host
            await driver.bind(node.address, [])
            assert refused(endpoint, PORT)

    asyncio.run(scenario())


@every_version
def test_a_node_that_announces_a_wrong_address_is_told_its_own(engine: Engine, version: str) -> None:
    """As after a hand's CONFIG SET, or a configuration of another machine: the others and clients learn the right one."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            node, other = engines.start(clustered=True), engines.start(clustered=True)
            ids = await join(driver, engines, [node, other])

            def shown(address: str) -> Callable[[NodeView], bool]:
                return lambda view: view.cluster is not None and view.cluster.nodes[ids[0]].host == address

            await driver.announce(node.address)  # nothing to mend
            await engines.view(node, shown(node.address.host), clustered=True)
            (wrong,) = endpoints(1)
            with Client(node.address.host, PORT) as client:
                assert client.call("CONFIG", "SET", "cluster-announce-ip", wrong) == "OK"
            await engines.view(node, shown(wrong), clustered=True)
            await engines.view(other, shown(wrong), clustered=True)
            for _ in range(2):
                await driver.announce(node.address)
                await engines.view(node, shown(node.address.host), clustered=True)
            await engines.view(other, shown(node.address.host), clustered=True)
            with Client(other.address.host, PORT) as client:
                assert node.address.host in client.call("CLUSTER", "NODES")

    asyncio.run(scenario())


@every_version
def test_a_node_that_was_met_before_it_owned_anything_is_believed_all_the_same(engine: Engine, version: str) -> None:
    """Others know a dead owner of the same slots, with an epoch above none."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            old, witness, new = (engines.start(clustered=True) for _ in range(3))
            for node in (old, witness, new):
                await engines.view(node)
            await driver.own_slots(old.address, ((0, 100),), 3)
            await driver.own_slots(witness.address, ((101, 16383),), 4)
            ids = await join(driver, engines, [old, witness, new])
            old.kill()
            await driver.forget(new.address, [ids[0]])
            await driver.own_slots(new.address, ((0, 100),), 5)
            await engines.view(
                witness,
                lambda view: view.cluster is not None and view.cluster.nodes[ids[2]].slots == ((0, 100),),
                clustered=True,
            )

    asyncio.run(scenario())


@every_version
def test_a_fresh_node_at_its_primary_s_address_empties_no_replica(engine: Engine, version: str) -> None:
    """The replica goes on calling there until it hears of its new primary."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            primary, replica = engines.start(clustered=True), engines.start(clustered=True)
            for node in (primary, replica):
                await engines.view(node)
            await driver.own_slots(primary.address, ((0, 16383),), 1)
            ids = await join(driver, engines, [primary, replica])
            await driver.replicate(replica.address, ids[0])
            await all_ok(engines, [primary, replica])
            with Client(primary.address.host, PORT) as client:
                client.call("SET", "kept", "yes")
                assert client.call("WAIT", "1", "3000") == 1
            primary.kill()
            fresh = engines.start(primary.address, clustered=True)
            await engines.view(fresh)
            await engines.view(replica, lambda view: view.follows == primary.address.host and not view.link_up)
            await asked_to_sync(fresh)
            with Client(replica.address.host, PORT) as client:
                assert client.call("DBSIZE") == 1

    asyncio.run(scenario())


async def asked_to_sync(node: Node) -> None:
    """Until some replica has called, and waits."""
    async with asyncio.timeout(10):
        while True:
            with Client(node.address.host, PORT) as client:
                if "slave0:" in str(client.call("INFO", "replication")):
                    return
            await asyncio.sleep(0.05)
