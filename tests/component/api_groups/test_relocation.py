"""The port and the subnet group of a cache that exists, asked for by tags: what is written, what is shown, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from tests.component.api_groups.stage import GroupStage, on_groups, one

PORT, SUBNETS = "cachefleet:port", "cachefleet:subnet-group"
VALUE, COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"


async def tag(stage: GroupStage, arn: str, key: str, value: str) -> None:
    await stage.call("AddTagsToResource", ResourceName=arn, Tags=[{"Key": key, "Value": value}])


async def refuse(stage: GroupStage, code: str, words: str, arn: str, key: str, value: str) -> None:
    with pytest.raises(AwsError) as refusal:
        await tag(stage, arn, key, value)
    assert refusal.value.code == code
    assert words in refusal.value.message


async def subnet_group(stage: GroupStage, name: str, *zones: str) -> None:
    found = one(await stage.call("DescribeCacheSubnetGroups", CacheSubnetGroupName="default"))["Subnets"]
    ids = [subnet["SubnetIdentifier"] for subnet in found if subnet["SubnetAvailabilityZone"]["Name"][-1] in zones]
    await stage.call("CreateCacheSubnetGroup", CacheSubnetGroupName=name, CacheSubnetGroupDescription="zones", SubnetIds=ids)


async def made(stage: GroupStage, **request: Any) -> str:
    """The ARN of the group `demo`, which is available."""
    await stage.create_group(**request)
    row = await stage.settle()
    return row.key.arn


@on_groups
async def test_another_port(stage: GroupStage) -> None:
    arn = await made(stage)
    before = await stage.group()
    await tag(stage, arn, PORT, "6390")
    row = await stage.row(stage.key("demo"))
    assert row.desired.port == 6390
    shown = await stage.group()
    assert shown["Status"] == "modifying"
    assert shown["NodeGroups"][0]["PrimaryEndpoint"] == before["NodeGroups"][0]["PrimaryEndpoint"]  # what works until then
    assert (await stage.cluster("demo-001", ShowCacheNodeInfo=True))["CacheNodes"][0]["Endpoint"]["Port"] == 6379
    assert stage.woken[-1] == stage.key("demo")
    assert {"Key": PORT, "Value": "6390"} in (await stage.call("ListTagsForResource", ResourceName=arn))["TagList"]
    await refuse(stage, "InvalidReplicationGroupState", "modifying", arn, PORT, "6391")
    await tag(stage, arn, PORT, "6390")  # nothing new
    await tag(stage, arn, "team", "web")
    assert (await stage.row(stage.key("demo"))).desired.port == 6390


@on_groups
async def test_to_take_the_tag_away_changes_nothing(stage: GroupStage) -> None:
    arn = await made(stage)
    await tag(stage, arn, PORT, "6379")
    before = await stage.row(stage.key("demo"))
    assert before.status.state == "available"
    await stage.call("RemoveTagsFromResource", ResourceName=arn, TagKeys=[PORT])
    assert (await stage.row(stage.key("demo"))).desired.port == 6379


@on_groups
async def test_what_is_no_port_is_refused(stage: GroupStage) -> None:
    arn = await made(stage)
    for value in ("", "x", "-1", "0", "65536", "99999999", "6379.0", "٦٣٧٩"):
        await refuse(stage, VALUE, "ort", arn, PORT, value)
    assert (await stage.row(stage.key("demo"))).tags == {}


@on_groups
async def test_in_cluster_mode_the_bus_needs_room(stage: GroupStage) -> None:
    arn = await made(stage, CacheParameterGroupName="default.valkey9.cluster.on", NumNodeGroups=2)
    await refuse(stage, VALUE, "55535", arn, PORT, "55536")
    await tag(stage, arn, PORT, "55535")


@on_groups
async def test_nodes_whose_zone_is_gone_move_and_others_stay(stage: GroupStage) -> None:
    arn = await made(stage, NumCacheClusters=3, PreferredCacheClusterAZs=["local-1a", "local-1b", "local-1c"])
    await subnet_group(stage, "two", "b", "c")
    await tag(stage, arn, SUBNETS, "Two")
    row = await stage.row(stage.key("demo"))
    assert row.desired.subnet_group == "two"
    zones = [node.zone[-1] for node in row.desired.nodes]
    assert zones[1:] == ["b", "c"] and zones[0] in "bc"
    with pytest.raises(AwsError) as refusal:
        await stage.call("DeleteCacheSubnetGroup", CacheSubnetGroupName="two")
    assert refusal.value.code == "CacheSubnetGroupInUse"


@on_groups
async def test_subnet_groups_that_cannot_be(stage: GroupStage) -> None:
    arn = await made(stage, NumCacheClusters=2, AutomaticFailoverEnabled=True, MultiAZEnabled=True)
    await subnet_group(stage, "narrow", "b")
    await refuse(stage, "CacheSubnetGroupNotFoundFault", "nowhere", arn, SUBNETS, "nowhere")
    await refuse(stage, COMBINATION, "MultiAZ", arn, SUBNETS, "narrow")


@on_groups
async def test_only_what_has_a_port_of_its_own(stage: GroupStage) -> None:
    arn = await made(stage)
    member = arn.replace("replicationgroup:demo", "cluster:demo-001")
    await refuse(stage, VALUE, "demo-001 has none of its own", member, PORT, "6390")
    await subnet_group(stage, "mine", "b")
    await refuse(stage, VALUE, "mine", arn.replace("replicationgroup:demo", "subnetgroup:mine"), PORT, "6390")


@on_groups
async def test_clusters_without_a_group(stage: GroupStage) -> None:
    for name, engine in (("alone", "valkey"), ("mem", "memcached")):
        await stage.create_cluster(name, Engine=engine, NumCacheNodes=1)
        row = await stage.settle(name, Kind.CACHE_CLUSTER)
        await tag(stage, row.key.arn, PORT, "7000")
        assert (await stage.row(row.key)).desired.port == 7000
        await refuse(stage, "InvalidCacheClusterState", "modifying", row.key.arn, PORT, "7001")


@on_groups
async def test_a_creation_says_the_same_with_and_without_the_tag(stage: GroupStage) -> None:
    tags = [{"Key": PORT, "Value": "6390"}, {"Key": SUBNETS, "Value": "default"}]
    with pytest.raises(AwsError) as refusal:
        await stage.create_group("other", Tags=tags)
    assert refusal.value.code == COMBINATION and "Port is 6379" in refusal.value.message
    with pytest.raises(AwsError):
        await stage.create_cluster("other", Engine="valkey", NumCacheNodes=1, Tags=tags)
    await stage.create_group("same", Port=6390, Tags=tags)


@on_groups
async def test_tags_of_ours_that_would_do_nothing_are_refused(stage: GroupStage) -> None:
    arn = await made(stage, NumCacheClusters=2)
    await refuse(stage, VALUE, "'cachefleet:Balance' has no meaning", arn, "cachefleet:Balance", "load")
    await refuse(stage, VALUE, "'cachefleet:ports' has no meaning", arn, "cachefleet:ports", "6390")
    await refuse(stage, VALUE, "demo has no shards", arn, "cachefleet:balance", "load")
    await refuse(stage, VALUE, "demo has no shards", arn, "cachefleet:reshard", "gentle")
    assert (await stage.call("ListTagsForResource", ResourceName=arn))["TagList"] == []
