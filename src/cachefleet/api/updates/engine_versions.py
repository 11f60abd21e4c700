"""DescribeCacheEngineVersions: the versions that this installation really has, one line for each that callers can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cachefleet.api.context import Context
from cachefleet.api.names import folded
from cachefleet.api.paging import page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.engine_interfaces import Build, Catalogue
from cachefleet.reference.engines import DESCRIPTIONS, family_of, listed_version, version_description, version_numbers

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import CacheEngineVersionTypeDef, DescribeCacheEngineVersionsMessageTypeDef


class Line(msgspec.Struct, frozen=True):
    """version: as listed ("9.1"); build: the newest that stands behind it."""

    version: str
    family: str
    build: Build


@operation(
    "DescribeCacheEngineVersions",
    effective=("Engine", "EngineVersion", "CacheParameterGroupFamily", "DefaultOnly", "MaxRecords", "Marker"),
)
async def describe_cache_engine_versions(
    context: Context, request: DescribeCacheEngineVersionsMessageTypeDef
) -> dict[str, Any]:
    page = page_of(request, "engine-versions")
    lines = [line for line in version_lines(context.catalogue.builds()) if _is_wanted(line, request)]
    if request.get("DefaultOnly"):
        lines = _defaults(lines, context.catalogue)
    shown, marker = page_sequence(lines, page, _order)
    return reply("CacheEngineVersions", [_view(line) for line in shown], marker)


def version_lines(builds: Sequence[Build]) -> list[Line]:
    """By engine, oldest version first. A build whose version ElastiCache has no family for cannot be asked for, and is not
    listed. Patches of one minor version share a line."""
    lines: dict[tuple[str, str], Line] = {}
    for build in sorted(builds, key=lambda build: version_numbers(build.version)):
        family = family_of(build.engine, build.version)
        if family is not None:
            version = listed_version(build.engine, build.version)
            lines[build.engine, version] = Line(version, family, build)
    return sorted(lines.values(), key=_order)


def _is_wanted(line: Line, request: DescribeCacheEngineVersionsMessageTypeDef) -> bool:
    engine = folded(request.get("Engine") or "")
    version = folded(request.get("EngineVersion") or "")
    family = folded(request.get("CacheParameterGroupFamily") or "")
    return (
        engine in ("", line.build.engine)
        and family in ("", line.family)
        and (not version or version in (line.version, line.build.version) or _is_major(version, line))
    )


def _is_major(version: str, line: Line) -> bool:
    """ "6.x" or "6" asks for every 6."""
    numbers = version_numbers(version)
    return version in (f"{numbers[0]}.x", str(numbers[0])) and line.version.startswith(f"{numbers[0]}.") if numbers else False


def _defaults(lines: Sequence[Line], catalogue: Catalogue) -> list[Line]:
    """One line for each engine: the version that a cache gets which names none, or the newest where that one is filtered
    out."""
    newest = {line.build.engine: line for line in lines}
    for line in lines:
        default = catalogue.resolve(line.build.engine, None)
        if default is not None and listed_version(default.engine, default.version) == line.version:
            newest[line.build.engine] = line
    return list(newest.values())


def _order(line: Line) -> str:
    numbers = "".join(f".{number:06}" for number in version_numbers(line.version))
    return f"{line.build.engine}{numbers}"


def _view(line: Line) -> CacheEngineVersionTypeDef:
    build = line.build
    return {
        "Engine": build.engine.value,
        "EngineVersion": line.version,
        "CacheParameterGroupFamily": line.family,
        "CacheEngineDescription": DESCRIPTIONS[build.engine],
        "CacheEngineVersionDescription": version_description(build.engine, build.version, build.origin),
    }
