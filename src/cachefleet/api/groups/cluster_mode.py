"""Whether a new replication group is partitioned (cluster mode enabled), from ClusterMode, the parameter group and the shards.

Pure. Called by CreateReplicationGroup.
"""

from __future__ import annotations

from cachefleet.api.names import quoted
from cachefleet.model.errors import invalid_combination, invalid_value


def asked_mode(value: str | None) -> bool | None:
    """What ClusterMode says; None when it says nothing. Raises InvalidParameterValue."""
    if not value:
        return None
    if value == "compatible":
        raise invalid_value("ClusterMode: compatible is not implemented yet; use enabled or disabled.")
    if value not in ("enabled", "disabled"):
        raise invalid_value(f"ClusterMode: {quoted(value)} must be enabled or disabled.")
    return value == "enabled"


def is_clustered(mode: bool | None, group: str, group_is_on: bool | None, shards: int) -> bool:
    """group, group_is_on: the parameter group that the request names and whether it has cluster-enabled=yes; None when it names
    none. Raises InvalidParameterCombination when they contradict each other; several shards without cluster mode are refused by
    topology."""
    if group_is_on is None:
        wanted = shards > 1 if mode is None else mode
    else:
        wanted = group_is_on
        if mode is not None and mode != group_is_on:
            raise invalid_combination(
                f"CacheParameterGroupName: {group} has cluster-enabled={'yes' if group_is_on else 'no'}, but ClusterMode is "
                f"{'enabled' if mode else 'disabled'}."
            )
    return wanted
