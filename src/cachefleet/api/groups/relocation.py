"""Beyond ElastiCache: the port and the subnet group of a cache that exists, asked for by reserved tags.

A row and the tags that are added in, the row that is being modified out; the planner launches its nodes anew, one by one. To
take such a tag away changes nothing. Called by AddTagsToResource; creations only check that such tags say what they ask for.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.api import names
from cachefleet.api.context import Context
from cachefleet.api.groups.group_state import MODIFYING, require_available
from cachefleet.api.groups.group_validation import asked_port
from cachefleet.api.groups.handovers import require_settled
from cachefleet.api.groups.placement import check_multi_az, fill
from cachefleet.api.networks.networks import vpc_of_subnet_group
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.api.tag_rules import PORT, SUBNET_GROUP, check_memcached, check_saving, check_sharded
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import DesiredShard, GroupDesired, GroupStatus, Shape
from cachefleet.model.row import GroupRow
from cachefleet.model.saving import ASKED


def asks_for_relocation(tags: Mapping[str, str]) -> bool:
    return PORT in tags or SUBNET_GROUP in tags


def refuse_relocation(tags: Mapping[str, str], what: str) -> None:
    """For resources that have no port or subnet group of their own. Raises InvalidParameterValue."""
    for key in (PORT, SUBNET_GROUP):
        if key in tags:
            raise invalid_value(
                f"Tags: {key} changes a replication group, or a cluster that is in none; {what} has none of its own."
            )


def check_created(tags: Mapping[str, str], desired: GroupDesired) -> None:
    """Of a creation. Raises InvalidParameterCombination when a reserved tag says something else than the request,
    InvalidParameterValue when it has no meaning there."""
    check_sharded(tags, sharded=desired.shape is Shape.CLUSTERED, what="what is asked for")
    check_saving(tags, saves=desired.shape is not Shape.MEMCACHED, what="what is asked for")
    check_memcached(tags, memcached=desired.shape is Shape.MEMCACHED, what="what is asked for")
    if ASKED in tags:
        raise invalid_value(f"Tags: {ASKED} has a meaning once there are data to be saved; leave it out.")
    for key, present, member in (
        (PORT, str(desired.port), "Port"),
        (SUBNET_GROUP, desired.subnet_group, "CacheSubnetGroupName"),
    ):
        if key in tags and names.folded(tags[key]) != present:
            raise invalid_combination(
                f"Tags: {key} is {names.quoted(tags[key])} while {member} is {present}; let both be the same."
            )


async def relocated(context: Context, row: GroupRow, tags: Mapping[str, str]) -> GroupRow:
    """The row as it is to be; the same when nothing differs. Raises InvalidReplicationGroupState, InvalidCacheClusterState,
    InvalidParameterValue, InvalidParameterCombination, CacheSubnetGroupNotFoundFault."""
    desired = row.desired
    if PORT in tags:
        desired = replace(desired, port=_port(desired, tags[PORT]))
    if SUBNET_GROUP in tags:
        desired = await _placed(context, desired, names.folded(tags[SUBNET_GROUP]))
    if desired == row.desired:
        return row
    require_available(row)
    if desired.shape is not Shape.MEMCACHED:
        require_settled(row)
    if desired.cluster_mode == "compatible":
        raise invalid_combination(
            f"Tags: while the cluster mode of {row.key.name} is compatible nothing else can be changed; set it to enabled or "
            "disabled first."
        )
    return replace(row, desired=desired, status=_until_moved(row))


def _until_moved(row: GroupRow) -> GroupStatus:
    """What is shown until the planner knows better: everything is still where it was."""
    status, port = row.status, row.desired.port
    nodes = {name: replace(known, port=known.port or port) for name, known in status.nodes.items()}
    return replace(status, state=MODIFYING, nodes=nodes, ports={**dict.fromkeys(status.endpoints, port), **status.ports})


def _port(desired: GroupDesired, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        raise invalid_value(f"Tags: {PORT} is {names.quoted(text)}; it must be the number of a port.")
    return asked_port(int(text), desired.engine, desired.shape is Shape.CLUSTERED)


async def _placed(context: Context, desired: GroupDesired, name: str) -> GroupDesired:
    """Nodes whose zone is among the new group's stay where they are; the others go to the zone that their shard uses least."""
    usable = await subnet_group_zones(context, name)
    vpcs = [await vpc_of_subnet_group(context, group) for group in (desired.subnet_group, name)]
    if len(set(vpcs)) > 1:
        raise invalid_combination(
            f"Tags: {SUBNET_GROUP} is {names.quoted(name)}, which is of {vpcs[1]}, and the cache of {vpcs[0]}; it cannot go to "
            "another VPC."
        )
    shards = tuple(_shard(shard, usable, number) for number, shard in enumerate(desired.shards))
    if desired.multi_az:
        check_multi_az([[node.zone for node in shard.nodes] for shard in shards])
    return replace(desired, subnet_group=name, shards=shards)


def _shard(shard: DesiredShard, usable: tuple[str, ...], number: int) -> DesiredShard:
    kept = [node.zone if node.zone in usable else "" for node in shard.nodes]
    zones = fill(kept, len(kept), usable, number)
    nodes = tuple(replace(node, zone=zone) for node, zone in zip(shard.nodes, zones, strict=True))
    return replace(shard, nodes=nodes)
