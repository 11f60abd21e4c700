"""For each operation a request that succeeds, and for each member a value that must make a difference.

`plain` values are added to `base`, or take the place of what it says; all of them together are the full request. `apart` has
those that go with others only: the request without and the one with the member.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.component.api_groups.stage import NODE_TYPE
from tests.component.rules.stage import SUBNET_IDS
from tests.component.rules.world import ARN, OFFERING, OTHER_OFFERING, TLS, TOPIC

Request = dict[str, Any]
TAGS = [{"Key": "color", "Value": "red"}]
SMALL = "cache.t4g.small"
WINDOW, DAILY = "mon:01:00-mon:03:00", "09:00-10:30"
GROUPS = ["sg-0a1b2c3d"]
FIRST, SECOND = "the-first-token-of-all", "the-second-token-of-all"
LOGS = [
    {
        "LogType": "slow-log",
        "DestinationType": "kinesis-firehose",
        "DestinationDetails": {"KinesisFirehoseDetails": {"DeliveryStream": "stream"}},
        "LogFormat": "json",
    }
]
DEMO, SAFE, BIG, OPEN = ({"ReplicationGroupId": name, "ApplyImmediately": True} for name in ("demo", "safe", "big", "open"))
SECRET, SHARED = ({"ReplicationGroupId": name, "ApplyImmediately": True} for name in ("secret", "shared"))
ALONE, MEM, HIDDEN = ({"CacheClusterId": name, "ApplyImmediately": True} for name in ("alone", "mem", "hidden"))
NEW: Request = {"ReplicationGroupId": "new", "ReplicationGroupDescription": "d", "CacheNodeType": NODE_TYPE}
CLUSTER: Request = {"CacheClusterId": "new", "CacheNodeType": NODE_TYPE}
MEMCACHED: Request = {**CLUSTER, "Engine": "memcached", "NumCacheNodes": 2}
USER: Request = {"UserId": "new", "UserName": "new", "Engine": "redis", "AccessString": "on ~* +@all"}
PASSWORDS = {"Passwords": ["a-password-of-16"]}
TWO = ["a-password-of-16", "another-password"]
GONE: Request = {"NumCacheNodes": 1, "CacheNodeIdsToRemove": ["0002"]}
ZONES = [{"PreferredAvailabilityZones": ["local-1b", "local-1a"]}]


class Walk(msgspec.Struct, frozen=True):
    """marked: what only an invalid value shows to be read: pages, and names of what is looked up."""

    base: Request
    plain: Request = {}
    apart: dict[str, tuple[Request, Request]] = {}
    marked: Request = {}


PAGES: Request = {"MaxRecords": 19, "Marker": "x"}
SETTINGS: Request = {
    "PreferredMaintenanceWindow": WINDOW,
    "SnapshotRetentionLimit": 4,
    "SnapshotWindow": DAILY,
    "SecurityGroupIds": GROUPS,
    "NotificationTopicArn": TOPIC,
    "LogDeliveryConfigurations": LOGS,
    "AutoMinorVersionUpgrade": False,
}


def added(base: Request, **more: Any) -> tuple[Request, Request]:
    return base, {**base, **more}


def said(base: Request, member: str, one: Any, other: Any) -> tuple[Request, Request]:
    return {**base, member: one}, {**base, member: other}


CREATIONS = {
    "CreateCacheCluster": Walk(
        CLUSTER,
        {
            "CacheClusterId": "newer",
            "CacheNodeType": SMALL,
            "EngineVersion": "8.1",
            "CacheSubnetGroupName": "mine",
            "Tags": TAGS,
            "Port": 7000,
            "PreferredAvailabilityZone": "local-1b",
            **SETTINGS,
            **TLS,
        },
        {
            "ReplicationGroupId": (CLUSTER, {"CacheClusterId": "new", "ReplicationGroupId": "demo"}),
            "Engine": added(CLUSTER, Engine="redis"),
            "NumCacheNodes": said(MEMCACHED, "NumCacheNodes", 1, 2),
            "AZMode": added(MEMCACHED, AZMode="cross-az"),
            "PreferredAvailabilityZones": added(MEMCACHED, PreferredAvailabilityZones=["local-1a", "local-1c"]),
            "SnapshotName": added({**CLUSTER, "EngineVersion": "8.1"}, SnapshotName="nightly"),
            "SnapshotArns": added(CLUSTER, SnapshotArns=["arn:aws:s3:::bucket/dump.rdb"]),
            "AuthToken": added({**CLUSTER, **TLS}, AuthToken=FIRST),
        },
        {"CacheParameterGroupName": "default.redis7"},
    ),
    "CreateReplicationGroup": Walk(
        NEW,
        {
            "ReplicationGroupId": "newer",
            "ReplicationGroupDescription": "e",
            "NumCacheClusters": 2,
            "AutomaticFailoverEnabled": True,
            "MultiAZEnabled": True,
            "PreferredCacheClusterAZs": ["local-1b", "local-1a"],
            "CacheNodeType": SMALL,
            "EngineVersion": "8.1",
            "CacheSubnetGroupName": "mine",
            "Tags": TAGS,
            "Port": 7000,
            "KmsKeyId": "alias/mine",
            "AuthToken": FIRST,
            **SETTINGS,
            **TLS,
        },
        {
            "Engine": added(NEW, Engine="redis"),
            "AutomaticFailoverEnabled": added({**NEW, "NumCacheClusters": 2}, AutomaticFailoverEnabled=True),
            "MultiAZEnabled": added({**NEW, "NumCacheClusters": 2, "AutomaticFailoverEnabled": True}, MultiAZEnabled=True),
            "PreferredCacheClusterAZs": added(NEW, PreferredCacheClusterAZs=["local-1c"]),
            "NumNodeGroups": added(NEW, NumNodeGroups=2),
            "ReplicasPerNodeGroup": added(NEW, ReplicasPerNodeGroup=2),
            "NodeGroupConfiguration": added(
                {**NEW, "NumNodeGroups": 2},
                NodeGroupConfiguration=[{"Slots": "0-99"}, {"Slots": "100-16383", "ReplicaCount": 1}],
            ),
            "ClusterMode": added(NEW, ClusterMode="enabled"),
            "CacheParameterGroupName": added(NEW, CacheParameterGroupName="default.valkey9.cluster.on"),
            "PrimaryClusterId": (
                NEW,
                {"ReplicationGroupId": "new", "ReplicationGroupDescription": "d", "PrimaryClusterId": "alone"},
            ),
            "SnapshotName": added({**NEW, "EngineVersion": "8.1"}, SnapshotName="nightly"),
            "SnapshotArns": added(NEW, SnapshotArns=["arn:aws:s3:::bucket/dump.rdb"]),
            "AtRestEncryptionEnabled": added(NEW, AtRestEncryptionEnabled=False),
            "TransitEncryptionMode": added({**NEW, **TLS}, TransitEncryptionMode="preferred"),
            "AuthToken": added({**NEW, **TLS}, AuthToken=FIRST),
            "UserGroupIds": added({**NEW, **TLS}, UserGroupIds=["team"]),
        },
    ),
    "CreateCacheSubnetGroup": Walk(
        {"CacheSubnetGroupName": "new", "CacheSubnetGroupDescription": "d", "SubnetIds": [SUBNET_IDS[0]]},
        {
            "CacheSubnetGroupName": "newer",
            "CacheSubnetGroupDescription": "e",
            "SubnetIds": [SUBNET_IDS[1], SUBNET_IDS[2]],
            "Tags": TAGS,
        },
    ),
    "CreateCacheParameterGroup": Walk(
        {"CacheParameterGroupName": "new", "CacheParameterGroupFamily": "valkey9", "Description": "d"},
        {
            "CacheParameterGroupName": "newer",
            "CacheParameterGroupFamily": "redis7",
            "Description": "e",
            "Tags": TAGS,
        },
    ),
    "PurchaseReservedCacheNodesOffering": Walk(
        {"ReservedCacheNodesOfferingId": OFFERING},
        {
            "ReservedCacheNodesOfferingId": OTHER_OFFERING,
            "ReservedCacheNodeId": "newer",
            "CacheNodeCount": 2,
            "Tags": TAGS,
        },
    ),
    "CreateUser": Walk(
        {**USER, **PASSWORDS},
        {
            "UserId": "newer",
            "UserName": "other",
            "Engine": "valkey",
            "AccessString": "on ~* +get",
            "Passwords": TWO,
            "Tags": TAGS,
        },
        {
            "NoPasswordRequired": ({**USER, **PASSWORDS}, {**USER, "NoPasswordRequired": True}),
            "AuthenticationMode": ({**USER, **PASSWORDS}, {**USER, "AuthenticationMode": {"Type": "iam"}}),
        },
    ),
    "CreateUserGroup": Walk(
        {"UserGroupId": "new", "Engine": "redis", "UserIds": ["default"]},
        {"UserGroupId": "newer", "UserIds": ["default", "writer"], "Tags": TAGS},
        {
            "Engine": (
                {"UserGroupId": "new", "Engine": "redis", "UserIds": ["default"]},
                {"UserGroupId": "new", "Engine": "valkey", "UserIds": ["loner"]},
            ),
        },
    ),
    "CreateSnapshot": Walk(
        {"SnapshotName": "new", "ReplicationGroupId": "demo"},
        {"SnapshotName": "newer", "ReplicationGroupId": "safe", "KmsKeyId": "alias/mine", "Tags": TAGS},
        {
            "CacheClusterId": (
                {"SnapshotName": "new", "ReplicationGroupId": "demo"},
                {"SnapshotName": "new", "CacheClusterId": "demo-002"},
            )
        },
    ),
    "CopySnapshot": Walk(
        {"SourceSnapshotName": "nightly", "TargetSnapshotName": "copy"},
        {"SourceSnapshotName": "weekly", "TargetSnapshotName": "other", "KmsKeyId": "alias/mine", "Tags": TAGS},
        {"TargetBucket": added({"SourceSnapshotName": "nightly", "TargetSnapshotName": "copy"}, TargetBucket="bucket")},
    ),
}
CHANGES = {
    "ModifyCacheCluster": Walk(
        ALONE,
        {"CacheClusterId": "hidden", "CacheNodeType": SMALL, **SETTINGS},
        {
            "EngineVersion": added(ALONE, EngineVersion="9.1"),
            "NumCacheNodes": added(MEM, NumCacheNodes=3),
            "CacheNodeIdsToRemove": said({**MEM, **GONE}, "CacheNodeIdsToRemove", ["0001"], ["0002"]),
            "AZMode": added({**MEM, "NumCacheNodes": 3}, AZMode="cross-az"),
            "NewAvailabilityZones": added({**MEM, "NumCacheNodes": 3}, NewAvailabilityZones=["local-1c"]),
            "ApplyImmediately": said({**ALONE, "CacheNodeType": SMALL}, "ApplyImmediately", False, True),
            "ScaleConfig": added(
                {**MEM, "CacheNodeType": SMALL}, ScaleConfig={"ScalePercentage": 50, "ScaleIntervalMinutes": 5}
            ),
            "AuthToken": added(HIDDEN, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE"),
            "AuthTokenUpdateStrategy": said({**HIDDEN, "AuthToken": SECOND}, "AuthTokenUpdateStrategy", "SET", "ROTATE"),
            "NotificationTopicStatus": added({**ALONE, "NotificationTopicArn": TOPIC}, NotificationTopicStatus="inactive"),
        },
        {"CacheParameterGroupName": "default.redis7", "Engine": "redis"},
    ),
    "ModifyReplicationGroup": Walk(
        DEMO,
        {
            "ReplicationGroupDescription": "e",
            "AutomaticFailoverEnabled": True,
            "MultiAZEnabled": True,
            "CacheNodeType": SMALL,
            "EngineVersion": "9.1",
            "SnapshottingClusterId": "demo-002",
            **SETTINGS,
        },
        {
            "ReplicationGroupId": (
                {**DEMO, "ReplicationGroupDescription": "e"},
                {**DEMO, "ReplicationGroupId": "safe", "ReplicationGroupDescription": "e"},
            ),
            "MultiAZEnabled": added({**DEMO, "AutomaticFailoverEnabled": True}, MultiAZEnabled=True),
            "PrimaryClusterId": added(DEMO, PrimaryClusterId="demo-002"),
            "ClusterMode": added(SAFE, ClusterMode="compatible"),
            "ApplyImmediately": said({**DEMO, "CacheNodeType": SMALL}, "ApplyImmediately", False, True),
            "TransitEncryptionMode": added(OPEN, TransitEncryptionMode="preferred"),
            "TransitEncryptionEnabled": added({**DEMO, "TransitEncryptionMode": "preferred"}, **TLS),
            "AuthToken": added(SECRET, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE"),
            "AuthTokenUpdateStrategy": said({**SECRET, "AuthToken": SECOND}, "AuthTokenUpdateStrategy", "SET", "ROTATE"),
            "UserGroupIdsToAdd": added(OPEN, UserGroupIdsToAdd=["team"]),
            "UserGroupIdsToRemove": added(SHARED, UserGroupIdsToRemove=["team"]),
            "RemoveUserGroups": added(SHARED, RemoveUserGroups=True),
            "NotificationTopicStatus": added({**DEMO, "NotificationTopicArn": TOPIC}, NotificationTopicStatus="inactive"),
        },
        {"CacheParameterGroupName": "default.redis7", "Engine": "redis"},
    ),
    "ModifyReplicationGroupShardConfiguration": Walk(
        {**BIG, "NodeGroupCount": 3},
        {"NodeGroupCount": 4},
        {
            "ReshardingConfiguration": added({**BIG, "NodeGroupCount": 3}, ReshardingConfiguration=ZONES),
            "NodeGroupsToRemove": said({**BIG, "NodeGroupCount": 1}, "NodeGroupsToRemove", ["0001"], ["0002"]),
            "NodeGroupsToRetain": said({**BIG, "NodeGroupCount": 1}, "NodeGroupsToRetain", ["0001"], ["0002"]),
        },
        {"ReplicationGroupId": "nope", "ApplyImmediately": False},
    ),
    "IncreaseReplicaCount": Walk(
        {**DEMO, "NewReplicaCount": 2},
        {"ReplicationGroupId": "safe", "NewReplicaCount": 3},
        {
            "ReplicaConfiguration": (
                {**BIG, "NewReplicaCount": 2},
                {**BIG, "ReplicaConfiguration": [{"NodeGroupId": "0001", "NewReplicaCount": 2}]},
            )
        },
        {"ApplyImmediately": False},
    ),
    "DecreaseReplicaCount": Walk(
        {**DEMO, "NewReplicaCount": 0},
        {"ReplicationGroupId": "open"},
        {
            "ReplicaConfiguration": (
                {**BIG, "NewReplicaCount": 0},
                {**BIG, "ReplicaConfiguration": [{"NodeGroupId": "0001", "NewReplicaCount": 0}]},
            ),
            "ReplicasToRemove": ({**BIG, "NewReplicaCount": 0}, {**BIG, "ReplicasToRemove": ["big-0001-002"]}),
        },
        {"NewReplicaCount": 1, "ApplyImmediately": False},
    ),
    "TestFailover": Walk(
        {"ReplicationGroupId": "safe", "NodeGroupId": "0001"},
        {},
        {
            "NodeGroupId": said({"ReplicationGroupId": "big"}, "NodeGroupId", "0001", "0002"),
        },
        {"ReplicationGroupId": "nope"},
    ),
    "RebootCacheCluster": Walk(
        {"CacheClusterId": "mem", "CacheNodeIdsToReboot": ["0001"]},
        {"CacheClusterId": "alone"},
        {"CacheNodeIdsToReboot": said({"CacheClusterId": "mem"}, "CacheNodeIdsToReboot", ["0001"], ["0002"])},
    ),
    "ModifyCacheParameterGroup": Walk(
        {"CacheParameterGroupName": "mine", "ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "20"}]},
        {
            "CacheParameterGroupName": "yours",
            "ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "30"}],
        },
    ),
    "ResetCacheParameterGroup": Walk(
        {"CacheParameterGroupName": "mine", "ParameterNameValues": [{"ParameterName": "lfu-decay-time"}]},
        {"CacheParameterGroupName": "yours", "ParameterNameValues": [{"ParameterName": "lfu-log-factor"}]},
        {
            "ResetAllParameters": (
                {"CacheParameterGroupName": "mine", "ParameterNameValues": [{"ParameterName": "lfu-decay-time"}]},
                {"CacheParameterGroupName": "mine", "ResetAllParameters": True},
            ),
        },
    ),
    "ModifyCacheSubnetGroup": Walk(
        {"CacheSubnetGroupName": "mine"},
        {"CacheSubnetGroupName": "yours", "CacheSubnetGroupDescription": "e", "SubnetIds": [SUBNET_IDS[2]]},
    ),
    "ModifyUser": Walk(
        {"UserId": "writer"},
        {"AccessString": "on ~* +get", "Passwords": TWO, "Engine": "valkey"},
        {
            "UserId": ({"UserId": "writer", "AccessString": "on ~* +get"}, {"UserId": "reader", "AccessString": "on ~* +get"}),
            "AppendAccessString": added({"UserId": "writer"}, AppendAccessString="+set"),
            "NoPasswordRequired": added({"UserId": "writer"}, NoPasswordRequired=True),
            "AuthenticationMode": added({"UserId": "writer"}, AuthenticationMode={"Type": "iam"}),
        },
    ),
    "ModifyUserGroup": Walk(
        {"UserGroupId": "others", "UserIdsToAdd": ["writer"]},
        {"UserGroupId": "team", "UserIdsToRemove": ["reader"]},
        {
            "UserIdsToAdd": said({"UserGroupId": "others"}, "UserIdsToAdd", ["writer"], ["reader"]),
            "UserIdsToRemove": added({"UserGroupId": "team", "UserIdsToAdd": ["writer"]}, UserIdsToRemove=["reader"]),
        },
        {"Engine": "valkey"},
    ),
    "AddTagsToResource": Walk(
        {"ResourceName": f"{ARN}replicationgroup:demo", "Tags": TAGS}, {"ResourceName": f"{ARN}snapshot:nightly"}
    ),
    "RemoveTagsFromResource": Walk(
        {"ResourceName": f"{ARN}replicationgroup:demo", "TagKeys": ["owner"]},
        {"ResourceName": f"{ARN}subnetgroup:mine"},
        {},
        {"TagKeys": ["nope"]},
    ),
}
CHANGES["AddTagsToResource"].apart["Tags"] = said(
    {"ResourceName": f"{ARN}replicationgroup:demo"}, "Tags", TAGS, [{"Key": "color", "Value": "blue"}]
)
