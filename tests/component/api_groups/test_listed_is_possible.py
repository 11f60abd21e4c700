"""What DescribeCacheEngineVersions and ListAllowedNodeTypeModifications list is what the other operations take, and no more."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import cachefleet.api.updates.engine_versions  # noqa: F401
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import Kind
from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.settings import HostSettings, Settings
from tests.component.api_groups.stage import GroupStage, on_groups
from tests.fakes.catalogue import BUILDS

MB = 1024 * 1024


@on_groups
async def test_a_cache_of_every_listed_version_can_be_made(stage: GroupStage) -> None:
    listed = (await stage.call("DescribeCacheEngineVersions"))["CacheEngineVersions"]
    made = set()
    for number, line in enumerate(listed):
        shown = await stage.create_cluster(
            f"c{number}", Engine=line["Engine"], EngineVersion=line["EngineVersion"], NumCacheNodes=1
        )
        assert (shown["Engine"], shown["EngineVersion"].startswith(line["EngineVersion"])) == (line["Engine"], True)
        assert shown["CacheParameterGroup"]["CacheParameterGroupName"] == f"default.{line['CacheParameterGroupFamily']}"
        assert f" {shown['EngineVersion']} (" in line["CacheEngineVersionDescription"]
        made.add((shown["Engine"], shown["EngineVersion"]))
    assert made == {(build.engine.value, build.version) for build in BUILDS}


async def takes(stage: GroupStage, kind: str) -> bool:
    try:
        await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", CacheNodeType=kind)
    except AwsError as error:
        assert error.code in ("InvalidParameterValue", "InsufficientCacheClusterCapacity"), error
        return False
    await stage.call("ModifyReplicationGroup", ReplicationGroupId="demo", CacheNodeType="cache.m5.large")
    return True


async def check_listed(stage: GroupStage) -> None:
    """Of a group whose data take 1000 MB."""
    await stage.create_group(CacheNodeType="cache.m5.large", AutomaticFailoverEnabled=True)
    row = await stage.settle("demo", Kind.REPLICATION_GROUP)
    nodes = {name: replace(known, used_bytes=1000 * MB) for name, known in row.memory.nodes.items()}
    await stage.write(replace(row, memory=replace(row.memory, nodes=nodes)))
    reply: dict[str, Any] = await stage.call("ListAllowedNodeTypeModifications", ReplicationGroupId="demo")
    up, down = set(reply["ScaleUpModifications"]), set(reply["ScaleDownModifications"])
    assert up
    assert down
    taken = {kind for kind in sorted(set(NODE_TYPES) - {"cache.m5.large"}) if await takes(stage, kind)}
    assert taken == up | down


@on_groups
async def test_every_listed_node_type_is_taken_and_no_other(stage: GroupStage) -> None:
    await check_listed(stage)


@on_groups
async def test_where_memory_is_promised_types_beyond_it_are_not_listed(stage: GroupStage) -> None:
    stage.use(Settings(host=HostSettings(memory="reserve")))
    stage.context = replace(stage.context, refuses=lambda nodes, size_bytes: "too much" if size_bytes > 40_000 * MB else "")
    await check_listed(stage)
    reply: dict[str, Any] = await stage.call("ListAllowedNodeTypeModifications", ReplicationGroupId="demo")
    assert "cache.m5.xlarge" in reply["ScaleUpModifications"]
    assert "cache.r6g.16xlarge" not in reply["ScaleUpModifications"]
