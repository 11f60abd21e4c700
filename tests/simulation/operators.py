"""What users ask for while things go wrong: hand-overs, reboots, deletion, failover switched off, other numbers of nodes.
Through desired state, as the API writes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

from msgspec.structs import replace

from cachefleet.interfaces import AnyRow, Conflict, Transaction
from cachefleet.model.group import DesiredNode, DesiredShard, GroupDesired, Shape
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, SnapshotRow, member_names
from cachefleet.model.snapshot import SnapshotState
from tests.simulation import changes
from tests.simulation.groups import any_group
from tests.simulation.world import World

MOST_GROUPS = 3
BY_HAND = "12345"  # a timeout that no group says
_TRANSIT, _ROTATION, _CONFIG, _PARAMETERS, _UPDATES = 0.12, 0.03, 0.15, 0.25, 0.3  # how often beside another wish
_BY_HAND = 0.2  # of changes of parameters


class Operators:
    def __init__(self, world: World, chance: Random) -> None:
        self._world, self._chance = world, chance
        self._snapshots = 0
        self._transit_chance = world.chance("transit")
        self._config_chance = world.chance("config")
        self._parameters_chance = world.chance("parameters")
        self._updates_chance = world.chance("updates")

    async def any(self) -> None:
        """A wish for one of the groups."""
        uids = [uid for uid in self._world.groups if uid in self._world.checkers.rows]
        if not uids:
            return
        uid = self._chance.choice(uids)
        await self._perhaps_transit(uid)
        if self._config_chance.random() < _CONFIG:
            await self.config(uid)
        if self._updates_chance.random() < _UPDATES:
            await self._updates_chance.choice((self.update, self.stop_update))(uid)
        if self._parameters_chance.random() < _PARAMETERS:
            by_hand = self._parameters_chance.random() < _BY_HAND
            await (self.parameters_by_hand if by_hand else self.parameters)(uid)
        kinds: dict[Callable[[str], Awaitable[None]], float] = {
            self.hand_over: 6,
            self.reboot: 4,
            self.delete: 0.5,
            self.toggle_failover: 1,
            self.create: 0.5,
            self.replicas: 4,
            self.one_replica: 2,
            self.more_shards: 3,
            self.fewer_shards: 3,
            self.other_slots: 3,
            self.upgrade: 2,
            self.node_type: 1,
            self.everything: 1,
            self.snapshot: 3,
            self.restore: 2,
            self.delete_snapshot: 1,
        }
        kind = self._chance.choices(list(kinds), list(kinds.values()))[0]
        await kind(uid)

    async def wish(self, name: str) -> None:
        """Of that name, for any of the groups."""
        uids = [uid for uid in self._world.groups if uid in self._world.checkers.rows]
        if uids:
            await getattr(self, name)(self._chance.choice(uids))

    async def create(self, uid: str = "") -> None:
        """A further group. uid: of another one, which does not matter."""
        number = len(self._world.groups)
        if number < MOST_GROUPS:
            await self._world.begin_group(any_group(self._chance, f"u{number}", f"g{number}"), f"g{number}")

    async def _change(self, uid: str, what: str, change: Callable[[GroupDesired], GroupDesired]) -> None:
        while True:
            row = await self._world.row(uid)
            if row is None or row.desired.deleting:
                return
            changed = replace(row, desired=change(row.desired))
            try:
                stored = await self._world.database.change(partial(_update, changed))
            except Conflict:
                continue
            self._world.trace.note(f"operator {what} of {uid}")
            self._world.checkers.committed(stored)
            self._world.wake(stored.key)
            return

    # --- encryption in transit ---

    async def _perhaps_transit(self, uid: str) -> None:
        """Beside other wishes, and by chance of its own: what these are stays what it was."""
        what = self._transit_chance.random()
        if what < _TRANSIT:
            await self.transit(uid)
        elif what < _TRANSIT + _ROTATION:
            await self.rotate(uid)

    async def transit(self, uid: str) -> None:
        """TransitEncryptionEnabled and TransitEncryptionMode, a step further."""
        change = changes.transit
        if await self._alter(uid, "takes a step with TLS", lambda row, _: change(row, self._transit_chance)):
            self._world.encrypting.add(uid)

    async def rotate(self, uid: str) -> None:
        """`cachefleet ca rotate`. uid: of a group, which does not matter."""
        self._world.trace.note("operator rotates all certificates")
        self._world.certificates.rotate()

    # --- CONFIG for clients ---

    async def config(self, uid: str) -> None:
        """The tag cachefleet:allow-config, added, changed or taken away."""
        change = changes.config
        await self._alter(uid, "gives clients another part of CONFIG", lambda row, _: change(row, self._config_chance))

    # --- parameters ---

    async def parameters(self, uid: str) -> None:
        """ModifyCacheParameterGroup of the group's own; of one that it gets with that, if it has a built-in one."""
        row = await self._world.row(uid)
        if row is None or not changes.may_change(row):
            return
        name, chance = f"p-{uid}", self._parameters_chance
        values = changes.parameters(row, chance)
        before = await self._world.database.run(self._world.database.inner.get(row.key.scope.key(Kind.PARAMETER_GROUP, name)))
        desired = ParameterGroupDesired(family="", description="", values=values)
        made = Row(key=row.key.scope.key(Kind.PARAMETER_GROUP, name), desired=desired)
        changed = made if before is None else replace(before, desired=desired)
        self._world.parameters[name] = values
        await self._world.database.change(partial(_insert if before is None else _update, changed))
        self._world.trace.note(f"operator sets parameters of {uid}: {values}")
        self._world.wake(row.key)
        if before is None:
            await self._alter(uid, "gives a parameter group", lambda row, _: changes.parameter_group(row, name))

    async def parameters_by_hand(self, uid: str) -> None:
        """CONFIG SET by somebody who may do everything on the machine."""
        engines = [
            engine
            for incarnation, engine in sorted(self._world.engines.items())
            if incarnation.startswith(f"{uid}.") and engine.process.running
        ]
        if engines:
            engine = self._parameters_chance.choice(engines)
            engine.config["timeout"] = BY_HAND
            self._world.trace.note(f"somebody sets parameters of {engine.host}")

    # --- service updates ---

    async def update(self, uid: str) -> None:
        """BatchApplyUpdateAction."""
        now = self._world.clock.now()
        if self._world.keys is not None:  # whose catalogue has other builds
            return
        await self._alter(uid, "applies an update", lambda row, chance: changes.update(row, now))

    async def stop_update(self, uid: str) -> None:
        """BatchStopUpdateAction, while it goes on."""
        now = self._world.clock.now()
        row = await self._world.row(uid)
        if row is not None and changes.may_stop_update(row):
            await self._change(uid, "stops an update", lambda desired: changes.stopped(desired, now))

    # --- other nodes ---

    async def replicas(self, uid: str) -> None:
        """IncreaseReplicaCount, DecreaseReplicaCount, NumCacheNodes."""
        await self._alter(uid, "changes the nodes", changes.replicas)

    async def one_replica(self, uid: str) -> None:
        await self._alter(uid, "removes a replica", changes.one_replica)

    async def more_shards(self, uid: str) -> None:
        await self._alter(uid, "adds shards", changes.more_shards)

    async def fewer_shards(self, uid: str) -> None:
        await self._alter(uid, "removes shards", changes.fewer_shards)

    async def other_slots(self, uid: str) -> None:
        await self._alter(uid, "moves slots", changes.other_slots)

    async def upgrade(self, uid: str) -> None:
        await self._alter(uid, "upgrades the engine", changes.upgrade)

    async def node_type(self, uid: str) -> None:
        await self._alter(uid, "changes the node type", changes.node_type)

    async def everything(self, uid: str) -> None:
        await self._alter(uid, "changes all", changes.everything)

    async def _alter(self, uid: str, what: str, change: Callable[[GroupRow, Random], GroupRow | None]) -> bool:
        """A change that the API takes only of an available group. Whether it did."""
        while True:
            row = await self._world.row(uid)
            changed = change(row, self._chance) if row is not None and changes.may_change(row) else None
            if changed is None:
                return False
            try:
                stored = await self._world.database.change(
                    partial(_update_members, changed, member_names(changed.key, changed.desired))
                )
            except Conflict:
                continue
            self._world.trace.note(f"operator {what} of {uid}: {', '.join(node.name for node in changed.desired.nodes)}")
            self._world.checkers.committed(stored)
            self._world.wake(stored.key)
            return True

    # --- snapshots ---

    async def snapshot(self, uid: str) -> None:
        """CreateSnapshot."""
        while True:
            row = await self._world.row(uid)
            if row is None or not changes.may_change(row) or row.desired.shape is Shape.MEMCACHED:
                return
            self._snapshots += 1
            taken, group = changes.snapshot(row, f"s{self._snapshots}", self._world.clock.now())
            if await self._store(f"takes {taken.key.name} of {uid}", partial(_insert_and_update, taken, group)):
                return

    async def restore(self, uid: str) -> None:
        """CreateReplicationGroup with SnapshotName. uid: of another one, which does not matter."""
        rows = self._world.snapshots.rows.values()
        usable = [row for row in rows if row.desired.state is SnapshotState.AVAILABLE]
        number = len(self._world.groups)
        if usable and number < MOST_GROUPS + 1:
            row = self._chance.choice(usable)
            desired = changes.restored(row, f"u{number}", f"g{number}", self._chance)
            self._world.trace.note(f"operator restores {row.key.name} as {desired.uid}")
            await self._world.begin_group(desired, f"g{number}")

    async def delete_snapshot(self, uid: str) -> None:
        """Of those that no group is being restored from."""
        groups = self._world.checkers.rows.values()
        used = {row.desired.restore.snapshot for row in groups if row.desired.restore is not None}
        rows = [row for name, row in self._world.snapshots.rows.items() if name not in used]
        usable = [row for row in rows if row.desired.state in (SnapshotState.AVAILABLE, SnapshotState.FAILED)]
        if usable:
            row = self._chance.choice(usable)
            gone = replace(row, desired=replace(row.desired, state=SnapshotState.DELETING))
            await self._store(f"deletes {row.key.name}", partial(_update, gone))

    async def _store(self, what: str, change: Callable[[Transaction], Awaitable[AnyRow]]) -> bool:
        """False when somebody was faster. All that was stored is told of."""
        try:
            stored = await self._world.database.change(change)
        except Conflict:
            return False
        self._world.trace.note(f"operator {what}")
        self._world.committed(stored)
        self._world.wake(stored.key)
        return True

    # --- roles ---

    async def hand_over(self, uid: str, shard_id: str = "") -> None:
        """TestFailover, or PrimaryClusterId."""
        row = self._world.checkers.rows.get(uid)
        if row is None or row.desired.shape is Shape.MEMCACHED or not row.memory.provisioned:
            return
        shards = [shard for shard in row.desired.shards if shard_id in ("", shard.shard_id) and len(shard.nodes) > 1]
        if not shards:
            return
        chosen = self._chance.choice(shards)
        to = self._chance.choice(("", self._chance.choice(chosen.nodes).name))

        def change(desired: GroupDesired) -> GroupDesired:
            return _with_shards(
                desired,
                lambda shard: (
                    replace(shard, handovers=shard.handovers + 1, handover_to=to)
                    if shard.shard_id == chosen.shard_id
                    else shard
                ),
            )

        self._world.checkers.asked(uid, chosen.shard_id)
        await self._change(uid, f"hands {chosen.shard_id} over to {to or 'anybody'}", change)

    async def reboot(self, uid: str) -> None:
        """The API refuses it with cluster mode enabled."""
        row = self._world.checkers.rows.get(uid)
        if row is None or not row.memory.provisioned or row.desired.shape is Shape.CLUSTERED:
            return
        name = self._chance.choice(row.desired.nodes).name

        def once_more(node: DesiredNode) -> DesiredNode:
            return replace(node, reboots=node.reboots + 1) if node.name == name else node

        await self._change(
            uid,
            f"reboots {name}",
            lambda desired: _with_shards(
                desired, lambda shard: replace(shard, nodes=tuple(once_more(node) for node in shard.nodes))
            ),
        )

    async def delete(self, uid: str) -> None:
        await self._change(uid, "deletes", lambda desired: replace(desired, deleting=True))

    async def toggle_failover(self, uid: str) -> None:
        await self._change(
            uid, "switches failover", lambda desired: replace(desired, automatic_failover=not desired.automatic_failover)
        )


async def _insert(row: AnyRow, transaction: Transaction) -> AnyRow:
    return await transaction.insert(row)


async def _update(row: AnyRow, transaction: Transaction) -> AnyRow:
    return await transaction.update(row)


async def _update_members(row: GroupRow, members: tuple[str, ...], transaction: Transaction) -> AnyRow:
    return await transaction.update(row, members)


async def _insert_and_update(taken: SnapshotRow, group: GroupRow, transaction: Transaction) -> AnyRow:
    stored = await transaction.insert(taken)
    await transaction.update(group)
    return stored


def _with_shards(desired: GroupDesired, change: Callable[[DesiredShard], DesiredShard]) -> GroupDesired:
    return replace(desired, shards=tuple(change(shard) for shard in desired.shards))
