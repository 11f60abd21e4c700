"""Turns the actions of a plan into calls of the host and the engines. Every action is idempotent and has a deadline.

An action that fails is reported to the caller and planned anew from what is seen then; nothing is retried here.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import structlog
from msgspec.structs import replace

from cachefleet.control.observer import driver_of
from cachefleet.control.seams import Seams
from cachefleet.control.specs import data_bytes, node_spec, seed_of
from cachefleet.engine_interfaces import SEED_PIPE, Build, EngineRefused, NodeSpec, RespDriver
from cachefleet.interfaces import Deposed, HostRefused
from cachefleet.model import plan as actions
from cachefleet.model.group import Engine, Shape
from cachefleet.model.observed import Address
from cachefleet.model.row import GroupRow
from cachefleet.model.transit import NodeCertificate
from cachefleet.planning.memcached import discovery_node
from cachefleet.planning.node_addresses import form_of, node_address

log = structlog.get_logger()
A = TypeVar("A", bound=actions.Action)
DEADLINE_S = 5.0
LONG_DEADLINES_S: dict[type[actions.Action], float] = {actions.Stop: 20.0, actions.MoveKeys: 60.0}


class Executor:
    """For one row as it was saved with the plan, under this fencing token."""

    def __init__(self, seams: Seams, row: GroupRow, token: int, parameters: Mapping[str, str] = MappingProxyType({})) -> None:
        """parameters: what the group's parameter group sets."""
        self._seams = seams
        self._parameters = parameters
        self._row = row
        self._token = token
        self.refusals: dict[str, str] = {}  # by node, what was said to the last slots that were to leave it

    async def run(self, planned: tuple[actions.Action, ...]) -> int:
        """Run all concurrently; returns how many failed."""
        return sum(await asyncio.gather(*(self._guarded(action) for action in planned)))

    async def _guarded(self, action: actions.Action) -> bool:
        deadline_s = LONG_DEADLINES_S.get(type(action), DEADLINE_S)
        try:
            async with asyncio.timeout(deadline_s):
                self._require_authority()
                await _HANDLERS[type(action)](self, action)
        except Deposed as error:
            log.info("action given up", group=str(self._row.key), action=type(action).__name__, why=str(error))
            return True
        except (EngineRefused, HostRefused, LookupError) as error:
            self._complain(action, str(error))
            return True
        except TimeoutError:
            self._complain(action, f"not done within {deadline_s:g} s")
            return True
        except Exception:
            log.exception("action broke", group=str(self._row.key), action=type(action).__name__, node=action.node)
            return True
        return False

    def _require_authority(self) -> None:
        """Raises Deposed: this process may have been frozen since the plan was saved, and another have gone on from there."""
        if self._seams.authority.token() != self._token:
            raise Deposed("this plan is of an earlier term")

    def _complain(self, action: actions.Action, why: str) -> None:
        if isinstance(action, actions.MigrateSlots | actions.MoveKeys):
            self.refusals[action.node] = why
        log.warning("action failed", group=str(self._row.key), action=type(action).__name__, node=action.node, why=why)

    def _at(self, node: str) -> Address:
        return node_address(self._row, node)

    def _host_at(self, host: str) -> Address:
        """The node of this group there."""
        names = (name for name, known in self._row.memory.nodes.items() if known.address == host)
        return next((self._at(name) for name in names), Address(host, self._row.desired.port))

    # --- processes ---

    async def launch(self, action: actions.Launch) -> None:
        row, host = self._row, self._seams.host
        known = row.memory.nodes[action.node]
        folder = host.folder(action.incarnation)
        follow = self._host_at(action.follow) if action.follow else None
        spec = self._spec(action.node, action.incarnation, follow)
        spec = replace(spec, seeded=action.seeded, users=action.users)
        if spec.address.transit:  # tokens are never sent in the clear, so elsewhere there is nothing to check
            certificate = self._certificate(action.node, action.addresses)
            spec = replace(spec, certificate=certificate, iam_module=await self._seams.iam_module())
        form = form_of(row.desired, known)
        if form.config:
            spec = replace(spec, config_module=await self._seams.config_module())
        if row.desired.shape is not Shape.MEMCACHED:
            spec = replace(spec, trace_module=await self._seams.trace_module())
            spec = replace(spec, clients_module=await self._seams.clients_module())
        if row.desired.shape is Shape.MEMCACHED and action.node == discovery_node(row.key.name):
            build = Build(engine=Engine.MEMCACHED, version="", binary="", origin="")
        else:
            found = self._seams.catalogue.exact(form.engine, form.version)
            if found is None:
                raise LookupError(f"{form.engine} {form.version} is not installed (any more)")
            build = found
        rendering = driver_of(self._seams, row, action.node).render(spec, build, folder)
        await host.start(action.incarnation, rendering)

    async def feed(self, action: actions.Feed) -> None:
        restore = self._row.desired.restore
        if restore is None:
            raise LookupError(f"there is nothing to restore {action.node} from")
        pipe = posixpath.join(self._seams.host.folder(action.incarnation), SEED_PIPE)
        seed = seed_of(self._row.desired, restore, action.node)
        if self._row.desired.shape is Shape.MEMCACHED:
            seed = replace(seed, to=self._at(action.node))
        self._seams.transfers.feed(action.incarnation, pipe, seed)

    async def stop(self, action: actions.Stop) -> None:
        await self._seams.host.stop(action.incarnation, kill=action.kill)

    async def erase(self, action: actions.Erase) -> None:
        await self._seams.host.erase(action.incarnation)

    async def spread(self, action: actions.Spread) -> None:
        host = self._seams.host
        for address, port in list(host.spreads()):
            if address == action.address and port != action.port:  # of before the group's port was changed
                await host.spread(address, port, ())
        await host.spread(action.address, action.port, action.targets)

    async def protect(self, action: actions.Protect) -> None:
        await self._seams.host.guard(self._row.desired.uid, action.guard)

    async def publish_nodes(self, action: actions.PublishNodes) -> None:
        content = self._seams.node_list_file(self._at(action.node), action.version, action.nodes)
        await self._seams.host.write(action.incarnation, "nodes.json", content)

    # --- replication ---

    @property
    def _resp(self) -> RespDriver:
        return self._seams.resp

    async def promote(self, action: actions.Promote) -> None:
        await self._resp.promote(self._at(action.node), action.bind)

    async def follow(self, action: actions.Follow) -> None:
        await self._resp.follow(self._at(action.node), self._host_at(action.host), action.bind)

    async def bind(self, action: actions.Bind) -> None:
        await self._resp.bind(self._at(action.node), action.addresses)

    async def hand_address(self, action: actions.HandAddress) -> None:
        await self._resp.bind(self._at(action.node), action.from_bind)
        await self._resp.bind(self._host_at(action.to), action.to_bind)

    async def raise_replica_buffers(self, action: actions.RaiseReplicaBuffers) -> None:
        own_types = self._seams.settings.node_types
        size_bytes = data_bytes(self._row.desired, own_types, self._parameters) * action.percent // 100
        await self._resp.raise_replica_buffers(self._at(action.node), size_bytes)

    async def switch(self, action: actions.Switch) -> None:
        await self._resp.switch(
            self._at(action.node),
            self._host_at(action.to),
            to_bind=action.to_bind,
            from_bind=action.from_bind,
            others=[self._host_at(host) for host in action.others],
        )

    async def count_load(self, action: actions.CountLoad) -> None:
        switch = {"cluster-slot-stats-enabled": "yes" if action.on else "no"}
        await self._resp.set_parameters(self._at(action.node), switch)

    # --- from one cluster mode to the other ---

    async def change_mode(self, action: actions.ChangeMode) -> None:
        to = next(name for name, known in self._row.memory.nodes.items() if known.address == action.to)
        await self._resp.change_mode(
            self._at(action.node),
            self._at(to),
            self._spec(to),
            into_cluster=action.into_cluster,
            to_bind=action.to_bind,
            others=[self._host_at(host) for host in action.others],
        )

    async def promote_in_cluster(self, action: actions.PromoteInCluster) -> None:
        await self._resp.promote_in_cluster(self._at(action.node), self._spec(action.node), action.bind)

    async def settle_in_cluster(self, action: actions.SettleInCluster) -> None:
        await self._resp.settle_in_cluster(self._at(action.node), self._spec(action.node), action.engine_ids)

    def _spec(self, node: str, launch: str = "", follow: Address | None = None) -> NodeSpec:
        return node_spec(self._row, node, launch, follow, self._seams.settings.node_types, self._parameters)

    async def admit(self, action: actions.Admit) -> None:
        await self._resp.admit(self._at(action.node), action.users, action.cut)

    async def tell_iam_rules(self, action: actions.TellIamRules) -> None:
        await self._resp.tell_iam_rules(self._at(action.node), action.rules)

    async def encrypt_links(self, action: actions.EncryptLinks) -> None:
        await self._resp.encrypt_links(self._at(action.node))

    async def certify(self, action: actions.Certify) -> None:
        """Nothing else is written into the folder of a launch by another pass: one worker acts for a group."""
        host, row = self._seams.host, self._row
        certificate = self._certificate(action.node, action.addresses)
        driver = driver_of(self._seams, row, action.node)
        for name, content in driver.certificate_files(certificate).items():
            await host.write(action.incarnation, name, content)
        await driver.certify(self._at(action.node), host.folder(action.incarnation))

    def _certificate(self, node: str, addresses: Sequence[str]) -> NodeCertificate:
        issuer = self._seams.certificates
        if issuer is None:
            raise LookupError(f"there is no certificate authority for {node}")
        return issuer.issue(node, issuer.names(self._row.key.name, node), addresses)

    async def resize(self, action: actions.Resize) -> None:
        spec = self._spec(action.node)
        await driver_of(self._seams, self._row, action.node).resize(self._at(action.node), spec)

    async def set_parameters(self, action: actions.SetParameters) -> None:
        """All that the engine takes; together where it takes all."""
        at, refused = self._at(action.node), []
        try:
            await self._resp.set_parameters(at, action.values)
        except EngineRefused:
            for name, value in action.values.items():
                try:
                    await self._resp.set_parameters(at, {name: value})
                except EngineRefused as error:
                    refused.append(str(error))
        if refused:
            raise EngineRefused("; ".join(refused))

    # --- cluster ---

    async def own_slots(self, action: actions.OwnSlots) -> None:
        await self._resp.own_slots(self._at(action.node), action.slots, action.epoch)

    async def meet(self, action: actions.Meet) -> None:
        others = {self._host_at(host): engine_id for host, engine_id in action.others.items()}
        await self._resp.meet(self._at(action.node), others)

    async def replicate(self, action: actions.Replicate) -> None:
        await self._resp.replicate(self._at(action.node), action.primary_id)

    async def forget(self, action: actions.Forget) -> None:
        await self._resp.forget(self._at(action.node), action.engine_ids)

    async def announce(self, action: actions.Announce) -> None:
        await self._resp.announce(self._at(action.node))

    async def migrate_slots(self, action: actions.MigrateSlots) -> None:
        await self._resp.migrate_slots(self._at(action.node), action.slots, action.target_id)

    async def cancel_migrations(self, action: actions.CancelMigrations) -> None:
        await self._resp.cancel_migrations(self._at(action.node))

    async def move_keys(self, action: actions.MoveKeys) -> None:
        others = [self._host_at(host) for host in action.others]
        await self._resp.move_keys(self._at(action.node), self._host_at(action.to), action.slots, others, action.pace)

    async def settle_slots(self, action: actions.SettleSlots) -> None:
        await self._resp.settle_slots(self._at(action.node), action.slots, action.owner_id)

    async def copy_functions(self, action: actions.CopyFunctions) -> None:
        await self._resp.copy_functions(self._at(action.node), self._host_at(action.to))

    async def take_over(self, action: actions.TakeOver) -> None:
        await self._resp.take_over(self._at(action.node), action.by, action.migrating)


_HANDLERS: dict[type[actions.Action], Callable[[Executor, Any], Awaitable[None]]] = {
    actions.Launch: Executor.launch,
    actions.Feed: Executor.feed,
    actions.Stop: Executor.stop,
    actions.Erase: Executor.erase,
    actions.Spread: Executor.spread,
    actions.Protect: Executor.protect,
    actions.PublishNodes: Executor.publish_nodes,
    actions.Promote: Executor.promote,
    actions.Follow: Executor.follow,
    actions.Bind: Executor.bind,
    actions.HandAddress: Executor.hand_address,
    actions.ChangeMode: Executor.change_mode,
    actions.PromoteInCluster: Executor.promote_in_cluster,
    actions.SettleInCluster: Executor.settle_in_cluster,
    actions.RaiseReplicaBuffers: Executor.raise_replica_buffers,
    actions.Switch: Executor.switch,
    actions.Resize: Executor.resize,
    actions.SetParameters: Executor.set_parameters,
    actions.Admit: Executor.admit,
    actions.TellIamRules: Executor.tell_iam_rules,
    actions.EncryptLinks: Executor.encrypt_links,
    actions.Certify: Executor.certify,
    actions.OwnSlots: Executor.own_slots,
    actions.CountLoad: Executor.count_load,
    actions.MigrateSlots: Executor.migrate_slots,
    actions.CancelMigrations: Executor.cancel_migrations,
    actions.MoveKeys: Executor.move_keys,
    actions.SettleSlots: Executor.settle_slots,
    actions.CopyFunctions: Executor.copy_functions,
    actions.Meet: Executor.meet,
    actions.Replicate: Executor.replicate,
    actions.Forget: Executor.forget,
    actions.Announce: Executor.announce,
    actions.TakeOver: Executor.take_over,
}
