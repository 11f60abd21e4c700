"""How each declared error of the operations on everything but clusters and replication groups is provoked."""

from __future__ import annotations

from typing import Any

from tests.component.rules.errors_of_caches import TAGS, Cases
from tests.component.rules.stage import (
    CLUSTER,
    SUBNET_IDS,
    alone,
    both,
    changing,
    group,
    in_use,
    limits,
    memcached,
    nothing,
    snapshot,
    state,
    then,
    user,
    user_group,
)
from tests.component.rules.world import OFFERING

PASSWORD = "a-password-of-16"
USER: dict[str, Any] = {
    "UserId": "reader",
    "UserName": "reader",
    "Engine": "redis",
    "AccessString": "on ~* +@all",
    "Passwords": [PASSWORD],
}
TEAM: dict[str, Any] = {"UserGroupId": "team"}
NEW_TEAM: dict[str, Any] = {**TEAM, "Engine": "redis", "UserIds": ["default"]}
SUBNETS: dict[str, Any] = {
    "CacheSubnetGroupName": "mine",
    "CacheSubnetGroupDescription": "d",
    "SubnetIds": SUBNET_IDS[:2],
}
OURS: dict[str, Any] = {"CacheSubnetGroupName": "mine"}
SUBNET_GROUP = then("CreateCacheSubnetGroup", **SUBNETS)
NIGHTLY: dict[str, Any] = {"SnapshotName": "nightly", "ReplicationGroupId": "demo"}
MAKING = both(group(), then("CreateSnapshot", **NIGHTLY))
COPY: dict[str, Any] = {"SourceSnapshotName": "nightly", "TargetSnapshotName": "copy"}
LEGACY: dict[str, Any] = {"CacheSecurityGroupName": "nope"}
PEER: dict[str, Any] = {**LEGACY, "EC2SecurityGroupName": "g", "EC2SecurityGroupOwnerId": "000000000000"}

SNAPSHOTS: Cases = {
    "CopySnapshot": {
        "SnapshotAlreadyExistsFault": (snapshot, {**COPY, "TargetSnapshotName": "nightly"}),
        "SnapshotNotFoundFault": (nothing, COPY),
        "InvalidSnapshotState": (MAKING, COPY),
        "TagQuotaPerResourceExceeded": (snapshot, {**COPY, **TAGS}),
        "InvalidParameterValue": (snapshot, {**COPY, "TargetSnapshotName": "a--b"}),
        "InvalidParameterCombination": (snapshot, {**COPY, "TargetBucket": "bucket", "KmsKeyId": "alias/mine"}),
    },
    "CreateSnapshot": {
        "SnapshotAlreadyExistsFault": (snapshot, NIGHTLY),
        "CacheClusterNotFound": (nothing, {"SnapshotName": "nightly", "CacheClusterId": "nope"}),
        "ReplicationGroupNotFoundFault": (nothing, NIGHTLY),
        "InvalidCacheClusterState": (
            both(alone(), state("modifying", "alone", CLUSTER)),
            {"SnapshotName": "nightly", "CacheClusterId": "alone"},
        ),
        "InvalidReplicationGroupState": (both(group(), state("modifying")), NIGHTLY),
        "SnapshotQuotaExceededFault": (both(snapshot, limits(snapshots_per_day=1)), {**NIGHTLY, "SnapshotName": "more"}),
        "SnapshotFeatureNotSupportedFault": (memcached, {"SnapshotName": "nightly", "CacheClusterId": "mem"}),
        "TagQuotaPerResourceExceeded": (group(), {**NIGHTLY, **TAGS}),
        "InvalidParameterCombination": (group(), {"SnapshotName": "nightly"}),
        "InvalidParameterValue": (group(), {**NIGHTLY, "SnapshotName": "a--b"}),
    },
    "DeleteSnapshot": {
        "SnapshotNotFoundFault": (nothing, {"SnapshotName": "nope"}),
        "InvalidSnapshotState": (MAKING, {"SnapshotName": "nightly"}),
    },
    "DescribeSnapshots": {
        "CacheClusterNotFound": (nothing, {"CacheClusterId": "nope"}),
        "SnapshotNotFoundFault": (nothing, {"SnapshotName": "nope"}),
        "InvalidParameterValue": (nothing, {"SnapshotSource": "anybody"}),
    },
}
USERS: Cases = {
    "CreateUser": {
        "UserAlreadyExists": (user(), USER),
        "UserQuotaExceeded": (both(user("other"), limits(users=1)), USER),
        "InvalidParameterValue": (nothing, {**USER, "UserId": "1"}),
        "InvalidParameterCombination": (nothing, {**USER, "NoPasswordRequired": True}),
        "TagQuotaPerResourceExceeded": (nothing, {**USER, **TAGS}),
    },
    "CreateUserGroup": {
        "UserNotFound": (nothing, {**NEW_TEAM, "UserIds": ["default", "nope"]}),
        "DuplicateUserName": (
            both(user(), user("second", UserName="reader")),
            {**NEW_TEAM, "UserIds": ["default", "reader", "second"]},
        ),
        "UserGroupAlreadyExists": (user_group(), NEW_TEAM),
        "DefaultUserRequired": (user(), {**NEW_TEAM, "UserIds": ["reader"]}),
        "UserGroupQuotaExceeded": (both(user_group(), limits(user_groups=1)), {**NEW_TEAM, "UserGroupId": "more"}),
        "InvalidParameterValue": (nothing, {**NEW_TEAM, "Engine": "memcached"}),
        "TagQuotaPerResourceExceeded": (nothing, {**NEW_TEAM, **TAGS}),
    },
    "DeleteUser": {
        "InvalidUserState": (changing, {"UserId": "writer"}),
        "UserNotFound": (nothing, {"UserId": "nope"}),
        "DefaultUserAssociatedToUserGroup": (user_group(), {"UserId": "default"}),
    },
    "DeleteUserGroup": {
        "UserGroupNotFound": (nothing, {"UserGroupId": "nope"}),
        "InvalidUserGroupState": (in_use, TEAM),
    },
    "DescribeUserGroups": {"UserGroupNotFound": (nothing, {"UserGroupId": "nope"})},
    "DescribeUsers": {
        "UserNotFound": (nothing, {"UserId": "nope"}),
        "InvalidParameterCombination": (nothing, {"Filters": [{"Name": "color", "Values": ["red"]}]}),
    },
    "ModifyUser": {
        "UserNotFound": (nothing, {"UserId": "nope"}),
        "InvalidUserState": (nothing, {"UserId": "default", "AccessString": "on ~* +@all"}),
        "InvalidParameterValue": (user(), {"UserId": "reader", "AccessString": " "}),
        "InvalidParameterCombination": (
            user(),
            {"UserId": "reader", "AccessString": "on ~* +@all", "AppendAccessString": "+get"},
        ),
    },
    "ModifyUserGroup": {
        "UserGroupNotFound": (nothing, {"UserGroupId": "nope", "UserIdsToAdd": ["default"]}),
        "UserNotFound": (user_group(), {**TEAM, "UserIdsToAdd": ["nope"]}),
        "DuplicateUserName": (
            both(user(), user("second", UserName="reader"), user_group("reader")),
            {**TEAM, "UserIdsToAdd": ["second"]},
        ),
        "DefaultUserRequired": (both(user(), user_group("reader")), {**TEAM, "UserIdsToRemove": ["default"]}),
        "InvalidUserGroupState": (changing, {**TEAM, "UserIdsToRemove": ["reader"]}),
        "InvalidParameterValue": (user_group(), {**TEAM, "UserIdsToAdd": ["default"]}),
        "InvalidParameterCombination": (user_group(), TEAM),
    },
}
SUBNET_GROUPS: Cases = {
    "CreateCacheSubnetGroup": {
        "CacheSubnetGroupAlreadyExists": (SUBNET_GROUP, SUBNETS),
        "CacheSubnetGroupQuotaExceeded": (
            both(SUBNET_GROUP, limits(subnet_groups=1)),
            {**SUBNETS, "CacheSubnetGroupName": "b"},
        ),
        "CacheSubnetQuotaExceededFault": (limits(subnets_per_group=1), SUBNETS),
        "TagQuotaPerResourceExceeded": (nothing, {**SUBNETS, **TAGS}),
        "InvalidSubnet": (nothing, {**SUBNETS, "SubnetIds": ["subnet-nope"]}),
    },
    "DeleteCacheSubnetGroup": {
        "CacheSubnetGroupInUse": (both(SUBNET_GROUP, group(**OURS)), OURS),
        "CacheSubnetGroupNotFoundFault": (nothing, OURS),
    },
    "DescribeCacheSubnetGroups": {"CacheSubnetGroupNotFoundFault": (nothing, OURS)},
    "ModifyCacheSubnetGroup": {
        "CacheSubnetGroupNotFoundFault": (nothing, OURS),
        "CacheSubnetQuotaExceededFault": (
            both(SUBNET_GROUP, limits(subnets_per_group=1)),
            {**OURS, "SubnetIds": SUBNET_IDS[:2]},
        ),
        "SubnetInUse": (both(SUBNET_GROUP, group(**OURS)), {**OURS, "SubnetIds": SUBNET_IDS[:1]}),
        "InvalidSubnet": (SUBNET_GROUP, {**OURS, "SubnetIds": ["subnet-nope"]}),
    },
}
SECURITY_GROUPS: Cases = {
    "AuthorizeCacheSecurityGroupIngress": {"CacheSecurityGroupNotFound": (nothing, PEER)},
    "CreateCacheSecurityGroup": {"InvalidParameterValue": (nothing, {**LEGACY, "Description": "d"})},
    "DeleteCacheSecurityGroup": {"CacheSecurityGroupNotFound": (nothing, LEGACY)},
    "DescribeCacheSecurityGroups": {
        "CacheSecurityGroupNotFound": (nothing, LEGACY),
        "InvalidParameterValue": (nothing, {"MaxRecords": 1}),
    },
    "RevokeCacheSecurityGroupIngress": {"CacheSecurityGroupNotFound": (nothing, PEER)},
}
PARAMETERS: dict[str, Any] = {"CacheParameterGroupName": "mine"}
NEW_PARAMETERS: dict[str, Any] = {**PARAMETERS, "CacheParameterGroupFamily": "valkey9", "Description": "d"}
BUILT_IN: dict[str, Any] = {"CacheParameterGroupName": "default.valkey9"}
NO_PARAMETERS: dict[str, Any] = {"CacheParameterGroupName": "nope"}
VALUES: dict[str, Any] = {"ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "20"}]}
_RESERVED = [{"ParameterName": f"reserved-memory{more}", "ParameterValue": "1"} for more in ("", "-percent")]
MINE = then("CreateCacheParameterGroup", **NEW_PARAMETERS)
PARAMETER_GROUPS: Cases = {
    "CreateCacheParameterGroup": {
        "CacheParameterGroupAlreadyExists": (MINE, NEW_PARAMETERS),
        "CacheParameterGroupQuotaExceeded": (
            both(limits(parameter_groups=1), MINE),
            {**NEW_PARAMETERS, "CacheParameterGroupName": "yours"},
        ),
        "TagQuotaPerResourceExceeded": (nothing, {**NEW_PARAMETERS, **TAGS}),
        "InvalidParameterValue": (nothing, {**NEW_PARAMETERS, "CacheParameterGroupFamily": "nope"}),
    },
    "ModifyCacheParameterGroup": {
        "CacheParameterGroupNotFound": (nothing, {**NO_PARAMETERS, **VALUES}),
        "InvalidCacheParameterGroupState": (nothing, {**BUILT_IN, **VALUES}),
        "InvalidParameterValue": (MINE, {**PARAMETERS, "ParameterNameValues": [{"ParameterName": "nope"}]}),
        "InvalidParameterCombination": (MINE, {**PARAMETERS, "ParameterNameValues": _RESERVED}),
    },
    "ResetCacheParameterGroup": {
        "CacheParameterGroupNotFound": (nothing, {**NO_PARAMETERS, "ResetAllParameters": True}),
        "InvalidCacheParameterGroupState": (nothing, {**BUILT_IN, "ResetAllParameters": True}),
        "InvalidParameterValue": (MINE, {**PARAMETERS, "ParameterNameValues": [{"ParameterName": "nope"}]}),
        "InvalidParameterCombination": (MINE, PARAMETERS),
    },
    "DeleteCacheParameterGroup": {
        "CacheParameterGroupNotFound": (nothing, NO_PARAMETERS),
        "InvalidCacheParameterGroupState": (nothing, BUILT_IN),
    },
    "DescribeCacheParameterGroups": {
        "CacheParameterGroupNotFound": (nothing, {"CacheParameterGroupName": "nope"}),
        "InvalidParameterValue": (nothing, {"MaxRecords": 1}),
    },
    "DescribeCacheParameters": {
        "CacheParameterGroupNotFound": (nothing, {"CacheParameterGroupName": "nope"}),
        "InvalidParameterValue": (nothing, {"CacheParameterGroupName": "default.valkey9", "Source": "me"}),
    },
    "DescribeEngineDefaultParameters": {"InvalidParameterValue": (nothing, {"CacheParameterGroupFamily": "nope"})},
}
OFFER: dict[str, Any] = {"ReservedCacheNodesOfferingId": OFFERING, "ReservedCacheNodeId": "mine"}
NO_OFFER = {"ReservedCacheNodesOfferingId": "nope"}
RESERVED_NODES: Cases = {
    "DescribeReservedCacheNodes": {
        "ReservedCacheNodeNotFound": (nothing, {"ReservedCacheNodeId": "nope"}),
        "InvalidParameterValue": (nothing, {"Duration": "2"}),
    },
    "DescribeReservedCacheNodesOfferings": {
        "ReservedCacheNodesOfferingNotFound": (nothing, NO_OFFER),
        "InvalidParameterValue": (nothing, {"ProductDescription": "nope"}),
    },
    "PurchaseReservedCacheNodesOffering": {
        "ReservedCacheNodesOfferingNotFound": (nothing, NO_OFFER),
        "ReservedCacheNodeAlreadyExists": (then("PurchaseReservedCacheNodesOffering", **OFFER), OFFER),
        "ReservedCacheNodeQuotaExceeded": (limits(reserved_nodes=1), {**OFFER, "CacheNodeCount": 2}),
        "TagQuotaPerResourceExceeded": (nothing, {**OFFER, **TAGS}),
        "InvalidParameterValue": (nothing, {**OFFER, "CacheNodeCount": 0}),
    },
}
EVENTS: Cases = {
    "DescribeEvents": {
        "InvalidParameterValue": (nothing, {"SourceType": "nope"}),
        "InvalidParameterCombination": (nothing, {"StartTime": 2.0, "EndTime": 1.0}),
    },
}

# --- tags ----------------------------------------------------------------------------------------------------------

ADD, REMOVE = {"Tags": [{"Key": "a", "Value": "b"}]}, {"TagKeys": ["a"]}
_NOT_THERE = {
    "CacheClusterNotFound": "cluster",
    "CacheParameterGroupNotFound": "parametergroup",
    "CacheSecurityGroupNotFound": "securitygroup",
    "CacheSubnetGroupNotFoundFault": "subnetgroup",
    "ReplicationGroupNotFoundFault": "replicationgroup",
    "ReservedCacheNodeNotFound": "reserved-instance",
    "SnapshotNotFoundFault": "snapshot",
    "UserNotFound": "user",
    "UserGroupNotFound": "usergroup",
    "ServerlessCacheNotFoundFault": "serverlesscache",
    "ServerlessCacheSnapshotNotFoundFault": "serverlesscachesnapshot",
    "GlobalReplicationGroupNotFoundFault": "globalreplicationgroup",
}
GOING = both(group(), then("DeleteReplicationGroup", ReplicationGroupId="demo"))


def arn(word: str, name: str) -> str:
    """A global datastore is of no region."""
    return f"arn:aws:elasticache:{'' if word.startswith('global') else 'local-1'}:000000000000:{word}:{name}"


def _of_tags(more: dict[str, Any]) -> dict[str, Any]:
    cases: dict[str, Any] = {code: (nothing, {"ResourceName": arn(word, "nope"), **more}) for code, word in _NOT_THERE.items()}
    return {**cases, "InvalidARN": (nothing, {"ResourceName": "arn:nope", **more})}


DEMO = {"ResourceName": arn("replicationgroup", "demo")}
BUILT_IN = {"ResourceName": arn("subnetgroup", "default")}
OF_TAGS: Cases = {
    "AddTagsToResource": {
        **_of_tags(ADD),
        "InvalidReplicationGroupState": (GOING, {**DEMO, **ADD}),
        "TagQuotaPerResourceExceeded": (group(), {**DEMO, **TAGS}),
        "InvalidParameterValue": (nothing, {**BUILT_IN, **ADD}),
    },
    "ListTagsForResource": _of_tags({}),
    "RemoveTagsFromResource": {
        **_of_tags(REMOVE),
        "InvalidReplicationGroupState": (GOING, {**DEMO, **REMOVE}),
        "TagNotFound": (group(), {**DEMO, **REMOVE}),
        "InvalidParameterValue": (nothing, {**BUILT_IN, **REMOVE}),
    },
}
