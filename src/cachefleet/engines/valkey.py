"""The driver of Valkey and Redis: renders nodes, looks at them and carries out the verbs of both modes.

One batch per probe over a connection that stays open; who answers was learned when it was opened. Decides nothing, retries
nothing, sets no deadline. Called by the control loop through engine_interfaces.ReplicationDriver and ClusterDriver.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from cachefleet.access_interfaces import Passwords
from cachefleet.engine_interfaces import Build, EngineRefused, NodeSpec, Rendering
from cachefleet.engines import access, replies, slot_replies, valkey_config, valkey_parameters
from cachefleet.engines.access_verbs import IAM_STATE, AccessVerbs
from cachefleet.engines.cluster import ClusterVerbs
from cachefleet.engines.connection import Command, Connection, ErrorReply
from cachefleet.engines.connections import Connections, reason
from cachefleet.engines.conversation import ConnectionEnded
from cachefleet.engines.listening import cut_strays, listen
from cachefleet.engines.measurements import iam_readings, readings
from cachefleet.engines.mode_change import IntoCluster, ModeVerbs, OutOfCluster
from cachefleet.engines.replication import ReplicationVerbs
from cachefleet.engines.slot_migration import SlotMigrationVerbs
from cachefleet.engines.slow_log import keep_slow_entries, slow_entries
from cachefleet.engines.switchover import Switchover
from cachefleet.engines.transit_verbs import GET_LINKS, TransitVerbs, encrypted_links
from cachefleet.engines.trust import Trust, certificate_view
from cachefleet.interfaces import Permit, always
from cachefleet.model.access import EngineUser
from cachefleet.model.group import SlotRanges
from cachefleet.model.iam_rules import IamRules
from cachefleet.model.log import SlowEntry
from cachefleet.model.observed import Address, NodeView, ParameterView, SlotLoad
from cachefleet.model.pace import FAST, Pace
from cachefleet.model.plan import TakeOverBy
from cachefleet.model.transit import NodeCertificate

_REPLICATION: tuple[Command, ...] = (
    ("INFO", "replication"),
    ("INFO", "persistence"),
    ("INFO", "stats"),
    ("INFO", "memory"),
    ("INFO", "keyspace"),
    ("CONFIG", "GET", "bind"),
)
_USERS: Command = ("ACL", "USERS")
_CLUSTER: tuple[Command, ...] = (("CLUSTER", "INFO"), ("CLUSTER", "NODES"))
_MIGRATIONS: Command = ("CLUSTER", "GETSLOTMIGRATIONS")  # may be refused by one that loads: that says nothing then
_SURE = len(_REPLICATION) + len(_CLUSTER)
_BUSY = ("BUSY", "MASTERDOWN")  # of one whose script or function runs too long; of one that serves no stale data


class ValkeyDriver:
    """engine_interfaces.ReplicationDriver and engine_interfaces.ClusterDriver for Valkey 7.2-9.1 and Redis 6.2-7.x."""

    def __init__(
        self,
        cluster_node_timeout_ms: int,
        permit: Permit = always,
        passwords: Passwords | None = None,
        trust: Trust | None = None,
    ) -> None:
        """permit: asked before each command of a verb. passwords: None where engines let anybody do everything. trust: None
        where none speaks TLS."""
        self._cluster_node_timeout_ms = cluster_node_timeout_ms
        self._passwords = passwords
        self._connections = Connections(permit, passwords=passwords, trust=trust)
        self._access = AccessVerbs(self._connections)
        self._transit = TransitVerbs(self._connections)
        self._mode = ModeVerbs(self._connections)
        self._replication = ReplicationVerbs(self._connections)
        self._cluster = ClusterVerbs(self._connections)
        self._migration = SlotMigrationVerbs(self._connections, permit)

    def render(self, spec: NodeSpec, build: Build, folder: str) -> Rendering:
        return valkey_config.render(spec, build, folder, self._cluster_node_timeout_ms, self._passwords)

    async def probe(self, at: Address, clustered: bool) -> NodeView:
        """The first look over a connection also ends what an earlier control plane, which died between two steps of a
        hand-over, may have left: client connections through addresses that the node has given up."""
        try:
            connection = await self._connections.open(at)
            asked = (*_REPLICATION, *(_cluster_questions(connection) if clustered else ()))
            users = () if self._passwords is None else (_USERS,)
            more = (*users, *_tokens_question(connection), *_links_question(at, clustered))
            answers = await connection.batch(*more, *asked)
        except (OSError, ConnectionEnded) as error:
            return NodeView(reachable=False, why=reason(error))
        told, answers = dict(zip(more, answers, strict=False)), answers[len(more) :]
        view = msgspec.structs.replace(
            _view(connection, answers),
            access=_access(told.get(_USERS)),
            iam_rules=_iam_rules(told.get(IAM_STATE)),
            encrypted_links=encrypted_links(told.get(GET_LINKS)),
            certificate=certificate_view(connection.peer_certificate()),
        )
        if not view.why:
            if connection.last_view is None:
                with contextlib.suppress(EngineRefused):
                    await cut_strays(self._connections, at)
            connection.last_view = view
        return view

    async def measure(self, at: Address) -> Mapping[str, float]:
        identity = await self._connections.identity(at)
        asked: tuple[Command, ...] = (("INFO", "everything"), *((IAM_STATE,) if identity.checks_tokens else ()))
        told, *state = await self._connections.call(at, *asked)
        return readings(str(told)) | iam_readings(*state)

    async def slow_entries(self, at: Address, after: int) -> list[SlowEntry]:
        return await slow_entries(self._connections, at, after)

    async def keep_slow_entries(self, at: Address, many: int) -> None:
        await keep_slow_entries(self._connections, at, many)

    def pulse(self, at: Address) -> bool | None:
        return self._connections.pulse(at)

    async def close(self) -> None:
        await self._connections.close()
        await self._migration.close()

    # --- both modes ---

    async def parameters(self, at: Address, spec: NodeSpec, build: Build) -> ParameterView:
        wanted = valkey_parameters.wanted(spec, build.capabilities)
        try:
            connection = await self._connections.open(at)
            known = connection.identity
            many = known is not None and "config-many" in known.capabilities
            asked = [("CONFIG", "GET", *wanted)] if many else [("CONFIG", "GET", name) for name in wanted]
            answers = await connection.batch(*asked)
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"CONFIG GET did not reach {at}: {reason(error)}") from error
        refused = next((answer for answer in answers if isinstance(answer, ErrorReply)), None)
        if refused is not None:
            raise EngineRefused(f"CONFIG GET was refused by {at}: {refused}")
        told = {name: value for answer in answers for name, value in replies.parse_config(answer).items()}
        return valkey_parameters.compared(wanted, told)

    async def resize(self, at: Address, spec: NodeSpec) -> None:
        await self._replication.set_parameters(at, valkey_config.memory_parameters(spec))

    async def bind(self, at: Address, addresses: Sequence[str]) -> None:
        await listen(self._connections, at, addresses)

    async def raise_replica_buffers(self, at: Address, size_bytes: int) -> None:
        await self._replication.raise_replica_buffers(at, size_bytes)

    async def admit(self, at: Address, users: Sequence[EngineUser], cut: Sequence[str] = ()) -> None:
        await self._access.admit(at, users, cut)

    async def tell_iam_rules(self, at: Address, rules: IamRules) -> None:
        await self._access.tell_iam_rules(at, rules)

    async def encrypt_links(self, at: Address) -> None:
        await self._transit.encrypt_links(at)

    def certificate_files(self, certificate: NodeCertificate) -> Mapping[str, bytes]:
        return valkey_config.certificate_files(certificate)

    async def certify(self, at: Address, folder: str) -> None:
        await self._transit.certify(at, folder)

    async def set_parameters(self, at: Address, values: Mapping[str, str]) -> None:
        await self._replication.set_parameters(at, values)

    # --- cluster mode disabled ---

    async def promote(self, at: Address, bind: Sequence[str]) -> None:
        await self._replication.promote(at, bind)

    async def follow(self, at: Address, primary: Address, bind: Sequence[str]) -> None:
        await self._replication.follow(at, primary, bind)

    async def switch(
        self, at: Address, to: Address, *, to_bind: Sequence[str], from_bind: Sequence[str], others: Sequence[Address]
    ) -> None:
        await Switchover(self._connections, at, to, to_bind, from_bind, others).run()

    # --- from one mode to the other ---

    async def change_mode(
        self, at: Address, to: Address, spec: NodeSpec, *, into_cluster: bool, to_bind: Sequence[str], others: Sequence[Address]
    ) -> None:
        if into_cluster:
            await IntoCluster(self._connections, at, to, to_bind, self._node_timeout_ms(spec)).run()
        else:
            await OutOfCluster(self._connections, at, to, to_bind, others).run()

    async def promote_in_cluster(self, at: Address, spec: NodeSpec, bind: Sequence[str]) -> None:
        await self._mode.promote(at, self._node_timeout_ms(spec), bind)

    async def settle_in_cluster(self, at: Address, spec: NodeSpec, engine_ids: Sequence[str]) -> None:
        await self._mode.settle(at, self._node_timeout_ms(spec), engine_ids)

    def _node_timeout_ms(self, spec: NodeSpec) -> int:
        return valkey_config.cluster_node_timeout_ms(spec, self._cluster_node_timeout_ms)

    # --- cluster mode enabled ---

    async def own_slots(self, at: Address, slots: SlotRanges, epoch: int) -> None:
        await self._cluster.own_slots(at, slots, epoch)

    async def meet(self, at: Address, others: Mapping[Address, str]) -> None:
        await self._cluster.meet(at, others)

    async def replicate(self, at: Address, primary_id: str) -> None:
        await self._cluster.replicate(at, primary_id)

    async def forget(self, at: Address, engine_ids: Sequence[str]) -> None:
        await self._cluster.forget(at, engine_ids)

    async def announce(self, at: Address) -> None:
        await self._cluster.announce(at)

    async def take_over(self, at: Address, by: TakeOverBy, migrating: Mapping[int, str] = MappingProxyType({})) -> None:
        await self._cluster.take_over(at, by, migrating)

    # --- slots on their way ---

    async def migrate_slots(self, at: Address, slots: SlotRanges, target_id: str) -> None:
        await self._migration.migrate_slots(at, slots, target_id)

    async def cancel_migrations(self, at: Address) -> None:
        await self._migration.cancel_migrations(at)

    async def move_keys(
        self, at: Address, to: Address, slots: SlotRanges, others: Sequence[Address], pace: Pace = FAST
    ) -> None:
        await self._migration.move_keys(at, to, slots, others, pace)

    async def settle_slots(self, at: Address, slots: SlotRanges, owner_id: str) -> None:
        await self._migration.settle_slots(at, slots, owner_id)

    async def copy_functions(self, at: Address, to: Address) -> None:
        await self._migration.copy_functions(at, to)

    async def slot_loads(self, at: Address) -> dict[int, SlotLoad]:
        return await self._migration.slot_loads(at)


def _cluster_questions(connection: Connection) -> tuple[Command, ...]:
    known = connection.identity
    return (*_CLUSTER, _MIGRATIONS) if known is not None and "atomic-slot-migration" in known.capabilities else _CLUSTER


def _tokens_question(connection: Connection) -> tuple[Command, ...]:
    return (IAM_STATE,) if connection.identity is not None and connection.identity.checks_tokens else ()


def _links_question(at: Address, clustered: bool) -> tuple[Command, ...]:
    """Without cluster mode the port that a replica calls tells it."""
    return (GET_LINKS,) if at.transit and clustered else ()


def _access(users: Any) -> str | None:
    return access.seen_mark(map(str, users)) if isinstance(users, list) else None


def _iam_rules(state: Any) -> str | None:
    return str(state[0]) if isinstance(state, list) else None


def _view(connection: Connection, answers: list[Any]) -> NodeView:
    """A process that answers with an error is alive: what it last said about itself, with the error as the reason."""
    migrations = slot_replies.parse_migrations(next(iter(answers[_SURE:]), None))
    answers = answers[:_SURE]
    replication, persistence, stats, memory, keyspace, bind, *cluster = answers
    refused = next((answer for answer in answers if isinstance(answer, ErrorReply)), None)
    if connection.identity is None or isinstance(replication, ErrorReply) or isinstance(persistence, ErrorReply):
        alive = connection.last_view or NodeView(reachable=True)
        code = "" if refused is None else refused.code
        return msgspec.structs.replace(alive, why=str(refused), loading=code == "LOADING", busy_reply=code in _BUSY)
    info = replies.parse_fields("\n".join(map(str, (replication, persistence, stats, memory, keyspace))))
    bound = replies.parse_config(bind).get("bind", "").split() if isinstance(bind, list) and not connection.deaf else []
    seen = None
    if cluster and not any(isinstance(answer, ErrorReply) for answer in cluster):
        seen = replies.parse_cluster(str(cluster[1]), replies.parse_fields(str(cluster[0])), migrations)
        seen = msgspec.structs.replace(seen, atomic="atomic-slot-migration" in connection.identity.capabilities)
    view = replies.parse_node(connection.identity, info, bound, seen)
    return view if refused is None or view.why else msgspec.structs.replace(view, why=str(refused))
