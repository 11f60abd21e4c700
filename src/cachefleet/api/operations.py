"""Importing this module registers every operation that is built. A new noun is added here."""

from cachefleet.api import (
    cache_cluster_creation,
    cache_cluster_modification,
    cache_clusters,
    engine_versions,
    events,
    failovers,
    node_type_modifications,
    parameter_groups,
    replica_counts,
    replication_group_creation,
    replication_group_modification,
    replication_groups,
    shard_configuration,
    sts,
    subnet_groups,
    tags,
)

__all__ = [
    "cache_cluster_creation",
    "cache_cluster_modification",
    "cache_clusters",
    "engine_versions",
    "events",
    "failovers",
    "node_type_modifications",
    "parameter_groups",
    "replica_counts",
    "replication_group_creation",
    "replication_group_modification",
    "replication_groups",
    "shard_configuration",
    "sts",
    "subnet_groups",
    "tags",
]
