"""What a caller must be allowed for each operation: which input members name resources, of which type, and further actions.

One table a service. An operation that is not in it is for the root alone, and a test names it. The types follow the Service
Authorization Reference; create operations are authorised against every resource that they name (reference 10.1). Called by
api.authorization.
"""

from __future__ import annotations

import msgspec

ARN = "arn"  # the member is the ARN of a resource of any type
BUCKET = "bucket"  # ... the name of a bucket, in which everything is meant
OBJECT = "object"  # ... the ARN of an object in one


class Named(msgspec.Struct, frozen=True):
    """A resource that a request names. type_word: of its ARN. member: a text or a list of texts. always: without the member all
    resources of the type are meant. action: when it is another than the operation's own, with its service."""

    type_word: str
    member: str
    always: bool = False
    action: str = ""


class Needs(msgspec.Struct, frozen=True):
    """named: empty means "*". The first is what Tags are for. free: everybody may. unsigned: who has been sent a link to it may
    follow it, without a key; who signs needs the permission."""

    named: tuple[Named, ...] = ()
    free: bool = False
    unsigned: bool = False


def _needs(*named: Named) -> Needs:
    return Needs(named)


def _all(type_word: str, member: str) -> Named:
    return Named(type_word, member, always=True)


_CLUSTER = Named("cluster", "CacheClusterId")
_GROUP = Named("replicationgroup", "ReplicationGroupId")
_PARAMETERS = Named("parametergroup", "CacheParameterGroupName")
_SUBNETS = Named("subnetgroup", "CacheSubnetGroupName")
_SECURITY = Named("securitygroup", "CacheSecurityGroupName")
_SECURITIES = Named("securitygroup", "CacheSecurityGroupNames")
_SNAPSHOT = Named("snapshot", "SnapshotName")
_FILES = Named(OBJECT, "SnapshotArns", action="s3:GetObject")
_FINAL = Named("snapshot", "FinalSnapshotIdentifier", action="elasticache:CreateSnapshot")
_USER = Named("user", "UserId")
_USER_GROUP = Named("usergroup", "UserGroupId")
_TAGGED = Named(ARN, "ResourceName")
_NOTHING = Needs()
_UPDATED = _needs(Named("replicationgroup", "ReplicationGroupIds"), Named("cluster", "CacheClusterIds"))

_ELASTICACHE: dict[str, Needs] = {
    "AddTagsToResource": _needs(_TAGGED),
    "AuthorizeCacheSecurityGroupIngress": _needs(_SECURITY),
    "BatchApplyUpdateAction": _UPDATED,
    "BatchStopUpdateAction": _UPDATED,
    "CopySnapshot": _needs(
        Named("snapshot", "TargetSnapshotName"),
        Named("snapshot", "SourceSnapshotName"),
        Named(BUCKET, "TargetBucket", action="s3:PutObject"),
    ),
    "CreateCacheCluster": _needs(_CLUSTER, _GROUP, _PARAMETERS, _SUBNETS, _SECURITIES, _SNAPSHOT, _FILES),
    "CreateCacheParameterGroup": _needs(_PARAMETERS),
    "CreateCacheSecurityGroup": _needs(_SECURITY),
    "CreateCacheSubnetGroup": _needs(_SUBNETS),
    "CreateReplicationGroup": _needs(
        _GROUP,
        Named("cluster", "PrimaryClusterId"),
        _PARAMETERS,
        _SUBNETS,
        _SECURITIES,
        _SNAPSHOT,
        Named("serverlesscachesnapshot", "ServerlessCacheSnapshotName"),
        Named("usergroup", "UserGroupIds"),
        _FILES,
    ),
    "CreateSnapshot": _needs(_SNAPSHOT, _CLUSTER, _GROUP),
    "CreateUser": _needs(_USER),
    "CreateUserGroup": _needs(_USER_GROUP, Named("user", "UserIds")),
    "DecreaseReplicaCount": _needs(_GROUP),
    "DeleteCacheCluster": _needs(_CLUSTER, _FINAL),
    "DeleteCacheParameterGroup": _needs(_PARAMETERS),
    "DeleteCacheSecurityGroup": _needs(_SECURITY),
    "DeleteCacheSubnetGroup": _needs(_SUBNETS),
    "DeleteReplicationGroup": _needs(_GROUP, _FINAL),
    "DeleteSnapshot": _needs(_SNAPSHOT),
    "DeleteUser": _needs(_USER),
    "DeleteUserGroup": _needs(_USER_GROUP),
    "DescribeCacheClusters": _needs(_all("cluster", "CacheClusterId")),
    "DescribeCacheEngineVersions": _NOTHING,
    "DescribeCacheParameterGroups": _needs(_all("parametergroup", "CacheParameterGroupName")),
    "DescribeCacheParameters": _needs(_PARAMETERS),
    "DescribeCacheSecurityGroups": _needs(_all("securitygroup", "CacheSecurityGroupName")),
    "DescribeCacheSubnetGroups": _needs(_all("subnetgroup", "CacheSubnetGroupName")),
    "DescribeEngineDefaultParameters": _NOTHING,
    "DescribeEvents": _NOTHING,
    "DescribeReplicationGroups": _needs(_all("replicationgroup", "ReplicationGroupId")),
    "DescribeReservedCacheNodes": _needs(_all("reserved-instance", "ReservedCacheNodeId")),
    "DescribeReservedCacheNodesOfferings": _NOTHING,
    "DescribeServiceUpdates": _NOTHING,
    "DescribeSnapshots": _needs(_all("snapshot", "SnapshotName")),
    "DescribeUpdateActions": _NOTHING,
    "DescribeUserGroups": _needs(_all("usergroup", "UserGroupId")),
    "DescribeUsers": _needs(_all("user", "UserId")),
    "IncreaseReplicaCount": _needs(_GROUP),
    "ListAllowedNodeTypeModifications": _needs(_CLUSTER, _GROUP),
    "ListTagsForResource": _needs(_TAGGED),
    "ModifyCacheCluster": _needs(_CLUSTER, _PARAMETERS, _SECURITIES),
    "ModifyCacheParameterGroup": _needs(_PARAMETERS),
    "ModifyCacheSubnetGroup": _needs(_SUBNETS),
    "ModifyReplicationGroup": _needs(
        _GROUP,
        Named("cluster", "PrimaryClusterId"),
        Named("cluster", "SnapshottingClusterId"),
        _PARAMETERS,
        _SECURITIES,
        Named("usergroup", "UserGroupIdsToAdd"),
        Named("usergroup", "UserGroupIdsToRemove"),
    ),
    "ModifyReplicationGroupShardConfiguration": _needs(_GROUP),
    "ModifyUser": _needs(_USER),
    "ModifyUserGroup": _needs(_USER_GROUP, Named("user", "UserIdsToAdd"), Named("user", "UserIdsToRemove")),
    "PurchaseReservedCacheNodesOffering": _needs(_all("reserved-instance", "ReservedCacheNodeId")),
    "RebootCacheCluster": _needs(_CLUSTER),
    "RemoveTagsFromResource": _needs(_TAGGED),
    "ResetCacheParameterGroup": _needs(_PARAMETERS),
    "RevokeCacheSecurityGroupIngress": _needs(_SECURITY),
    "TestFailover": _needs(_GROUP),
}

_IAM_USER = _needs(_all("user", "UserName"))
_IAM: dict[str, Needs] = {
    "CreateAccessKey": _IAM_USER,
    "CreateUser": _IAM_USER,
    "DeleteAccessKey": _IAM_USER,
    "DeleteUser": _IAM_USER,
    "DeleteUserPolicy": _IAM_USER,
    "GetUser": _IAM_USER,
    "GetUserPolicy": _IAM_USER,
    "ListAccessKeys": _IAM_USER,
    "ListUserPolicies": _IAM_USER,
    "ListUsers": _needs(_all("users", "PathPrefix")),
    "PutUserPolicy": _IAM_USER,
    "UpdateAccessKey": _IAM_USER,
}

_VPC = Named("vpc", "VpcId")
_SUBNET = Named("subnet", "SubnetId")
_EC2_GROUP = _needs(_all("security-group", "GroupId"))
_EC2_TAGGED = _needs(Named("", "Resources"))
_EC2: dict[str, Needs] = {
    "AuthorizeSecurityGroupEgress": _EC2_GROUP,
    "AuthorizeSecurityGroupIngress": _EC2_GROUP,
    "CreateSecurityGroup": _needs(_all("security-group", ""), _VPC),
    "CreateSubnet": _needs(_all("subnet", ""), _VPC),
    "CreateTags": _EC2_TAGGED,
    "CreateVpc": _needs(_all("vpc", "")),
    "DeleteSecurityGroup": _EC2_GROUP,
    "DeleteSubnet": _needs(_SUBNET),
    "DeleteTags": _EC2_TAGGED,
    "DeleteVpc": _needs(_VPC),
    "ModifySecurityGroupRules": _EC2_GROUP,
    "ModifySubnetAttribute": _needs(_SUBNET),
    "ModifyVpcAttribute": _needs(_VPC),
    "RevokeSecurityGroupEgress": _EC2_GROUP,
    "RevokeSecurityGroupIngress": _EC2_GROUP,
    "UpdateSecurityGroupRuleDescriptionsEgress": _EC2_GROUP,
    "UpdateSecurityGroupRuleDescriptionsIngress": _EC2_GROUP,
}

_ALARM = _needs(Named("alarm", "AlarmName"))
_ALARMS = _needs(Named("alarm", "AlarmNames"))
_TAGGED_ALARM = _needs(Named(ARN, "ResourceARN"))
_MONITORING: dict[str, Needs] = {
    "DeleteAlarms": _ALARMS,
    "DescribeAlarmHistory": _needs(_all("alarm", "AlarmName")),
    "DescribeAlarms": _needs(_all("alarm", "AlarmNames")),
    "DescribeAlarmsForMetric": _NOTHING,
    "DisableAlarmActions": _ALARMS,
    "EnableAlarmActions": _ALARMS,
    "GetMetricData": _NOTHING,
    "GetMetricStatistics": _NOTHING,
    "ListMetrics": _NOTHING,
    "ListTagsForResource": _TAGGED_ALARM,
    "PutCompositeAlarm": _ALARM,
    "PutMetricAlarm": _ALARM,
    "PutMetricData": _NOTHING,
    "SetAlarmState": _ALARM,
    "TagResource": _TAGGED_ALARM,
    "UntagResource": _TAGGED_ALARM,
}

_SCALING: dict[str, Needs] = {
    "DeleteScalingPolicy": _NOTHING,
    "DeleteScheduledAction": _NOTHING,
    "DeregisterScalableTarget": _NOTHING,
    "DescribeScalableTargets": _NOTHING,
    "DescribeScalingActivities": _NOTHING,
    "DescribeScalingPolicies": _NOTHING,
    "DescribeScheduledActions": _NOTHING,
    "ListTagsForResource": _NOTHING,
    "PutScalingPolicy": _NOTHING,
    "PutScheduledAction": _NOTHING,
    "RegisterScalableTarget": _NOTHING,
    "TagResource": _NOTHING,
    "UntagResource": _NOTHING,
}

_TOPIC = Named("topic", "TopicArn")
_OF_TOPIC = _needs(_TOPIC)
_OF_SUBSCRIPTION = _needs(Named("topic", "SubscriptionArn"))
_TAGGED_TOPIC = _needs(Named("topic", "ResourceArn"))
_SNS: dict[str, Needs] = {
    "ConfirmSubscription": Needs(free=True, unsigned=True),  # the token is the proof
    "CreateTopic": _needs(Named("topic", "Name")),
    "DeleteTopic": _OF_TOPIC,
    "GetSubscriptionAttributes": _OF_SUBSCRIPTION,
    "GetTopicAttributes": _OF_TOPIC,
    "ListSubscriptions": _NOTHING,
    "ListSubscriptionsByTopic": _OF_TOPIC,
    "ListTagsForResource": _TAGGED_TOPIC,
    "ListTopics": _NOTHING,
    "Publish": _needs(_TOPIC, Named("topic", "TargetArn")),
    "PublishBatch": _OF_TOPIC,
    "SetSubscriptionAttributes": _OF_SUBSCRIPTION,
    "SetTopicAttributes": _OF_TOPIC,
    "Subscribe": _OF_TOPIC,
    "TagResource": _TAGGED_TOPIC,
    "Unsubscribe": Needs((Named("topic", "SubscriptionArn"),), unsigned=True),
    "UntagResource": _TAGGED_TOPIC,
}

_LOG_GROUP = _needs(Named("log-group", "logGroupName"))
_LOG_GROUP_EITHER = _needs(Named("log-group", "logGroupName"), Named("log-group", "logGroupIdentifier"))
_LOG_STREAM = _needs(Named("log-stream", "logStreamName", always=True))
_LOG_TAGGED = _needs(Named(ARN, "resourceArn"))
_LOGS: dict[str, Needs] = {
    "CreateLogGroup": _LOG_GROUP,
    "CreateLogStream": _LOG_GROUP,
    "DeleteLogGroup": _LOG_GROUP,
    "DeleteLogStream": _LOG_STREAM,
    "DeleteRetentionPolicy": _LOG_GROUP,
    "DescribeLogGroups": _needs(_all("log-group", "")),
    "DescribeLogStreams": _LOG_GROUP_EITHER,
    "FilterLogEvents": _LOG_GROUP_EITHER,
    "GetLogEvents": _LOG_STREAM,
    "ListTagsForResource": _LOG_TAGGED,
    "ListTagsLogGroup": _LOG_GROUP,
    "PutLogEvents": _LOG_STREAM,
    "PutRetentionPolicy": _LOG_GROUP,
    "TagLogGroup": _LOG_GROUP,
    "TagResource": _LOG_TAGGED,
    "UntagLogGroup": _LOG_GROUP,
    "UntagResource": _LOG_TAGGED,
}

_TAGGING: dict[str, Needs] = {
    "GetResources": _NOTHING,
    "GetTagKeys": _NOTHING,
    "GetTagValues": _NOTHING,
    "TagResources": _needs(Named(ARN, "ResourceARNList", action="elasticache:AddTagsToResource")),
    "UntagResources": _needs(Named(ARN, "ResourceARNList", action="elasticache:RemoveTagsFromResource")),
}

_TABLES = {
    "elasticache": _ELASTICACHE,
    "iam": _IAM,
    "ec2": _EC2,
    "sts": {"GetCallerIdentity": Needs(free=True)},
    "monitoring": _MONITORING,
    "logs": _LOGS,
    "sns": _SNS,
    "application-autoscaling": _SCALING,
    "tagging": _TAGGING,
}
_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}  # where actions do not begin with the signing name


_ACTIONS = {("sns", "PublishBatch"): "sns:Publish"}  # operations that have none of their own


def action_of(service: str, operation: str) -> str:
    """As policies call it. service: the signing name."""
    if (service, operation) in _ACTIONS:
        return _ACTIONS[service, operation]
    return f"{_PREFIXES.get(service, service)}:{operation}"


def needs(service: str, operation: str) -> Needs | None:
    """None when it is not known, and so for the root alone. What EC2 describes, it describes as a whole."""
    found = _TABLES.get(service, {}).get(operation)
    return _NOTHING if found is None and service == "ec2" and operation.startswith("Describe") else found
