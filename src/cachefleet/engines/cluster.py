"""The verbs of cluster mode enabled: slots, introductions, replicas, take-over.

Each looks at the node's own table first and does what is missing, so that it may be repeated. An address is never trusted:
whoever is to be met is asked for its id before (operations 1.6). Called by ValkeyDriver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections, accepted
from cachefleet.engines.replies import parse_cluster, parse_config, parse_fields
from cachefleet.model.group import SlotRanges
from cachefleet.model.observed import Address, ClusterNodeView, ClusterView
from cachefleet.model.plan import TakeOverBy
from cachefleet.model.slots import common, union, without

_TAKE_OVER_WORDS = {TakeOverBy.AGREEMENT: (), TakeOverBy.VOTE: ("FORCE",), TakeOverBy.ORDER: ("TAKEOVER",)}

# A node feeds replicas from when it has a role (see valkey_config: before that they would copy its emptiness).
FEED_AT_ONCE: Command = ("CONFIG", "SET", "repl-diskless-sync-delay", "0")


class ClusterVerbs:
    """A node is named by its own address; another node by its engine id."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def own_slots(self, at: Address, slots: SlotRanges, epoch: int) -> None:
        """Claim those of the slots that the node does not have yet; the caller knows that nobody alive owns them, whatever the
        node's own table says. A fresh node that has met nobody gets its epoch first: with epoch 0 it would lose its slots to
        any older claim (operations 8, story 8). One that others have met already (they still called at the address of who
        was there before) takes the next epoch that it knows of. With no slots at all it takes its role in the same way."""
        view, me = await self._table(at)
        commands: list[Command] = []
        missing = without(slots, me.slots)
        if me.epoch == 0 and len(view.nodes) == 1 and epoch > 0:
            commands.append(("CLUSTER", "SET-CONFIG-EPOCH", str(epoch)))
        elif me.epoch < epoch and (missing or not me.epoch):
            commands.append(("CLUSTER", "BUMPEPOCH"))
        noted = union(*(node.slots for node in view.nodes.values()))
        free, stale = without(missing, noted), common(missing, noted)
        if free:
            identity = await self._connections.identity(at)
            commands.append(_add_slots(free, "addslotsrange" in identity.capabilities))
        for first, last in stale:
            commands += [("CLUSTER", "SETSLOT", str(slot), "NODE", me.engine_id) for slot in range(first, last + 1)]
        if commands:
            await self._connections.call(at, *commands, FEED_AT_ONCE)

    async def meet(self, at: Address, others: Mapping[Address, str]) -> None:
        """Introduce those that the node does not know yet. Raises EngineRefused, before anybody is met, when one of them is
        not who it is expected to be."""
        view, _ = await self._table(at)
        strangers = {
            address: engine_id
            for address, engine_id in others.items()
            if not _knows(view, address, engine_id) and address != at
        }
        verified = await asyncio.gather(*(self._verify(address, engine_id) for address, engine_id in strangers.items()))
        if verified:
            await self._connections.call(at, *verified)

    async def replicate(self, at: Address, primary_id: str) -> None:
        _, me = await self._table(at)
        if me.primary_id != primary_id:
            await self._connections.call(at, ("CLUSTER", "REPLICATE", primary_id), FEED_AT_ONCE)

    async def forget(self, at: Address, engine_ids: Sequence[str]) -> None:
        view, me = await self._table(at)
        known = [engine_id for engine_id in engine_ids if engine_id in view.nodes and engine_id != me.engine_id]
        if known:
            await self._connections.call(at, *(("CLUSTER", "FORGET", engine_id) for engine_id in known))

    async def announce(self, at: Address) -> None:
        """Takes effect within the node's next tenth of a second; the others hear of it with its next ping."""
        await self._connections.call(at, ("CONFIG", "SET", "cluster-announce-ip", at.host))

    async def take_over(self, at: Address, by: TakeOverBy, migrating: Mapping[int, str]) -> None:
        """Answers when the engine has begun (a vote follows FORCE, about 10 ms; an agreement takes some 100 ms) or has done it
        (TAKEOVER).

        Half-open slots are marked in the write that takes over: the engine carries out what it read before it looks at other
        clients. Targets that it does not know (any more) are left out: who moves the slots on will name another."""
        view, me = await self._table(at)
        marked = {opened.slot: opened.other_id for opened in view.open_slots if not opened.importing}
        marks: list[Command] = [
            ("CLUSTER", "SETSLOT", str(slot), "MIGRATING", target_id)
            for slot, target_id in migrating.items()
            if target_id in view.nodes and marked.get(slot) != target_id
        ]
        if me.primary:
            owned = {slot for first, last in me.slots for slot in range(first, last + 1)}
            marks = [mark for mark in marks if int(mark[2]) in owned]
            if marks:
                await self._connections.call(at, *marks)
        elif by is TakeOverBy.ORDER:
            commands: tuple[Command, ...] = (("CLUSTER", "FAILOVER", "TAKEOVER"), *marks)
            replies = await self._connections.ask(at, *commands)
            accepted(at, commands[:1], replies[:1])
        else:
            await self._connections.call(at, ("CLUSTER", "FAILOVER", *_TAKE_OVER_WORDS[by]))

    async def _table(self, at: Address) -> tuple[ClusterView, ClusterNodeView]:
        info, nodes = await self._connections.call(at, ("CLUSTER", "INFO"), ("CLUSTER", "NODES"))
        view = parse_cluster(nodes, parse_fields(info))
        if view.my_id not in view.nodes:
            raise EngineRefused(f"CLUSTER NODES of {at} does not list the node itself")
        return view, view.nodes[view.my_id]

    async def _verify(self, address: Address, engine_id: str) -> Command:
        """The command that introduces it, with the port of its cluster bus where that is not the usual one."""
        answer, config = await self._connections.call(address, ("CLUSTER", "MYID"), ("CONFIG", "GET", "cluster-port"))
        if answer != engine_id:
            raise EngineRefused(f"CLUSTER MEET of {address} was not sent: it answers as {answer}, not as {engine_id}")
        bus = parse_config(config).get("cluster-port", "")
        return "CLUSTER", "MEET", address.host, str(address.link_port), *((bus,) if bus.strip("0") else ())


def _knows(view: ClusterView, address: Address, engine_id: str) -> bool:
    known = view.nodes.get(engine_id)
    return known is not None and known.host == address.host and not known.handshake


def _add_slots(slots: SlotRanges, ranges: bool) -> Command:
    if ranges:
        return "CLUSTER", "ADDSLOTSRANGE", *(str(end) for pair in slots for end in pair)
    return "CLUSTER", "ADDSLOTS", *(str(slot) for first, last in slots for slot in range(first, last + 1))
