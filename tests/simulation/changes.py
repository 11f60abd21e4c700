"""What operators change of a group, as the API writes it: desired state, with the status "modifying" in the same write.

Pure: a row and chance in, a row out, or None where the API would refuse. Who asks, and when, is in operators.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from random import Random

from msgspec.structs import replace

from cachefleet.api.groups.group_nodes import names_in_use, with_nodes
from cachefleet.api.groups.group_state import AVAILABLE, MODIFYING, is_primary
from cachefleet.api.groups.replica_choice import leaving
from cachefleet.api.groups.replica_targets import Target
from cachefleet.api.groups.replication_group_topology import member_name
from cachefleet.engines.capabilities import capabilities
from cachefleet.model.config_access import COMMAND_FILTERS, VALUES
from cachefleet.model.group import DesiredNode, DesiredShard, Engine, GroupDesired, Shape, SlotRanges
from cachefleet.model.resource import Kind
from cachefleet.model.row import GroupRow, Row, SnapshotRow
from cachefleet.model.service_update import AskedUpdate
from cachefleet.model.slots import count as slot_count
from cachefleet.model.slots import first_of, union, without
from cachefleet.model.snapshot import SnapshotDesired, SnapshotSource, SnapshotState
from cachefleet.model.snapshot_file import Restore
from cachefleet.model.transit import STEPS
from cachefleet.planning.slot_targets import balanced, grown, shrunk
from cachefleet.reference.engines import version_numbers
from tests.simulation import groups
from tests.simulation.groups import ZONES

MOST_REPLICAS = 3
MOST_SHARDS = 5
MOST_MEMCACHED = 4


def may_change(row: GroupRow) -> bool:
    """It is available, and no role is on its way."""
    if row.status.state != AVAILABLE or not row.memory.provisioned or row.desired.deleting:
        return False
    if any(
        shard.handovers > row.memory.shards[shard.shard_id].handovers
        for shard in row.desired.shards
        if shard.shard_id in row.memory.shards
    ):
        return False
    return not any(shard.headless or shard.handing_from or not shard.taken for shard in row.memory.shards.values())


def new_nodes(row: GroupRow, shard_id: str, number: int, first_zone: int = 0) -> tuple[DesiredNode, ...]:
    taken = names_in_use(row)
    clustered = row.desired.shape is Shape.CLUSTERED
    names = (member_name(row.key.name, shard_id, index, clustered) for index in count(1))
    free = (name for name in names if name not in taken)
    return tuple(
        DesiredNode(name, "0001", ZONES[(first_zone + index) % 3], 0.0)
        for index, name in zip(range(number), free, strict=False)
    )


def replicas(row: GroupRow, chance: Random) -> GroupRow | None:
    """More or fewer in one shard, or as many in all."""
    if row.desired.shape is Shape.MEMCACHED:
        return memcached_nodes(row, chance)
    wanted = chance.randint(0, MOST_REPLICAS)
    shards = row.desired.shards if chance.random() < 0.5 else (chance.choice(row.desired.shards),)
    if row.desired.shape is Shape.REPLICATED and row.desired.automatic_failover:
        wanted = max(1, wanted)
    nodes = {shard.shard_id: _with_replicas(row, shard, wanted) for shard in shards}
    if all(nodes[shard.shard_id] == shard.nodes for shard in shards):
        return None
    return with_nodes(row, nodes)


def _with_replicas(row: GroupRow, shard: DesiredShard, wanted: int) -> tuple[DesiredNode, ...]:
    more = wanted + 1 - len(shard.nodes)
    if more >= 0:
        return (*shard.nodes, *new_nodes(row, shard.shard_id, more, len(shard.nodes)))
    gone = leaving(row, shard, Target(wanted))
    return tuple(node for node in shard.nodes if node not in gone)


def one_replica(row: GroupRow, chance: Random) -> GroupRow | None:
    """DecreaseReplicaCount with ReplicasToRemove."""
    found = [
        (shard, node)
        for shard in row.desired.shards
        for node in shard.nodes
        if row.desired.shape is not Shape.MEMCACHED and not is_primary(row, node)
    ]
    if not found:
        return None
    shard, gone = chance.choice(found)
    left = tuple(node for node in shard.nodes if node != gone)
    if len(left) == 1 and row.desired.shape is Shape.REPLICATED and row.desired.automatic_failover:
        return None
    return with_nodes(row, {shard.shard_id: left})


def memcached_nodes(row: GroupRow, chance: Random) -> GroupRow | None:
    """Another number of them; any may go."""
    (shard,) = row.desired.shards
    wanted = chance.randint(1, MOST_MEMCACHED)
    left = list(shard.nodes)
    while len(left) > wanted:
        left.remove(chance.choice(left))
    left += [node for _, node in zip(range(wanted - len(left)), _free_memcached(row), strict=False)]
    return with_nodes(row, {shard.shard_id: tuple(left)}) if tuple(left) != shard.nodes else None


def _free_memcached(row: GroupRow) -> Iterator[DesiredNode]:
    taken = names_in_use(row)
    for number in count(1):
        name = f"{row.key.name}.{number:04}"
        if name not in taken:
            yield DesiredNode(name, f"{number:04}", ZONES[0], 0.0)


# --- shards --------------------------------------------------------------------------------------------------------


def more_shards(row: GroupRow, chance: Random) -> GroupRow | None:
    """ModifyReplicationGroupShardConfiguration with more NodeGroupCount."""
    if row.desired.shape is not Shape.CLUSTERED:
        return None
    ids = {shard.shard_id for shard in row.desired.shards} | set(row.memory.shards)
    free = [shard_id for number in range(1, 100) if (shard_id := f"{number:04}") not in ids]
    new_ids = free[: chance.randint(1, max(1, MOST_SHARDS - len(row.desired.shards)))]
    if len(row.desired.shards) + len(new_ids) > MOST_SHARDS:
        return None
    targets = grown({shard.shard_id: shard.slots for shard in row.desired.shards}, new_ids)
    size = len(row.desired.shards[0].nodes)
    new = tuple(DesiredShard(shard_id, new_nodes(row, shard_id, size, int(shard_id))) for shard_id in new_ids)
    return _with_slots(row, (*row.desired.shards, *new), targets)


def fewer_shards(row: GroupRow, chance: Random) -> GroupRow | None:
    """The same with NodeGroupsToRemove."""
    if row.desired.shape is not Shape.CLUSTERED or len(row.desired.shards) < 2:
        return None
    ids = [shard.shard_id for shard in row.desired.shards]
    leaving_ids = chance.sample(ids, chance.randint(1, len(ids) - 1))
    targets = shrunk({shard.shard_id: shard.slots for shard in row.desired.shards}, leaving_ids)
    shards = tuple(replace(shard, leaving=shard.shard_id in leaving_ids) for shard in row.desired.shards)
    return _with_slots(row, shards, targets)


def other_slots(row: GroupRow, chance: Random) -> GroupRow | None:
    """A rebalancing, from and to whatever chance says: some range goes to another shard, or all have equal parts."""
    if row.desired.shape is not Shape.CLUSTERED or len(row.desired.shards) < 2:
        return None
    books = {shard.shard_id: shard.slots for shard in row.desired.shards}
    targets = balanced(books)
    if chance.random() < 0.7:
        giver, taker = chance.sample(sorted(books), 2)
        given = first_of(books[giver], chance.randint(1, max(1, slot_count(books[giver]) - 1)))
        targets = {**books, giver: without(books[giver], given), taker: union(books[taker], given)}
    return _with_slots(row, row.desired.shards, targets) if targets != books else None


def _with_slots(row: GroupRow, shards: tuple[DesiredShard, ...], targets: Mapping[str, SlotRanges]) -> GroupRow:
    made = tuple(replace(shard, slots=targets[shard.shard_id]) for shard in shards)
    return modifying(replace(row, desired=replace(row.desired, shards=made)))


def modifying(row: GroupRow) -> GroupRow:
    return replace(row, status=replace(row.status, state=MODIFYING))


# --- what nodes are made of ----------------------------------------------------------------------------------------


def upgrade(row: GroupRow, chance: Random) -> GroupRow | None:
    """To any newer engine that there is; another patch of a Memcached node is no upgrade."""
    desired = row.desired
    ladder = [(Engine.REDIS, "6.2.14"), (Engine.REDIS, "7.0.15"), (Engine.VALKEY, "8.1.4"), (Engine.VALKEY, "9.1.2")]
    if (desired.engine, desired.engine_version) not in ladder:
        return None
    newer = ladder[ladder.index((desired.engine, desired.engine_version)) + 1 :]
    if not newer:
        return None
    engine, version = chance.choice(newer)
    return modifying(replace(row, desired=replace(desired, engine=engine, engine_version=version)))


def update(row: GroupRow, now: float) -> GroupRow | None:
    """BatchApplyUpdateAction, of a newer engine of the same name; also again, of one that was stopped."""
    desired, before = row.desired, row.desired.update
    version = {"6.2.14": "7.0.15", "8.1.4": "9.1.2", "9.1.2": groups.PATCH.version}.get(desired.engine_version)
    if before is not None and before.stopped_at:
        version = desired.engine_version
    if version is None:
        return None
    asked = AskedUpdate(version, "customer", now)
    return modifying(replace(row, desired=replace(desired, engine_version=version, update=asked)))


def may_stop_update(row: GroupRow) -> bool:
    """One is under way."""
    return row.desired.update is not None and row.status.state == MODIFYING and not row.desired.deleting


def stopped(desired: GroupDesired, now: float) -> GroupDesired:
    """BatchStopUpdateAction."""
    asked = desired.update
    return desired if asked is None or asked.stopped_at else replace(desired, update=replace(asked, stopped_at=now))


def transit(row: GroupRow, chance: Random) -> GroupRow | None:
    """One step to or from TLS that is required; of engines that can change it."""
    desired = row.desired
    first = {Engine.REDIS: (7, 0), Engine.VALKEY: (7, 2)}.get(desired.engine)
    if first is None or version_numbers(desired.engine_version) < first:
        return None
    present = STEPS.index(desired.transit)
    asked = chance.choice([step for step in (present - 1, present + 1) if 0 <= step < len(STEPS)])
    return modifying(replace(row, desired=replace(desired, transit=STEPS[asked])))


def config(row: GroupRow, chance: Random) -> GroupRow | None:
    """What clients get of CONFIG; of engines whose modules can give it."""
    desired = row.desired
    if COMMAND_FILTERS not in capabilities(desired.engine, desired.engine_version):
        return None
    asked = chance.choice([value for value in ("", *VALUES) if value != desired.config])
    return modifying(replace(row, desired=replace(desired, config=asked)))


def parameters(row: GroupRow, chance: Random) -> dict[str, str]:
    """What a parameter group sets. Some of it only a part of the engines have, which a group may leave for the others."""
    if row.desired.shape is Shape.MEMCACHED:
        return {"cas_disabled": chance.choice(("0", "1"))}
    values = {
        "maxmemory-policy": ("noeviction", "allkeys-lru"),
        "timeout": ("0", "300"),
        "notify-keyspace-events": ("", "KEA"),
        "client-output-buffer-limit-pubsub-soft-seconds": ("60", "61"),
        "reserved-memory-percent": ("25", "50"),
        "lazyfree-lazy-expire": ("no", "yes"),
        "extended-redis-compatibility": ("yes", "no"),
    }
    names = chance.sample(sorted(values), chance.randint(0, len(values)))
    return {name: chance.choice(values[name]) for name in sorted(names)}


def parameter_group(row: GroupRow, name: str) -> GroupRow:
    return modifying(replace(row, desired=replace(row.desired, parameter_group=name)))


def everything(row: GroupRow, chance: Random) -> GroupRow | None:
    """Slots, engine and node type at once, as changes that were pending begin together."""
    for change in (other_slots, upgrade, node_type):
        changed = change(row, chance)
        row = changed if changed is not None else row
    return row


def node_type(row: GroupRow, chance: Random) -> GroupRow | None:
    kinds = [kind for kind in ("cache.t4g.micro", "cache.t4g.small", "cache.m7g.large") if kind != row.desired.node_type]
    return modifying(replace(row, desired=replace(row.desired, node_type=chance.choice(kinds))))


# --- snapshots -----------------------------------------------------------------------------------------------------


def snapshot(row: GroupRow, name: str, now: float) -> tuple[SnapshotRow, GroupRow]:
    """CreateSnapshot: its row, and that of its group."""
    desired = row.desired
    taken = SnapshotDesired(
        uid=f"uid-{name}",
        source=SnapshotSource.MANUAL,
        state=SnapshotState.CREATING,
        created_at=now,
        group=replace(desired, snapshotting="", restore=None, pending=None),
        group_name=row.key.name,
        replication_group=True,
    )
    group = replace(row, desired=replace(desired, snapshotting=name), status=replace(row.status, state="snapshotting"))
    return Row(key=row.key.scope.key(Kind.SNAPSHOT, name), desired=taken), group


def restored(row: SnapshotRow, uid: str, name: str, chance: Random) -> GroupDesired:
    """A new group with the data of a snapshot: of the same form or of another that can hold them."""
    source = row.desired.group
    engine = source.engine if chance.random() < 0.7 else Engine.VALKEY
    if source.shape is Shape.REPLICATED and chance.random() < 0.7:
        made = groups.replicated(uid, name, chance.choice((1, 2, 3)), engine=engine)
    else:
        made = groups.clustered(uid, name, chance.choice((1, 2, 3)), chance.choice((0, 1, 1)), engine=engine)
    version = source.engine_version if engine is source.engine else groups.VERSIONS[engine]
    return replace(made, engine_version=version, restore=Restore(row.desired.files, row.key.name))
