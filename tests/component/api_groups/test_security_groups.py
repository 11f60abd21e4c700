"""SecurityGroupIds of caches: what a cache has that names none, what it cannot have, and what nobody may delete meanwhile."""

from __future__ import annotations

from typing import Any

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.model.network import default_security_group_id, default_vpc_id
from tests.component.api_groups.stage import GroupStage, on_groups

MODIFY = "ModifyReplicationGroup"


async def ec2(stage: GroupStage, name: str, **request: Any) -> Any:
    return await stage.call(name, service="ec2", **request)


async def own_network(stage: GroupStage) -> tuple[str, str]:
    """(security group, default security group) of a VPC with the cache subnet group `own`."""
    vpc = (await ec2(stage, "CreateVpc", CidrBlock="10.0.0.0/16"))["Vpc"]["VpcId"]
    ids = [
        (await ec2(stage, "CreateSubnet", VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"local-1{zone}"))[
            "Subnet"
        ]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    await stage.call("CreateCacheSubnetGroup", CacheSubnetGroupName="own", CacheSubnetGroupDescription="d", SubnetIds=ids)
    group = (await ec2(stage, "CreateSecurityGroup", GroupName="mine", Description="d", VpcId=vpc))["GroupId"]
    groups = (await ec2(stage, "DescribeSecurityGroups", Filters=[{"Name": "vpc-id", "Values": [vpc]}]))["SecurityGroups"]
    (default,) = [each["GroupId"] for each in groups if each["GroupName"] == "default"]
    return group, default


async def groups_of(stage: GroupStage, cluster: str = "demo-001") -> list[str]:
    return [group["SecurityGroupId"] for group in (await stage.cluster(cluster))["SecurityGroups"]]


@on_groups
async def test_who_names_none_has_the_default_one_of_its_vpc(stage: GroupStage) -> None:
    _, default = await own_network(stage)
    await stage.create_group()
    assert await groups_of(stage) == [default_security_group_id(stage.context.scope)]
    await stage.create_group("other", CacheSubnetGroupName="own")
    assert await groups_of(stage, "other-001") == [default]


@on_groups
async def test_groups_have_to_be_there_and_of_the_same_vpc(stage: GroupStage) -> None:
    group, _ = await own_network(stage)
    request = {
        "ReplicationGroupId": "demo",
        "ReplicationGroupDescription": "d",
        "CacheNodeType": "cache.t4g.micro",
        "Engine": "valkey",
    }
    for asked, words in (
        ("sg-0a1b2c3d", "no security group"),
        (group, default_vpc_id(stage.context.scope)),
        ("all", "ids look like"),
    ):
        await stage.refused(
            "InvalidParameterValue", words, "CreateReplicationGroup", **{**request, "SecurityGroupIds": [asked]}
        )
    await stage.create_group()
    await stage.settle()
    before = await groups_of(stage)
    for asked, words in (("sg-0a1b2c3d", "no security group"), (group, "same VPC")):
        await stage.refused("InvalidParameterValue", words, MODIFY, ReplicationGroupId="demo", SecurityGroupIds=[asked])
    assert await groups_of(stage) == before


@on_groups
async def test_what_is_in_use_stays(stage: GroupStage) -> None:
    group, default = await own_network(stage)
    await stage.create_group(CacheSubnetGroupName="own", SecurityGroupIds=[group])
    await stage.settle()
    await stage.refused("DependencyViolation", "cache demo", "DeleteSecurityGroup", service="ec2", GroupId=group)
    await stage.call(MODIFY, ReplicationGroupId="demo", SecurityGroupIds=[default])
    await ec2(stage, "DeleteSecurityGroup", GroupId=group)
    assert await groups_of(stage) == [default]


@on_groups
async def test_a_cache_does_not_leave_its_vpc(stage: GroupStage) -> None:
    await own_network(stage)
    await stage.create_group()
    await stage.settle()
    arn = stage.context.scope.arn("replicationgroup", "demo")
    tag = {"Key": "cachefleet:subnet-group", "Value": "own"}
    await stage.refused("InvalidParameterCombination", "another VPC", "AddTagsToResource", ResourceName=arn, Tags=[tag])
