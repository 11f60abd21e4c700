"""As walks.py, of deletions and of what only reads."""

from __future__ import annotations

from tests.component.rules.walks_of_changes import PAGES, Walk, added
from tests.component.rules.world import ARN, OFFERING
from tests.fixtures.gateway import NOW

DELETIONS = {
    "DeleteCacheCluster": Walk({"CacheClusterId": "alone"}, {"CacheClusterId": "hidden", "FinalSnapshotIdentifier": "last"}),
    "DeleteReplicationGroup": Walk(
        {"ReplicationGroupId": "demo"},
        {"ReplicationGroupId": "safe", "FinalSnapshotIdentifier": "last"},
        {"RetainPrimaryCluster": added({"ReplicationGroupId": "demo"}, RetainPrimaryCluster=True)},
    ),
    "DeleteCacheParameterGroup": Walk({"CacheParameterGroupName": "mine"}, {"CacheParameterGroupName": "yours"}),
    "DeleteCacheSubnetGroup": Walk({"CacheSubnetGroupName": "mine"}, {"CacheSubnetGroupName": "yours"}),
    "DeleteSnapshot": Walk({"SnapshotName": "nightly"}, {"SnapshotName": "weekly"}),
    "DeleteUser": Walk({"UserId": "writer"}, {"UserId": "loner"}),
    "DeleteUserGroup": Walk({"UserGroupId": "others"}, {}, {}, {"UserGroupId": "team"}),
}
HOUR_AGO = NOW
OFFERED = {
    "ReservedCacheNodesOfferingId": OFFERING,
    "CacheNodeType": "cache.t4g.micro",
    "Duration": "1",
    "ProductDescription": "valkey",
    "OfferingType": "No Upfront",
}
LISTS = {
    "DescribeCacheClusters": Walk(
        {},
        {"CacheClusterId": "mem", "ShowCacheNodeInfo": True},
        {"ShowCacheClustersNotInReplicationGroups": added({}, ShowCacheClustersNotInReplicationGroups=True)},
        PAGES,
    ),
    "DescribeCacheEngineVersions": Walk(
        {},
        {"Engine": "valkey", "EngineVersion": "9.1", "CacheParameterGroupFamily": "valkey9", "DefaultOnly": True},
        {},
        PAGES,
    ),
    "DescribeCacheParameterGroups": Walk({}, {"CacheParameterGroupName": "default.redis7"}, {}, PAGES),
    "DescribeCacheParameters": Walk(
        {"CacheParameterGroupName": "default.valkey9"},
        {"CacheParameterGroupName": "default.redis7", "Source": "user"},
        {},
        PAGES,
    ),
    "DescribeCacheSubnetGroups": Walk({}, {"CacheSubnetGroupName": "mine"}, {}, PAGES),
    "DescribeCacheSecurityGroups": Walk({}, {}, {}, {"CacheSecurityGroupName": "nope", **PAGES}),
    "DescribeEngineDefaultParameters": Walk(
        {"CacheParameterGroupFamily": "valkey9"}, {"CacheParameterGroupFamily": "redis7"}, {}, PAGES
    ),
    "DescribeEvents": Walk(
        {"Duration": 120},
        {"SourceIdentifier": "reader", "SourceType": "user", "Duration": 30},
        {
            "StartTime": added({}, StartTime=HOUR_AGO + 1),
            "EndTime": added({"Duration": 120}, EndTime=HOUR_AGO - 1),
        },
        PAGES,
    ),
    "DescribeReplicationGroups": Walk({}, {"ReplicationGroupId": "demo"}, {}, PAGES),
    "DescribeReservedCacheNodes": Walk({}, {"ReservedCacheNodeId": "mine", **OFFERED}, {}, PAGES),
    "DescribeReservedCacheNodesOfferings": Walk({}, OFFERED, {}, PAGES),
    "DescribeSnapshots": Walk(
        {},
        {"ReplicationGroupId": "safe", "CacheClusterId": "demo-001", "SnapshotSource": "system", "ShowNodeGroupConfig": True},
        {"SnapshotName": added({}, SnapshotName="nightly")},
        PAGES,
    ),
    "DescribeUserGroups": Walk({}, {"UserGroupId": "team"}, {}, PAGES),
    "DescribeUsers": Walk(
        {}, {"Engine": "valkey", "UserId": "loner", "Filters": [{"Name": "user-name", "Values": ["loner"]}]}, {}, PAGES
    ),
    "ListAllowedNodeTypeModifications": Walk(
        {"ReplicationGroupId": "demo"},
        {},
        {"CacheClusterId": ({"ReplicationGroupId": "demo"}, {"CacheClusterId": "mem"})},
        {"ReplicationGroupId": "nope"},
    ),
    "ListTagsForResource": Walk(
        {"ResourceName": f"{ARN}replicationgroup:demo"}, {"ResourceName": f"{ARN}replicationgroup:safe"}
    ),
}
