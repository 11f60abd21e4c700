"""A small installation that has something of everything, for walks over what requests do to it.

It is made once; each request meets a copy of its own. Clock and chance stand still, so that what differs after two requests is
what the requests differ in.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.registry import OPERATIONS
from cachefleet.model.group import Engine
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.model.service_update import EngineBuildDesired
from cachefleet.planning.service_updates import service_updates
from cachefleet.settings import LogSettings, Settings, UpdateSettings
from tests.component.api_groups import access_stage
from tests.component.api_groups.access_stage import create_user
from tests.component.api_groups.stage import built
from tests.component.rules.stage import CLUSTER, SUBNET_IDS, RuleStage
from tests.fakes.api import call
from tests.fakes.catalogue import StaticCatalogue
from tests.fakes.entropy import SeededEntropy
from tests.fakes.store import Contents
from tests.fixtures.gateway import NOW
from tests.unit.api.rows import available

TOPIC = "arn:aws:sns:local-1:000000000000:told"
STREAMS = {"stream": "file:///nowhere"}
ARN = "arn:aws:elasticache:local-1:000000000000:"
# Of cache.t4g.micro, valkey, 1 year, No Upfront; of cache.r7g.large, redis, 3 years, All Upfront.
OFFERING, OTHER_OFFERING = "9d163a4e-5965-5dc7-a1ce-a34a5e44288a", "71c16b76-a4ba-5a27-b41f-de010e91bc90"
SECOND_S = 3600.0
NEWER = {Engine.VALKEY: "8.1.9", Engine.MEMCACHED: "1.6.40"}  # patches of what caches have
TLS: dict[str, Any] = {"TransitEncryptionEnabled": True}


async def _make(stage: RuleStage) -> None:
    await stage.make_security_groups("sg-0a1b2c3d", "sg-1a1b2c3d")
    await stage.make_topics("told", "other")
    for name, zones in (("mine", "ab"), ("yours", "abc")):
        subnets = [SUBNET_IDS["abc".index(zone)] for zone in zones]
        request: dict[str, Any] = {"CacheSubnetGroupName": name, "CacheSubnetGroupDescription": "d", "SubnetIds": subnets}
        await stage.call("CreateCacheSubnetGroup", **request, Tags=[{"Key": "owner", "Value": "me"}])
        await stage.call(
            "CreateCacheParameterGroup", CacheParameterGroupName=name, CacheParameterGroupFamily="valkey9", Description="d"
        )
        values = [{"ParameterName": each, "ParameterValue": "3"} for each in ("lfu-decay-time", "lfu-log-factor")]
        await stage.call("ModifyCacheParameterGroup", CacheParameterGroupName=name, ParameterNameValues=values)
    await stage.create_group("demo", EngineVersion="8.1", Engine="valkey", Tags=[{"Key": "owner", "Value": "me"}])
    await stage.create_group("safe", AutomaticFailoverEnabled=True, EngineVersion="9.1", Engine="valkey")
    await stage.create_group("big", NumNodeGroups=2, ReplicasPerNodeGroup=1)
    await stage.create_group("secret", **TLS, AuthToken="the-first-token-of-all")
    for user, engine in (("reader", "redis"), ("writer", "redis"), ("loner", "valkey")):
        await create_user(stage, user, Engine=engine)
    await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default", "reader"])
    await stage.call("CreateUserGroup", UserGroupId="others", Engine="redis", UserIds=["default"])
    await stage.create_group("shared", **TLS, UserGroupIds=["team"])
    await stage.create_group("open", **TLS)
    await stage.create_cluster("alone", Engine="valkey", EngineVersion="8.1")
    await stage.create_cluster("hidden", Engine="valkey", **TLS, AuthToken="the-first-token-of-all")
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    for name, offering in (("mine", OFFERING), ("yours", OTHER_OFFERING)):
        request = {"ReservedCacheNodeId": name, "ReservedCacheNodesOfferingId": offering}
        await stage.call("PurchaseReservedCacheNodesOffering", **request)
    await settle(stage)
    for name, group in (("nightly", "demo"), ("weekly", "safe")):
        await stage.make(name, ReplicationGroupId=group)
        await settle(stage)
    stage.clock.pass_time(SECOND_S)


async def settle(stage: RuleStage) -> None:
    """The controller has brought about everything that was asked for and does not wait for a window."""
    for kind in GROUP_KINDS:
        for row in await stage.store.rows(kind, stage.context.scope):
            if not row.desired.deleting:
                await stage.write(replace(available(row), version=row.version))
                if kind is Kind.REPLICATION_GROUP:
                    await access_stage.admit(stage, row.key.name)


def _empty() -> RuleStage:
    stage = RuleStage()
    access_stage.with_tls(stage)
    stage.use(Settings(logs=LogSettings(streams=STREAMS)))
    return stage


def with_updates(context: Context) -> Context:
    """Newer patches of what caches have are installed, behind those that new caches get."""
    builds = context.catalogue.builds()
    first = {build.engine: build for build in builds}
    more = [replace(first[engine], version=version) for engine, version in NEWER.items()]
    known = [(build.engine.value, build.version) for build in (*builds, *more)]
    seen = [EngineBuildDesired(engine=engine, version=version, first_seen_at=NOW - 10) for engine, version in known]
    installed = [*builds, *more]
    return replace(context, catalogue=StaticCatalogue(installed), updates=service_updates(seen, installed, UpdateSettings()))


_CONTENTS: list[Contents] = []


async def new_world() -> RuleStage:
    """A copy of its own, an hour after the last thing happened in it."""
    if not _CONTENTS:
        first = _empty()
        await _make(first)
        _CONTENTS.append(first.store._contents)  # type: ignore[attr-defined]
    stage = _empty()
    stage.clock.pass_time(SECOND_S)
    stage.context = replace(with_updates(stage.context), entropy=SeededEntropy())
    stage.store._contents = _CONTENTS[0].copied()  # type: ignore[attr-defined]
    return stage


# --- what can be read back -----------------------------------------------------------------------------------------

_LISTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("DescribeReplicationGroups", {}),
    ("DescribeCacheClusters", {"ShowCacheNodeInfo": True}),
    ("DescribeSnapshots", {"ShowNodeGroupConfig": True}),
    ("DescribeUsers", {}),
    ("DescribeUserGroups", {}),
    ("DescribeCacheSubnetGroups", {}),
    ("DescribeCacheParameterGroups", {}),
    ("DescribeReservedCacheNodes", {}),
    ("DescribeUpdateActions", {"ShowNodeLevelUpdateStatus": True}),
    ("DescribeEvents", {"Duration": 30}),
)
_TAGGED = (
    Kind.REPLICATION_GROUP,
    CLUSTER,
    Kind.SNAPSHOT,
    Kind.USER,
    Kind.USER_GROUP,
    Kind.SUBNET_GROUP,
    Kind.PARAMETER_GROUP,
    Kind.RESERVED_NODES,
)


async def shown(stage: RuleStage) -> dict[str, Any]:
    """All that describes and lists of tags tell, by operation and by ARN."""
    found: dict[str, Any] = {}
    for name, request in _LISTS:
        if ("elasticache", name) in OPERATIONS:
            found[name] = built(await call(stage.context, name, **request))
    for kind in _TAGGED:
        for row in await stage.store.rows(kind, stage.context.scope):
            found[row.key.arn] = (await call(stage.context, "ListTagsForResource", ResourceName=row.key.arn))["TagList"]
    for row in await stage.store.rows(Kind.PARAMETER_GROUP, stage.context.scope):
        own: dict[str, Any] = {"CacheParameterGroupName": row.key.name, "Source": "user"}
        found[f"parameters of {row.key.name}"] = await call(stage.context, "DescribeCacheParameters", **own)
    return found
