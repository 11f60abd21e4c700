"""Real operations behind the real gateway, given inputs of the right shape with wrong contents: never a 500.

Requests are good ones with some members replaced, dropped or added, so that many get past the first check; groups become
available in between, so that changes get past the check of their state.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import random
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.model import ListShape, Shape, StructureShape
from botocore.serialize import create_serializer
from msgspec.structs import replace

from cachefleet import api
from cachefleet.api.context import Context
from cachefleet.api.registry import OPERATIONS, dispatch
from cachefleet.gateway.gateway import Gateway
from cachefleet.model.group import GroupStatus, NodeStatus, ShardMemory
from cachefleet.model.resource import GROUP_KINDS
from cachefleet.policies.credential import Credential
from cachefleet.protocol.service import service
from tests.contract.shape_values import for_client
from tests.fakes.api import make_context
from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy
from tests.fixtures.gateway import KEY, NOW, ask_async, sign

STEPS = 4000
WORDS = """
    demo demo-001 demo-0002-001 c m -x x- x--y \u00e9 \U0001f600 9.1 8.x 1 valkey redis memcached cache.t4g.micro cache.nope
    default default.valkey9 default.valkey9.cluster.on local-1a local-1z Multiple sun:05:00-sun:06:00 05:00-06:00 0001 0-16383
    0-8000 16383-0 0-99999 arn:aws:elasticache:local-1:000000000000:replicationgroup:demo arn:x enabled disabled subnet-local-1a
"""
TEXTS = [*WORDS.split(), "", " ", "a" * 300]
NUMBERS = [-(2**31), -1, 0, 1, 2, 3, 5, 6, 20, 40, 100, 101, 501, 6379, 11211, 65536, 2**31 - 1]
TIMES = [-62_135_596_800.0, 0.0, NOW - 60, NOW, NOW + 60, 253_402_300_799.0]

GROUP = {
    "ReplicationGroupId": "demo",
    "ReplicationGroupDescription": "d",
    "CacheNodeType": "cache.t4g.micro",
    "Engine": "valkey",
}
SHARDS = [{"NodeGroupId": "0001", "Slots": "0-8000", "ReplicaCount": 1}, {"NodeGroupId": "0002", "Slots": "8001-16383"}]
GOOD: dict[str, list[dict[str, Any]]] = {
    "CreateReplicationGroup": [
        {**GROUP, "NumCacheClusters": 2, "AutomaticFailoverEnabled": True},
        {**GROUP, "NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "CacheParameterGroupName": "default.valkey9.cluster.on"},
        {**GROUP, "NodeGroupConfiguration": SHARDS, "CacheParameterGroupName": "default.valkey9.cluster.on"},
    ],
    "CreateCacheCluster": [
        {"CacheClusterId": "m", "Engine": "memcached", "NumCacheNodes": 2, "CacheNodeType": "cache.t4g.micro"},
        {"CacheClusterId": "c", "Engine": "valkey", "NumCacheNodes": 1, "CacheNodeType": "cache.t4g.micro"},
        {"CacheClusterId": "r", "ReplicationGroupId": "demo"},
    ],
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
    "DeleteCacheCluster": [{"CacheClusterId": name} for name in ("m", "c", "demo-001")],
    "DeleteReplicationGroup": [{"ReplicationGroupId": "demo"}],
}
MAKING = [("elasticache", name) for name in ("CreateReplicationGroup", "CreateCacheCluster")]  # the more there is, the better


for module in pkgutil.iter_modules(api.__path__):  # operations register themselves
    importlib.import_module(f"{api.__name__}.{module.name}")


class Chooser:
    """Inputs, drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def value(self, shape: Shape) -> Any:
        if isinstance(shape, StructureShape):
            wanted = [name for name in shape.members if name in shape.required_members or self.chance.random() < 0.4]
            return {name: self.value(shape.members[name]) for name in wanted}
        if isinstance(shape, ListShape):
            return [self.value(shape.member) for _ in range(self.chance.choice([0, 1, 1, 2, 3]))]
        if shape.type_name == "boolean":
            return self.chance.random() < 0.5
        if shape.type_name == "timestamp":
            return self.chance.choice(TIMES)
        if shape.type_name in ("integer", "long"):
            return self.chance.choice(NUMBERS)
        return self.chance.choice(shape.enum if shape.enum and self.chance.random() < 0.7 else TEXTS)

    def request(self, name: str, shape: StructureShape) -> dict[str, Any]:
        made = dict(self.chance.choice(GOOD.get(name, [{}])))
        for _ in range(self.chance.choice([0, 0, 1, 1, 2, 4])):
            member = self.chance.choice(list(shape.members) or [""])
            if not member or self.chance.random() < 0.1:
                made.pop(member, None)
            else:
                made[member] = self.value(shape.members[member])
        for member in shape.required_members:
            made.setdefault(member, self.value(shape.members[member]))
        return made


def make_real_gateway(context: Context) -> Gateway:
    async def authenticate(access_key_id: str) -> Credential | None:
        return KEY

    return Gateway(authenticate, lambda caller: context, dispatch, context.clock, SeededEntropy(), context.settings)


async def settle(context: Context, chance: random.Random) -> None:
    """What the controller would do, sometimes: groups are available."""
    for kind in GROUP_KINDS:
        for row in await context.store.rows(kind, context.scope):
            if row.desired.deleting or row.status.state == "available" or chance.random() < 0.3:
                continue
            nodes = {node.name: NodeStatus("available", f"127.41.1.{at}") for at, node in enumerate(row.desired.nodes, 1)}
            shards = {shard.shard_id: ShardMemory(shard.nodes[0].name, taken=True) for shard in row.desired.shards}
            memory = replace(row.memory, shards=shards)
            async with context.store.transaction() as transaction:
                await transaction.update(replace(row, status=GroupStatus("available", nodes), memory=memory))


@pytest.mark.parametrize("seed", range(2))
def test_no_input_breaks_an_operation(seed: int) -> None:
    chooser = Chooser(seed)
    statuses: Counter[tuple[str, int]] = Counter()

    often = [*sorted(OPERATIONS), *3 * [("elasticache", name) for name in GOOD], *3 * MAKING]

    async def scenario() -> None:
        for step in range(STEPS):
            if step % 60 == 0:
                context = make_context(clock=ManualClock(NOW))
                gateway = make_real_gateway(context)
            signing_name, name = chooser.chance.choice(often)
            served = service(signing_name)
            operation = served.operation(name)
            request = for_client(operation.input_shape, chooser.request(name, operation.input_shape))
            wire = create_serializer("query", False).serialize_to_request(request, operation)["body"]
            answer = await ask_async(gateway, sign(urlencode(wire).encode(), service=signing_name))
            statuses[name, answer.status] += 1
            assert answer.status < 500, (seed, step, name, request, answer.text)
            await settle(context, chooser.chance)

    asyncio.run(scenario())
    for name in GOOD:
        assert statuses[name, 200] > 0, f"nothing wrong was tried on a working {name}: {statuses}"
