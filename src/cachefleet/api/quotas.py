"""How many cache clusters and nodes an account may have in a region (reference 3.2): counted in the transaction that adds some.

Called by the writers of group rows. Quotas of one group or cluster are in the modules that read what is asked for.
"""

from __future__ import annotations

from cachefleet.api.context import Context
from cachefleet.interfaces import Transaction
from cachefleet.model.errors import AwsError
from cachefleet.model.group import GroupDesired
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.row import GroupRow
from cachefleet.planning.pending import applied


async def refuse_more_nodes(context: Context, transaction: Transaction, row: GroupRow, before: GroupDesired | None) -> None:
    """row: as it shall be; before: what there is of it, None for a new one. Called before the first write: two that add nodes
    at the same time count one after the other. Raises NodeQuotaForCustomerExceeded, ClusterQuotaForCustomerExceeded."""
    nodes, clusters = _nodes(row.desired), _clusters(row.key.kind, row.desired)
    if before is not None and nodes <= _nodes(before):
        return
    await transaction.take_turn()
    others = [other for kind in GROUP_KINDS for other in await context.store.rows(kind, context.scope) if other.key != row.key]
    limits = context.settings.api
    nodes += sum(_nodes(other.desired) for other in others)
    if nodes > limits.nodes:
        raise AwsError(
            "NodeQuotaForCustomerExceeded",
            f"Customer node quota exceeded: there would be {nodes} nodes in this region, and {limits.nodes} are allowed "
            "(setting api.nodes). Delete some that are not needed, or ask who runs this service for more.",
        )
    clusters += sum(_clusters(other.key.kind, other.desired) for other in others)
    if clusters > limits.clusters:
        raise AwsError(
            "ClusterQuotaForCustomerExceeded",
            f"There would be {clusters} cache clusters in this region, and {limits.clusters} are allowed (setting "
            "api.clusters). Delete some that are not needed, or ask who runs this service for more.",
        )


def _nodes(desired: GroupDesired) -> int:
    """At present or with what is pending, whichever is more: what was accepted must not be one too many later."""
    if desired.pending is None:
        return len(desired.nodes)
    return max(len(desired.nodes), len(applied(desired, desired.pending, 0.0).nodes))


def _clusters(kind: Kind, desired: GroupDesired) -> int:
    """As DescribeCacheClusters lists them: each node of a replication group is one."""
    return len(desired.nodes) if kind is Kind.REPLICATION_GROUP else 1
