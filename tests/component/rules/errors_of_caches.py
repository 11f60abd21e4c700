"""How each declared error of the operations on clusters and replication groups is provoked: what there is, what is asked."""

from __future__ import annotations

from typing import Any

from tests.component.api_groups.stage import NODE_TYPE
from tests.component.rules.stage import (
    CLUSTER,
    Request,
    Setup,
    alone,
    both,
    changing,
    full,
    group,
    handed_over,
    limits,
    member,
    memcached,
    nothing,
    of_a_type_that_is_gone,
    snapshot,
    state,
    then,
    with_tls,
)

Cases = dict[str, dict[str, tuple[Setup, Request]]]  # by operation and code

NAME: dict[str, Any] = {"ReplicationGroupId": "demo"}
NONE: dict[str, Any] = {"ReplicationGroupId": "nope"}
NOW: dict[str, Any] = {"ApplyImmediately": True}
NEW: dict[str, Any] = {**NAME, "ReplicationGroupDescription": "d", "CacheNodeType": NODE_TYPE}
ALONE: dict[str, Any] = {"CacheClusterId": "alone", "CacheNodeType": NODE_TYPE}
ITS: dict[str, Any] = {"CacheClusterId": "alone"}
MEM: dict[str, Any] = {"CacheClusterId": "mem"}
TAGS = {"Tags": [{"Key": f"key-{number}"} for number in range(51)]}
TLS = {"TransitEncryptionEnabled": True}
LARGE = "cache.r7g.large"
GROUP, SHARDED = group(), group(NumNodeGroups=2, ReplicasPerNodeGroup=1)
SAFE = group(AutomaticFailoverEnabled=True)
BUSY = both(GROUP, state("modifying"))
NO_GROUP = (nothing, {**NONE, **NOW})


CLUSTERS: Cases = {
    "CreateCacheCluster": {
        "ReplicationGroupNotFoundFault": (nothing, {"CacheClusterId": "more", **NONE}),
        "InvalidReplicationGroupState": (BUSY, {"CacheClusterId": "more", **NAME}),
        "CacheClusterAlreadyExists": (alone(), ALONE),
        "InsufficientCacheClusterCapacity": (full, ALONE),
        "CacheSubnetGroupNotFoundFault": (nothing, {**ALONE, "CacheSubnetGroupName": "nope"}),
        "ClusterQuotaForCustomerExceeded": (both(memcached, limits(clusters=1)), ALONE),
        "NodeQuotaForClusterExceeded": (nothing, {**ALONE, "Engine": "memcached", "NumCacheNodes": 41}),
        "NodeQuotaForCustomerExceeded": (both(memcached, limits(nodes=2)), ALONE),
        "CacheParameterGroupNotFound": (nothing, {**ALONE, "CacheParameterGroupName": "nope"}),
        "TagQuotaPerResourceExceeded": (nothing, {**ALONE, **TAGS}),
        "InvalidParameterValue": (nothing, {**ALONE, "CacheClusterId": "a--b"}),
        "InvalidParameterCombination": (GROUP, {"CacheClusterId": "more", **NAME, "Port": 7000}),
    },
    "DeleteCacheCluster": {
        "CacheClusterNotFound": (nothing, ITS),
        "InvalidCacheClusterState": (GROUP, {"CacheClusterId": "demo-001"}),
        "SnapshotAlreadyExistsFault": (both(snapshot, alone()), {**ITS, "FinalSnapshotIdentifier": "nightly"}),
        "SnapshotFeatureNotSupportedFault": (memcached, {**MEM, "FinalSnapshotIdentifier": "last"}),
        "SnapshotQuotaExceededFault": (
            both(
                alone(),
                then("CreateSnapshot", SnapshotName="first", CacheClusterId="alone"),
                state("available", "alone", CLUSTER),
                limits(snapshots_per_day=1),
            ),
            {**ITS, "FinalSnapshotIdentifier": "last"},
        ),
        "InvalidParameterValue": (SAFE, {"CacheClusterId": "demo-002"}),
        "InvalidParameterCombination": (GROUP, {"CacheClusterId": "demo-002", "FinalSnapshotIdentifier": "last"}),
    },
    "DescribeCacheClusters": {
        "CacheClusterNotFound": (nothing, {"CacheClusterId": "nope"}),
        "InvalidParameterValue": (nothing, {"MaxRecords": 19}),
    },
    "ListAllowedNodeTypeModifications": {
        "CacheClusterNotFound": (nothing, {"CacheClusterId": "nope"}),
        "ReplicationGroupNotFoundFault": (nothing, NONE),
        "InvalidParameterCombination": (nothing, {}),
        "InvalidParameterValue": (of_a_type_that_is_gone, NAME),
    },
    "ModifyCacheCluster": {
        "InvalidCacheClusterState": (both(memcached, state("modifying", "mem", CLUSTER)), {**MEM, **NOW, "NumCacheNodes": 3}),
        "InsufficientCacheClusterCapacity": (both(memcached, full), {**MEM, **NOW, "NumCacheNodes": 3}),
        "CacheClusterNotFound": (nothing, MEM),
        "NodeQuotaForClusterExceeded": (memcached, {**MEM, "NumCacheNodes": 41}),
        "NodeQuotaForCustomerExceeded": (both(memcached, limits(nodes=2)), {**MEM, "NumCacheNodes": 3}),
        "CacheParameterGroupNotFound": (memcached, {**MEM, "CacheParameterGroupName": "nope"}),
        "InvalidParameterValue": (memcached, {**MEM, "PreferredMaintenanceWindow": "now"}),
        "InvalidParameterCombination": (memcached, {**MEM, "NumCacheNodes": 1}),
    },
    "RebootCacheCluster": {
        "InvalidCacheClusterState": (
            SHARDED,
            {"CacheClusterId": "demo-0001-001", "CacheNodeIdsToReboot": ["0001"]},
        ),
        "CacheClusterNotFound": (nothing, {"CacheClusterId": "nope", "CacheNodeIdsToReboot": ["0001"]}),
    },
}
GROUPS: Cases = {
    "CreateReplicationGroup": {
        "CacheClusterNotFound": (nothing, {**NAME, "ReplicationGroupDescription": "d", "PrimaryClusterId": "nope"}),
        "InvalidCacheClusterState": (
            both(alone(), state("modifying", "alone", CLUSTER)),
            {**NAME, "ReplicationGroupDescription": "d", "PrimaryClusterId": "alone"},
        ),
        "ReplicationGroupAlreadyExists": (GROUP, NEW),
        "InvalidUserGroupState": (changing, {**NEW, **TLS, "ReplicationGroupId": "second", "UserGroupIds": ["team"]}),
        "UserGroupNotFound": (with_tls, {**NEW, **TLS, "UserGroupIds": ["nope"]}),
        "InsufficientCacheClusterCapacity": (full, NEW),
        "CacheSubnetGroupNotFoundFault": (nothing, {**NEW, "CacheSubnetGroupName": "nope"}),
        "ClusterQuotaForCustomerExceeded": (limits(clusters=1), {**NEW, "NumCacheClusters": 2}),
        "NodeQuotaForClusterExceeded": (limits(nodes_per_group=3), {**NEW, "NumNodeGroups": 2, "ReplicasPerNodeGroup": 1}),
        "NodeQuotaForCustomerExceeded": (limits(nodes=1), {**NEW, "NumCacheClusters": 2}),
        "CacheParameterGroupNotFound": (nothing, {**NEW, "CacheParameterGroupName": "nope"}),
        "TagQuotaPerResourceExceeded": (nothing, {**NEW, **TAGS}),
        "NodeGroupsPerReplicationGroupQuotaExceeded": (nothing, {**NEW, "NumNodeGroups": 91}),
        "InvalidParameterValue": (nothing, {**NEW, "NumCacheClusters": 7}),
        "InvalidParameterCombination": (nothing, {**NEW, "MultiAZEnabled": True}),
    },
    "DecreaseReplicaCount": {
        "ReplicationGroupNotFoundFault": (nothing, {**NONE, **NOW, "NewReplicaCount": 1}),
        "InvalidReplicationGroupState": (BUSY, {**NAME, **NOW, "NewReplicaCount": 0}),
        "NoOperationFault": (GROUP, {**NAME, **NOW, "NewReplicaCount": 1}),
        "InvalidParameterValue": (GROUP, {**NAME, **NOW, "ReplicasToRemove": ["demo-001"]}),
        "InvalidParameterCombination": (GROUP, {**NAME, **NOW, "NewReplicaCount": 0, "ReplicasToRemove": ["demo-002"]}),
    },
    "DeleteReplicationGroup": {
        "ReplicationGroupNotFoundFault": (nothing, NONE),
        "InvalidReplicationGroupState": (both(GROUP, then("DeleteReplicationGroup", **NAME)), NAME),
        "SnapshotAlreadyExistsFault": (snapshot, {**NAME, "FinalSnapshotIdentifier": "nightly"}),
        "SnapshotFeatureNotSupportedFault": (
            group(CacheNodeType="cache.t1.micro"),
            {**NAME, "FinalSnapshotIdentifier": "last"},
        ),
        "SnapshotQuotaExceededFault": (
            both(snapshot, limits(snapshots_per_day=1)),
            {**NAME, "FinalSnapshotIdentifier": "last"},
        ),
        "InvalidParameterValue": (GROUP, {**NAME, "FinalSnapshotIdentifier": "a--b"}),
        "InvalidParameterCombination": (
            GROUP,
            {**NAME, "FinalSnapshotIdentifier": "last", "RetainPrimaryCluster": True},
        ),
    },
    "DescribeReplicationGroups": {
        "ReplicationGroupNotFoundFault": (nothing, NONE),
        "InvalidParameterValue": (nothing, {"MaxRecords": 101}),
    },
    "IncreaseReplicaCount": {
        "ReplicationGroupNotFoundFault": (nothing, {**NONE, **NOW, "NewReplicaCount": 1}),
        "InvalidReplicationGroupState": (BUSY, {**NAME, **NOW, "NewReplicaCount": 2}),
        "InsufficientCacheClusterCapacity": (both(GROUP, full), {**NAME, **NOW, "NewReplicaCount": 2}),
        "ClusterQuotaForCustomerExceeded": (both(GROUP, limits(clusters=2)), {**NAME, **NOW, "NewReplicaCount": 2}),
        "NodeQuotaForCustomerExceeded": (both(GROUP, limits(nodes=2)), {**NAME, **NOW, "NewReplicaCount": 2}),
        "NoOperationFault": (GROUP, {**NAME, **NOW, "NewReplicaCount": 1}),
        "InvalidParameterValue": (GROUP, {**NAME, **NOW, "NewReplicaCount": 6}),
        "InvalidParameterCombination": (GROUP, {**NAME, **NOW}),
    },
    "ModifyReplicationGroup": {
        "ReplicationGroupNotFoundFault": NO_GROUP,
        "InvalidReplicationGroupState": (BUSY, {**NAME, "ReplicationGroupDescription": "other"}),
        "InvalidUserGroupState": (
            both(changing, group("second", **TLS)),
            {"ReplicationGroupId": "second", **NOW, "UserGroupIdsToAdd": ["team"]},
        ),
        "UserGroupNotFound": (
            both(with_tls, group(**TLS)),
            {**NAME, **NOW, "UserGroupIdsToAdd": ["nope"]},
        ),
        "InvalidCacheClusterState": (both(GROUP, member("creating")), {**NAME, **NOW, "PrimaryClusterId": "demo-002"}),
        "InsufficientCacheClusterCapacity": (both(GROUP, full), {**NAME, **NOW, "CacheNodeType": LARGE}),
        "CacheClusterNotFound": (GROUP, {**NAME, "SnapshottingClusterId": "nope"}),
        "CacheParameterGroupNotFound": (GROUP, {**NAME, "CacheParameterGroupName": "nope"}),
        "InvalidParameterValue": (GROUP, {**NAME, "SnapshotRetentionLimit": 36}),
        "InvalidParameterCombination": (SHARDED, {**NAME, "AutomaticFailoverEnabled": False}),
    },
    "ModifyReplicationGroupShardConfiguration": {
        "ReplicationGroupNotFoundFault": (nothing, {**NONE, **NOW, "NodeGroupCount": 3}),
        "InvalidReplicationGroupState": (SHARDED, {**NAME, **NOW, "NodeGroupCount": 2}),
        "InsufficientCacheClusterCapacity": (both(SHARDED, full), {**NAME, **NOW, "NodeGroupCount": 3}),
        "NodeGroupsPerReplicationGroupQuotaExceeded": (SHARDED, {**NAME, **NOW, "NodeGroupCount": 91}),
        "NodeQuotaForCustomerExceeded": (both(SHARDED, limits(nodes=5)), {**NAME, **NOW, "NodeGroupCount": 3}),
        "InvalidParameterValue": (SHARDED, {**NAME, **NOW, "NodeGroupCount": 0}),
        "InvalidParameterCombination": (SHARDED, {**NAME, **NOW, "NodeGroupCount": 1}),
    },
    "TestFailover": {
        "APICallRateForCustomerExceeded": (
            both(
                SAFE,
                then("TestFailover", **NAME, NodeGroupId="0001"),
                handed_over,
                limits(test_failovers_per_day=1),
            ),
            {**NAME, "NodeGroupId": "0001"},
        ),
        "InvalidCacheClusterState": (both(SAFE, member("creating")), {**NAME, "NodeGroupId": "0001"}),
        "InvalidReplicationGroupState": (both(SAFE, state("modifying")), {**NAME, "NodeGroupId": "0001"}),
        "NodeGroupNotFoundFault": (SAFE, {**NAME, "NodeGroupId": "0002"}),
        "ReplicationGroupNotFoundFault": (nothing, {**NONE, "NodeGroupId": "0001"}),
        "TestFailoverNotAvailableFault": (GROUP, {**NAME, "NodeGroupId": "0001"}),
        "InvalidParameterValue": (SAFE, {**NAME, "NodeGroupId": "first"}),
    },
}
