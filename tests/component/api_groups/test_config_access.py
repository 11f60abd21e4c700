"""The tag by which clients get part of CONFIG: what is written for it, what is shown, what is refused."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model.resource import Kind
from tests.component.api_groups.stage import GroupStage, on_groups, one

TAG = "cachefleet:allow-config"
VALUE, COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"


def tags(value: str = "get", **more: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": value}, *({"Key": key, "Value": text} for key, text in more.items())]


async def made(stage: GroupStage, **request: Any) -> str:
    """The ARN of the group `demo`, which is available."""
    await stage.create_group(**request)
    return (await stage.settle()).key.arn


async def add(stage: GroupStage, arn: str, value: str, **more: str) -> None:
    await stage.call("AddTagsToResource", ResourceName=arn, Tags=tags(value, **more))


async def remove(stage: GroupStage, arn: str, *keys: str) -> None:
    await stage.call("RemoveTagsFromResource", ResourceName=arn, TagKeys=list(keys))


async def given(stage: GroupStage) -> tuple[str, str]:
    """(what it shall give, what is shown of it)"""
    return (await stage.row(stage.key("demo"))).desired.config, str((await stage.group())["Status"])


@on_groups
async def test_added_changed_and_taken_away(stage: GroupStage) -> None:
    arn = await made(stage)
    for value in ("get", "set", "get"):
        await add(stage, arn, value)
        assert await given(stage) == (value, "modifying")
        assert stage.woken[-1] == stage.key("demo")
        await stage.settle()
    await remove(stage, arn, TAG)
    assert await given(stage) == ("", "modifying")
    await stage.settle()
    assert (await stage.row(stage.key("demo"))).tags == {}


@on_groups
async def test_what_it_has_already_changes_nothing(stage: GroupStage) -> None:
    arn = await made(stage, Tags=tags("set"))
    assert await given(stage) == ("set", "available")
    await add(stage, arn, "set", team="web")
    await remove(stage, arn, "team")
    assert await given(stage) == ("set", "available")


@on_groups
async def test_only_the_whole_group_has_it(stage: GroupStage) -> None:
    await made(stage, Tags=tags("get", team="web"))
    row = await stage.row(stage.key("demo"))
    assert all(node.tags == {"team": "web"} for node in row.desired.nodes)
    member = stage.key("demo-001", Kind.CACHE_CLUSTER).arn
    await stage.refused(VALUE, "is for a replication group", "AddTagsToResource", ResourceName=member, Tags=tags())
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=1)
    await stage.settle("mem", Kind.CACHE_CLUSTER)
    memcached = stage.key("mem", Kind.CACHE_CLUSTER).arn
    await stage.refused(VALUE, "Valkey or Redis", "AddTagsToResource", ResourceName=memcached, Tags=tags())
    assert await given(stage) == ("get", "available")


@on_groups
async def test_values_that_mean_nothing_are_refused(stage: GroupStage) -> None:
    arn = await made(stage)
    for value in ("", "GET", "on", "getset", "set "):
        await stage.refused(VALUE, "can only be get", "AddTagsToResource", ResourceName=arn, Tags=tags(value))
    assert await given(stage) == ("", "available")


@on_groups
async def test_beside_something_else_it_is_refused(stage: GroupStage) -> None:
    arn = await made(stage)
    await stage.put_state("modifying")
    await stage.refused("InvalidReplicationGroupState", "modifying", "AddTagsToResource", ResourceName=arn, Tags=tags())
    await stage.settle()
    await add(stage, arn, "get")
    await stage.refused("InvalidReplicationGroupState", "modifying", "AddTagsToResource", ResourceName=arn, Tags=tags("set"))
    await stage.refused("InvalidReplicationGroupState", "modifying", "RemoveTagsFromResource", ResourceName=arn, TagKeys=[TAG])
    await add(stage, arn, "get", team="web")


@on_groups
async def test_together_with_another_port(stage: GroupStage) -> None:
    arn = await made(stage)
    await add(stage, arn, "set", **{"cachefleet:port": "6390"})
    row = await stage.row(stage.key("demo"))
    assert (row.desired.config, row.desired.port, row.status.state) == ("set", 6390, "modifying")


@on_groups
async def test_an_engine_that_cannot_is_refused_with_those_that_can(stage: GroupStage) -> None:
    old = {"Engine": "redis", "EngineVersion": "6.2", "CacheParameterGroupName": "default.redis6.x"}
    words = "needs Valkey, or Redis OSS 7.0 or newer; this is Redis OSS 6.2.14. Installed ones that can: Valkey 9.1.2"
    request = {"ReplicationGroupId": "old", "ReplicationGroupDescription": "-", "CacheNodeType": "cache.t4g.micro", **old}
    await stage.refused(COMBINATION, words, "CreateReplicationGroup", Tags=tags(), **request)
    arn = await made(stage, **old)
    await stage.refused(COMBINATION, words, "AddTagsToResource", ResourceName=arn, Tags=tags())


@on_groups
async def test_where_the_module_cannot_be_made_it_is_refused_with_the_reason(stage: GroupStage) -> None:
    arn = await made(stage, Tags=tags("set"))

    async def no_compiler() -> str:
        return "there is no C compiler"

    stage.context = replace(stage.context, refuses_config=no_compiler)
    await stage.refused(COMBINATION, "there is no C compiler", "AddTagsToResource", ResourceName=arn, Tags=tags("get"))
    await remove(stage, arn, TAG)
    assert await given(stage) == ("", "modifying")


@on_groups
async def test_a_cluster_takes_it_along_into_its_group_and_out_of_it(stage: GroupStage) -> None:
    await stage.create_cluster("alone", Engine="valkey", NumCacheNodes=1, Tags=tags("get", team="web"))
    await stage.settle("alone", Kind.CACHE_CLUSTER)
    request = {"ReplicationGroupId": "demo", "ReplicationGroupDescription": "-", "PrimaryClusterId": "alone"}
    await stage.refused(COMBINATION, "add it afterwards", "CreateReplicationGroup", Tags=tags("set"), **request)
    await stage.call("CreateReplicationGroup", **request)
    row = await stage.settle()
    assert (row.desired.config, row.tags) == ("get", {TAG: "get"})
    assert row.desired.nodes[0].tags == {"team": "web"}
    await stage.call("DeleteReplicationGroup", ReplicationGroupId="demo", RetainPrimaryCluster=True)
    alone = await stage.row(stage.key("alone", Kind.CACHE_CLUSTER))
    assert (alone.desired.config, alone.tags) == ("get", {TAG: "get", "team": "web"})


@on_groups
async def test_nothing_else_is_created_with_it(stage: GroupStage) -> None:
    await made(stage)
    known = one(await stage.call("DescribeCacheSubnetGroups", CacheSubnetGroupName="default"))
    subnet = known["Subnets"][0]["SubnetIdentifier"]
    requests: dict[str, dict[str, Any]] = {
        "CreateSnapshot": {"SnapshotName": "one", "ReplicationGroupId": "demo"},
        "CreateCacheCluster": {"CacheClusterId": "demo-009", "ReplicationGroupId": "demo"},
        "CreateUser": {"UserId": "u", "UserName": "u", "Engine": "redis", "AccessString": "on", "NoPasswordRequired": True},
        "CreateUserGroup": {"UserGroupId": "g", "Engine": "redis", "UserIds": ["default"]},
        "CreateCacheSubnetGroup": {"CacheSubnetGroupName": "s", "CacheSubnetGroupDescription": "-", "SubnetIds": [subnet]},
    }
    for operation, request in requests.items():
        await stage.refused(VALUE, "is for a replication group", operation, Tags=tags(), **request)
