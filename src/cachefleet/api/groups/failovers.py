"""TestFailover: a planned hand-over of one shard's primary role to any of its replicas, with a daily quota (reference 3.2).

Writes desired state and the event that tells of it; the planner does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachefleet.api.context import Context
from cachefleet.api.groups.group_rows import load_group
from cachefleet.api.groups.group_state import require_available
from cachefleet.api.groups.handovers import handed_over, is_headless, require_heir
from cachefleet.api.groups.replication_group_views import group_view
from cachefleet.api.names import node_group_id
from cachefleet.api.registry import operation
from cachefleet.api.rows import leave_word
from cachefleet.model.errors import AwsError
from cachefleet.model.group import DesiredShard
from cachefleet.model.plan import EventDraft
from cachefleet.model.row import GroupRow

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import TestFailoverMessageTypeDef

DAY_S = 24 * 3600.0
SOURCE = "replication-group"
CALLED = "Test Failover API called for node group "  # and the node group's id (reference 8.2); the quota is counted by it


@operation("TestFailover", effective=("ReplicationGroupId", "NodeGroupId"))
async def test_failover(context: Context, request: TestFailoverMessageTypeDef) -> dict[str, Any]:
    shard_id = node_group_id(request["NodeGroupId"])
    row = await load_group(context, request["ReplicationGroupId"])
    shard = _find_shard(row, shard_id)
    require_available(row)
    require_heir(row, shard)
    row = await _write(context, handed_over(row, shard), shard)
    return {"ReplicationGroup": group_view(row)}


async def _write(context: Context, row: GroupRow, shard: DesiredShard) -> GroupRow:
    """The hand-over, and the event that tells of it. The quota is counted by these events, before this one is added and while
    nobody else can add one. Raises APICallRateForCustomerExceeded, Conflict."""
    now, quota = context.clock.now(), context.settings.api.test_failovers_per_day
    async with context.store.transaction() as transaction:
        called = await transaction.count_events(context.scope, since=now - DAY_S, source_type=SOURCE, beginning=CALLED)
        if called >= quota and not is_headless(row, shard):  # then it is no test: the shard has no other way to a primary
            raise AwsError(
                "APICallRateForCustomerExceeded",
                f"TestFailover was called {called} times within 24 hours in this region; {quota} are allowed (setting "
                "api.test_failovers_per_day).",
            )
        stored: GroupRow = await transaction.update(row)
        await transaction.add_events(context.scope, now, [EventDraft(SOURCE, row.key.name, CALLED + shard.shard_id)])
        await leave_word(context, transaction, stored.key)
    context.wake(stored.key)
    return stored


def _find_shard(row: GroupRow, shard_id: str) -> DesiredShard:
    found = next((shard for shard in row.desired.shards if shard.shard_id == shard_id), None)
    if found is None:
        known = ", ".join(shard.shard_id for shard in row.desired.shards[:5])
        more = " ..." if len(row.desired.shards) > 5 else ""
        raise AwsError(
            "NodeGroupNotFoundFault", f"Replication group {row.key.name} has no node group {shard_id}; it has {known}{more}."
        )
    return found
