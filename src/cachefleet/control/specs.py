"""What a driver is told about a node: from the group's row, the reference tables and the settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.engine_interfaces import NodeSpec
from cachefleet.model.group import Engine, GroupDesired, Shape
from cachefleet.model.log_delivery import SLOW_LENGTH, kept_slow_entries
from cachefleet.model.observed import Address
from cachefleet.model.row import GroupRow
from cachefleet.model.slots import common
from cachefleet.model.snapshot_file import Restore
from cachefleet.planning.memcached_restoring import node_file
from cachefleet.planning.node_addresses import address_of, form_of
from cachefleet.reference import parameters
from cachefleet.reference.engines import family_of
from cachefleet.reference.node_types import NodeType, node_type
from cachefleet.settings import NodeTypeSetting
from cachefleet.snapshot_interfaces import Seed


def group_node_type(desired: GroupDesired, own_types: Mapping[str, NodeTypeSetting]) -> NodeType:
    """The group's node type. Raises LookupError when the setting that declared it is gone."""
    found = node_type(desired.node_type, own_types)
    if found is None:
        raise LookupError(f"node type {desired.node_type} is not known (any more); declare it in the settings under node_types")
    return found


def effective_parameters(desired: GroupDesired, kind: NodeType, own: Mapping[str, str]) -> dict[str, str]:
    """Parameters of the group's nodes by their ElastiCache names. own: what its parameter group sets, which is of the next
    family while the group goes on to that: the node's own family takes of it what it has, too."""
    family = family_of(desired.engine, desired.engine_version)
    if family is None:
        raise LookupError(f"{desired.engine} {desired.engine_version} belongs to no parameter group family")
    taken = {name: value for name, value in own.items() if name in parameters.family(family).parameters}
    effective = parameters.effective(family, desired.shape is Shape.CLUSTERED, taken, kind)
    if SLOW_LENGTH in effective:
        effective[SLOW_LENGTH] = kept_slow_entries(desired.logs, effective[SLOW_LENGTH])
    return effective


def data_bytes(desired: GroupDesired, own_types: Mapping[str, NodeTypeSetting], own: Mapping[str, str]) -> int:
    """Memory that a node of the group has for data. own: as effective_parameters. Raises LookupError."""
    return parameters.usable_memory_bytes(effective_parameters(desired, group_node_type(desired, own_types), own))


def seed_of(desired: GroupDesired, restore: Restore, node: str) -> Seed:
    """What this node loads at its start. Slots that its shard shall own decide; a group without slots has everything, and of a
    Memcached cluster each node what the node in the same place had."""
    if desired.shape is Shape.MEMCACHED:
        return Seed((node_file(desired, restore, node),))
    if desired.shape is not Shape.CLUSTERED:
        return Seed(restore.files)
    shard = next(shard for shard in desired.shards if any(member.name == node for member in shard.nodes))
    files = tuple(file for file in restore.files if not file.slots or common(file.slots, shard.slots))
    return Seed(files, shard.slots)


def _databases(desired: GroupDesired, effective: Mapping[str, str]) -> dict[str, str]:
    """As many as have keys in what it is filled with: the proof of a snapshot has the default group, whatever the cache had."""
    if desired.restore is None or desired.shape is Shape.MEMCACHED:
        return {}
    need = 1 + max((number for file in desired.restore.files for number in file.databases), default=0)
    name = "cluster-databases" if desired.shape is Shape.CLUSTERED else "databases"
    return {name: str(need)} if name in effective and max(1, int(effective[name])) < need else {}


def node_spec(
    row: GroupRow,
    name: str,
    launch: str,
    follow: Address | None,
    own_types: Mapping[str, NodeTypeSetting],
    own: Mapping[str, str],
) -> NodeSpec:
    """Of the node's current launch. own: as effective_parameters. Raises LookupError."""
    known = row.memory.nodes[name]
    form = form_of(row.desired, known)
    desired = replace(row.desired, engine=form.engine, engine_version=form.version)
    if desired.shape is not Shape.MEMCACHED:
        desired = replace(desired, shape=Shape.CLUSTERED if form.clustered else Shape.REPLICATED)
    kind = group_node_type(desired, own_types)
    effective = effective_parameters(desired, kind, own)
    effective |= _databases(desired, effective)
    return NodeSpec(
        name=name,
        incarnation=launch,
        address=address_of(row, known, launch),
        zone=known.zone,
        clustered=form.clustered,
        cluster_nodes=len(desired.nodes),
        maxmemory_bytes=parameters.usable_memory_bytes(effective),
        threads=kind.memcached_threads if desired.engine is Engine.MEMCACHED else 1,
        parameters=effective,
        follow=follow,
        memory_only=desired.at_rest_encryption,
    )
