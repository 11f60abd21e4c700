"""Parameter groups and the caches that use them, changed at the same time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from msgspec.structs import replace

from cachefleet.api.parameters.parameter_group_rows import wanted_by
from cachefleet.model.errors import AwsError
from cachefleet.model.resource import GROUP_KINDS, Kind
from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.reference.parameter_values import misfit
from cachefleet.reference.parameters import FAMILIES
from tests.component.api_groups.stage import NODE_TYPE, BusyStore, GroupStage, on_groups
from tests.component.api_groups.test_creation_races import meanwhile
from tests.component.api_groups.test_parameter_groups import (
    COMBINATION,
    CREATE,
    DELETE,
    DEMO,
    GROUP,
    MICRO,
    MODIFY,
    RESET,
    STATE,
    VALUE,
    listed,
    make,
    named,
    parameter_group,
)
from tests.fakes.api import call


@on_groups
async def test_a_group_that_goes_while_a_cache_is_created_with_it(stage: GroupStage) -> None:
    await make(stage)
    meanwhile(stage, DELETE, **named())
    await stage.refused(
        "CacheParameterGroupNotFound",
        "'mine' not found",
        "CreateCacheCluster",
        CacheClusterId="c",
        CacheNodeType=NODE_TYPE,
        **named(),
    )
    assert await stage.store.get(stage.key("c", Kind.CACHE_CLUSTER)) is None


@on_groups
async def test_a_group_that_goes_while_a_cache_is_given_it(stage: GroupStage) -> None:
    await make(stage)
    await stage.create_group()
    await stage.settle()
    meanwhile(stage, DELETE, **named())
    await stage.refused("CacheParameterGroupNotFound", "'mine' not found", GROUP, **DEMO, **named())
    assert await parameter_group(stage) == "default.valkey9"


@on_groups
async def test_a_cache_that_comes_while_its_group_is_deleted(stage: GroupStage) -> None:
    await make(stage)
    meanwhile(stage, "CreateCacheCluster", CacheClusterId="c", CacheNodeType=NODE_TYPE, **named())
    await stage.refused(STATE, "mine is used by c", DELETE, **named())


@on_groups
async def test_a_group_that_is_changed_while_a_cache_is_created_with_it(stage: GroupStage) -> None:
    await make(stage)
    meanwhile(stage, MODIFY, **named(), ParameterNameValues=listed(cluster_enabled="yes"))
    await stage.refused(
        COMBINATION, "cluster-enabled=yes", "CreateCacheCluster", CacheClusterId="c", CacheNodeType=NODE_TYPE, **named()
    )


@on_groups
async def test_a_cache_that_comes_while_its_group_is_changed(stage: GroupStage) -> None:
    await make(stage)
    meanwhile(stage, "CreateCacheCluster", CacheClusterId="c", CacheNodeType=NODE_TYPE, **named())
    await stage.refused(STATE, "c uses the parameter group mine", MODIFY, **named(), ParameterNameValues=listed(databases="4"))


@on_groups
async def test_a_node_type_that_changes_while_the_group_is_changed(stage: GroupStage) -> None:
    await make(stage)
    await stage.create_group(CacheNodeType="cache.m6g.large", **named())
    await stage.settle()
    meanwhile(stage, GROUP, **DEMO, CacheNodeType=NODE_TYPE)
    too_much = listed(reserved_memory=str(MICRO.maxmemory_bytes))
    await stage.refused(VALUE, f"node type {NODE_TYPE}", MODIFY, **named(), ParameterNameValues=too_much)


@on_groups
async def test_changes_get_through_while_the_controller_writes(stage: GroupStage) -> None:
    await make(stage)
    await stage.create_group()
    await stage.settle()
    stage.context = replace(stage.context, store=BusyStore(stage.store, 2))
    await stage.call(GROUP, **DEMO, ReplicationGroupDescription="new", **named())
    pending = (await stage.row(stage.key("demo"))).desired.pending
    assert pending is not None and pending.parameter_group == "mine"


@on_groups
async def test_whatever_comes_at_the_same_time_a_cache_has_a_group_that_goes_with_it(stage: GroupStage) -> None:
    await stage.create_group()
    await stage.settle()
    for chance in map(random.Random, range(12)):
        await asyncio.gather(*(_attempt(stage, *chance.choice(_AT_ONCE)) for _ in range(12)))
        groups = {row.key.name: row for row in await stage.store.rows(Kind.PARAMETER_GROUP, stage.context.scope)}
        for kind in GROUP_KINDS:
            for row in await stage.store.rows(kind, stage.context.scope):
                for wanted in wanted_by(row.desired):
                    if wanted.parameter_group in groups:
                        own = groups[wanted.parameter_group].desired
                        assert not own.cluster_on and own.family == "valkey9"
                        assert misfit(FAMILIES[own.family], own.values, NODE_TYPES[wanted.node_type]) == ""
                    else:
                        assert wanted.parameter_group == "default.valkey9"
        for row in await stage.store.rows(Kind.CACHE_CLUSTER, stage.context.scope):
            async with stage.store.transaction() as transaction:
                await transaction.delete(row)


_CREATION = {"CacheParameterGroupName": "mine", "Description": ""}
_AT_ONCE: tuple[tuple[str, dict[str, Any]], ...] = (
    (CREATE, {**_CREATION, "CacheParameterGroupFamily": "valkey9"}),
    (CREATE, {**_CREATION, "CacheParameterGroupFamily": "redis7"}),
    (DELETE, named()),
    (DELETE, named()),
    (MODIFY, {**named(), "ParameterNameValues": listed(cluster_enabled="yes")}),
    (MODIFY, {**named(), "ParameterNameValues": listed(reserved_memory=str(MICRO.maxmemory_bytes))}),
    (RESET, {**named(), "ResetAllParameters": True}),
    *(("CreateCacheCluster", {"CacheClusterId": f"c{at}", "CacheNodeType": NODE_TYPE, **named()}) for at in range(3)),
    *(
        (GROUP, {**DEMO, **named(name), "CacheNodeType": kind})
        for name in ("mine", "default.valkey9")
        for kind in (NODE_TYPE, "cache.m6g.large")
    ),
)


async def _attempt(stage: GroupStage, name: str, request: dict[str, Any]) -> None:
    try:
        await call(stage.context, name, **request)
    except AwsError as refused:
        assert refused.http_status < 500
