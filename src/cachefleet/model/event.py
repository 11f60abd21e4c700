"""What happened: a line of DescribeEvents, and the names by which topics are told of it (reference 8)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Event(msgspec.Struct, frozen=True):
    source_type: str
    source_id: str
    message: str
    at: float  # epoch seconds
    id: int = 0  # rises with time; set by the store


class NoticeName(StrEnum):
    """Names of notifications (reference 8.3), without their prefix `ElastiCache:`. Those of planned replacements are not among
    them, since there are none."""

    ADD_CACHE_NODE_COMPLETE = "AddCacheNodeComplete"
    ADD_CACHE_NODE_FAILED = "AddCacheNodeFailed"
    CACHE_CLUSTER_PARAMETERS_CHANGED = "CacheClusterParametersChanged"
    CACHE_CLUSTER_PROVISIONING_COMPLETE = "CacheClusterProvisioningComplete"
    CACHE_CLUSTER_PROVISIONING_FAILED = "CacheClusterProvisioningFailed"
    CACHE_CLUSTER_SCALING_COMPLETE = "CacheClusterScalingComplete"
    CACHE_CLUSTER_SCALING_FAILED = "CacheClusterScalingFailed"
    CACHE_CLUSTER_SECURITY_GROUP_MODIFIED = "CacheClusterSecurityGroupModified"
    CACHE_NODE_REPLACE_STARTED = "CacheNodeReplaceStarted"
    CACHE_NODE_REPLACE_COMPLETE = "CacheNodeReplaceComplete"
    CACHE_NODES_REBOOTED = "CacheNodesRebooted"
    CERTIFICATE_RENEWAL_COMPLETE = "CertificateRenewalComplete"
    CREATE_REPLICATION_GROUP_COMPLETE = "CreateReplicationGroupComplete"
    DELETE_CACHE_CLUSTER_COMPLETE = "DeleteCacheClusterComplete"
    FAILOVER_COMPLETE = "FailoverComplete"
    REMOVE_CACHE_NODE_COMPLETE = "RemoveCacheNodeComplete"
    INCREASE_REPLICA_COUNT_STARTED = "ReplicationGroupIncreaseReplicaCountStarted"
    INCREASE_REPLICA_COUNT_FINISHED = "ReplicationGroupIncreaseReplicaCountFinished"
    REPLICATION_GROUP_SCALING_COMPLETE = "ReplicationGroupScalingComplete"
    REPLICATION_GROUP_SCALING_FAILED = "ReplicationGroupScalingFailed"
    SERVICE_UPDATE_AVAILABLE_FOR_NODE = "ServiceUpdateAvailableForNode"
    SNAPSHOT_COMPLETE = "SnapshotComplete"
    SNAPSHOT_FAILED = "SnapshotFailed"
