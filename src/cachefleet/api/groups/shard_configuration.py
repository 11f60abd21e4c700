"""ModifyReplicationGroupShardConfiguration: more shards, fewer, or other slots for the same ones (reference 1.3, 3.3, 13.2).

Writes desired state only: who shall own which slots. The planner starts shards, moves slots and takes emptied shards away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.groups.cluster_mode_change import refuse_while_compatible
from cachefleet.api.groups.group_nodes import require_immediate, with_nodes
from cachefleet.api.groups.group_rows import Change, load_group, update_group
from cachefleet.api.groups.group_state import require_available, require_one_minor_version
from cachefleet.api.groups.handovers import is_headless, require_settled
from cachefleet.api.groups.new_members import check_node_quota, new_nodes
from cachefleet.api.groups.placement import check_multi_az
from cachefleet.api.groups.replication_group_topology import Place
from cachefleet.api.groups.replication_group_views import group_view
from cachefleet.api.groups.room_for_data import require_room
from cachefleet.api.groups.shard_changes import COUNT, GONE, KEPT, NEW, ShardChange, read_change
from cachefleet.api.groups.shard_slots import books, is_balanced
from cachefleet.api.networks.subnet_groups import subnet_group_zones
from cachefleet.api.parameters.parameter_group_rows import values_of
from cachefleet.api.registry import operation
from cachefleet.api.tag_rules import BALANCE, is_balanced_by_load
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.group import DesiredShard, Shape, SlotRanges
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow
from cachefleet.planning import slot_targets
from cachefleet.reference.zones import zones

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import ModifyReplicationGroupShardConfigurationMessageTypeDef

UNIFORM = "Slots in the replication group are uniformly distributed. Nothing to do."  # reference 3.3


@operation(
    "ModifyReplicationGroupShardConfiguration",
    effective=("ReplicationGroupId", COUNT, "ApplyImmediately", NEW, GONE, KEPT),
)
async def modify_replication_group_shard_configuration(
    context: Context, request: ModifyReplicationGroupShardConfigurationMessageTypeDef
) -> dict[str, Any]:
    require_immediate(request["ApplyImmediately"], "shards")
    row = await load_group(context, request["ReplicationGroupId"])
    if row.desired.shape is not Shape.CLUSTERED:
        raise invalid_combination(
            f"{COUNT}: replication group {row.key.name} has cluster mode disabled, and so one shard; "
            "shards can be changed when cluster mode is enabled."
        )
    _require_still(row)  # what a number asks for depends on it
    usable = await subnet_group_zones(context, row.desired.subnet_group)
    place = Place(usable, zones(context.scope.region), row.desired.multi_az)
    asked = read_change(row.desired.shards, _half_gone(row), request, place, context.settings.api.shards_per_group)
    if asked.new:
        change = _and_by_load(context, await _grown(context, row, asked))
    elif asked.leaving:
        change = _and_by_load(context, await _shrunk(context, row, asked.leaving))
    else:
        change = _rebalanced_by_load(context, row) if is_balanced_by_load(row.tags) else _rebalanced(row)
    return {"ReplicationGroup": group_view(await update_group(context, change))}


def _half_gone(row: GroupRow) -> set[str]:
    """Ids of shards that are out of the group and of which something is left."""
    return {*row.memory.shards, *row.memory.slots} - {shard.shard_id for shard in row.desired.shards}


def _require_still(row: GroupRow) -> None:
    """Nothing else is under way in the group, and every shard has a primary. Raises InvalidReplicationGroupState."""
    require_available(row)
    require_one_minor_version(row)
    refuse_while_compatible(row)
    for shard in row.desired.shards:
        if is_headless(row, shard):
            raise AwsError(
                "InvalidReplicationGroupState",
                f"Node group {shard.shard_id} of replication group {row.key.name} has no primary; promote a replica with "
                "TestFailover first.",
            )
    require_settled(row)
    if row.memory.moves or any(shard.leaving for shard in row.desired.shards):
        raise AwsError(
            "InvalidReplicationGroupState",
            f"Slots of replication group {row.key.name} are being moved; wait until it is available.",
        )


# --- what becomes of the row ---------------------------------------------------------------------------------------


async def _grown(context: Context, row: GroupRow, asked: ShardChange) -> Change:
    """Raises InvalidParameterCombination, NodeQuotaForCustomerExceeded."""
    more = sum(map(len, asked.new.values()))
    check_node_quota(context, row, more)
    if row.desired.multi_az:
        check_multi_az(list(asked.new.values()))
    new = [
        DesiredShard(shard_id, tuple(await new_nodes(context, row, shard_id, places))) for shard_id, places in asked.new.items()
    ]
    shards = sorted((*row.desired.shards, *new), key=lambda shard: shard.shard_id)
    changed = replace(row, desired=replace(row.desired, shards=tuple(shards)))
    changed = _with_slots(changed, slot_targets.grown(books(row), asked.new))
    members = tuple(node.name for node in changed.desired.nodes)
    told = f"Adding node groups {', '.join(asked.new)} to replication group {row.key.name}"
    return Change(changed, members, more, (_event(row, told),))


async def _shrunk(context: Context, row: GroupRow, leaving: tuple[str, ...]) -> Change:
    """Raises InvalidParameterValue."""
    values = await values_of(context, row.desired.parameter_group)
    require_room(row, leaving, context.settings.node_types, values)
    shards = tuple(replace(shard, leaving=shard.shard_id in leaving) for shard in row.desired.shards)
    changed = replace(row, desired=replace(row.desired, shards=shards))
    told = f"Removing node groups {', '.join(leaving)} from replication group {row.key.name}"
    return Change(_with_slots(changed, slot_targets.shrunk(books(row), leaving)), events=(_event(row, told),))


def _rebalanced(row: GroupRow) -> Change:
    """Raises InvalidReplicationGroupState."""
    present = books(row)
    if is_balanced(present):
        raise AwsError("InvalidReplicationGroupState", UNIFORM)
    told = f"Rebalancing slots of replication group {row.key.name}"
    return Change(_with_slots(row, slot_targets.balanced(present)), events=(_event(row, told),))


def _rebalanced_by_load(context: Context, row: GroupRow) -> Change:
    """The planner measures the load; whether there is anything to do is told in an event. Raises InvalidReplicationGroupState,
    InvalidParameterCombination."""
    desired = row.desired
    if len(desired.shards) < 2:
        raise AwsError("InvalidReplicationGroupState", UNIFORM)
    if not _tells_load(context, row):
        raise invalid_combination(
            f"{COUNT}: {row.key.name} has the tag {BALANCE}, but {desired.engine} {desired.engine_version} does not tell the "
            "load of slots; upgrade to Valkey 8.0 or later, or remove the tag for equal numbers of slots."
        )
    changed = replace(row, desired=replace(desired, rebalances=desired.rebalances + 1))
    told = f"Measuring the load of slots of replication group {row.key.name}"
    return Change(with_nodes(changed, {}), events=(_event(row, told),))


def _and_by_load(context: Context, change: Change) -> Change:
    """Shards that come or go move equal numbers of slots; in a group that is balanced by load that is done afterwards."""
    row = change.row
    staying = [shard for shard in row.desired.shards if not shard.leaving]
    if not is_balanced_by_load(row.tags) or len(staying) < 2 or not _tells_load(context, row):
        return change
    return replace(change, row=replace(row, desired=replace(row.desired, rebalances=row.desired.rebalances + 1)))


def _tells_load(context: Context, row: GroupRow) -> bool:
    build = context.catalogue.exact(row.desired.engine, row.desired.engine_version)
    return build is not None and "slot-stats" in build.capabilities


def _with_slots(row: GroupRow, targets: Mapping[str, SlotRanges]) -> GroupRow:
    """The row, being modified, with these slots as targets."""
    shards = tuple(replace(shard, slots=targets[shard.shard_id]) for shard in row.desired.shards)
    return with_nodes(replace(row, desired=replace(row.desired, shards=shards)), {})


def _event(row: GroupRow, message: str) -> EventDraft:
    return EventDraft("replication-group", row.key.name, message)
