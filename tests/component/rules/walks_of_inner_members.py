"""As walks.py, of members of structures inside of requests, by the structure's name: the operation, a request, and one that
differs in that member alone, or names it where the other does not."""

from __future__ import annotations

from typing import Any

from cachefleet.planning.service_updates import DAY_S
from tests.component.rules.walks_of_changes import BIG, DEMO, LOGS, MEM, NEW, SMALL, USER, Request
from tests.fixtures.gateway import NOW

_CREATE, _GROW, _RESHARD = "CreateReplicationGroup", "IncreaseReplicaCount", "ModifyReplicationGroupShardConfiguration"
_SHARDS = [{"Slots": "0-99", "ReplicaCount": 1}, {"Slots": "100-16383", "ReplicaCount": 1}]
Inner = tuple[str, Request, Request]


def _shards(**first: Any) -> Request:
    return {**NEW, "NodeGroupConfiguration": [{**_SHARDS[0], **first}, _SHARDS[1]]}


def _grown(**shard: Any) -> Request:
    return {**BIG, "ReplicaConfiguration": [{"NodeGroupId": "0001", "NewReplicaCount": 2, **shard}]}


def _new_shards(**entry: Any) -> Request:
    return {**BIG, "NodeGroupCount": 3, "ReshardingConfiguration": [entry]}


def _logs(**configuration: Any) -> Request:
    return {**DEMO, "LogDeliveryConfigurations": [{**LOGS[0], **configuration}]}


def _scaled(**config: int) -> Request:
    return {**MEM, "CacheNodeType": SMALL, "ScaleConfig": {"ScalePercentage": 50, "ScaleIntervalMinutes": 5, **config}}


def _user(**mode: Any) -> Request:
    return {**USER, "AuthenticationMode": {"Type": "password", "Passwords": ["a-password-of-16"], **mode}}


def _tagged(**tag: str) -> Request:
    return {"ReplicationGroupId": "new", **NEW, "Tags": [{"Key": "color", "Value": "red", **tag}]}


def _filtered(**one: Any) -> Request:
    return {"Filters": [{"Name": "engine", "Values": ["redis"], **one}]}


def _set(**one: str) -> Request:
    return {
        "CacheParameterGroupName": "mine",
        "ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "20", **one}],
    }


def _released(**span: float) -> Request:
    return {"ServiceUpdateTimeRange": span}


_ARN = "arn:aws:outposts:local-1:000000000000:outpost/op-1"
_LOG_GROUP: Request = {"CloudWatchLogsDetails": {"LogGroup": "nope"}}
INNER: dict[tuple[str, str], Inner] = {
    ("AuthenticationMode", "Type"): ("CreateUser", _user(), _user(Type="iam")),
    ("AuthenticationMode", "Passwords"): ("CreateUser", _user(), _user(Passwords=["a-password-of-16", "another-password"])),
    ("ConfigureShard", "NodeGroupId"): (_GROW, _grown(), _grown(NodeGroupId="0002")),
    ("ConfigureShard", "NewReplicaCount"): (_GROW, _grown(), _grown(NewReplicaCount=3)),
    ("ConfigureShard", "PreferredAvailabilityZones"): (
        _GROW,
        _grown(),
        _grown(PreferredAvailabilityZones=["local-1a", "local-1b", "local-1b"]),
    ),
    ("ConfigureShard", "PreferredOutpostArns"): (_GROW, _grown(), _grown(PreferredOutpostArns=[_ARN])),
    ("NodeGroupConfiguration", "NodeGroupId"): (_CREATE, _shards(), _shards(NodeGroupId="0007")),
    ("NodeGroupConfiguration", "Slots"): (_CREATE, _shards(), _shards(Slots="0-98")),
    ("NodeGroupConfiguration", "ReplicaCount"): (_CREATE, _shards(), _shards(ReplicaCount=2)),
    ("NodeGroupConfiguration", "PrimaryAvailabilityZone"): (_CREATE, _shards(), _shards(PrimaryAvailabilityZone="local-1c")),
    ("NodeGroupConfiguration", "ReplicaAvailabilityZones"): (
        _CREATE,
        _shards(),
        _shards(ReplicaAvailabilityZones=["local-1c"]),
    ),
    ("NodeGroupConfiguration", "PrimaryOutpostArn"): (_CREATE, _shards(), _shards(PrimaryOutpostArn=_ARN)),
    ("NodeGroupConfiguration", "ReplicaOutpostArns"): (_CREATE, _shards(), _shards(ReplicaOutpostArns=[_ARN])),
    ("ReshardingConfiguration", "NodeGroupId"): (_RESHARD, _new_shards(), _new_shards(NodeGroupId="0009")),
    ("ReshardingConfiguration", "PreferredAvailabilityZones"): (
        _RESHARD,
        _new_shards(),
        _new_shards(PreferredAvailabilityZones=["local-1b", "local-1a"]),
    ),
    ("LogDeliveryConfigurationRequest", "LogType"): ("ModifyReplicationGroup", _logs(), _logs(LogType="engine-log")),
    ("LogDeliveryConfigurationRequest", "LogFormat"): ("ModifyReplicationGroup", _logs(), _logs(LogFormat="text")),
    ("LogDeliveryConfigurationRequest", "Enabled"): ("ModifyReplicationGroup", _logs(), _logs(Enabled=False)),
    ("LogDeliveryConfigurationRequest", "DestinationType"): (
        "ModifyReplicationGroup",
        _logs(),
        _logs(DestinationType="cloudwatch-logs"),
    ),
    ("LogDeliveryConfigurationRequest", "DestinationDetails"): (
        "ModifyReplicationGroup",
        _logs(),
        _logs(DestinationDetails=_LOG_GROUP),
    ),
    ("DestinationDetails", "CloudWatchLogsDetails"): (
        "ModifyReplicationGroup",
        _logs(),
        _logs(DestinationType="cloudwatch-logs", DestinationDetails=_LOG_GROUP),
    ),
    ("CloudWatchLogsDestinationDetails", "LogGroup"): (
        "ModifyReplicationGroup",
        _logs(DestinationType="cloudwatch-logs", DestinationDetails=_LOG_GROUP),
        _logs(DestinationType="cloudwatch-logs", DestinationDetails={"CloudWatchLogsDetails": {"LogGroup": "other"}}),
    ),
    ("DestinationDetails", "KinesisFirehoseDetails"): ("ModifyReplicationGroup", _logs(), _logs(DestinationDetails=_LOG_GROUP)),
    ("KinesisFirehoseDestinationDetails", "DeliveryStream"): (
        "ModifyReplicationGroup",
        _logs(),
        _logs(DestinationDetails={"KinesisFirehoseDetails": {"DeliveryStream": "other"}}),
    ),
    ("ScaleConfig", "ScalePercentage"): ("ModifyCacheCluster", _scaled(), _scaled(ScalePercentage=25)),
    ("ScaleConfig", "ScaleIntervalMinutes"): ("ModifyCacheCluster", _scaled(), _scaled(ScaleIntervalMinutes=9)),
    ("Tag", "Key"): (_CREATE, _tagged(), _tagged(Key="size")),
    ("Tag", "Value"): (_CREATE, _tagged(), _tagged(Value="blue")),
    ("Filter", "Name"): ("DescribeUsers", _filtered(), _filtered(Name="user-name")),
    ("Filter", "Values"): ("DescribeUsers", _filtered(), _filtered(Values=["valkey"])),
    ("ParameterNameValue", "ParameterName"): ("ModifyCacheParameterGroup", _set(), _set(ParameterName="tcp-keepalive")),
    ("ParameterNameValue", "ParameterValue"): ("ModifyCacheParameterGroup", _set(), _set(ParameterValue="30")),
    ("TimeRangeFilter", "StartTime"): ("DescribeUpdateActions", _released(StartTime=NOW - DAY_S), _released(StartTime=NOW)),
    ("TimeRangeFilter", "EndTime"): ("DescribeUpdateActions", _released(EndTime=NOW), _released(EndTime=NOW - DAY_S)),
}
