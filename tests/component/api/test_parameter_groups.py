"""The built-in parameter groups and their parameters; which group a cache gets."""

from __future__ import annotations

from typing import Any

import pytest

import cachefleet.api.parameters.parameter_groups  # noqa: F401
from cachefleet.api.parameters.parameter_group_rows import next_parameter_group, resolve_parameter_group
from cachefleet.model.errors import AwsError
from cachefleet.model.parameter_group import ParameterGroupDesired
from cachefleet.model.resource import Kind
from cachefleet.model.row import ParameterGroupRow, Row
from cachefleet.reference.parameters import FAMILIES
from cachefleet.settings import NodeTypeSetting, Settings
from tests.component.api.stage import Stage, on_each_store


async def _parameters(stage: Stage, name: str, **request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """All pages: plain parameters and those by node type, by name."""
    plain: dict[str, Any] = {}
    by_type: dict[str, Any] = {}
    marker: dict[str, str] = {}
    while True:
        reply = await stage.call("DescribeCacheParameters", CacheParameterGroupName=name, **request, **marker)
        for found, member in ((plain, "Parameters"), (by_type, "CacheNodeTypeSpecificParameters")):
            page = {parameter["ParameterName"]: parameter for parameter in reply[member]}
            assert not page.keys() & found.keys()
            found |= page
        if "Marker" not in reply:
            return plain, by_type
        marker = {"Marker": reply["Marker"]}


@on_each_store
async def test_groups(stage: Stage) -> None:
    groups = (await stage.call("DescribeCacheParameterGroups"))["CacheParameterGroups"]
    names = [group["CacheParameterGroupName"] for group in groups]
    assert names == sorted(names) and len(names) == 11
    (group,) = (await stage.call("DescribeCacheParameterGroups", CacheParameterGroupName="Default.Redis7.cluster.on"))[
        "CacheParameterGroups"
    ]
    assert group == {
        "CacheParameterGroupName": "default.redis7.cluster.on",
        "CacheParameterGroupFamily": "redis7",
        "Description": "Default parameter group for redis7 with cluster mode on",
        "IsGlobal": False,
        "ARN": "arn:aws:elasticache:local-1:000000000000:parametergroup:default.redis7.cluster.on",
    }


@on_each_store
async def test_unknown_groups(stage: Stage) -> None:
    for operation in ("DescribeCacheParameterGroups", "DescribeCacheParameters"):
        await stage.refused(
            "CacheParameterGroupNotFound", "'mine' not found; there are default", operation, CacheParameterGroupName="mine"
        )


@on_each_store
async def test_every_parameter_is_listed_once(stage: Stage) -> None:
    for family, wanted in FAMILIES.items():
        for request in ({"MaxRecords": 20}, {}):
            plain, by_type = await _parameters(stage, f"default.{family}", **request)
            assert plain.keys() | by_type.keys() == wanted.parameters.keys()
            assert not plain.keys() & by_type.keys()


@on_each_store
async def test_parameters(stage: Stage) -> None:
    stage.use(Settings(node_types={"cache.tiny": NodeTypeSetting(100_000_000)}))
    plain, by_type = await _parameters(stage, "default.valkey9.cluster.on")
    assert plain["cluster-enabled"]["ParameterValue"] == "yes"
    assert plain["timeout"] == {
        "ParameterName": "timeout",
        "ParameterValue": "0",
        "Description": "Seconds after which an idle client is cut; 0: never.",
        "Source": "system",
        "DataType": "integer",
        "AllowedValues": "0,20-",
        "IsModifiable": True,
        "MinimumEngineVersion": "9.0.0",
        "ChangeType": "immediate",
    }
    assert "ParameterValue" not in plain["notify-keyspace-events"]
    assert set(by_type) == {
        "client-output-buffer-limit-replica-hard-limit",
        "client-output-buffer-limit-replica-soft-limit",
        "maxclients",
        "maxmemory",
    }
    values = {one["CacheNodeType"]: one["Value"] for one in by_type["maxmemory"]["CacheNodeTypeSpecificValues"]}
    assert len(values) == 113
    assert (values["cache.t4g.micro"], values["cache.tiny"]) == ("536870912", "100000000")


@on_each_store
async def test_sources(stage: Stage) -> None:
    plain, by_type = await _parameters(stage, "default.redis7", Source="system")
    assert len(plain) + len(by_type) == len(FAMILIES["redis7"].parameters)
    for source in ("user", "engine-default"):
        assert await _parameters(stage, "default.redis7", Source=source) == ({}, {})
    await stage.refused(
        "InvalidParameterValue",
        "Source 'mine' is not valid; it must be one of user, system, engine-default",
        "DescribeCacheParameters",
        CacheParameterGroupName="default.redis7",
        Source="mine",
    )


@on_each_store
async def test_engine_defaults(stage: Stage) -> None:
    first = (await stage.call("DescribeEngineDefaultParameters", CacheParameterGroupFamily="Redis6.x", MaxRecords=50))[
        "EngineDefaults"
    ]
    assert first["CacheParameterGroupFamily"] == "redis6.x"
    assert len(first["Parameters"]) == 50
    rest = (await stage.call("DescribeEngineDefaultParameters", CacheParameterGroupFamily="redis6.x", Marker=first["Marker"]))[
        "EngineDefaults"
    ]
    assert len(rest["Parameters"]) + len(rest["CacheNodeTypeSpecificParameters"]) == 66 - 50
    assert "Marker" not in rest
    await stage.refused(
        "InvalidParameterValue",
        "'redis5.0' is not valid; it must be one of memcached1.6, redis6.x",
        "DescribeEngineDefaultParameters",
        CacheParameterGroupFamily="redis5.0",
    )


async def _own(stage: Stage) -> None:
    """Groups of valkey9: `mine`, and `sharded` with cluster mode."""
    for name, values in (("mine", {}), ("sharded", {"cluster-enabled": "yes"})):
        row: ParameterGroupRow = Row(
            key=stage.context.scope.key(Kind.PARAMETER_GROUP, name),
            desired=ParameterGroupDesired(family="valkey9", description="", values=values),
        )
        async with stage.store.transaction() as transaction:
            await transaction.insert(row)


@on_each_store
async def test_the_group_that_a_cache_gets(stage: Stage) -> None:
    await _own(stage)
    for name, engine, version, mode, resolved in (
        (None, "valkey", "9.1.2", "disabled", "default.valkey9"),
        ("", "valkey", "9.1.2", "enabled", "default.valkey9.cluster.on"),
        (None, "redis", "6.2.14", "compatible", "default.redis6.x.cluster.on"),
        (None, "memcached", "1.6.18", "disabled", "default.memcached1.6"),
        ("Default.Redis7", "redis", "7.0.15", "disabled", "default.redis7"),
        ("default.redis7.cluster.on", "redis", "7.0.15", "enabled", "default.redis7.cluster.on"),
        ("Mine", "valkey", "9.1.2", "disabled", "mine"),
        ("sharded", "valkey", "9.0.0", "enabled", "sharded"),
        ("sharded", "valkey", "9.0.0", "compatible", "sharded"),
    ):
        assert (await resolve_parameter_group(stage.context, name, engine, version, mode)).name == resolved


@on_each_store
async def test_groups_that_a_cache_cannot_have(stage: Stage) -> None:
    await _own(stage)
    combination = "InvalidParameterCombination"
    for name, engine, version, mode, code, rule in (
        ("none", "redis", "7.0.15", "disabled", "CacheParameterGroupNotFound", "'none' not found"),
        ("default.redis7", "valkey", "9.1.2", "disabled", combination, "family redis7, but valkey 9.1.2 needs one of valkey9"),
        ("default.redis7", "redis", "7.0.15", "enabled", combination, "enabled=no, .* use one like default.redis7.cluster.on"),
        ("default.redis7.cluster.on", "redis", "7.0.15", "disabled", combination, "cluster-enabled=yes"),
        ("mine", "valkey", "8.1.4", "disabled", combination, "mine is of the family valkey9"),
        ("mine", "valkey", "9.1.2", "enabled", combination, "mine has cluster-enabled=no"),
        ("sharded", "valkey", "9.1.2", "disabled", combination, "sharded has cluster-enabled=yes"),
        (None, "redis", "8.0.0", "disabled", "InvalidParameterValue", "no parameter group family for redis 8.0.0"),
    ):
        with pytest.raises(AwsError, match=rule) as refused:
            await resolve_parameter_group(stage.context, name, engine, version, mode)
        assert refused.value.code == code


@on_each_store
async def test_the_group_that_a_changed_cache_keeps(stage: Stage) -> None:
    await _own(stage)
    for present, version, mode, kept in (
        (["default.valkey8"], "9.1.2", "disabled", "default.valkey9"),
        (["default.valkey9"], "9.1.2", "compatible", "default.valkey9.cluster.on"),
        (["mine"], "9.0.1", "disabled", "mine"),
        (["mine", "default.valkey8"], "9.1.2", "disabled", "mine"),
        (["mine", "default.valkey8"], "8.1.4", "disabled", "default.valkey8"),
        (["default.valkey8", "mine"], "9.1.2", "disabled", "mine"),
        (["default.valkey9", "mine"], "9.1.2", "disabled", "default.valkey9"),
        (["sharded"], "9.1.2", "enabled", "sharded"),
    ):
        assert (await next_parameter_group(stage.context, None, present, "valkey", version, mode)).name == kept
    assert (await next_parameter_group(stage.context, "mine", ["sharded"], "valkey", "9.1.2", "disabled")).name == "mine"
    for present, version, mode in ((["mine"], "8.1.4", "disabled"), (["mine"], "9.1.2", "compatible")):
        with pytest.raises(AwsError, match="CacheParameterGroupName is missing: mine ") as refused:
            await next_parameter_group(stage.context, None, present, "valkey", version, mode)
        assert refused.value.code == "InvalidParameterCombination"
