"""Every kind of resource that has tags is found by them through the Resource Groups Tagging API, and can be tagged there."""

from __future__ import annotations

from typing import Any

import cachefleet.api.operations  # noqa: F401  (registers them)
from tests.component.api_groups.snapshot_stage import SnapshotStage, on_snapshots
from tests.component.iam.stage import arn

TAGS = [{"Key": "team", "Value": "shop"}]
RESOURCES = {
    "replicationgroup": "demo",
    "cluster": "alone",
    "subnetgroup": "nets",
    "parametergroup": "params",
    "snapshot": "nightly",
    "user": "app",
    "usergroup": "apps",
    "reserved-instance": "bought",
}


async def _make(stage: SnapshotStage) -> None:
    subnets = (await stage.call("DescribeSubnets", "ec2"))["Subnets"]
    nets = {"CacheSubnetGroupName": "nets", "CacheSubnetGroupDescription": "d", "SubnetIds": [subnets[0]["SubnetId"]]}
    params = {"CacheParameterGroupName": "params", "CacheParameterGroupFamily": "valkey8", "Description": "d"}
    app = {"UserId": "app", "UserName": "app", "Engine": "redis", "AccessString": "on ~* +get", "NoPasswordRequired": True}
    offers = (await stage.call("DescribeReservedCacheNodesOfferings"))["ReservedCacheNodesOfferings"]
    offering = {"ReservedCacheNodesOfferingId": offers[0]["ReservedCacheNodesOfferingId"], "ReservedCacheNodeId": "bought"}
    await stage.create_group()
    await stage.settle()
    await stage.create_cluster()
    made: list[tuple[str, dict[str, Any]]] = [
        ("CreateCacheSubnetGroup", nets),
        ("CreateCacheParameterGroup", params),
        ("CreateSnapshot", {"SnapshotName": "nightly", "ReplicationGroupId": "demo"}),
        ("CreateUser", app),
        ("CreateUserGroup", {"UserGroupId": "apps", "Engine": "redis", "UserIds": ["default"]}),
        ("PurchaseReservedCacheNodesOffering", offering),
    ]
    for name, request in made:
        await stage.call(name, **request)


@on_snapshots
async def test_each_kind_is_tagged_found_and_untagged(stage: SnapshotStage) -> None:
    await _make(stage)
    every = sorted(arn(type_word, name) for type_word, name in RESOURCES.items())
    assert await _found(stage) == []
    reply = await stage.call("TagResources", "tagging", ResourceARNList=every, Tags={"team": "shop"})
    assert reply == {"FailedResourcesMap": {}}
    nodes = [arn("cluster", f"demo-00{number}") for number in (1, 2)]
    assert await _found(stage) == sorted([*every, *nodes])
    for type_word, name in RESOURCES.items():
        found = await _found(stage, ResourceTypeFilters=[f"elasticache:{type_word}"])
        assert [one for one in found if one not in nodes] == [arn(type_word, name)]
        listed = await stage.call("ListTagsForResource", ResourceName=arn(type_word, name))
        assert listed["TagList"] == TAGS, type_word
    reply = await stage.call("UntagResources", "tagging", ResourceARNList=[*every, *nodes], TagKeys=["team"])
    assert reply == {"FailedResourcesMap": {}}
    assert await _found(stage) == []


async def _found(stage: SnapshotStage, **request: Any) -> list[str]:
    reply = await stage.call("GetResources", "tagging", **request)
    return [one["ResourceARN"] for one in reply["ResourceTagMappingList"]]
