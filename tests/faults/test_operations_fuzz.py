"""Real operations behind the real gateway, given inputs of the right shape with wrong contents: never a 500.

Requests are good ones with some members replaced, dropped or added, so that many get past the first check; groups become
available in between, so that changes get past the check of their state.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.registry import OPERATIONS
from cachefleet.model.group import Form, GroupStatus, NodeStatus, Settled, ShardMemory
from cachefleet.model.resource import GROUP_KINDS
from cachefleet.model.service_update import EngineBuildDesired
from cachefleet.planning.service_updates import service_updates
from cachefleet.protocol.service import service
from cachefleet.settings import UpdateSettings
from cachefleet.store import LogFile
from tests.fakes.api import make_context
from tests.fakes.catalogue import BUILDS
from tests.fakes.clock import ManualClock
from tests.faults.drawn_requests import Chooser, make_real_gateway, send
from tests.fixtures.gateway import NOW

STEPS = 4000
MOST_STEPS = 10 * STEPS  # until each good input has worked once, which hangs on what was made before it
WORDS = """
    demo demo-001 demo-0002-001 c m -x x- x--y \u00e9 \U0001f600 9.1 8.x 1 valkey redis memcached cache.t4g.micro cache.nope
    default default.valkey9 default.valkey9.cluster.on local-1a local-1z Multiple sun:05:00-sun:06:00 05:00-06:00 0001 0-16383
    valkey-9-1-2-patch p items timeout rename-commands reserved-memory cluster-enabled yes 20
    0-8000 16383-0 0-99999 arn:aws:elasticache:local-1:000000000000:replicationgroup:demo arn:x enabled disabled subnet-local-1a
"""
TEXTS = [*WORDS.split(), "", " ", "a" * 300]

GROUP = {
    "ReplicationGroupId": "demo",
    "ReplicationGroupDescription": "d",
    "CacheNodeType": "cache.t4g.micro",
    "Engine": "valkey",
}
OFFERING = "9d163a4e-5965-5dc7-a1ce-a34a5e44288a"  # of cache.t4g.micro
SHARDS = [{"NodeGroupId": "0001", "Slots": "0-8000", "ReplicaCount": 1}, {"NodeGroupId": "0002", "Slots": "8001-16383"}]
GOOD: dict[str, list[dict[str, Any]]] = {
    "BatchApplyUpdateAction": [{"ServiceUpdateName": "valkey-9-1-2-patch", "ReplicationGroupIds": ["demo"]}],
    "BatchStopUpdateAction": [{"ServiceUpdateName": "valkey-9-1-2-patch", "ReplicationGroupIds": ["demo"]}],
    "DescribeUpdateActions": [{"ServiceUpdateName": "valkey-9-1-2-patch", "ShowNodeLevelUpdateStatus": True}],
    "CreateReplicationGroup": [
        {**GROUP, "NumCacheClusters": 2, "AutomaticFailoverEnabled": True},
        {**GROUP, "NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "CacheParameterGroupName": "default.valkey9.cluster.on"},
        {**GROUP, "NodeGroupConfiguration": SHARDS, "CacheParameterGroupName": "default.valkey9.cluster.on"},
    ],
    "CreateCacheCluster": [
        {"CacheClusterId": "m", "Engine": "memcached", "NumCacheNodes": 2, "CacheNodeType": "cache.t4g.micro"},
        {"CacheClusterId": "c", "Engine": "valkey", "NumCacheNodes": 1, "CacheNodeType": "cache.t4g.micro"},
        {"CacheClusterId": "r", "ReplicationGroupId": "demo"},
        {"CacheClusterId": "c", "Engine": "valkey", "CacheNodeType": "cache.t4g.micro", "CacheParameterGroupName": "p"},
    ],
    "CreateCacheParameterGroup": [
        {"CacheParameterGroupName": "p", "CacheParameterGroupFamily": "valkey9", "Description": "d"},
        {"CacheParameterGroupName": "items", "CacheParameterGroupFamily": "memcached1.6", "Description": "d"},
    ],
    "ModifyCacheParameterGroup": [
        {"CacheParameterGroupName": "p", "ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "20"}]},
        {"CacheParameterGroupName": "p", "ParameterNameValues": [{"ParameterName": "databases", "ParameterValue": "20"}]},
        {
            "CacheParameterGroupName": "items",
            "ParameterNameValues": [{"ParameterName": "max_item_size", "ParameterValue": "1024"}],
        },
    ],
    "ResetCacheParameterGroup": [
        {"CacheParameterGroupName": "p", "ResetAllParameters": True},
        {"CacheParameterGroupName": "p", "ParameterNameValues": [{"ParameterName": "timeout"}]},
    ],
    "DeleteCacheParameterGroup": [{"CacheParameterGroupName": "items"}],
    "ModifyReplicationGroup": [
        *({"ReplicationGroupId": "demo", "ApplyImmediately": now} for now in (True, False)),
        {"ReplicationGroupId": "demo", "CacheNodeType": "cache.t4g.small"},
        {"ReplicationGroupId": "demo", "Engine": "valkey", "EngineVersion": "9.1", "ApplyImmediately": True},
        {"ReplicationGroupId": "demo", "EngineVersion": "7.0", "CacheNodeType": "cache.m6g.large"},
    ],
    "IncreaseReplicaCount": [
        {"ReplicationGroupId": "demo", "ApplyImmediately": True, "NewReplicaCount": 2},
        {
            "ReplicationGroupId": "demo",
            "ApplyImmediately": True,
            "ReplicaConfiguration": [{"NodeGroupId": "0001", "NewReplicaCount": 3}],
        },
    ],
    "DecreaseReplicaCount": [
        {"ReplicationGroupId": "demo", "ApplyImmediately": True, "NewReplicaCount": 0},
        {"ReplicationGroupId": "demo", "ApplyImmediately": True, "ReplicasToRemove": ["demo-002"]},
        {"ReplicationGroupId": "demo", "ApplyImmediately": True, "ReplicasToRemove": ["demo-0001-002"]},
    ],
    "ListAllowedNodeTypeModifications": [{"CacheClusterId": "m"}, {"ReplicationGroupId": "demo"}],
    "ModifyCacheCluster": [
        *({"CacheClusterId": name, "ApplyImmediately": True} for name in ("m", "c", "demo-001")),
        {"CacheClusterId": "m", "ApplyImmediately": True, "NumCacheNodes": 3},
        {"CacheClusterId": "m", "ApplyImmediately": True, "NumCacheNodes": 1, "CacheNodeIdsToRemove": ["0001"]},
        {"CacheClusterId": "m", "NumCacheNodes": 4},
        {"CacheClusterId": "m", "NumCacheNodes": 3, "CacheNodeIdsToRemove": ["0004"]},
        {"CacheClusterId": "m", "CacheNodeType": "cache.t4g.small", "ScaleConfig": {"ScalePercentage": 50}},
    ],
    "RebootCacheCluster": [{"CacheClusterId": name, "CacheNodeIdsToReboot": ["0001"]} for name in ("m", "c", "demo-001")],
    "PurchaseReservedCacheNodesOffering": [
        {"ReservedCacheNodesOfferingId": OFFERING, "ReservedCacheNodeId": "mine", "CacheNodeCount": 2},
        {"ReservedCacheNodesOfferingId": OFFERING},
    ],
    "DescribeReservedCacheNodes": [{"ProductDescription": "valkey", "Duration": "1", "OfferingType": "No Upfront"}],
    "DescribeReservedCacheNodesOfferings": [{"ReservedCacheNodesOfferingId": OFFERING, "CacheNodeType": "cache.t4g.micro"}],
    "DeleteCacheCluster": [{"CacheClusterId": name} for name in ("m", "c", "demo-001")],
    "DeleteReplicationGroup": [{"ReplicationGroupId": "demo"}],
}
DEMO = "arn:aws:elasticache:local-1:000000000000:replicationgroup:demo"
OF_TAGGING: dict[str, list[dict[str, Any]]] = {
    "GetResources": [{"ResourceARNList": [DEMO]}, {"TagFilters": [{"Key": "a", "Values": ["b"]}], "ResourcesPerPage": 5}],
    "TagResources": [{"ResourceARNList": [DEMO, "arn:x"], "Tags": {"a": "b"}}],
    "UntagResources": [{"ResourceARNList": [DEMO], "TagKeys": ["a"]}],
}
# Caches are of the version before it once they are settled.
SEEN = [EngineBuildDesired(engine="valkey", version=version, first_seen_at=NOW) for version in ("9.1.1", "9.1.2")]
UPDATES = service_updates(SEEN, BUILDS, UpdateSettings())
MAKING = [("elasticache", name) for name in ("CreateReplicationGroup", "CreateCacheCluster")]  # the more there is, the better


# What any operation may answer (docs/errors.md).
BESIDES = {"InvalidParameterValue", "MissingParameter", "ValidationError"}
_CODE = re.compile(r"<Code>([A-Za-z.]+)</Code>")


def assert_declared(name: str, answer: str) -> None:
    """The error is one that the model declares for the operation, or any operation has."""
    (code,) = _CODE.findall(answer)
    shapes = service("elasticache").operation(name).error_shapes
    declared = {shape.metadata.get("error", {}).get("code") or shape.name for shape in shapes}
    assert code in declared | BESIDES, (name, answer)


async def settle(context: Context, chance: random.Random) -> None:
    """What the controller would do, sometimes: groups are available."""
    for kind in GROUP_KINDS:
        for row in await context.store.rows(kind, context.scope):
            if row.desired.deleting or row.status.state == "available" or chance.random() < 0.3:
                continue
            nodes = {node.name: NodeStatus("available", f"127.41.1.{at}") for at, node in enumerate(row.desired.nodes, 1)}
            shards = {shard.shard_id: ShardMemory(shard.nodes[0].name, taken=True) for shard in row.desired.shards}
            old = Form(row.desired.engine, "9.1.1", row.desired.port)
            memory = replace(row.memory, shards=shards, settled=Settled(old, "default", "default", row.desired.node_type))
            desired = row.desired
            if desired.update is None and desired.engine_version == "9.1.2":
                desired = replace(desired, engine_version="9.1.1")
            async with context.store.transaction() as transaction:
                await transaction.update(replace(row, desired=desired, status=GroupStatus("available", nodes), memory=memory))


@pytest.mark.parametrize("seed", range(2))
def test_no_input_breaks_an_operation(seed: int, tmp_path: Path) -> None:
    chooser = Chooser(seed, TEXTS, {**GOOD, **OF_TAGGING})
    statuses: Counter[tuple[str, int]] = Counter()

    often = [*sorted(OPERATIONS), *6 * [("elasticache", name) for name in GOOD], *6 * MAKING]
    often += 3 * [("tagging", name) for name in OF_TAGGING]

    async def scenario() -> None:
        logs = LogFile(tmp_path / "logs.db")
        try:
            await requests(logs)
        finally:
            await logs.close()

    async def requests(logs: LogFile) -> None:
        for step in range(MOST_STEPS):
            if step >= STEPS and all(statuses[name, 200] for name in (*GOOD, *OF_TAGGING)):
                break
            if step % 60 == 0:
                context = replace(make_context(clock=ManualClock(NOW)), logs=logs, updates=UPDATES)
                gateway = make_real_gateway(context)
            signing_name, name = chooser.chance.choice(often)
            request = chooser.request(name, service(signing_name).operation(name).input_shape)
            answer = await send(gateway, signing_name, name, request)
            statuses[name, answer.status] += 1
            assert answer.status < 500, (seed, step, name, request, answer.text)
            if signing_name == "elasticache" and answer.status != 200:
                assert_declared(name, answer.text)
            await settle(context, chooser.chance)

    asyncio.run(scenario())
    for name in (*GOOD, *OF_TAGGING):
        assert statuses[name, 200] > 0, f"nothing wrong was tried on a working {name}: {statuses}"
