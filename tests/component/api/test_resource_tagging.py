"""The Resource Groups Tagging API: tags of many resources read, filtered, paged, set and taken away; who may; refusals."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

import cachefleet.api.resource_tagging
import cachefleet.api.tags  # noqa: F401
from cachefleet.model.errors import AwsError
from cachefleet.model.network import default_subnets
from cachefleet.model.resource import Kind
from tests.component.api.stage import Stage, on_each_store
from tests.component.iam.stage import allow, arn, deny, user

GROUP, FIRST, SECOND = arn("replicationgroup", "demo"), arn("cluster", "demo-001"), arn("cluster", "demo-002")
ALONE, SUBNETS = arn("cluster", "alone"), arn("subnetgroup", "own")


async def _tagging(stage: Stage, name: str, **request: Any) -> Any:
    return await stage.call(name, "tagging", **request)


async def _found(stage: Stage, **request: Any) -> dict[str, dict[str, str]]:
    """Tags by ARN."""
    reply = await _tagging(stage, "GetResources", **request)
    return {one["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in reply["ResourceTagMappingList"]}


async def _refused(stage: Stage, rule: str, name: str = "GetResources", **request: Any) -> None:
    with pytest.raises(AwsError, match=rule) as refusal:
        await _tagging(stage, name, **request)
    assert refusal.value.code == "InvalidParameterException"


async def _make(stage: Stage) -> None:
    """demo has a tag, and its nodes with it; alone and own each have others; bare has none."""
    await stage.add_group("demo")
    await stage.add_group("alone", zones="a", kind=Kind.CACHE_CLUSTER)
    await stage.add_group("bare", zones="a")
    subnet = default_subnets(stage.context.scope)[0].subnet_id
    named = {"CacheSubnetGroupName": "own", "CacheSubnetGroupDescription": "d"}
    await stage.call("CreateCacheSubnetGroup", **named, SubnetIds=[subnet], Tags=[{"Key": "team", "Value": "nets"}])
    for resource, tags in ((GROUP, {"team": "shop", "env": "live"}), (ALONE, {"team": "search"})):
        assert await _tagging(stage, "TagResources", ResourceARNList=[resource], Tags=tags) == {"FailedResourcesMap": {}}


@on_each_store
async def test_resources_by_tags_and_types(stage: Stage) -> None:
    await _make(stage)
    shop = {"team": "shop", "env": "live"}
    every = {ALONE: {"team": "search"}, FIRST: shop, SECOND: shop, GROUP: shop, SUBNETS: {"team": "nets"}}
    assert await _found(stage) == every
    assert await _found(stage, ResourceARNList=[SUBNETS, arn("replicationgroup", "bare"), arn("user", "nobody")]) == {
        SUBNETS: every[SUBNETS]
    }
    live = {"Key": "env", "Values": ["test", "live"]}
    for filters, expected in (
        ([{"Key": "team", "Values": ["search", "nets"]}], {ALONE, SUBNETS}),
        ([{"Key": "env"}], {GROUP, FIRST, SECOND}),
        ([live, {"Key": "team", "Values": ["shop"]}], {GROUP, FIRST, SECOND}),
        ([live, {"Key": "team", "Values": ["search"]}], set()),
    ):
        assert set(await _found(stage, TagFilters=filters)) == expected
    for types, expected in (
        (["elasticache"], set(every)),
        (["elasticache:cluster", "elasticache:subnetgroup"], {ALONE, FIRST, SECOND, SUBNETS}),
        (["elasticache:cluster:x", "ec2:instance", "ec2"], set()),
    ):
        assert set(await _found(stage, ResourceTypeFilters=types)) == expected
    assert await _tagging(stage, "GetTagKeys") == {"TagKeys": ["env", "team"], "PaginationToken": ""}
    values = await _tagging(stage, "GetTagValues", Key="team")
    assert values == {"TagValues": ["nets", "search", "shop"], "PaginationToken": ""}
    assert (await _tagging(stage, "GetTagValues", Key="nothing"))["TagValues"] == []


@on_each_store
async def test_pages_by_resources_and_by_tags(stage: Stage) -> None:
    names = [f"group-{number:02}" for number in range(7)]
    for name in names:
        await stage.add_group(name, zones="")
    await _tagging(
        stage,
        "TagResources",
        ResourceARNList=[arn("replicationgroup", name) for name in names],
        Tags={f"key-{number}": "x" for number in range(30)},
    )
    for asked, sizes in ({"ResourcesPerPage": 3}, [3, 3, 1]), ({"TagsPerPage": 100}, [3, 3, 1]), ({"TagsPerPage": 219}, [7]):
        found: list[dict[str, Any]] = []
        token = ""
        for size in sizes:
            reply = await _tagging(stage, "GetResources", **asked, PaginationToken=token)
            found += reply["ResourceTagMappingList"]
            token = reply["PaginationToken"]
            assert len(reply["ResourceTagMappingList"]) == size
        assert token == ""
        assert [one["ResourceARN"].rpartition(":")[2] for one in found] == names


@on_each_store
async def test_each_resource_is_changed_by_itself(stage: Stage) -> None:
    await _make(stage)
    other = SUBNETS.replace("local-1", "local-2")
    missing = arn("replicationgroup", "missing")
    failed = await _tagging(stage, "TagResources", ResourceARNList=[missing, other, "arn:aws:s3:::b", ALONE], Tags={"a": ""})
    told = {one: (failure["StatusCode"], failure["ErrorCode"]) for one, failure in failed["FailedResourcesMap"].items()}
    assert told == {
        missing: (404, "ReplicationGroupNotFoundFault"),
        other: (400, "InvalidARN"),
        "arn:aws:s3:::b": (400, "InvalidARN"),
    }
    assert await _found(stage, ResourceARNList=[ALONE]) == {ALONE: {"team": "search", "a": ""}}
    failed = await _tagging(stage, "TagResources", ResourceARNList=[ALONE], Tags={"aws:x": "y"})
    assert failed["FailedResourcesMap"][ALONE]["ErrorCode"] == "InvalidParameterValue"

    failed = await _tagging(stage, "UntagResources", ResourceARNList=[ALONE, GROUP, missing], TagKeys=["team", "a"])
    assert set(failed["FailedResourcesMap"]) == {missing}
    assert await _found(stage, ResourceARNList=[ALONE, GROUP]) == {GROUP: {"env": "live"}}


@on_each_store
async def test_what_is_refused(stage: Stage) -> None:
    await _make(stage)
    beside: dict[str, dict[str, Any]] = {
        "TagFilters and ResourcesPerPage": {"TagFilters": [{"Key": "a"}], "ResourcesPerPage": 5},
        "ResourceTypeFilters": {"ResourceTypeFilters": ["elasticache"]},
        "PaginationToken": {"PaginationToken": "x"},
    }
    for names, request in beside.items():
        await _refused(stage, f"cannot be combined with {names}", ResourceARNList=[GROUP], **request)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("1 to 100 resources are taken, not 101", {"ResourceARNList": [f"arn:{number}" for number in range(101)]}),
        ("at most 50 filters with 20 values each", {"TagFilters": [{"Key": "a"}] * 51}),
        ("at most 50 filters with 20 values each", {"TagFilters": [{"Key": "a", "Values": ["x"] * 21}]}),
        ("each filter must have a Key", {"TagFilters": [{"Values": ["x"]}]}),
        ("at most 100 types", {"ResourceTypeFilters": ["ec2"] * 101}),
        ("ResourcesPerPage must be from 1 to 100", {"ResourcesPerPage": 0}),
        ("TagsPerPage must be from 100 to 500", {"TagsPerPage": 99}),
        ("PaginationToken must be what an earlier page", {"PaginationToken": "x"}),
    ]
    for rule, request in wrong:
        await _refused(stage, rule, **request)
    await _refused(stage, "PaginationToken must be", "GetTagKeys", PaginationToken="x")
    await _refused(stage, "PaginationToken must be", "GetTagValues", Key="a", PaginationToken="x")
    many = [f"arn:{number}" for number in range(21)]
    await _refused(stage, "1 to 20 resources", "TagResources", ResourceARNList=many, Tags={"a": "b"})
    await _refused(stage, "1 to 20 resources", "UntagResources", ResourceARNList=[], TagKeys=["a"])
    await _refused(stage, "at least one tag", "TagResources", ResourceARNList=[GROUP], Tags={})
    await _refused(stage, "at least one key", "UntagResources", ResourceARNList=[GROUP], TagKeys=[])
    with pytest.raises(AwsError, match="there are no tag policies here"):
        await _tagging(stage, "GetResources", IncludeComplianceDetails=True)
    assert GROUP in await _found(stage, IncludeComplianceDetails=False)


@on_each_store
async def test_a_change_needs_the_permission_of_the_resource_as_well(stage: Stage) -> None:
    await _make(stage)
    root = stage.context
    change: dict[str, Any] = {"ResourceARNList": [GROUP], "Tags": {"a": "b"}}
    for statements, passed in (
        ((allow("tag:TagResources"),), False),
        ((allow("elasticache:AddTagsToResource"),), False),
        ((allow("tag:*"), allow("elasticache:AddTagsToResource", GROUP)), True),
        ((allow("tag:*"), allow("elasticache:AddTagsToResource", ALONE)), False),
        ((allow("*"), deny("*", StringEquals={"aws:ResourceTag/env": "live"})), False),
        ((allow("*"), deny("*", StringEquals={"aws:RequestTag/a": "b"})), False),
    ):
        stage.context = replace(root, caller=user("ann", *statements))
        if passed:
            await _tagging(stage, "TagResources", **change)
            continue
        with pytest.raises(AwsError) as refusal:
            await _tagging(stage, "TagResources", **change)
        assert refusal.value.code == "AccessDenied", statements
    stage.context = replace(root, caller=user("ann", allow("tag:GetResources")))
    assert GROUP in await _found(stage)
