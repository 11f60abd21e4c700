"""The hand-over of the primary role between a node without cluster mode and one with it. Called by ValkeyDriver.

The steps and their order are those of engines.switchover; what becoming primary and ceasing to be one mean differs:

    into the cluster   new: takes all slots over from the stand-in that it followed (engines.stand_ins) and forgets it
                       old: becomes an ordinary replica of new, which speaks the same replication protocol
    out of it          new: REPLICAOF NO ONE
                       old: a cluster node cannot follow it, so it gives all slots up, and refuses every write from then on

Keys outside database 0 do not exist in a cluster: what a client wrote there would have gone to database 0 of new.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.cluster import FEED_AT_ONCE, ClusterVerbs
from cachefleet.engines.connection import Command
from cachefleet.engines.connections import Connections
from cachefleet.engines.listening import bound_at, change, kill_through, listen
from cachefleet.engines.replication import SETTLED, ReplicationVerbs
from cachefleet.engines.replies import has_other_databases, parse_cluster, parse_fields
from cachefleet.engines.switchover import Switchover
from cachefleet.model.group import SLOTS
from cachefleet.model.observed import Address, ClusterNodeView

_TAKE_OVER: Command = ("CLUSTER", "FAILOVER", "TAKEOVER")
_GIVE_UP: Command = ("CLUSTER", "DELSLOTSRANGE", "0", str(SLOTS - 1))


class ModeVerbs:
    """What becomes of a cluster node that followed a stand-in."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._cluster = ClusterVerbs(connections)

    async def promote(self, at: Address, node_timeout_ms: int, bind: Sequence[str]) -> None:
        """TAKEOVER asks nobody: only for one whose primary is proven dead, or as the last step of a hand-over."""
        me = await _myself(self._connections, at)
        commands = SETTLED if me.primary else promotion(me.primary_id, node_timeout_ms)
        await change(self._connections, at, await bound_at(self._connections, at), bind, first=commands)

    async def settle(self, at: Address, node_timeout_ms: int, engine_ids: Sequence[str]) -> None:
        await self._connections.call(at, _watch(node_timeout_ms))
        await self._cluster.forget(at, engine_ids)


class IntoCluster(Switchover):
    """One hand-over from `at`, without cluster mode, to `to`, which follows its stand-in."""

    def __init__(
        self, connections: Connections, at: Address, to: Address, to_bind: Sequence[str], node_timeout_ms: int
    ) -> None:
        super().__init__(connections, at, to, to_bind, (), ())
        self._node_timeout_ms = node_timeout_ms
        self._stand_in = ""

    async def _begin(self) -> bool:
        begins = await super()._begin()
        if begins:
            me = await _myself(self._connections, self._to)
            self._stand_in = me.primary_id
        return begins

    async def _check_data(self) -> None:
        (keyspace,) = await self._connections.call(self._at, ("INFO", "keyspace"))
        if has_other_databases(keyspace):
            raise EngineRefused(f"hand-over to {self._to}: {self._at} has keys outside database 0, which a cluster has not")
        (stats,) = await self._connections.call(self._to, ("INFO", "stats"))
        if parse_fields(stats).get("unexpected_error_replies", "0") != "0":
            raise EngineRefused(f"hand-over to {self._to}: it refused commands of {self._at}, so its data are not the same")

    def _promotion(self) -> tuple[Command, ...]:
        return promotion(self._stand_in, self._node_timeout_ms)

    async def _finish(self) -> None:
        verbs = ReplicationVerbs(self._connections)
        await verbs.follow(self._at, self._to, ())
        await listen(self._connections, self._to, self._to_bind)


class OutOfCluster(Switchover):
    """One hand-over from `at`, a cluster's only primary, to its ordinary replica `to`."""

    def __init__(
        self, connections: Connections, at: Address, to: Address, to_bind: Sequence[str], others: Sequence[Address]
    ) -> None:
        super().__init__(connections, at, to, to_bind, (), others)
        self._slots_owned = True

    async def _begin(self) -> bool:
        """One that an earlier run had give its slots up is a primary all the same."""
        begins = await super()._begin()
        me = await _myself(self._connections, self._at)
        self._slots_owned = bool(me.slots)
        return begins

    def _retirement(self) -> tuple[Command, ...]:
        """In this order: whoever waited for the end of the pause is refused."""
        slots = (_GIVE_UP,) if self._slots_owned else ()
        return *slots, *kill_through(self._at, self._at_bound), ("CLIENT", "UNPAUSE")


def promotion(stand_in: str, node_timeout_ms: int) -> tuple[Command, ...]:
    """The cluster is ok for the node before and after, so it serves at once."""
    return _TAKE_OVER, _watch(node_timeout_ms), ("CLUSTER", "FORGET", stand_in), FEED_AT_ONCE, *SETTLED


async def _myself(connections: Connections, at: Address) -> ClusterNodeView:
    """The node in its own table. Raises EngineRefused."""
    (nodes,) = await connections.call(at, ("CLUSTER", "NODES"))
    view = parse_cluster(nodes, {})
    if view.my_id not in view.nodes:
        raise EngineRefused(f"CLUSTER NODES of {at} does not list the node itself")
    return view.nodes[view.my_id]


def _watch(node_timeout_ms: int) -> Command:
    return "CONFIG", "SET", "cluster-node-timeout", str(node_timeout_ms)
