"""Policies on real operations: what passes, what is refused, and in which words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cachefleet.api.access.permissions import needs
from cachefleet.api.context import Context
from cachefleet.api.reasons import reasons
from cachefleet.api.registry import OPERATIONS
from cachefleet.model.errors import AwsError
from cachefleet.protocol.service import service
from tests.component.iam.stage import Stage, allow, arn, deny
from tests.fakes.api import ACCOUNT, REGION, call
from tests.fakes.clock import ManualClock

GROUP = {
    "ReplicationGroupId": "shop",
    "ReplicationGroupDescription": "d",
    "CacheNodeType": "cache.t4g.micro",
    "Engine": "valkey",
}


def refused(stage: Stage, context: Context, name: str, /, **request: Any) -> AwsError:
    with pytest.raises(AwsError) as error:
        stage.cache(name, context, **request)
    return error.value


def denied(stage: Stage, context: Context, name: str, /, **request: Any) -> str:
    error = refused(stage, context, name, **request)
    assert (error.code, error.http_status) == ("AccessDenied", 403)
    return error.message


def test_every_operation_says_what_it_needs() -> None:
    assert [key for key in OPERATIONS if needs(*key) is None] == []


NAMING = {
    "CacheClusterId": "cluster",
    "PrimaryClusterId": "cluster",
    "SnapshottingClusterId": "cluster",
    "ReplicationGroupId": "replicationgroup",
    "CacheClusterIds": "cluster",
    "ReplicationGroupIds": "replicationgroup",
    "CacheParameterGroupName": "parametergroup",
    "CacheSubnetGroupName": "subnetgroup",
    "CacheSecurityGroupName": "securitygroup",
    "CacheSecurityGroupNames": "securitygroup",
    "SnapshotName": "snapshot",
    "SourceSnapshotName": "snapshot",
    "TargetSnapshotName": "snapshot",
    "FinalSnapshotIdentifier": "snapshot",
    "UserId": "user",
    "UserIds": "user",
    "UserIdsToAdd": "user",
    "UserIdsToRemove": "user",
    "UserGroupId": "usergroup",
    "UserGroupIds": "usergroup",
    "UserGroupIdsToAdd": "usergroup",
    "UserGroupIdsToRemove": "usergroup",
    "ResourceName": "arn",
    "SnapshotArns": "object",
    "TargetBucket": "bucket",
}
ONLY_FILTERS = {
    ("DescribeSnapshots", "ReplicationGroupId"),
    ("DescribeSnapshots", "CacheClusterId"),
    ("DescribeUpdateActions", "ReplicationGroupIds"),
    ("DescribeUpdateActions", "CacheClusterIds"),
}


@pytest.mark.parametrize("name", [name for signing_name, name in OPERATIONS if signing_name == "elasticache"])
def test_every_member_that_names_a_resource_is_authorised(name: str) -> None:
    known = needs("elasticache", name)
    assert known is not None
    listed = {one.member: one.type_word for one in known.named}
    shape = service("elasticache").operation(name).input_shape
    members = set(shape.members) if shape is not None else set()
    expected = {member: word for member, word in NAMING.items() if member in members and (name, member) not in ONLY_FILTERS}
    assert {member: word for member, word in listed.items() if member in NAMING} == expected
    assert set(listed) <= members | {""}


def test_without_policies_nothing_is_allowed() -> None:
    stage = Stage()
    nobody = stage.as_user()
    assert denied(stage, nobody, "CreateReplicationGroup", **GROUP) == (
        f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: elasticache:CreateReplicationGroup on resource: "
        f"{arn('replicationgroup', 'shop')} because no identity-based policy allows the elasticache:CreateReplicationGroup "
        "action"
    )
    assert stage.cache("DescribeReplicationGroups")["ReplicationGroups"] == []
    assert f"on resource: {arn('cluster', '*')} " in denied(stage, nobody, "DescribeCacheClusters")
    assert "on resource: * " in denied(stage, nobody, "DescribeEvents")


def test_an_explicit_deny_wins_and_is_told() -> None:
    stage = Stage()
    ann = stage.as_user(allow("*"), deny("elasticache:Delete*", arn("replicationgroup", "shop")))
    stage.cache("CreateReplicationGroup", ann, **GROUP)
    message = denied(stage, ann, "DeleteReplicationGroup", ReplicationGroupId="SHOP")  # no other spelling gets past it
    assert message.endswith("with an explicit deny in an identity-based policy")


def test_who_may_not_ask_is_not_told_what_exists() -> None:
    stage = Stage()
    stage.cache("CreateReplicationGroup", **GROUP)
    ann = stage.as_user(allow("elasticache:*", arn("replicationgroup", "mine-*")))
    there = denied(stage, ann, "DescribeReplicationGroups", ReplicationGroupId="shop")
    absent = denied(stage, ann, "DescribeReplicationGroups", ReplicationGroupId="none")
    assert there.replace("shop", "none") == absent
    assert refused(stage, ann, "DescribeReplicationGroups", ReplicationGroupId="mine-1").code == "ReplicationGroupNotFoundFault"


def test_a_creation_needs_every_resource_that_it_names() -> None:
    stage = Stage()
    request = {**GROUP, "CacheSubnetGroupName": "default"}
    few = [allow("elasticache:CreateReplicationGroup", arn("replicationgroup", "shop"))]
    assert arn("subnetgroup", "default") in denied(stage, stage.as_user(*few), "CreateReplicationGroup", **request)
    more = [*few, allow("elasticache:CreateReplicationGroup", arn("subnetgroup", "*"))]
    stage.cache("CreateReplicationGroup", stage.as_user(*more), **request)
    from_snapshot = {**GROUP, "ReplicationGroupId": "shop", "SnapshotName": "backup"}
    assert arn("snapshot", "backup") in denied(stage, stage.as_user(*more), "CreateReplicationGroup", **from_snapshot)


def test_tags_at_a_creation_are_an_action_of_their_own() -> None:
    stage = Stage()
    request = {**GROUP, "Tags": [{"Key": "team", "Value": "a"}]}
    ann = stage.as_user(allow("elasticache:CreateReplicationGroup"))
    assert "elasticache:AddTagsToResource on resource: " + arn("replicationgroup", "shop") in denied(
        stage, ann, "CreateReplicationGroup", **request
    )
    stage.cache("CreateReplicationGroup", stage.as_user(allow(["elasticache:Create*", "elasticache:AddTags*"])), **request)


def test_a_final_snapshot_needs_its_own_permission() -> None:
    stage = Stage()
    stage.cache("CreateReplicationGroup", **GROUP)
    ann = stage.as_user(allow("elasticache:DeleteReplicationGroup"))
    message = denied(stage, ann, "DeleteReplicationGroup", ReplicationGroupId="shop", FinalSnapshotIdentifier="last")
    assert f"elasticache:CreateSnapshot on resource: {arn('snapshot', 'last')}" in message


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ({"StringEquals": {"aws:ResourceTag/Team": "red"}}, True),
        ({"StringEquals": {"aws:ResourceTag/team": "blue"}}, False),
        ({"StringEquals": {"aws:ResourceTag/other": "red"}}, False),
        ({"StringEqualsIgnoreCase": {"elasticache:CacheNodeType": "CACHE.t4g.micro"}}, True),
        ({"StringEquals": {"elasticache:EngineType": "redis"}}, False),
        ({"Bool": {"elasticache:TransitEncryptionEnabled": "true"}}, False),
        ({"Bool": {"elasticache:MultiAZEnabled": "false"}}, True),
        ({"NumericLessThanEquals": {"elasticache:ReplicasPerNodeGroup": "0"}}, True),
        ({"NumericGreaterThan": {"elasticache:NumNodeGroups": "1"}}, False),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, False),
        ({"StringEquals": {"aws:username": "ann"}}, True),
        ({"StringEquals": {"aws:RequestedRegion": "local-2"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2000-01-01T00:00:00Z"}}, False),
        ({"NumericGreaterThan": {"aws:EpochTime": "1"}}, True),
        ({"Null": {"aws:RequestTag/team": "true"}}, True),
    ],
)
def test_conditions_on_what_there_is(condition: dict[str, Any], passes: bool) -> None:
    stage = Stage(clock=ManualClock(1_700_000_000.0))
    stage.cache("CreateReplicationGroup", **GROUP, Tags=[{"Key": "team", "Value": "red"}])
    ann = stage.as_user(allow("elasticache:DescribeReplicationGroups", **condition))
    if passes:
        (shown,) = stage.cache("DescribeReplicationGroups", ann, ReplicationGroupId="shop")["ReplicationGroups"]
        assert shown is not None
    else:
        denied(stage, ann, "DescribeReplicationGroups", ReplicationGroupId="shop")


@pytest.mark.parametrize(
    ("condition", "changes", "passes"),
    [
        ({"StringEquals": {"aws:RequestTag/team": ["red", "blue"]}}, {"Tags": [{"Key": "team", "Value": "red"}]}, True),
        ({"StringEquals": {"aws:RequestTag/team": ["red", "blue"]}}, {}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}, {"Tags": [{"Key": "cost", "Value": "1"}]}, False),
        ({"StringLike": {"elasticache:CacheNodeType": "cache.t4g.*"}}, {}, True),
        (
            {"StringNotEquals": {"elasticache:CacheParameterGroupName": "default.valkey9"}},
            {"CacheParameterGroupName": "DEFAULT.valkey9"},
            False,
        ),
        ({"StringLike": {"elasticache:CacheNodeType": "cache.t4g.*"}}, {"CacheNodeType": "cache.r7g.large"}, False),
        ({"NumericLessThan": {"elasticache:ReplicasPerNodeGroup": "2"}}, {"NumCacheClusters": 2}, True),
        ({"NumericLessThan": {"elasticache:ReplicasPerNodeGroup": "2"}}, {"NumCacheClusters": 3}, False),
        ({"Bool": {"elasticache:AutomaticFailoverEnabled": "true"}}, {}, False),
    ],
)
def test_conditions_on_what_is_asked_for(condition: dict[str, Any], changes: dict[str, Any], passes: bool) -> None:
    stage = Stage()
    ann = stage.as_user(allow("elasticache:AddTagsToResource"), allow("elasticache:CreateReplicationGroup", **condition))
    request = {**GROUP, **changes}
    if passes:
        stage.cache("CreateReplicationGroup", ann, **request)
        assert stage.cache("DescribeReplicationGroups", ReplicationGroupId="shop")["ReplicationGroups"]
    else:
        denied(stage, ann, "CreateReplicationGroup", **request)


def test_tags_decide_about_tags() -> None:
    stage = Stage()
    stage.cache("CreateReplicationGroup", **GROUP, Tags=[{"Key": "team", "Value": "red"}])
    name = arn("replicationgroup", "shop")
    keeps = {"ForAnyValue:StringEquals": {"aws:TagKeys": "team"}}
    ann = stage.as_user(allow("elasticache:*Tags*"), deny("elasticache:RemoveTags*", **keeps))
    stage.cache("AddTagsToResource", ann, ResourceName=name, Tags=[{"Key": "x", "Value": "y"}])
    stage.cache("RemoveTagsFromResource", ann, ResourceName=name, TagKeys=["x"])
    denied(stage, ann, "RemoveTagsFromResource", ResourceName=name, TagKeys=["team"])


def test_a_members_own_tags_count_for_it() -> None:
    stage = Stage()
    stage.cache("CreateReplicationGroup", **GROUP)
    stage.cache("AddTagsToResource", ResourceName=arn("cluster", "shop-001"), Tags=[{"Key": "only", "Value": "node"}])
    ann = stage.as_user(allow("elasticache:Describe*", StringEquals={"aws:ResourceTag/only": "node"}))
    assert stage.cache("DescribeCacheClusters", ann, CacheClusterId="shop-001")["CacheClusters"]
    denied(stage, ann, "DescribeReplicationGroups", ReplicationGroupId="shop")


def test_users_may_be_let_look_after_themselves() -> None:
    stage = Stage()
    for name in ("ann", "bob"):
        stage.iam("CreateUser", UserName=name, Path="/team/")
    own = f"arn:aws:iam::{ACCOUNT}:user/team/${{aws:username}}"
    ann = stage.as_user(allow("iam:*AccessKey*", own))
    key = stage.iam("CreateAccessKey", ann, UserName="ann")["AccessKey"]["AccessKeyId"]
    stage.iam("DeleteAccessKey", ann, UserName="ann", AccessKeyId=key)
    with pytest.raises(AwsError) as error:
        stage.iam("CreateAccessKey", ann, UserName="bob")
    assert error.value.code == "AccessDenied" and f"arn:aws:iam::{ACCOUNT}:user/team/bob" in error.value.message
    with pytest.raises(AwsError) as error:
        stage.iam("ListUsers", ann)
    assert f"iam:ListUsers on resource: arn:aws:iam::{ACCOUNT}:user/" in error.value.message


def test_who_one_is_can_always_be_asked() -> None:
    stage = Stage()
    told = asyncio.run(call(stage.as_user(deny("*")), "GetCallerIdentity", "sts"))
    assert told["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"


def test_a_request_that_names_endless_resources_is_refused() -> None:
    stage = Stage()
    ann = stage.as_user(allow("*"))
    error = refused(stage, ann, "CreateReplicationGroup", **GROUP, CacheSecurityGroupNames=[f"g{n}" for n in range(300)])
    assert error.code == "ValidationError"


def test_files_to_restore_from_are_objects_of_s3() -> None:
    stage = Stage()
    ann = stage.as_user(allow("elasticache:*"))
    message = denied(stage, ann, "CreateReplicationGroup", **GROUP, SnapshotArns=["arn:aws:s3:::bucket/x.rdb"])
    assert "s3:GetObject on resource: arn:aws:s3:::bucket/x.rdb" in message


def test_security_groups_are_the_same_by_id_and_by_name() -> None:
    stage = Stage()
    other = ec2(stage, "CreateVpc", CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    elsewhere = ec2(stage, "CreateSecurityGroup", GroupName="web", Description="d", VpcId=other)["GroupId"]
    guarded = ec2(stage, "CreateSecurityGroup", GroupName="web", Description="d")["GroupId"]
    named = f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/"
    ann = stage.as_user(allow("ec2:*"), deny("ec2:DeleteSecurityGroup", named + guarded))
    for request in ({"GroupId": guarded}, {"GroupName": "web"}):
        with pytest.raises(AwsError) as error:
            ec2(stage, "DeleteSecurityGroup", ann, **request)
        assert (error.value.code, error.value.http_status) == ("UnauthorizedOperation", 403)
        assert named + guarded in error.value.message
    ec2(stage, "DeleteSecurityGroup", ann, GroupId=elsewhere)
    assert ec2(stage, "DescribeSecurityGroups", ann, GroupIds=[guarded])["SecurityGroups"]


def test_networks_may_be_told_apart_by_their_tags() -> None:
    stage = Stage()
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": "red"}]}]
    vpc = ec2(stage, "CreateVpc", CidrBlock="10.9.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
    blue = stage.as_user(allow("ec2:*", StringEquals={"ec2:ResourceTag/team": "blue"}))
    with pytest.raises(AwsError) as error:
        ec2(stage, "DeleteVpc", blue, VpcId=vpc)
    assert error.value.code == "UnauthorizedOperation"
    ec2(stage, "DeleteVpc", stage.as_user(allow("ec2:*", StringEquals={"aws:ResourceTag/team": "red"})), VpcId=vpc)


def ec2(stage: Stage, name: str, context: Context | None = None, /, **request: Any) -> Any:
    return asyncio.run(call(context or stage.root, name, "ec2", **request))


def test_the_status_page_has_an_action_of_its_own() -> None:
    stage = Stage()
    with pytest.raises(AwsError) as error:
        asyncio.run(reasons(stage.as_user(allow("elasticache:*"))))
    assert error.value.code == "AccessDenied" and "cachefleet:GetStatus on resource: *" in error.value.message
    assert "proofs" in asyncio.run(reasons(stage.as_user(allow("cachefleet:GetStatus"))))
