"""Cache subnet groups: create, describe, modify, delete, and what their users forbid."""

from __future__ import annotations

import msgspec

import cachefleet.api.networks.subnet_groups as subnet_groups
from cachefleet.model.errors import AwsError
from cachefleet.model.network import default_subnets, default_vpc_id
from cachefleet.model.resource import Kind
from cachefleet.settings import ApiSettings, Settings
from tests.component.api.stage import Stage, on_each_store


def _ids(stage: Stage, zones: str = "abc") -> list[str]:
    return [subnet.subnet_id for subnet in default_subnets(stage.context.scope) if subnet.zone[-1] in zones]


async def _create(stage: Stage, name: str = "net", zones: str = "ab") -> None:
    await stage.call(
        "CreateCacheSubnetGroup",
        CacheSubnetGroupName=name,
        CacheSubnetGroupDescription="for tests",
        SubnetIds=_ids(stage, zones),
    )


async def _names(stage: Stage) -> list[str]:
    reply = await stage.call("DescribeCacheSubnetGroups")
    return [group["CacheSubnetGroupName"] for group in reply["CacheSubnetGroups"]]


@on_each_store
async def test_create_and_read_back(stage: Stage) -> None:
    created = await stage.call(
        "CreateCacheSubnetGroup",
        CacheSubnetGroupName="My-Net",
        CacheSubnetGroupDescription="for tests",
        SubnetIds=list(reversed(_ids(stage, "ab"))),
        Tags=[{"Key": "team", "Value": "x"}],
    )
    first, second = _ids(stage, "ab")
    assert created["CacheSubnetGroup"] == {
        "CacheSubnetGroupName": "my-net",
        "CacheSubnetGroupDescription": "for tests",
        "VpcId": default_vpc_id(stage.context.scope),
        "Subnets": [
            {"SubnetIdentifier": first, "SubnetAvailabilityZone": {"Name": "local-1a"}, "SupportedNetworkTypes": ["ipv4"]},
            {"SubnetIdentifier": second, "SubnetAvailabilityZone": {"Name": "local-1b"}, "SupportedNetworkTypes": ["ipv4"]},
        ],
        "ARN": "arn:aws:elasticache:local-1:000000000000:subnetgroup:my-net",
        "SupportedNetworkTypes": ["ipv4"],
    }
    found = await stage.call("DescribeCacheSubnetGroups", CacheSubnetGroupName="MY-NET")
    assert found == {"CacheSubnetGroups": [created["CacheSubnetGroup"]]}
    assert await stage.events() == ["cache-subnet-group my-net: Cache subnet group created"]
    assert await subnet_groups.subnet_group_zones(stage.context, "My-Net") == ("local-1a", "local-1b")


@on_each_store
async def test_the_default_group_is_there_and_cannot_be_touched(stage: Stage) -> None:
    (group,) = (await stage.call("DescribeCacheSubnetGroups"))["CacheSubnetGroups"]
    assert group["CacheSubnetGroupName"] == "default"
    assert [subnet["SubnetAvailabilityZone"]["Name"] for subnet in group["Subnets"]] == ["local-1a", "local-1b", "local-1c"]
    assert (await stage.call("DescribeCacheSubnetGroups", CacheSubnetGroupName="Default"))["CacheSubnetGroups"] == [group]
    assert len(await subnet_groups.subnet_group_zones(stage.context, "default")) == 3
    await stage.refused("CacheSubnetGroupInUse", "built in", "DeleteCacheSubnetGroup", CacheSubnetGroupName="default")
    await stage.refused(
        "InvalidParameterValue", "built in", "ModifyCacheSubnetGroup", CacheSubnetGroupName="Default", SubnetIds=_ids(stage)
    )
    await stage.refused(
        "CacheSubnetGroupAlreadyExists",
        "default already exists",
        "CreateCacheSubnetGroup",
        CacheSubnetGroupName="DEFAULT",
        CacheSubnetGroupDescription="",
        SubnetIds=_ids(stage),
    )


@on_each_store
async def test_refused_creations_leave_nothing(stage: Stage) -> None:
    await _create(stage)
    stage.use(Settings(api=ApiSettings(subnets_per_group=2, subnet_groups=1)))
    good = {"CacheSubnetGroupName": "other", "CacheSubnetGroupDescription": "", "SubnetIds": _ids(stage, "a")}
    for code, rule, change in (
        ("InvalidParameterValue", "CacheSubnetGroupName is not a valid identifier", {"CacheSubnetGroupName": "a.b"}),
        ("InvalidParameterValue", "CacheSubnetGroupDescription has 256", {"CacheSubnetGroupDescription": "x" * 256}),
        ("InvalidParameterValue", "at least one subnet", {"SubnetIds": []}),
        ("InvalidParameterValue", "a subnet twice", {"SubnetIds": _ids(stage, "a") * 2}),
        ("CacheSubnetQuotaExceededFault", "names 3 subnets; at most 2", {"SubnetIds": _ids(stage)}),
        ("InvalidSubnet", r"'subnet-1' does not exist; there are subnet-", {"SubnetIds": ["subnet-1"]}),
        ("InvalidParameterValue", "begins with aws:", {"Tags": [{"Key": "aws:x", "Value": ""}]}),
        ("CacheSubnetGroupQuotaExceeded", "There are 1 subnet groups", {}),
    ):
        await stage.refused(code, rule, "CreateCacheSubnetGroup", **{**good, **change})
    assert await _names(stage) == ["default", "net"]
    stage.use(Settings())
    await stage.refused(
        "CacheSubnetGroupAlreadyExists",
        "net already exists",
        "CreateCacheSubnetGroup",
        **{**good, "CacheSubnetGroupName": "NET"},
    )
    assert len(await stage.events()) == 1


@on_each_store
async def test_pages_run_over_rows_and_the_built_in_group(stage: Stage) -> None:
    names = [f"{letter}{number:02}" for letter in "ae" for number in range(21)]
    for name in names:
        await _create(stage, name, "a")
    seen: list[str] = []
    marker = None
    for _ in range(3):
        reply = await stage.call("DescribeCacheSubnetGroups", MaxRecords=20, **({"Marker": marker} if marker else {}))
        seen += [group["CacheSubnetGroupName"] for group in reply["CacheSubnetGroups"]]
        marker = reply.get("Marker")
    assert marker is None
    assert seen == sorted([*names, "default"])


@on_each_store
async def test_modify(stage: Stage) -> None:
    await _create(stage)
    reply = await stage.call("ModifyCacheSubnetGroup", CacheSubnetGroupName="Net", CacheSubnetGroupDescription="new")
    assert reply["CacheSubnetGroup"]["CacheSubnetGroupDescription"] == "new"
    assert len(reply["CacheSubnetGroup"]["Subnets"]) == 2
    reply = await stage.call("ModifyCacheSubnetGroup", CacheSubnetGroupName="net", SubnetIds=_ids(stage, "bc"))
    assert [subnet["SubnetIdentifier"] for subnet in reply["CacheSubnetGroup"]["Subnets"]] == _ids(stage, "bc")
    assert (await stage.call("DescribeCacheSubnetGroups", CacheSubnetGroupName="net"))["CacheSubnetGroups"] == [
        reply["CacheSubnetGroup"]
    ]


@on_each_store
async def test_an_equal_modification_changes_nothing(stage: Stage) -> None:
    await _create(stage)
    before = await subnet_groups.find_subnet_group_row(stage.context, "net")
    await stage.call(
        "ModifyCacheSubnetGroup",
        CacheSubnetGroupName="net",
        CacheSubnetGroupDescription="for tests",
        SubnetIds=_ids(stage, "ab"),
    )
    assert await subnet_groups.find_subnet_group_row(stage.context, "net") == before
    assert len(await stage.events()) == 1


@on_each_store
async def test_a_zone_with_nodes_cannot_leave(stage: Stage) -> None:
    await _create(stage)
    await stage.add_group("demo", zones="ab", subnet_group="net")
    await stage.refused(
        "SubnetInUse",
        "subnet of zone local-1a cannot leave net: demo has nodes there",
        "ModifyCacheSubnetGroup",
        CacheSubnetGroupName="net",
        SubnetIds=_ids(stage, "bc"),
    )
    await stage.call("ModifyCacheSubnetGroup", CacheSubnetGroupName="net", SubnetIds=_ids(stage))


@on_each_store
async def test_delete(stage: Stage) -> None:
    await _create(stage)
    assert await stage.call("DeleteCacheSubnetGroup", CacheSubnetGroupName="NET") == {}
    assert await _names(stage) == ["default"]
    assert (await stage.events())[0] == "cache-subnet-group net: Cache subnet group deleted"
    for name in ("DeleteCacheSubnetGroup", "DescribeCacheSubnetGroups", "ModifyCacheSubnetGroup"):
        await stage.refused("CacheSubnetGroupNotFoundFault", "'net' not found", name, CacheSubnetGroupName="net")


@on_each_store
async def test_a_group_in_use_stays(stage: Stage) -> None:
    await _create(stage)
    await stage.add_group("demo", subnet_group="net")
    await stage.add_group("alone", zones="a", kind=Kind.CACHE_CLUSTER, subnet_group="net")
    await stage.refused(
        "CacheSubnetGroupInUse", "net is used by demo, alone; delete", "DeleteCacheSubnetGroup", CacheSubnetGroupName="net"
    )
    assert await _names(stage) == ["default", "net"]
    assert len(await stage.events()) == 1


@on_each_store
async def test_accounts_and_regions_do_not_see_each_other(stage: Stage) -> None:
    await _create(stage)
    here = stage.context
    there = msgspec.structs.replace(here, caller=msgspec.structs.replace(here.caller, region="eu-west-1"))
    stage.context = there
    assert await _names(stage) == ["default"]
    try:
        await subnet_groups.find_subnet_group(there, "net")
    except AwsError as error:
        assert (error.code, error.http_status) == ("CacheSubnetGroupNotFoundFault", 400)
    else:
        raise AssertionError("found in another region")
    await stage.refused(
        "InvalidSubnet",
        "does not exist",
        "CreateCacheSubnetGroup",
        CacheSubnetGroupName="net",
        CacheSubnetGroupDescription="",
        SubnetIds=[default_subnets(here.scope)[0].subnet_id],
    )
