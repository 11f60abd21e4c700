"""What is created counts on things that others change at the same time: subnet groups, and room on the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from cachefleet.interfaces import Store, Transaction
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.settings import ApiSettings, HostSettings, Settings
from tests.component.api_groups.stage import NODE_TYPE, GroupStage, on_groups
from tests.fakes.api import call

NODE_BYTES = 536_870_912


class Interrupted:
    """A store in which something else happens just before the first transaction."""

    def __init__(self, store: Store, first: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._first: Callable[[], Awaitable[object]] | None = first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        first, self._first = self._first, None
        if first is not None:
            await first()
        async with self._store.transaction() as transaction:
            yield transaction


async def subnets(stage: GroupStage) -> list[str]:
    default = (await stage.call("DescribeCacheSubnetGroups", CacheSubnetGroupName="default"))["CacheSubnetGroups"][0]
    return [subnet["SubnetIdentifier"] for subnet in default["Subnets"]]


async def make_subnet_group(stage: GroupStage) -> None:
    await stage.call(
        "CreateCacheSubnetGroup",
        CacheSubnetGroupName="mine",
        CacheSubnetGroupDescription="",
        SubnetIds=(await subnets(stage))[:2],
    )


def meanwhile(stage: GroupStage, name: str, **request: Any) -> None:
    """This operation comes between the reading and the writing of the next one."""
    alone = stage.context
    stage.context = replace(alone, store=Interrupted(stage.store, lambda: call(alone, name, **request)))


@on_groups
async def test_a_subnet_group_that_goes_while_a_group_is_created_in_it(stage: GroupStage) -> None:
    await make_subnet_group(stage)
    meanwhile(stage, "DeleteCacheSubnetGroup", CacheSubnetGroupName="mine")
    await stage.refused(
        "CacheSubnetGroupNotFoundFault",
        "mine",
        "CreateReplicationGroup",
        ReplicationGroupId="demo",
        ReplicationGroupDescription="text",
        CacheNodeType=NODE_TYPE,
        CacheSubnetGroupName="mine",
    )
    assert await stage.store.get(stage.key("demo")) is None


@on_groups
async def test_a_subnet_group_that_loses_a_zone_while_a_group_is_created_in_it(stage: GroupStage) -> None:
    await make_subnet_group(stage)
    meanwhile(stage, "ModifyCacheSubnetGroup", CacheSubnetGroupName="mine", SubnetIds=(await subnets(stage))[:1])
    await stage.create_group(CacheSubnetGroupName="mine")
    assert {node.zone for node in (await stage.row(stage.key("demo"))).desired.nodes} == {"local-1a"}


@on_groups
async def test_a_subnet_group_that_loses_a_zone_while_a_replica_joins_there(stage: GroupStage) -> None:
    await make_subnet_group(stage)
    await stage.create_group(CacheSubnetGroupName="mine", NumCacheClusters=1)
    await stage.settle()
    meanwhile(stage, "ModifyCacheSubnetGroup", CacheSubnetGroupName="mine", SubnetIds=(await subnets(stage))[:1])
    await stage.call("CreateCacheCluster", CacheClusterId="second", ReplicationGroupId="demo")
    assert [node.zone for node in (await stage.row(stage.key("demo"))).desired.nodes] == ["local-1a", "local-1a"]


@on_groups
async def test_a_group_that_appears_in_a_subnet_group_while_it_is_changed_or_deleted(stage: GroupStage) -> None:
    await make_subnet_group(stage)
    first = (await subnets(stage))[:1]
    create = {"CacheNodeType": NODE_TYPE, "CacheSubnetGroupName": "mine", "PreferredAvailabilityZone": "local-1b"}
    meanwhile(stage, "CreateCacheCluster", CacheClusterId="one", **create)
    await stage.refused("SubnetInUse", "one", "ModifyCacheSubnetGroup", CacheSubnetGroupName="mine", SubnetIds=first)
    meanwhile(stage, "CreateCacheCluster", CacheClusterId="two", **create)
    await stage.refused("CacheSubnetGroupInUse", "one, two", "DeleteCacheSubnetGroup", CacheSubnetGroupName="mine")


@on_groups
async def test_memory_that_is_reserved_is_not_given_twice(stage: GroupStage) -> None:
    asked: list[tuple[int, int]] = []

    def refuses(nodes: int, memory_bytes: int) -> str:
        asked.append((nodes, memory_bytes))
        return "" if memory_bytes <= 5 * NODE_BYTES else "memory is used up"

    settings = Settings(host=HostSettings(memory="reserve"))
    stage.context = replace(stage.context, settings=settings, refuses=refuses)
    creations = [stage.create_group(name) for name in ("one", "two", "three")]
    results = await asyncio.gather(*creations, return_exceptions=True)
    refusals = [result for result in results if isinstance(result, AwsError)]
    assert [refusal.code for refusal in refusals] == ["InsufficientCacheClusterCapacity"]
    assert "2 more cache.t4g.micro nodes cannot run here: memory is used up" in refusals[0].message
    assert asked == [(2, 2 * NODE_BYTES), (2, 4 * NODE_BYTES), (2, 6 * NODE_BYTES)]
    await stage.create_cluster("alone", Engine="memcached")
    assert asked[-1] == (1, 5 * NODE_BYTES)


@on_groups
async def test_only_the_new_nodes_count_where_memory_is_shared(stage: GroupStage) -> None:
    asked: list[tuple[int, int]] = []

    def refuses(nodes: int, memory_bytes: int) -> str:
        asked.append((nodes, memory_bytes))
        return ""

    stage.context = replace(stage.context, refuses=refuses)
    await stage.create_group()
    await stage.settle()
    await stage.call("CreateCacheCluster", CacheClusterId="third", ReplicationGroupId="demo")
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    assert asked == [(2, 2 * NODE_BYTES), (1, NODE_BYTES), (2, 2 * NODE_BYTES)]


@on_groups
async def test_nodes_and_clusters_of_an_account_are_counted_once_each(stage: GroupStage) -> None:
    """However many are created, and grow, at the same time; what is pending counts, and other regions do not."""
    stage.use(Settings(api=ApiSettings(nodes=6, clusters=5)))
    creations = [stage.create_group(name) for name in ("one", "two", "three", "four")]
    results = await asyncio.gather(*creations, return_exceptions=True)
    refusals = [result for result in results if isinstance(result, AwsError)]
    assert [refusal.code for refusal in refusals] == ["ClusterQuotaForCustomerExceeded"] * 2
    assert "6 cache clusters in this region, and 5 are allowed (setting api.clusters)" in refusals[0].message
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    await stage.settle("mem", Kind.CACHE_CLUSTER)
    more: dict[str, Any] = {"CacheClusterId": "mem", "NumCacheNodes": 3}
    await stage.refused(
        "NodeQuotaForCustomerExceeded", "Customer node quota exceeded: .* 7 nodes", "ModifyCacheCluster", **more
    )
    stage.use(Settings(api=ApiSettings(nodes=7)))
    await stage.call("ModifyCacheCluster", **more)
    create = {"CacheClusterId": "alone", "CacheNodeType": NODE_TYPE}
    await stage.refused("NodeQuotaForCustomerExceeded", "8 nodes.*7 are allowed", "CreateCacheCluster", **create)
    stage.context = replace(stage.context, caller=replace(stage.context.caller, region="other-1"))
    await stage.create_cluster("alone")


@on_groups
async def test_users_and_groups_of_them_and_of_subnets_are_counted_once_each(stage: GroupStage) -> None:
    stage.use(Settings(api=ApiSettings(users=1, user_groups=1, subnet_groups=1)))
    subnet_ids = await subnets(stage)
    creations: list[tuple[str, str, str, dict[str, Any]]] = [
        ("UserQuotaExceeded", "CreateUser", "UserId", {"UserName": "u", "Engine": "redis", "AccessString": "on ~* +@all",
                                                       "NoPasswordRequired": True}),
        ("UserGroupQuotaExceeded", "CreateUserGroup", "UserGroupId", {"Engine": "valkey"}),
        ("CacheSubnetGroupQuotaExceeded", "CreateCacheSubnetGroup", "CacheSubnetGroupName",
         {"CacheSubnetGroupDescription": "d", "SubnetIds": subnet_ids}),
    ]  # fmt: skip
    for code, name, member, request in creations:
        calls = [stage.call(name, **{member: f"name{number}"}, **request) for number in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [result.code for result in results if isinstance(result, AwsError)] == [code] * 2
