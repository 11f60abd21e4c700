"""Every list that botocore has a paginator for comes in pages of a chosen size: each item once, in the order of the whole list;
the marker of one list is none of another."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

from botocore.loaders import Loader

from tests.component.api_groups.access_stage import create_user
from tests.component.rules.stage import SUBNET_IDS, RuleStage
from tests.component.rules.test_members import WALKED
from tests.component.rules.walks import WALKS
from tests.component.rules.world import new_world

LEAST, MANY = 20, 25
PAGINATORS = Loader().load_service_model("elasticache", "paginators-1")["pagination"]
# Of these there cannot be more than a page here: engines that are installed, updates of them, and groups that nobody can make.
SHORT = {"DescribeCacheEngineVersions", "DescribeServiceUpdates", "DescribeCacheSecurityGroups"}
LISTS = [name for name in WALKED if name in PAGINATORS and name not in SHORT]


async def fill(stage: RuleStage) -> None:
    """So many of everything."""
    offerings = (await stage.call("DescribeReservedCacheNodesOfferings"))["ReservedCacheNodesOfferings"]
    offering = offerings[0]["ReservedCacheNodesOfferingId"]
    for number in range(MANY):
        name = f"many{number}"
        await stage.create_group(name, NumCacheClusters=1)
        await stage.create_cluster(f"c{name}", Engine="valkey", EngineVersion="8.1")
        await create_user(stage, name)
        await stage.call("CreateUserGroup", UserGroupId=name, Engine="valkey")
        subnets = {"CacheSubnetGroupDescription": "", "SubnetIds": SUBNET_IDS}
        await stage.call("CreateCacheSubnetGroup", CacheSubnetGroupName=name, **subnets)
        family = {"CacheParameterGroupFamily": "valkey9", "Description": "d"}
        await stage.call("CreateCacheParameterGroup", CacheParameterGroupName=name, **family)
        await stage.call("CopySnapshot", SourceSnapshotName="nightly", TargetSnapshotName=name)
        await stage.call("PurchaseReservedCacheNodesOffering", ReservedCacheNodesOfferingId=offering, ReservedCacheNodeId=name)


async def pages(stage: RuleStage, name: str, most: int) -> tuple[list[list[Any]], str]:
    """Of at most so many, and the marker of the last but one."""
    how, found, last, marker = PAGINATORS[name], list[list[Any]](), "", ""
    while True:
        reply = await stage.ask(name, {**WALKS[name].base, "MaxRecords": most, **({"Marker": marker} if marker else {})})
        assert reply.status == 200, reply.message
        found.append(_at(how["result_key"], reply.parsed))
        last, marker = marker, _at(how["output_token"], reply.parsed) or ""
        if not marker:
            return found, last


def _at(path: str, parsed: Any) -> Any:
    """None when it is not there."""
    for member in path.split("."):
        parsed = parsed.get(member, {} if member != path.rpartition(".")[2] else None)
    return parsed


def test_every_list_comes_in_pages() -> None:
    async def body() -> None:
        world = await new_world()
        await fill(world)
        markers: dict[str, str] = {}
        for name in LISTS:
            small, markers[name] = await pages(world, name, LEAST)
            large, _ = await pages(world, name, 50)
            assert len(small) > 1 and len(small) > len(large), name
            assert all(len(page) <= LEAST for page in small), name
            assert list(chain(*small)) == list(chain(*large)), name
        for name, other in zip(LISTS, [*LISTS[1:], LISTS[0]], strict=True):
            reply = await world.ask(name, {**WALKS[name].base, "Marker": markers[other]})
            assert (reply.code, "Marker" in reply.message) == ("InvalidParameterValue", True), name

    asyncio.run(body())
