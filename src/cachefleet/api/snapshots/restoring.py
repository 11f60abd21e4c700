"""What a new cache is restored from: a snapshot (SnapshotName) or RDB files in S3 (SnapshotArns), and what is refused then.

A request in, what it restores out; data are read when the nodes start. Called by CreateReplicationGroup and CreateCacheCluster
(reference 11.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.replication_group_topology import CONFIGURATION
from cachefleet.api.names import quoted
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.api.parameters.parameter_group_rows import ParameterGroup
from cachefleet.api.snapshots.s3_names import object_url
from cachefleet.api.snapshots.snapshot_rows import find_snapshot
from cachefleet.api.updates.engine_upgrades import check_direction
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.network import DEFAULT_SUBNET_GROUP
from cachefleet.model.resource import Kind
from cachefleet.model.row import SnapshotRow
from cachefleet.model.snapshot import SnapshotState
from cachefleet.model.snapshot_file import Restore, SnapshotFile
from cachefleet.reference.engines import listed_version, version_numbers
from cachefleet.reference.parameter_values import databases
from cachefleet.reference.parameters import FAMILIES

NAME, ARNS = "SnapshotName", "SnapshotArns"
_OLDEST_VALKEY = (7, 2)


class Origin(msgspec.Struct, frozen=True):
    """snapshot: as it was read, and group: what it was made of, in a subnet group that exists; None for files from elsewhere.
    usable: zones that the new cache may stand in."""

    restore: Restore
    snapshot: SnapshotRow | None = None
    group: GroupDesired | None = None
    usable: tuple[str, ...] = ()

    @property
    def memcached(self) -> bool:
        return self.group is not None and self.group.engine is Engine.MEMCACHED

    @property
    def clustered(self) -> bool:
        return self.group is not None and self.group.cluster_mode == "enabled"


async def asked_origin(context: Context, request: Mapping[str, Any]) -> Origin | None:
    """None when nothing is to be restored. Raises InvalidParameterCombination, InvalidParameterValue,
    CacheSubnetGroupNotFoundFault."""
    name, arns = request.get(NAME), request.get(ARNS)
    if name and arns:
        raise invalid_combination(f"{NAME} and {ARNS} cannot be given together; a cache is restored from one of them.")
    if arns:
        return Origin(Restore(_files(arns)))
    if not name:
        return None
    row = await find_snapshot(context, name)
    if row is None:
        raise invalid_value(f"{NAME}: there is no snapshot {quoted(name)}; DescribeSnapshots lists those that there are.")
    if row.desired.state is not SnapshotState.AVAILABLE:
        raise invalid_value(
            f"{NAME}: snapshot {row.key.name} has status {row.desired.state}; only an available one can be restored."
        )
    group = await _in_a_subnet_group(context, row.desired.group)
    usable = await subnet_group_zones(context, request.get("CacheSubnetGroupName") or group.subnet_group)
    return Origin(Restore(row.desired.files, row.key.name), row, group, usable)


async def _in_a_subnet_group(context: Context, group: GroupDesired) -> GroupDesired:
    """Its own, or the default one when that is gone."""
    own = await context.store.get(context.scope.key(Kind.SUBNET_GROUP, group.subnet_group))
    return group if own is not None else replace(group, subnet_group=DEFAULT_SUBNET_GROUP)


def _files(arns: Sequence[str]) -> tuple[SnapshotFile, ...]:
    urls = [object_url(arn, ARNS) for arn in arns]
    if len(set(urls)) != len(urls):
        raise invalid_value(f"{ARNS} names an object twice; name each once.")
    return tuple(SnapshotFile(shard_id=f"{number:04}", object=url, sealed=False) for number, url in enumerate(urls, 1))


# --- what is refused -----------------------------------------------------------------------------------------------


def check_cluster(origin: Origin, engine: Engine) -> None:
    """Of CreateCacheCluster. Raises InvalidParameterCombination, InvalidParameterValue."""
    if engine is Engine.MEMCACHED and not origin.memcached:
        raise invalid_combination(f"{_member(origin)}: Memcached has no snapshots but its own; use valkey or redis.")
    if origin.snapshot is None and len(origin.restore.files) != 1:
        raise invalid_value(f"{ARNS}: a cache cluster is restored from one file; use CreateReplicationGroup for several.")
    if origin.clustered:
        raise _needs_cluster_mode(origin, "use CreateReplicationGroup")


def check_nodes(origin: Origin, count: int) -> None:
    """Each node of a Memcached cluster gets what one node had: clients choose nodes by rules of their own. Raises
    InvalidParameterCombination."""
    had = len(origin.restore.files)
    if origin.memcached and count != had:
        raise invalid_combination(
            f"NumCacheNodes: {origin.restore.snapshot} is of {had} Memcached nodes, and clients would not find their items in "
            f"{count}; restore it with {had}, and change the number of nodes afterwards."
        )


def check_mode(origin: Origin, clustered: bool, request: Mapping[str, Any]) -> None:
    """Of CreateReplicationGroup. clustered: what is created has cluster mode enabled. Raises InvalidParameterCombination."""
    if origin.clustered and not clustered:
        raise _needs_cluster_mode(
            origin, "leave ClusterMode out, or use enabled and a parameter group with cluster-enabled=yes"
        )
    if clustered and origin.snapshot is None:
        entries = request.get(CONFIGURATION) or ()
        if not entries or not all(entry.get("Slots") for entry in entries):
            raise invalid_combination(
                f"{ARNS}: with cluster mode enabled {CONFIGURATION} must be given, with Slots for each shard: they say which "
                "shard gets which keys."
            )


def check_databases(origin: Origin, group: ParameterGroup, *, clustered: bool) -> None:
    """group: the parameter group of the new cache. Raises InvalidParameterCombination."""
    if origin.memcached:
        return
    most = databases(FAMILIES[group.family], group.values, clustered=clustered)
    found = sorted({number for file in origin.restore.files for number in file.databases if number >= most})
    if not found:
        return
    has = f"{_member(origin)}: it has keys in databases {', '.join(map(str, found))}, and"
    if clustered and most == 1:
        raise invalid_combination(
            f"{has} with cluster mode enabled there is database 0 only; restore it with cluster mode disabled."
        )
    raise invalid_combination(
        f"{has} with the parameter group {group.name} there are {most} databases; name a parameter group with more."
    )


def check_engine(origin: Origin, engine: Engine, version: str) -> None:
    """version: the full one of the new cache. Raises InvalidParameterValue when it may not read what the snapshot's wrote."""
    group = origin.group
    if group is None:
        return
    if origin.memcached:  # any version of it reads our own format
        if engine is not Engine.MEMCACHED:
            raise invalid_combination(
                f"{NAME}: {origin.restore.snapshot} is of Memcached, and only Memcached can have its items."
            )
        return
    written = (group.engine, listed_version(group.engine.value, group.engine_version))
    check_direction(written, (engine, version), f"restoring {origin.restore.snapshot}", "name the same version or a newer one")
    if group.engine is Engine.REDIS and engine is Engine.VALKEY and version_numbers(version)[:2] < _OLDEST_VALKEY:
        raise invalid_value(f"EngineVersion: snapshots of Redis OSS are restored into Valkey 7.2 or later, not into {version}.")


def _needs_cluster_mode(origin: Origin, remedy: str) -> Exception:
    return invalid_combination(
        f"{NAME}: {origin.restore.snapshot} was made with cluster mode enabled and cannot be restored without; {remedy}."
    )


def _member(origin: Origin) -> str:
    return NAME if origin.snapshot is not None else ARNS
