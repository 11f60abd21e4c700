"""EC2's requests that are only tried, descriptions of rules, ids that are none, and what tools ask before they begin."""

from __future__ import annotations

from typing import Any

from cachefleet.model.network import default_vpc_id
from tests.component.api.stage import Stage, on_each_store
from tests.component.api.test_networks import ec2, from_network, make_group, make_subnet, make_vpc, permission, shown_group


@on_each_store
async def test_what_is_only_tried_changes_nothing(stage: Stage) -> None:
    """Refused as in earnest where it could not be done."""
    vpc = await make_vpc(stage)
    group = await make_group(stage)
    rule = from_network("10.0.0.0/8")
    tried: list[tuple[str, dict[str, Any]]] = [
        ("CreateVpc", {"CidrBlock": "10.0.0.0/16"}),
        ("DeleteVpc", {"VpcId": vpc}),
        ("CreateSubnet", {"VpcId": vpc, "CidrBlock": "10.0.1.0/24"}),
        ("CreateSecurityGroup", {"GroupName": "more", "Description": "d"}),
        ("AuthorizeSecurityGroupIngress", {"GroupId": group, "IpPermissions": [rule]}),
        ("CreateTags", {"Resources": [group], "Tags": [{"Key": "a", "Value": "b"}]}),
        ("DeleteSecurityGroup", {"GroupId": group}),
        ("DescribeVpcs", {}),
    ]
    before = [await ec2(stage, name) for name in ("DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups", "DescribeTags")]
    for name, request in tried:
        await stage.refused("DryRunOperation", "would have succeeded", name, service="ec2", **request, DryRun=True)
        await stage.refused("DryRunOperation", "would have succeeded", name, service="ec2", **request, DryRun=True)
    assert stage.woken == []
    assert before == [
        await ec2(stage, name) for name in ("DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups", "DescribeTags")
    ]
    await stage.refused("InvalidVpcID.NotFound", ".", "DeleteVpc", service="ec2", VpcId="vpc-1", DryRun=True)
    await make_subnet(stage, vpc)
    await stage.refused("DependencyViolation", ".", "DeleteVpc", service="ec2", VpcId=vpc, DryRun=True)
    assert len((await ec2(stage, "DescribeVpcs", DryRun=False))["Vpcs"]) == 2


@on_each_store
async def test_descriptions_of_rules(stage: Stage) -> None:
    group = await make_group(stage)
    office = {"CidrIp": "10.0.0.0/8", "Description": "office"}
    made = await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[permission(IpRanges=[office])])
    first = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    async def texts() -> list[str]:
        return [
            source.get("Description", "")
            for allowed in (await shown_group(stage, group))["IpPermissions"]
            for source in allowed["IpRanges"]
        ]

    update = "UpdateSecurityGroupRuleDescriptionsIngress"
    anew = permission(IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "branch"}])
    await ec2(stage, update, GroupId=group, IpPermissions=[anew])
    assert await texts() == ["branch"]
    asked = {"SecurityGroupRuleId": first, "Description": "both"}
    await ec2(stage, update, GroupName="cache", SecurityGroupRuleDescriptions=[asked])
    assert await texts() == ["both"]
    await ec2(stage, update, GroupId=group, IpPermissions=[from_network("10.0.0.0/8")])
    assert await texts() == [""]
    for code, request in (
        ("InvalidPermission.NotFound", {"IpPermissions": [from_network("11.0.0.0/8")]}),
        ("InvalidParameterCombination", {}),
        ("InvalidParameterCombination", {"IpPermissions": [anew], "SecurityGroupRuleDescriptions": [asked]}),
        ("InvalidParameterValue", {"SecurityGroupRuleDescriptions": [{**asked, "Description": "\x07"}]}),
        ("InvalidSecurityGroupRuleId.NotFound", {"SecurityGroupRuleDescriptions": [{**asked, "SecurityGroupRuleId": "sgr-1"}]}),
        ("InvalidSecurityGroupRuleId.Malformed", {"SecurityGroupRuleDescriptions": [{**asked, "SecurityGroupRuleId": "x"}]}),
    ):
        await stage.refused(code, ".", update, service="ec2", GroupId=group, **request)
    egress = "UpdateSecurityGroupRuleDescriptionsEgress"
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "out"}]}
    await ec2(stage, egress, GroupId=group, IpPermissions=[everything])
    assert (await shown_group(stage, group))["IpPermissionsEgress"][0]["IpRanges"][0]["Description"] == "out"


@on_each_store
async def test_what_tools_ask_before_they_begin(stage: Stage) -> None:
    found = (await ec2(stage, "DescribeAccountAttributes"))["AccountAttributes"]
    values = {one["AttributeName"]: one["AttributeValues"][0]["AttributeValue"] for one in found}
    assert values == {"supported-platforms": "VPC", "default-vpc": default_vpc_id(stage.context.scope)}
    asked = await ec2(stage, "DescribeAccountAttributes", AttributeNames=["default-vpc"])
    assert len(asked["AccountAttributes"]) == 1
    await stage.refused(
        "InvalidParameterValue", "max-elastic", "DescribeAccountAttributes", service="ec2", AttributeNames=["max-elastic-ips"]
    )
    assert [region["RegionName"] for region in (await ec2(stage, "DescribeRegions"))["Regions"]] == ["local-1"]
    await stage.refused("InvalidParameterValue", "mars", "DescribeRegions", service="ec2", RegionNames=["mars"])


@on_each_store
async def test_ids_that_are_none(stage: Stage) -> None:
    for name, request in (
        ("DescribeSecurityGroups", {"GroupIds": ["cache"]}),
        ("DeleteSecurityGroup", {"GroupId": "cache"}),
        ("AuthorizeSecurityGroupIngress", {"GroupId": "cache", "IpPermissions": [from_network("10.0.0.0/8")]}),
    ):
        await stage.refused("InvalidGroupId.Malformed", "expecting 'sg-...'", name, service="ec2", **request)


@on_each_store
async def test_filters(stage: Stage) -> None:
    vpc, app = await make_vpc(stage), await make_group(stage, "app")
    subnet, group = await make_subnet(stage, vpc), await make_group(stage, "mine")
    rules = [
        permission(IpRanges=[{"CidrIp": "10.0.0.0/8"}], UserIdGroupPairs=[{"GroupId": app}]),
        {"IpProtocol": "udp", "FromPort": 53, "ToPort": 54, "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}]},
    ]
    await ec2(stage, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=rules)

    async def found(name: str, reply: str, member: str, **filters: str) -> list[str]:
        asked = [{"Name": key.replace("__", ".").replace("_", "-"), "Values": [value]} for key, value in filters.items()]
        return [one[member] for one in (await ec2(stage, name, Filters=asked))[reply]]

    async def groups(**filters: str) -> list[str]:
        return await found("DescribeSecurityGroups", "SecurityGroups", "GroupId", **filters)

    for filters in (
        {"ip_permission__cidr": "10.0.*"},
        {"ip_permission__ipv6_cidr": "fd00::/8"},
        {"ip_permission__from_port": "53"},
        {"ip_permission__to_port": "54"},
        {"ip_permission__protocol": "udp"},
        {"ip_permission__group_id": app},
        {"group_name": "m?ne", "egress__ip_permission__cidr": "0.0.0.0/0"},
    ):
        assert await groups(**filters) == [group], filters
    assert group in await groups(ip_permission__user_id="0" * 12)
    assert await groups(egress__ip_permission__ipv6_cidr="::/0") == []
    assert await groups(ip_permission__prefix_list_id="pl-*") == []
    for filters in (
        {"available_ip_address_count": "251"},
        {"subnet_arn": f"*:subnet/{subnet}"},
        {"vpc_id": vpc, "availabilityZoneId": "local-1-az1"},
    ):
        assert await found("DescribeSubnets", "Subnets", "SubnetId", **filters) == [subnet], filters
    assert vpc in await found("DescribeVpcs", "Vpcs", "VpcId", cidr_block_association__state="associated")
    association = vpc.replace("vpc-", "vpc-cidr-assoc-")
    assert await found("DescribeVpcs", "Vpcs", "VpcId", cidr_block_association__association_id=association) == [vpc]


@on_each_store
async def test_what_a_vpc_has_around_it(stage: Stage) -> None:
    vpc, _ = await make_vpc(stage), await make_vpc(stage)
    subnet = await make_subnet(stage, vpc)
    of_it = [{"Name": "vpc-id", "Values": [vpc]}]
    (table,) = (await ec2(stage, "DescribeRouteTables", Filters=[*of_it, {"Name": "association.main", "Values": ["true"]}]))[
        "RouteTables"
    ]
    assert [(route["DestinationCidrBlock"], route["GatewayId"]) for route in table["Routes"]] == [("10.0.0.0/16", "local")]
    assert [one["Main"] for one in table["Associations"]] == [True]
    assert (await ec2(stage, "DescribeRouteTables", RouteTableIds=[table["RouteTableId"]]))["RouteTables"] == [table]
    (acl,) = (await ec2(stage, "DescribeNetworkAcls", Filters=[*of_it, {"Name": "default", "Values": ["true"]}]))["NetworkAcls"]
    assert [one["SubnetId"] for one in acl["Associations"]] == [subnet]
    assert [(one["RuleNumber"], one["RuleAction"], one["Egress"]) for one in acl["Entries"]] == [
        *((100, "allow", True), (32767, "deny", True)),
        *((100, "allow", False), (32767, "deny", False)),
    ]
    assert len((await ec2(stage, "DescribeNetworkAcls"))["NetworkAcls"]) == 3
    await ec2(stage, "DeleteSubnet", SubnetId=subnet)
    await ec2(stage, "DeleteVpc", VpcId=vpc)
    for code, name, member, one in (
        ("InvalidRouteTableID.NotFound", "DescribeRouteTables", "RouteTableIds", table["RouteTableId"]),
        ("InvalidNetworkAclID.NotFound", "DescribeNetworkAcls", "NetworkAclIds", acl["NetworkAclId"]),
    ):
        await stage.refused(code, one, name, service="ec2", **{member: [one]})
