"""LogDeliveryConfigurations as they are asked for and shown, and who may see logs."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.errors import AwsError
from cachefleet.model.log_delivery import DeliveryState
from cachefleet.model.resource import Kind
from tests.component.iam.stage import allow, deny, user
from tests.component.logs.stage import LogStage, on_logs, to_group, to_stream

MODIFY = "ModifyReplicationGroup"
MEMBER = "LogDeliveryConfigurations"


async def states(stage: LogStage) -> dict[str, str]:
    shown = (await stage.call("DescribeReplicationGroups"))["ReplicationGroups"][0][MEMBER]
    return {each["LogType"]: each["Status"] for each in shown}


async def put_state(stage: LogStage, state: DeliveryState, message: str = "") -> None:
    row = await stage.row(stage.key("demo"))
    logs = tuple(replace(each, state=state, message=message) for each in row.desired.logs)
    await stage.write(replace(row, desired=replace(row.desired, logs=logs)))


@on_logs
async def test_what_is_asked_for_is_pending_until_it_works(stage: LogStage) -> None:
    await stage.make_stream()
    asked = [to_group(), to_stream("engine-log", log_format="text")]
    shown = await stage.create_group(LogDeliveryConfigurations=asked)
    assert shown[MEMBER] == [{**each, "Status": "enabling"} for each in asked]
    assert shown["PendingModifiedValues"][MEMBER] == asked
    await stage.settle()
    await put_state(stage, DeliveryState.ERROR, "The disk is full.")
    group = (await stage.call("DescribeReplicationGroups"))["ReplicationGroups"][0]
    assert group[MEMBER][0] == {**asked[0], "Status": "error", "Message": "The disk is full."}
    assert MEMBER not in group["PendingModifiedValues"]
    member = await stage.cluster("demo-001")
    assert member["ReplicationGroupLogDeliveryEnabled"] and len(member[MEMBER]) == 2


@on_logs
async def test_one_log_is_changed_and_the_other_stays(stage: LogStage) -> None:
    await stage.make_stream()
    await stage.make_stream("others")
    await stage.create_group(LogDeliveryConfigurations=[to_group(), to_group("engine-log")])
    await stage.settle()
    await put_state(stage, DeliveryState.ACTIVE)

    async def modify(*asked: dict[str, Any]) -> dict[str, str]:
        await stage.call(MODIFY, ReplicationGroupId="demo", ApplyImmediately=True, LogDeliveryConfigurations=list(asked))
        return await states(stage)

    since = {each.log_type: each.since for each in (await stage.row(stage.key("demo"))).desired.logs}
    await stage.clock.advance(60)
    assert await modify(to_group()) == {"slow-log": "active", "engine-log": "active"}
    assert await modify(to_group("slow-log", "others")) == {"slow-log": "modifying", "engine-log": "active"}
    assert {each.log_type: each.since for each in (await stage.row(stage.key("demo"))).desired.logs} == since
    assert await modify({"LogType": "engine-log", "Enabled": False}) == {"slow-log": "modifying", "engine-log": "disabling"}
    assert await modify(to_group("engine-log")) == {"slow-log": "modifying", "engine-log": "enabling"}
    await stage.call(MODIFY, ReplicationGroupId="demo", ReplicationGroupDescription="other", LogDeliveryConfigurations=[])
    assert await states(stage) == {"slow-log": "modifying", "engine-log": "enabling"}


@on_logs
async def test_what_is_refused(stage: LogStage) -> None:
    await stage.make_stream()
    create = {"ReplicationGroupId": "x", "ReplicationGroupDescription": "d", "CacheNodeType": "cache.t4g.micro"}
    value, combination = "InvalidParameterValue", "InvalidParameterCombination"
    details = {"CloudWatchLogsDetails": {"LogGroup": "caches"}}
    for code, rule, asked in (
        (value, "LogType '.*must be slow-log or engine-log", [{**to_group(), "LogType": "audit"}]),
        (value, "twice", [to_group(), to_group()]),
        (value, "DestinationType", [{**to_group(), "DestinationType": "s3"}]),
        (value, "LogFormat", [{**to_group(), "LogFormat": "xml"}]),
        (value, "LogGroup is missing", [{**to_group(), "DestinationDetails": {}}]),
        (combination, "does not belong", [{**to_stream(), "DestinationDetails": details}]),
        (value, "'none' does not exist; make it with CreateLogGroup", [to_group(log_group="none")]),
        (value, "no delivery stream 'none'; the setting logs.streams", [to_stream(stream="none")]),
    ):
        await stage.refused(code, rule, "CreateReplicationGroup", **create, LogDeliveryConfigurations=asked)
    memcached = {"CacheClusterId": "m", "Engine": "memcached", "CacheNodeType": "cache.t4g.micro", "NumCacheNodes": 1}
    await stage.refused(
        combination, "Memcached has no logs", "CreateCacheCluster", **memcached, LogDeliveryConfigurations=[to_group()]
    )
    await stage.create_group()
    await stage.settle()
    await stage.refused(
        combination, "set ApplyImmediately", MODIFY, ReplicationGroupId="demo", LogDeliveryConfigurations=[to_group()]
    )
    at_once = {"ApplyImmediately": True, "LogDeliveryConfigurations": [to_group()]}
    await stage.refused(combination, "use ModifyReplicationGroup", "ModifyCacheCluster", CacheClusterId="demo-001", **at_once)
    await stage.refused(
        combination,
        "additional cache cluster parameters",
        "CreateCacheCluster",
        CacheClusterId="more",
        ReplicationGroupId="demo",
        LogDeliveryConfigurations=[to_group()],
    )
    await stage.create_cluster("alone", Engine="valkey")
    await stage.settle("alone", Kind.CACHE_CLUSTER)
    await stage.refused(
        combination,
        "together with PrimaryClusterId",
        "CreateReplicationGroup",
        ReplicationGroupId="y",
        ReplicationGroupDescription="d",
        PrimaryClusterId="alone",
        LogDeliveryConfigurations=[to_group()],
    )
    assert (await stage.row(stage.key("demo"))).desired.logs == ()


@on_logs
async def test_a_cluster_of_its_own(stage: LogStage) -> None:
    await stage.make_stream()
    await stage.create_cluster("alone", Engine="valkey")
    await stage.settle("alone", Kind.CACHE_CLUSTER)
    await stage.call(
        "ModifyCacheCluster", CacheClusterId="alone", ApplyImmediately=True, LogDeliveryConfigurations=[to_group()]
    )
    shown = await stage.cluster("alone")
    assert shown[MEMBER][0]["Status"] == "enabling" and not shown["ReplicationGroupLogDeliveryEnabled"]
    assert shown["PendingModifiedValues"][MEMBER] == [to_group()]


@on_logs
async def test_policies_name_log_groups_and_streams(stage: LogStage) -> None:
    arn = "arn:aws:logs:local-1:000000000000:log-group:"
    for group in ("caches", "private"):
        await stage.make_stream(group)
    root = stage.context

    async def outcome(name: str, **request: Any) -> str:
        try:
            await stage.logs(name, **request)
        except AwsError as error:
            return error.code
        return "done"

    stage.context = replace(
        root, caller=user("ann", allow("logs:*", f"{arn}caches:*"), deny("logs:GetLogEvents", f"{arn}*:log-stream:hidden"))
    )
    assert await outcome("FilterLogEvents", logGroupName="caches") == "done"
    assert await outcome("FilterLogEvents", logGroupIdentifier=f"{arn}caches") == "done"
    assert await outcome("FilterLogEvents", logGroupName="private") == "AccessDenied"
    assert await outcome("FilterLogEvents", logGroupIdentifier=f"{arn}private") == "AccessDenied"
    assert await outcome("GetLogEvents", logGroupName="caches", logStreamName="s") == "done"
    assert await outcome("GetLogEvents", logGroupName="caches", logStreamName="hidden") == "AccessDenied"
    assert await outcome("GetLogEvents", logGroupIdentifier=f"{arn}private", logStreamName="s") == "AccessDenied"
    assert await outcome("GetLogEvents", logGroupName="private", logStreamName="s") == "AccessDenied"
    assert await outcome("DeleteLogGroup", logGroupName="private") == "AccessDenied"
    assert await outcome("TagResource", resourceArn=f"{arn}private", tags={"a": "b"}) == "AccessDenied"
    assert await outcome("DescribeLogGroups") == "AccessDenied"
    assert await outcome("CreateLogGroup", logGroupName="caches") == "ResourceAlreadyExistsException"
    stage.context = replace(
        root, caller=user("ben", allow("logs:DescribeLogGroups"), allow("logs:TagResource", f"{arn}caches"))
    )
    assert await outcome("DescribeLogGroups") == "done"
    assert await outcome("TagResource", resourceArn=f"{arn}caches", tags={"a": "b"}) == "done"
