"""ClusterMode in ModifyReplicationGroup: which steps there are, what they demand, what is shown, what is refused meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.model.errors import AwsError
from cachefleet.model.group import EndpointRole, Shape
from tests.component.api_groups.stage import GroupStage, on_groups

MODIFY = "ModifyReplicationGroup"
ON = "default.valkey9.cluster.on"


async def ready(stage: GroupStage, **request: object) -> None:
    await stage.create_group(**{"AutomaticFailoverEnabled": True, **request})
    await stage.settle()


async def ask(stage: GroupStage, mode: str, **more: Any) -> dict[str, Any]:
    request = {"ReplicationGroupId": "demo", "ClusterMode": mode, "ApplyImmediately": True, **more}
    shown: dict[str, Any] = (await stage.call(MODIFY, **request))["ReplicationGroup"]
    return shown


async def refused(stage: GroupStage, name: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(AwsError) as caught:
        await stage.call(name, ReplicationGroupId="demo", **request)
    return caught.value.code, caught.value.message


async def carry_out(stage: GroupStage) -> None:
    """As the planner leaves the row when it is done."""
    row = await stage.row(stage.key("demo"))
    mode = row.desired.cluster_mode
    shape = Shape.REPLICATED if mode == "disabled" else Shape.CLUSTERED
    (shard,) = row.desired.shards
    slots = ((0, 16383),) if shape is Shape.CLUSTERED else ()
    endpoints = {EndpointRole.PRIMARY: "127.40.0.1", EndpointRole.READER: "127.40.0.2"} if mode != "enabled" else {}
    if mode != "disabled":
        endpoints[EndpointRole.CONFIGURATION] = "127.40.0.3"
    desired = replace(row.desired, shape=shape, shards=(replace(shard, slots=slots),))
    memory = replace(row.memory, mode=mode, slots={"0001": slots} if slots else {}, endpoints=dict(endpoints))
    status = replace(row.status, state="available", endpoints=dict(endpoints))
    await stage.write(replace(row, desired=desired, memory=memory, status=status))


@on_groups
async def test_the_steps_and_what_is_shown(stage: GroupStage) -> None:
    await ready(stage)
    row = await stage.row(stage.key("demo"))
    await stage.write(replace(row, memory=replace(row.memory, mode="disabled")))
    shown = await ask(stage, "compatible")
    assert (shown["Status"], shown["ClusterMode"], shown["ClusterEnabled"]) == ("modifying", "disabled", False)
    assert shown["PendingModifiedValues"] == {"ClusterMode": "compatible"}
    assert (await stage.row(stage.key("demo"))).desired.parameter_group == ON
    await carry_out(stage)
    shown = await stage.group()
    assert (shown["ClusterMode"], shown["ClusterEnabled"], shown["PendingModifiedValues"]) == ("compatible", True, {})
    assert {"PrimaryEndpoint", "ReaderEndpoint", "Slots"} <= set(shown["NodeGroups"][0]) and shown["ConfigurationEndpoint"]
    assert (await ask(stage, "disabled"))["PendingModifiedValues"] == {"ClusterMode": "disabled"}
    await carry_out(stage)
    assert (await stage.row(stage.key("demo"))).desired.parameter_group == "default.valkey9"
    assert "ConfigurationEndpoint" not in await stage.group()
    await ask(stage, "compatible")
    await carry_out(stage)
    await ask(stage, "enabled", CacheParameterGroupName=ON)
    await carry_out(stage)
    shown = await stage.group()
    assert shown["ClusterMode"] == "enabled" and "PrimaryEndpoint" not in shown["NodeGroups"][0]
    for mode in ("compatible", "disabled"):
        code, message = await refused(stage, MODIFY, ClusterMode=mode, ApplyImmediately=True)
        assert (code, "cannot be changed any more" in message) == ("InvalidParameterCombination", True)


@on_groups
async def test_what_is_no_step(stage: GroupStage) -> None:
    await ready(stage)
    before = await stage.row(stage.key("demo"))
    code, message = await refused(stage, MODIFY, ClusterMode="enabled", ApplyImmediately=True)
    assert (code, "compatible first" in message) == ("InvalidParameterCombination", True)
    assert (await refused(stage, MODIFY, ClusterMode="on", ApplyImmediately=True))[0] == "InvalidParameterValue"
    code, message = await refused(
        stage, MODIFY, ClusterMode="compatible", ReplicationGroupDescription="words", MultiAZEnabled=True
    )
    assert code == "InvalidParameterCombination"
    assert "MultiAZEnabled, ReplicationGroupDescription" in message
    wrong = await refused(stage, MODIFY, ClusterMode="compatible", CacheParameterGroupName="default.valkey9")
    assert wrong[0] == "InvalidParameterCombination"
    shown = (await stage.call(MODIFY, ReplicationGroupId="demo", ClusterMode="disabled"))["ReplicationGroup"]
    assert shown["PendingModifiedValues"] == {}
    assert await stage.row(stage.key("demo")) == before


@on_groups
async def test_what_it_demands(stage: GroupStage) -> None:
    for request, words in (
        ({"AutomaticFailoverEnabled": False}, "automatic failover"),
        ({"Engine": "redis", "EngineVersion": "6.2"}, "Redis OSS 7.0"),
        ({"Port": 60_000}, "at most 55535"),
    ):
        await ready(stage, **request)
        code, message = await refused(stage, MODIFY, ClusterMode="compatible", ApplyImmediately=True)
        assert (code, words in message) == ("InvalidParameterCombination", True), message
        row = await stage.row(stage.key("demo"))
        async with stage.store.transaction() as transaction:
            await transaction.delete(row)
    await ready(stage)
    row = await stage.row(stage.key("demo"))
    await stage.write(replace(row, memory=replace(row.memory, other_databases=True)))
    code, message = await refused(stage, MODIFY, ClusterMode="compatible", ApplyImmediately=True)
    assert (code, "databases other than 0" in message) == ("InvalidParameterCombination", True)


@on_groups
async def test_nothing_else_is_modified_while_compatible(stage: GroupStage) -> None:
    await ready(stage)
    await ask(stage, "compatible")
    await carry_out(stage)
    for name, request in (
        (MODIFY, {"ReplicationGroupDescription": "words"}),
        (MODIFY, {"CacheNodeType": "cache.t4g.small", "ApplyImmediately": True}),
        ("IncreaseReplicaCount", {"NewReplicaCount": 3, "ApplyImmediately": True}),
        ("DecreaseReplicaCount", {"NewReplicaCount": 0, "ApplyImmediately": True}),
        ("ModifyReplicationGroupShardConfiguration", {"NodeGroupCount": 2, "ApplyImmediately": True}),
    ):
        code, message = await refused(stage, name, **request)
        assert (code, "compatible" in message) == ("InvalidReplicationGroupState", True), (name, message)
    shown = (await stage.call(MODIFY, ReplicationGroupId="demo", ClusterMode="compatible"))["ReplicationGroup"]
    assert (shown["Status"], shown["PendingModifiedValues"]) == ("available", {})


@on_groups
async def test_it_may_wait_for_the_window_and_be_taken_back(stage: GroupStage) -> None:
    await ready(stage)
    shown = await ask(stage, "compatible", ApplyImmediately=False)
    assert (shown["Status"], shown["PendingModifiedValues"]) == ("available", {"ClusterMode": "compatible"})
    shown = await ask(stage, "disabled", ApplyImmediately=False)
    assert shown["PendingModifiedValues"] == {}
    await stage.call(MODIFY, ReplicationGroupId="demo", CacheNodeType="cache.t4g.small")
    code, message = await refused(stage, MODIFY, ClusterMode="compatible", ApplyImmediately=True)
    assert (code, "pending" in message) == ("InvalidReplicationGroupState", True)
