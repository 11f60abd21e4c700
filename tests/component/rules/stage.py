"""A real gateway in front of the real operations and a store in memory, the controller's part played by hand: what a client
gets for a request, as it is on the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from botocore.parsers import create_parser
from msgspec.structs import replace

from cachefleet.model.network import built_in_subnets
from cachefleet.model.resource import Kind, Scope
from cachefleet.protocol.service import service
from cachefleet.settings import NodeTypeSetting
from tests.component.api_groups import access_stage
from tests.component.api_groups.access_stage import attached, create_user
from tests.component.api_groups.snapshot_stage import SnapshotStage
from tests.contract.strict_replies import check_reply
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.faults.drawn_requests import make_real_gateway, send
from tests.fixtures.gateway import NOW

ELASTICACHE = service("elasticache")
CLUSTER = Kind.CACHE_CLUSTER
SUBNET_IDS = list(built_in_subnets(Scope("000000000000", "local-1"), 0))  # in the order of zones
Setup = Callable[["RuleStage"], Awaitable[object]]
Request = Mapping[str, Any]


class Reply(msgspec.Struct, frozen=True):
    """code, message: of an error, "" of a success. parsed: as botocore makes it of a success."""

    status: int
    code: str = ""
    message: str = ""
    parsed: Mapping[str, Any] = {}


class RuleStage(SnapshotStage):
    def __init__(self) -> None:
        super().__init__(MemoryStore(), ManualClock(NOW))

    async def ask(self, name: str, request: Request) -> Reply:
        """As botocore sends it. A success must be in the form that the model says, to the letter."""
        answer = await send(make_real_gateway(self.context, ManualClock(NOW)), "elasticache", name, request)
        shape = ELASTICACHE.model.operation_model(name).output_shape
        parsed = create_parser("query").parse({"status_code": answer.status, "headers": {}, "body": answer.body}, shape)
        if answer.status == 200:
            check_reply(ELASTICACHE, name, answer.body)
            del parsed["ResponseMetadata"]
            return Reply(200, parsed=parsed)
        return Reply(answer.status, parsed["Error"]["Code"], parsed["Error"]["Message"])

    def limit(self, **limits: int) -> None:
        self.use(replace(self.context.settings, api=replace(self.context.settings.api, **limits)))


# --- what there is before a request --------------------------------------------------------------------------------


async def nothing(stage: RuleStage) -> None:
    """An empty account."""


def group(name: str = "demo", /, **request: Any) -> Setup:
    """A replication group of two nodes, unless the request says otherwise, and available."""

    async def make(stage: RuleStage) -> None:
        await stage.create_group(name, **request)
        await stage.settle(name)

    return make


def alone(**request: Any) -> Setup:
    """The cluster `alone` of one Valkey node."""

    async def make(stage: RuleStage) -> None:
        await stage.create_cluster("alone", **request)
        await stage.settle("alone", CLUSTER)

    return make


async def memcached(stage: RuleStage) -> None:
    """The cluster `mem` of two nodes."""
    await stage.create_cluster("mem", Engine="memcached", NumCacheNodes=2)
    await stage.settle("mem", CLUSTER)


async def snapshot(stage: RuleStage) -> None:
    """`nightly`, of the group `demo`."""
    await group()(stage)
    await stage.make()


def user(user_id: str = "reader", **request: Any) -> Setup:
    async def make(stage: RuleStage) -> None:
        await create_user(stage, user_id, **request)

    return make


def user_group(*users: str) -> Setup:
    """`team`, of the built-in user and these."""

    async def make(stage: RuleStage) -> None:
        await stage.call("CreateUserGroup", UserGroupId="team", Engine="redis", UserIds=["default", *users])

    return make


async def in_use(stage: RuleStage) -> None:
    """`team`, of the built-in user and `reader`, which the group `demo` uses; there is `writer`, too."""
    await create_user(stage)
    await create_user(stage, "writer")
    await attached(stage, "default", "reader")


async def changing(stage: RuleStage) -> None:
    """The same while `team` is modified."""
    await in_use(stage)
    await stage.call("ModifyUserGroup", UserGroupId="team", UserIdsToAdd=["writer"])


def both(*setups: Setup) -> Setup:
    """One after the other."""

    async def make(stage: RuleStage) -> None:
        for setup in setups:
            await setup(stage)

    return make


def then(name: str, **request: Any) -> Setup:
    """An operation that succeeds."""

    async def make(stage: RuleStage) -> None:
        await stage.call(name, **request)

    return make


def state(value: str, name: str = "demo", kind: Kind = Kind.REPLICATION_GROUP) -> Setup:
    async def make(stage: RuleStage) -> None:
        await stage.put_state(value, name, kind)

    return make


def member(value: str, name: str = "demo-002") -> Setup:
    async def make(stage: RuleStage) -> None:
        await stage.put_member_state(name, value)

    return make


def limits(**api: int) -> Setup:
    async def make(stage: RuleStage) -> None:
        stage.limit(**api)

    return make


async def handed_over(stage: RuleStage) -> None:
    """The one hand-over that was asked for of the group `demo` is done."""
    await stage.settle()
    await stage.put_shard_memory(handovers=1)


async def with_tls(stage: RuleStage) -> None:
    """Engines can do TLS."""
    access_stage.with_tls(stage)


async def of_a_type_that_is_gone(stage: RuleStage) -> None:
    """The group `demo`, whose node type the settings declared when it was made."""
    before = stage.context.settings
    stage.use(replace(before, node_types={"cache.own.large": NodeTypeSetting(maxmemory_bytes=1 << 30)}))
    await group(CacheNodeType="cache.own.large")(stage)
    stage.use(before)


async def full(stage: RuleStage) -> None:
    """No more nodes fit on the machine."""
    stage.context = replace(stage.context, refuses=lambda nodes, memory_bytes: "the machine is full")
