"""Small clusters of real processes whose slots move, and what their nodes hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import ClusterView, NodeView
from tests.engine.engine_processes import Client, EngineProcesses, Node

PORT = 6379
ALL: SlotRanges = ((0, 16383),)
MB = 1_048_576


class SlotCluster:
    """nodes[i] owns slots[i]; each may have one replica."""

    def __init__(self, driver: ValkeyDriver, engines: EngineProcesses) -> None:
        self.driver, self.engines = driver, engines
        self.nodes: list[Node] = []
        self.ids: list[str] = []
        self.replicas: dict[int, Node] = {}

    async def start(self, *slots: SlotRanges, **spec: Any) -> None:
        filled = {"maxmemory_bytes": 512 * MB, "clustered": True, **spec}
        self.nodes = [self.engines.start(**filled) for _ in slots]
        for epoch, (node, mine) in enumerate(zip(self.nodes, slots, strict=True), 1):
            await self.engines.view(node, clustered=True)
            await self.driver.own_slots(node.address, mine, epoch)
        self.ids = [(await self.table(node)).my_id for node in self.nodes]
        await self.join(self.nodes, self.ids)
        for node in self.nodes:
            await self.engines.view(
                node, lambda view: [self.owns(view, number) for number in range(len(slots))] == [*slots], clustered=True
            )
        for node in self.nodes:
            await self.engines.view(node, lambda view: view.cluster is not None and view.cluster.ok, clustered=True)

    async def join(self, nodes: Sequence[Node], ids: Sequence[str]) -> None:
        expected = {node.address: engine_id for node, engine_id in zip(nodes, ids, strict=True)}
        await self.driver.meet(nodes[0].address, expected)
        for node in nodes:
            await self.engines.view(node, lambda view: self.knows(view, ids), clustered=True)

    async def replicate(self, number: int, **spec: Any) -> Node:
        replica = self.engines.start(maxmemory_bytes=512 * MB, clustered=True, **spec)
        self.replicas[number] = replica
        mine = (await self.table(replica)).my_id
        await self.join([*self.nodes, replica], [*self.ids, mine])
        await self.driver.replicate(replica.address, self.ids[number])
        await self.engines.view(
            replica, lambda view: view.link_up and view.cluster is not None and view.cluster.ok, clustered=True
        )
        for node in self.nodes:
            await self.engines.view(
                node,
                lambda view: view.cluster is not None and view.cluster.nodes[mine].primary_id == self.ids[number],
                clustered=True,
            )
        return replica

    async def succeed(self, number: int) -> None:
        """The replica is the primary from now on: it is to be seen by all."""
        self.nodes[number] = self.replicas.pop(number)
        old, self.ids[number] = self.ids[number], (await self.table(self.nodes[number])).my_id
        for node in self.nodes:
            await self.engines.view(node, lambda view: self.leads(view, number), clustered=True)
            await self.driver.forget(node.address, [old])

    @staticmethod
    def knows(view: NodeView, ids: Sequence[str]) -> bool:
        known = {} if view.cluster is None else view.cluster.nodes
        return all(engine_id in known and not known[engine_id].handshake for engine_id in ids)

    def leads(self, view: NodeView, number: int) -> bool:
        return view.cluster is not None and view.cluster.nodes[self.ids[number]].primary

    def owns(self, view: NodeView, number: int) -> SlotRanges:
        assert view.cluster is not None
        return view.cluster.nodes[self.ids[number]].slots

    async def table(self, node: Node) -> ClusterView:
        seen = (await self.engines.view(node, clustered=True)).cluster
        assert seen is not None
        return seen

    async def slice(self, source: int, target: int, slots: SlotRanges) -> None:
        others = [node.address for number, node in enumerate(self.nodes) if number not in (source, target)]
        await self.driver.move_keys(self.nodes[source].address, self.nodes[target].address, slots, others)

    async def move(self, source: int, target: int, slots: SlotRanges, *, patient: bool = False, limit_s: float = 60) -> int:
        """Slice by slice until the target owns them by its own word and the source's; how many slices it took. patient: after
        a failover, while nodes learn who is who."""
        slices = 0
        async with asyncio.timeout(limit_s):
            while not await self.moved(source, target, slots):
                slices += 1
                try:
                    await self.slice(source, target, slots)
                except EngineRefused:
                    if not patient:
                        raise
                    await asyncio.sleep(0.05)
        return slices

    async def moved(self, source: int, target: int, slots: SlotRanges) -> bool:
        for number in (source, target):
            view = await self.table(self.nodes[number])
            have = view.nodes[self.ids[target]].slots
            wanted = {slot for first, last in slots for slot in range(first, last + 1)}
            if view.open_slots or wanted - {slot for first, last in have for slot in range(first, last + 1)}:
                return False
        return True

    def client(self, number: int) -> Client:
        return Client(self.nodes[number].address.host, PORT)

    def held(self, number: int) -> int:
        with self.client(number) as client:
            size: int = client.call("DBSIZE")
            return size


def fill(client: Client, pairs: Sequence[tuple[str, str]]) -> None:
    for start in range(0, len(pairs), 500):
        part = pairs[start : start + 500]
        for key, value in part:
            client.send("SET", key, value)
        for _ in part:
            assert client.reply() == "OK"
