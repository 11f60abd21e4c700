"""Why groups and clusters are not available, in words: what the structures of AWS have no member for. GET /status.

Reads what the controller has written down; decides nothing. Called by the gateway, for `cachefleet status`.
"""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.api.context import Context
from cachefleet.model.resource import Kind


async def reasons(context: Context) -> Mapping[str, Mapping[str, str]]:
    """Kind -> name -> why, of the caller's account and region; only of those that something keeps waiting."""
    return {
        str(kind): {row.key.name: row.status.why for row in await context.store.rows(kind, context.scope) if row.status.why}
        for kind in (Kind.REPLICATION_GROUP, Kind.CACHE_CLUSTER)
    }
