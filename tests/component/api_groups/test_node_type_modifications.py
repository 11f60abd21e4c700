"""ListAllowedNodeTypeModifications: bigger ones, smaller ones, and those that cannot be."""

from __future__ import annotations

from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.settings import NodeTypeSetting, Settings
from tests.component.api_groups.access_stage import with_tls
from tests.component.api_groups.stage import GroupStage, on_groups

LIST = "ListAllowedNodeTypeModifications"


async def allowed(stage: GroupStage, **request: str) -> tuple[list[str], list[str]]:
    reply = await stage.call(LIST, **request)
    return reply["ScaleUpModifications"], reply["ScaleDownModifications"]


@on_groups
async def test_a_group_and_each_of_its_clusters(stage: GroupStage) -> None:
    await stage.create_group(CacheNodeType="cache.m5.large", AutomaticFailoverEnabled=True, AtRestEncryptionEnabled=True)
    up, down = await allowed(stage, ReplicationGroupId="Demo")
    assert (up, down) == await allowed(stage, CacheClusterId="demo-002")
    assert up == sorted(up) and down == sorted(down)
    assert {"cache.m6g.large", "cache.m5.xlarge", "cache.r5.large"} < set(up), "one of equal memory is among them"
    assert {"cache.t4g.micro", "cache.t3.medium", "cache.m3.large"} < set(down)
    assert not {"cache.m5.large", "cache.r6gd.xlarge", "cache.t1.micro", "cache.m1.small"} & {*up, *down}
    size = NODE_TYPES["cache.m5.large"].maxmemory_bytes
    assert all(NODE_TYPES[name].maxmemory_bytes >= size for name in up)
    assert all(NODE_TYPES[name].maxmemory_bytes < size for name in down)


@on_groups
async def test_types_without_tls_are_not_for_what_has_it(stage: GroupStage) -> None:
    with_tls(stage)
    old, older = "cache.t2.small", "cache.m1.small"
    for name, request, possible in (
        ("plain", {"Engine": "redis"}, {old, older}),
        ("safe", {"Engine": "redis", "TransitEncryptionEnabled": True}, {old}),
        ("items", {"Engine": "memcached", "TransitEncryptionEnabled": True}, set()),
    ):
        await stage.create_cluster(name, CacheNodeType="cache.m5.large", **request)
        up, down = await allowed(stage, CacheClusterId=name)
        assert {old, older} & {*up, *down} == possible, name


@on_groups
async def test_the_ends_of_the_table(stage: GroupStage) -> None:
    await stage.create_cluster("little", CacheNodeType="cache.t1.micro", Engine="redis")
    await stage.create_cluster("big", CacheNodeType="cache.r5.24xlarge", Engine="redis")
    up, down = await allowed(stage, CacheClusterId="little")
    assert down == [] and {"cache.m1.small", "cache.r5.24xlarge"} < set(up)
    up, down = await allowed(stage, CacheClusterId="big")
    assert up == [] and "cache.t1.micro" in down


@on_groups
async def test_data_tiering_stays(stage: GroupStage) -> None:
    await stage.create_cluster("tiered", CacheNodeType="cache.r6gd.2xlarge")
    up, down = await allowed(stage, CacheClusterId="tiered")
    assert down == ["cache.r6gd.xlarge"]
    assert up == [f"cache.r6gd.{size}xlarge" for size in ("12", "16", "4", "8")]


@on_groups
async def test_memcached_goes_by_its_own_memory(stage: GroupStage) -> None:
    """Its memory differs from that of the other engines: t3.medium has more of it than t4g.medium."""
    await stage.create_cluster("mem", Engine="memcached", CacheNodeType="cache.t3.medium")
    await stage.create_cluster(CacheNodeType="cache.t3.medium")
    assert "cache.t4g.medium" in (await allowed(stage, CacheClusterId="mem"))[1]
    assert "cache.t4g.medium" in (await allowed(stage, CacheClusterId="alone"))[0]


@on_groups
async def test_declared_types(stage: GroupStage) -> None:
    stage.use(Settings(node_types={"cache.own.small": NodeTypeSetting(vcpu=1, maxmemory_bytes=1_000_000)}))
    await stage.create_cluster()
    assert "cache.own.small" in (await allowed(stage, CacheClusterId="alone"))[1]
    await stage.create_cluster("odd", CacheNodeType="cache.own.small")
    stage.use(Settings())
    await stage.refused("InvalidParameterValue", "cache.own.small, .* not declared", LIST, CacheClusterId="odd")


@on_groups
async def test_what_is_refused(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.refused("InvalidParameterCombination", "exactly one", LIST)
    await stage.refused(
        "InvalidParameterCombination", "exactly one", LIST, CacheClusterId="demo-001", ReplicationGroupId="demo"
    )
    await stage.refused("CacheClusterNotFound", "nothing", LIST, CacheClusterId="nothing")
    await stage.refused("ReplicationGroupNotFoundFault", "nothing", LIST, ReplicationGroupId="nothing")
