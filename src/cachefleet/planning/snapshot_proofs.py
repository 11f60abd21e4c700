"""Proofs of snapshots: which one is due, the throw-away group that it is restored into, how that ended, and who is told. Pure.

The group is planned and filled as any other that is restored; so nothing here knows how. Called by control.snapshot_proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from cachefleet.engine_interfaces import Build
from cachefleet.model.group import DesiredNode, DesiredShard, Engine, GroupDesired, Shape
from cachefleet.model.network import DEFAULT_SUBNET_GROUP
from cachefleet.model.proof import ACCOUNT, ASKED, FAILED, PROVEN, RESULTS
from cachefleet.model.resource import Key, Kind, Scope
from cachefleet.model.row import GroupRow, Row, SnapshotRow
from cachefleet.model.snapshot import SnapshotDesired, SnapshotState
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from cachefleet.planning.tag_text import tag_text
from cachefleet.reference.engines import DESCRIPTIONS, family_of, version_numbers
from cachefleet.reference.parameters import default_group

HOUR_S = 3600.0
LIMIT_S = 3600.0  # a proof takes no longer, and the time that its data need at the slowest:
SLOWEST_BYTES_PER_S = 1_000_000
_OLDEST_VALKEY = (7, 2)  # that reads what Redis OSS has written


# --- which one is due --------------------------------------------------------------------------------------------------


def due(snapshots: Iterable[SnapshotRow], groups: Mapping[Key, GroupRow], every_h: float, now: float) -> list[SnapshotRow]:
    """Those that wait for a proof, in the order in which they get it: first those that users ask for, then the newest of each
    group whose last proof is every_h old (0: no group's). groups: by key."""
    available = [row for row in snapshots if row.desired.state is SnapshotState.AVAILABLE and not row.desired.for_restart]
    asked = sorted((row for row in available if ASKED in row.tags), key=lambda row: row.key)
    if not every_h:
        return asked
    newest: dict[Key, SnapshotRow] = {}
    for row in sorted(available, key=_age):
        group = groups.get(group_key(row))
        if group is not None and group.desired.uid == row.desired.group.uid:
            newest[group.key] = row
    waiting = [row for key, row in newest.items() if now - groups[key].memory.proof_at >= every_h * HOUR_S]
    return asked + [row for row in sorted(waiting, key=lambda row: groups[group_key(row)].memory.proof_at) if row not in asked]


def group_key(snapshot: SnapshotRow) -> Key:
    """Of the group that it was taken of, which may be gone."""
    kind = Kind.REPLICATION_GROUP if snapshot.desired.replication_group else Kind.CACHE_CLUSTER
    return snapshot.key.scope.key(kind, snapshot.desired.group_name)


def _age(row: SnapshotRow) -> tuple[float, float, Key]:
    """The older come first, by when their data were taken: a copy is as old as what it was made of."""
    return max((file.taken_at for file in row.desired.files), default=0.0), row.desired.created_at, row.key


# --- the group ---------------------------------------------------------------------------------------------------------


def build_for(group: GroupDesired, builds: Sequence[Build]) -> Build | str:
    """What reads it: the engine's own version, else the newest that can; or why there is none. builds: newest first."""
    written = version_numbers(group.engine_version)
    readers = [build for build in builds if _reads(build, group.engine, written)]
    own = [build for build in readers if build.engine is group.engine]
    same = [build for build in own if version_numbers(build.version)[:2] == written[:2]]
    if readers:
        return (same or own or readers)[0]
    installed = ", ".join(f"{build.engine} {build.version}" for build in builds) or "none"
    name = DESCRIPTIONS[group.engine]
    return f"no engine is installed that reads snapshots of {name} {group.engine_version} (installed: {installed})"


def _reads(build: Build, engine: Engine, written: tuple[int, ...]) -> bool:
    numbers = version_numbers(build.version)[:2]
    if build.engine is engine:
        return engine is Engine.MEMCACHED or numbers >= written[:2]  # items of Memcached are in a format of our own
    return engine is Engine.REDIS and build.engine is Engine.VALKEY and numbers >= _OLDEST_VALKEY


def proof_key(snapshot: SnapshotRow) -> Key:
    """Its name says of which snapshot it is, so that there are never two for one. A group of one node needs no endpoints."""
    kind = Kind.REPLICATION_GROUP if snapshot.desired.group.shape is Shape.CLUSTERED else Kind.CACHE_CLUSTER
    return Scope(ACCOUNT, snapshot.key.region).key(kind, snapshot.desired.uid)


def proof_of(snapshot: SnapshotRow, build: Build, letter: str, uid: str, now: float) -> GroupRow:
    """A group with one node for each shard, in this zone, with the slots that the shard had; of Memcached one for each node."""
    group, key = snapshot.desired.group, proof_key(snapshot)
    clustered = group.shape is Shape.CLUSTERED
    zone = key.region + letter
    files = snapshot.desired.files
    if group.shape is Shape.MEMCACHED:
        shards = _memcached_shards(key.name, files, zone, now)
    else:
        shards = tuple(
            DesiredShard(
                file.shard_id,
                (DesiredNode(f"{key.name}-{file.shard_id}-001" if clustered else key.name, "0001", zone, now),),
                file.slots,
            )
            for file in files
            if file.slots or not clustered  # a shard without slots had no keys
        )
    family = family_of(build.engine, build.version) or ""
    desired = GroupDesired(
        uid=uid,
        shape=group.shape,
        engine=build.engine,
        engine_version=build.version,
        node_type=group.node_type,
        port=group.port,
        shards=shards,
        parameter_group=default_group(family, clustered),
        subnet_group=DEFAULT_SUBNET_GROUP,
        description=str(snapshot.key),
        cluster_mode="enabled" if clustered else "disabled",
        created_at=now,
        restore=Restore(files, snapshot.key.name),
    )
    return Row(key=key, desired=desired, tags={ASKED: snapshot.tags[ASKED]} if ASKED in snapshot.tags else {})


def _memcached_shards(name: str, files: Sequence[SnapshotFile], zone: str, now: float) -> tuple[DesiredShard, ...]:
    nodes = (DesiredNode(f"{name}.{number:04}", f"{number:04}", zone, now) for number in range(1, len(files) + 1))
    return (DesiredShard("0001", tuple(nodes)),)


def proof_is_of(proof: GroupRow, snapshots: Iterable[SnapshotRow]) -> SnapshotRow | None:
    """None when that one is gone, or going."""
    found = (row for row in snapshots if row.desired.uid == proof.key.name and row.key.region == proof.key.region)
    return next((row for row in found if row.desired.state is SnapshotState.AVAILABLE), None)


def need_bytes(snapshot: SnapshotRow) -> int:
    """Memory that its data took, and will take."""
    return sum(file.used_bytes for file in snapshot.desired.files)


# --- how it ended ------------------------------------------------------------------------------------------------------


class Verdict(msgspec.Struct, frozen=True):
    """keys: how many were restored, expired ones included. why: why it cannot be restored, "" when it can."""

    keys: int = -1
    why: str = ""


def verdict(proof: GroupRow, snapshot: SnapshotRow, now: float) -> Verdict | None:
    """None while it goes on."""
    if proof.memory.provisioned:
        parts = [shard.restored_keys for shard in proof.memory.shards.values()]
        return Verdict(sum(parts) if parts and min(parts) >= 0 else Restore(snapshot.desired.files).keys)
    if proof.memory.failure:
        return Verdict(why=_without_names(proof, proof.memory.failure))
    limit_s = LIMIT_S + sum(file.rdb_bytes for file in snapshot.desired.files) / SLOWEST_BYTES_PER_S
    if now - proof.desired.created_at > limit_s:
        return Verdict(why=f"it was not restored within {limit_s / 60:.0f} minutes: {proof.status.why or proof.status.state}")
    return None


def _without_names(proof: GroupRow, why: str) -> str:
    """Nobody knows the nodes of a proof by their names."""
    for node in proof.desired.nodes:
        if why.startswith(f"{node.name} "):
            return f"an engine {why.removeprefix(node.name).lstrip()}"
    return why


def judged(snapshot: SnapshotRow, found: Verdict, asked: str | None, now: float) -> SnapshotRow:
    """The snapshot's row as it tells of the proof. asked: what asked for it, None for nobody; who has asked anew since gets
    another one."""
    tags = {key: text for key, text in snapshot.tags.items() if key not in RESULTS and (key != ASKED or text != asked)}
    told = f"{_iso(now)} {found.why}" if found.why else f"{_iso(now)} keys={found.keys} sha256={digest(snapshot.desired)}"
    tags[FAILED if found.why else PROVEN] = tag_text(told)
    return replace(snapshot, desired=replace(snapshot.desired, verified_at=now, verified_why=found.why), tags=tags)


def told_group(group: GroupRow, found: Verdict, now: float) -> GroupRow:
    """The row of the group whose backup was proven, or was not."""
    memory = replace(group.memory, proof_at=now, proof_why=found.why)
    return replace(group, memory=memory)


def message(snapshot: SnapshotRow, found: Verdict) -> str:
    """Of the event that tells of it."""
    if found.why:
        return f"Snapshot {snapshot.key.name} could not be restored when it was verified: {found.why}"
    return f"Snapshot {snapshot.key.name} was verified: it was restored, with {found.keys} keys"


def last_proof(group: GroupRow, now: float) -> str:
    """For people."""
    at, why = group.memory.proof_at, group.memory.proof_why
    if not at:
        return "backup never proven"
    return f"backup FAILED its proof {_ago(now - at)}: {why}" if why else f"backup proven {_ago(now - at)}"


def _ago(seconds: float) -> str:
    for unit_s, unit in ((24 * HOUR_S, "days"), (HOUR_S, "h"), (60.0, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit} ago"
    return "just now" if seconds < 60 else "1 min ago"


def digest(snapshot: SnapshotDesired) -> str:
    """Of all data: the sha256 of its RDB file; with several shards that of their sums, in hexadecimal, one a line."""
    sums = [file.rdb_sha256 for file in snapshot.files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(f"{one}\n" for one in sums).encode()).hexdigest()


def _iso(now: float) -> str:
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}"
