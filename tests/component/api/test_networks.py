"""EC2's subset: VPCs, subnets, security groups and their rules, tags; what their users forbid; what their changes wake."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.model.network import default_security_group_id, default_subnets, default_vpc_id
from cachefleet.model.resource import Kind
from tests.component.api.stage import Stage, on_each_store


async def ec2(stage: Stage, name: str, **request: Any) -> Any:
    return await stage.call(name, service="ec2", **request)


async def make_vpc(stage: Stage, cidr: str = "10.0.0.0/16", **more: Any) -> str:
    return str((await ec2(stage, "CreateVpc", CidrBlock=cidr, **more))["Vpc"]["VpcId"])


async def make_subnet(stage: Stage, vpc: str, cidr: str = "10.0.1.0/24", zone: str = "a") -> str:
    made = await ec2(stage, "CreateSubnet", VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"local-1{zone}")
    return str(made["Subnet"]["SubnetId"])


async def make_group(stage: Stage, name: str = "cache", **more: Any) -> str:
    made = await ec2(stage, "CreateSecurityGroup", GroupName=name, Description="for tests", **more)
    return str(made["GroupId"])


def permission(port: int = 6379, **source: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}


def from_network(cidr: str, port: int = 6379) -> dict[str, Any]:
    return permission(port, IpRanges=[{"CidrIp": cidr}])


async def shown_group(stage: Stage, group_id: str) -> dict[str, Any]:
    (group,) = (await ec2(stage, "DescribeSecurityGroups", GroupIds=[group_id]))["SecurityGroups"]
    return dict(group)


@on_each_store
async def test_the_default_vpc_is_there_and_stays(stage: Stage) -> None:
    scope = stage.context.scope
    (vpc,) = (await ec2(stage, "DescribeVpcs", Filters=[{"Name": "isDefault", "Values": ["true"]}]))["Vpcs"]
    assert (vpc["VpcId"], vpc["CidrBlock"], vpc["State"]) == (default_vpc_id(scope), "127.0.0.0/8", "available")
    subnets = (await ec2(stage, "DescribeSubnets", Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]))["Subnets"]
    assert {subnet["SubnetId"] for subnet in subnets} == {subnet.subnet_id for subnet in default_subnets(scope)}
    group = await shown_group(stage, default_security_group_id(scope))
    (allowed,) = group["IpPermissions"]
    assert (group["GroupName"], allowed["IpProtocol"], allowed["IpRanges"]) == ("default", "-1", [{"CidrIp": "127.0.0.0/8"}])
    assert [pair["GroupId"] for pair in allowed["UserIdGroupPairs"]] == [group["GroupId"]]
    await stage.refused("OperationNotPermitted", "built in", "DeleteVpc", service="ec2", VpcId=vpc["VpcId"])
    await stage.refused("OperationNotPermitted", "built in", "DeleteSubnet", service="ec2", SubnetId=subnets[0]["SubnetId"])
    await stage.refused("CannotDelete", "cannot be deleted", "DeleteSecurityGroup", service="ec2", GroupId=group["GroupId"])
    await stage.refused(
        "OperationNotPermitted", "built in", "CreateSubnet", service="ec2", VpcId=vpc["VpcId"], CidrBlock="127.1.0.0/24"
    )


@on_each_store
async def test_a_vpc_lives_and_goes(stage: Stage) -> None:
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "mine"}]}]
    vpc = await make_vpc(stage, "10.7.3.0/16", TagSpecifications=tags)
    assert len(vpc) == len("vpc-") + 17
    (shown,) = (await ec2(stage, "DescribeVpcs", Filters=[{"Name": "tag:Name", "Values": ["m*"]}]))["Vpcs"]
    assert (shown["VpcId"], shown["CidrBlock"], shown["IsDefault"]) == (vpc, "10.7.0.0/16", False)
    for attribute, before in (("enableDnsSupport", True), ("enableDnsHostnames", False)):
        member = attribute[0].upper() + attribute[1:]
        read = await ec2(stage, "DescribeVpcAttribute", VpcId=vpc, Attribute=attribute)
        assert read == {"VpcId": vpc, member: {"Value": before}}
        await ec2(stage, "ModifyVpcAttribute", VpcId=vpc, **{member: {"Value": not before}})
        read = await ec2(stage, "DescribeVpcAttribute", VpcId=vpc, Attribute=attribute)
        assert read == {"VpcId": vpc, member: {"Value": not before}}
    (group,) = (
        await ec2(
            stage,
            "DescribeSecurityGroups",
            Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}],
        )
    )["SecurityGroups"]
    assert [allowed["IpRanges"] for allowed in group["IpPermissions"]] == [[]]
    subnet = await make_subnet(stage, vpc, "10.7.1.0/24")
    await stage.refused("DependencyViolation", subnet, "DeleteVpc", service="ec2", VpcId=vpc)
    await ec2(stage, "DeleteSubnet", SubnetId=subnet)
    await ec2(stage, "DeleteVpc", VpcId=vpc)
    await stage.refused("InvalidVpcID.NotFound", vpc, "DescribeVpcs", service="ec2", VpcIds=[vpc])
    await stage.refused("InvalidGroup.NotFound", ".", "DescribeSecurityGroups", service="ec2", GroupIds=[group["GroupId"]])


@on_each_store
async def test_subnets_have_to_fit(stage: Stage) -> None:
    vpc = await make_vpc(stage)
    first = await make_subnet(stage, vpc)
    (shown,) = (await ec2(stage, "DescribeSubnets", SubnetIds=[first]))["Subnets"]
    assert (shown["AvailabilityZone"], shown["AvailabilityZoneId"], shown["AvailableIpAddressCount"]) == (
        "local-1a",
        "local-1-az1",
        251,
    )
    for code, cidr in (
        ("InvalidSubnet.Conflict", "10.0.1.128/25"),
        ("InvalidSubnet.Range", "10.1.0.0/24"),
        ("InvalidSubnet.Range", "10.0.2.0/29"),
        ("InvalidParameterValue", "10.0.2.0"),
        ("InvalidParameterValue", "ten"),
    ):
        await stage.refused(code, "CIDR|Cidr", "CreateSubnet", service="ec2", VpcId=vpc, CidrBlock=cidr)
    await stage.refused(
        "InvalidParameterValue",
        "local-1c",
        "CreateSubnet",
        service="ec2",
        VpcId=vpc,
        CidrBlock="10.0.2.0/24",
        AvailabilityZone="local-1d",
    )
    await ec2(stage, "ModifySubnetAttribute", SubnetId=first, MapPublicIpOnLaunch={"Value": True})
    assert (await ec2(stage, "DescribeSubnets", SubnetIds=[first]))["Subnets"][0]["MapPublicIpOnLaunch"]


@on_each_store
async def test_cache_subnet_groups_over_subnets_of_ones_own(stage: Stage) -> None:
    vpc, other = await make_vpc(stage), await make_vpc(stage)
    ids = [await make_subnet(stage, vpc, "10.0.1.0/24", "b"), await make_subnet(stage, vpc, "10.0.2.0/24", "a")]
    named = {"CacheSubnetGroupName": "mine", "CacheSubnetGroupDescription": "d"}
    made = (await stage.call("CreateCacheSubnetGroup", **named, SubnetIds=ids))["CacheSubnetGroup"]
    assert (made["VpcId"], [subnet["SubnetIdentifier"] for subnet in made["Subnets"]]) == (vpc, list(reversed(ids)))
    elsewhere = await make_subnet(stage, other)
    for chosen in ([ids[0], elsewhere], [ids[0], default_subnets(stage.context.scope)[0].subnet_id]):
        await stage.refused("InvalidSubnet", "one VPC", "CreateCacheSubnetGroup", **{**named, "SubnetIds": chosen})
    await stage.refused("InvalidSubnet", "stays", "ModifyCacheSubnetGroup", CacheSubnetGroupName="mine", SubnetIds=[elsewhere])
    await stage.refused("DependencyViolation", "mine", "DeleteSubnet", service="ec2", SubnetId=ids[0])
    await stage.call("DeleteCacheSubnetGroup", CacheSubnetGroupName="mine")
    await ec2(stage, "DeleteSubnet", SubnetId=ids[0])


@on_each_store
async def test_rules_are_made_shown_and_taken_away(stage: Stage) -> None:
    group, other = await make_group(stage), await make_group(stage, "app")
    asked = [
        permission(IpRanges=[{"CidrIp": "10.1.2.3/8", "Description": "office"}], UserIdGroupPairs=[{"GroupId": other}]),
        {"IpProtocol": "-1", "FromPort": 7, "ToPort": 9, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]
    made = await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=asked)
    assert [rule.get("CidrIpv4") for rule in made["SecurityGroupRules"]] == ["10.0.0.0/8", None, None]
    assert all(len(rule["SecurityGroupRuleId"]) == len("sgr-") + 17 for rule in made["SecurityGroupRules"])
    shown = (await shown_group(stage, group))["IpPermissions"]
    assert shown[0]["IpRanges"] == [{"CidrIp": "10.0.0.0/8", "Description": "office"}]
    assert shown[0]["UserIdGroupPairs"] == [{"GroupId": other, "UserId": "000000000000"}]
    assert (shown[1]["IpProtocol"], "FromPort" in shown[1]) == ("-1", False)
    await stage.refused(
        "InvalidPermission.Duplicate",
        r'"peer: 10\.0\.0\.0/8, TCP, from port: 6379, to port: 6379, ALLOW" already exists',
        "AuthorizeSecurityGroupIngress",
        service="ec2",
        GroupId=group,
        IpPermissions=[from_network("10.0.0.0/8")],
    )
    await stage.refused("DependencyViolation", group, "DeleteSecurityGroup", service="ec2", GroupId=other)
    ids = [rule["SecurityGroupRuleId"] for rule in made["SecurityGroupRules"]]
    filters = [{"Name": "group-id", "Values": [group]}]
    rules = (await ec2(stage, "DescribeSecurityGroupRules", Filters=filters))["SecurityGroupRules"]
    assert {rule["SecurityGroupRuleId"] for rule in rules if not rule["IsEgress"]} == set(ids)
    await ec2(stage, "RevokeSecurityGroupIngress", GroupId=group, SecurityGroupRuleIds=ids[1:])
    await stage.refused(
        "InvalidPermission.NotFound",
        "does not exist",
        "RevokeSecurityGroupIngress",
        service="ec2",
        GroupId=group,
        IpPermissions=[from_network("10.0.0.0/8", 6380)],
    )
    change = {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6390, "CidrIpv4": "127.0.0.0/8"}
    update = {"SecurityGroupRuleId": ids[0], "SecurityGroupRule": change}
    await ec2(stage, "ModifySecurityGroupRules", GroupId=group, SecurityGroupRules=[update])
    (left,) = (await shown_group(stage, group))["IpPermissions"]
    assert (left["FromPort"], left["ToPort"], left["IpRanges"]) == (6379, 6390, [{"CidrIp": "127.0.0.0/8"}])
    await ec2(stage, "DeleteSecurityGroup", GroupId=other)


@on_each_store
async def test_terraform_takes_the_default_egress_away(stage: Stage) -> None:
    group = await make_group(stage)
    everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    await ec2(stage, "RevokeSecurityGroupEgress", GroupId=group, IpPermissions=[everything])
    assert (await shown_group(stage, group))["IpPermissionsEgress"] == []
    await ec2(stage, "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[everything])
    assert len((await shown_group(stage, group))["IpPermissionsEgress"]) == 1
    for name in ("DescribeInternetGateways", "DescribeNetworkInterfaces"):
        ((_, found),) = (await ec2(stage, name, Filters=[{"Name": "vpc-id", "Values": ["vpc-1"]}])).items()
        assert found == []


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ({"IpProtocol": "carrier-pigeon", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    (permission(IpRanges=[{"CidrIp": "10.0.0.0/33"}]), "InvalidParameterValue"),
    (permission(IpRanges=[{"CidrIp": "10.0.0.0/8 } accept"}]), "InvalidParameterValue"),
    (permission(Ipv6Ranges=[{"CidrIpv6": "10.0.0.0/8"}]), "InvalidParameterValue"),
    (permission(70000, IpRanges=[{"CidrIp": "10.0.0.0/8"}]), "InvalidParameterValue"),
    (permission(IpRanges=[{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "10.1.0.0/8"}]), "InvalidParameterValue"),
    (permission(UserIdGroupPairs=[{"GroupId": "sg-none"}]), "InvalidGroup.NotFound"),
    (permission(PrefixListIds=[{"PrefixListId": "pl-1"}]), "InvalidPrefixListID.NotFound"),
    (permission(), "MissingParameter"),
]


@on_each_store
async def test_rules_that_cannot_be(stage: Stage) -> None:
    group = await make_group(stage)
    for asked, code in IMPOSSIBLE:
        await stage.refused(code, ".", "AuthorizeSecurityGroupIngress", service="ec2", GroupId=group, IpPermissions=[asked])
    assert (await shown_group(stage, group))["IpPermissions"] == []


@on_each_store
async def test_a_security_group_has_at_most_sixty_rules(stage: Stage) -> None:
    group = await make_group(stage)
    ranges = [{"CidrIp": f"10.{number}.0.0/16"} for number in range(60)]
    await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[permission(IpRanges=ranges)])
    await stage.refused(
        "RulesPerSecurityGroupLimitExceeded",
        "60",
        "AuthorizeSecurityGroupIngress",
        service="ec2",
        GroupId=group,
        IpPermissions=[from_network("11.0.0.0/8")],
    )


@on_each_store
async def test_a_changed_rule_wakes_those_that_it_concerns(stage: Stage) -> None:
    group, other = await make_group(stage), await make_group(stage, "app")
    row = await stage.add_group("mine", security_groups=(group,))
    await stage.add_group("others")
    await stage.refused("DependencyViolation", "cache mine", "DeleteSecurityGroup", service="ec2", GroupId=group)
    await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[from_network("127.0.0.0/8")])
    assert stage.woken == [row.key]
    pair = permission(UserIdGroupPairs=[{"GroupId": other}])
    await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[pair])
    stage.woken.clear()
    tag = {"Key": "cachefleet:members", "Value": "127.0.0.7 127.8.0.0/16"}
    await ec2(stage, "CreateTags", Resources=[other], Tags=[tag])
    assert stage.woken == [row.key]
    stage.woken.clear()
    default = default_security_group_id(stage.context.scope)
    await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=default, IpPermissions=[from_network("10.0.0.0/8")])
    assert [key.name for key in stage.woken] == ["others"]


@on_each_store
async def test_tags_of_networks(stage: Stage) -> None:
    vpc, group = await make_vpc(stage), await make_group(stage)
    default = default_vpc_id(stage.context.scope)
    made = await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[from_network("10.0.0.0/8")])
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    await ec2(stage, "CreateTags", Resources=[vpc, group, rule, default], Tags=[{"Key": "team", "Value": "x"}])
    found = (await ec2(stage, "DescribeTags"))["Tags"]
    assert {tag["ResourceId"]: tag["ResourceType"] for tag in found} == {
        vpc: "vpc",
        default: "vpc",
        group: "security-group",
        rule: "security-group-rule",
    }
    await ec2(stage, "DeleteTags", Resources=[vpc, rule], Tags=[{"Key": "team"}])
    assert {tag["ResourceId"] for tag in (await ec2(stage, "DescribeTags"))["Tags"]} == {default, group}
    for code, resource, tag in (
        ("InvalidParameterValue", vpc, {"Key": "cachefleet:members", "Value": "127.0.0.1"}),
        ("InvalidParameterValue", group, {"Key": "cachefleet:members", "Value": "everybody"}),
        ("InvalidParameterValue", group, {"Key": "cachefleet:port", "Value": "1"}),
        ("InvalidParameterValue", group, {"Key": "aws:x", "Value": "1"}),
        ("InvalidID", "i-1234", {"Key": "a", "Value": "1"}),
        ("InvalidVpcID.NotFound", "vpc-1234", {"Key": "a", "Value": "1"}),
    ):
        await stage.refused(code, ".", "CreateTags", service="ec2", Resources=[resource], Tags=[tag])


@on_each_store
async def test_pages_and_filters(stage: Stage) -> None:
    made = {await make_group(stage, f"group-{number}") for number in range(7)}
    first = await ec2(stage, "DescribeSecurityGroups", MaxResults=5)
    rest = await ec2(stage, "DescribeSecurityGroups", MaxResults=5, NextToken=first["NextToken"])
    assert "NextToken" not in rest
    found = [group["GroupId"] for page in (first, rest) for group in page["SecurityGroups"]]
    assert set(found) == {*made, default_security_group_id(stage.context.scope)}
    named = await ec2(stage, "DescribeSecurityGroups", Filters=[{"Name": "group-name", "Values": ["group-[1]", "group-3"]}])
    assert [group["GroupName"] for group in named["SecurityGroups"]] == ["group-3"]
    await stage.refused(
        "InvalidParameterValue", "group-name", "DescribeSecurityGroups", service="ec2", Filters=[{"Name": "x", "Values": ["y"]}]
    )
    await stage.refused("InvalidParameterValue", "1000", "DescribeSecurityGroups", service="ec2", MaxResults=4)
    await stage.refused("InvalidParameterValue", "token|marker", "DescribeVpcs", service="ec2", NextToken="x")


@on_each_store
async def test_zones(stage: Stage) -> None:
    zones = (await ec2(stage, "DescribeAvailabilityZones"))["AvailabilityZones"]
    assert [(zone["ZoneName"], zone["State"]) for zone in zones] == [(f"local-1{letter}", "available") for letter in "abc"]
    (one,) = (await ec2(stage, "DescribeAvailabilityZones", ZoneNames=["local-1b"]))["AvailabilityZones"]
    assert one["ZoneId"] == "local-1-az2"
    await stage.refused(
        "InvalidParameterValue", "Invalid availability zone", "DescribeAvailabilityZones", service="ec2", ZoneNames=["x"]
    )


@on_each_store
async def test_names_of_security_groups(stage: Stage) -> None:
    await make_group(stage)
    vpc = await make_vpc(stage)
    await make_group(stage, VpcId=vpc)
    for code, name in (
        ("InvalidGroup.Duplicate", "cache"),
        ("InvalidGroup.Reserved", "default"),
        ("InvalidParameterValue", "sg-x"),
    ):
        await stage.refused(code, ".", "CreateSecurityGroup", service="ec2", GroupName=name, Description="d")
    await stage.refused(
        "InvalidParameterValue", "letters", "CreateSecurityGroup", service="ec2", GroupName="a\tb", Description="d"
    )
    await stage.refused("DependencyViolation", "sg-", "DeleteVpc", service="ec2", VpcId=vpc)


@on_each_store
async def test_others_do_not_see_it(stage: Stage) -> None:
    vpc = await make_vpc(stage)
    stage.context = replace(stage.context, caller=replace(stage.context.caller, region="eu-west-1"))
    await stage.refused("InvalidVpcID.NotFound", vpc, "DescribeVpcs", service="ec2", VpcIds=[vpc])
    assert len((await ec2(stage, "DescribeVpcs"))["Vpcs"]) == 1


@on_each_store
async def test_what_is_built_in_becomes_a_row_when_it_is_changed(stage: Stage) -> None:
    default = default_security_group_id(stage.context.scope)
    key = stage.context.scope.key(Kind.SECURITY_GROUP, default)
    assert await stage.store.get(key) is None
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "127.0.0.0/8"}]}
    await ec2(stage, "RevokeSecurityGroupIngress", GroupId=default, IpPermissions=[everything])
    assert await stage.store.get(key) is not None
    (left,) = (await shown_group(stage, default))["IpPermissions"]
    assert left["IpRanges"] == []


@on_each_store
async def test_legacy_cache_security_groups(stage: Stage) -> None:
    assert await stage.call("DescribeCacheSecurityGroups") == {"CacheSecurityGroups": []}
    await stage.refused("CacheSecurityGroupNotFound", "old", "DescribeCacheSecurityGroups", CacheSecurityGroupName="old")
    await stage.refused(
        "InvalidParameterValue",
        "not permitted in this API version for your account",
        "CreateCacheSecurityGroup",
        CacheSecurityGroupName="old",
        Description="d",
    )
    ingress = {"EC2SecurityGroupName": "a", "EC2SecurityGroupOwnerId": "000000000000"}
    for name, more in (
        ("DeleteCacheSecurityGroup", {}),
        ("AuthorizeCacheSecurityGroupIngress", ingress),
        ("RevokeCacheSecurityGroupIngress", ingress),
    ):
        await stage.refused("CacheSecurityGroupNotFound", "old", name, CacheSecurityGroupName="old", **more)
