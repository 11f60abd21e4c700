"""Which engine and version a modify request asks for, and whether a cache may go there from where it is (reference 3.3, 13.5).

Pure but for asking the catalogue what is installed. Called by group_changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.api.updates.engine_choice import asked_engine, choose_build, names_version
from cachefleet.engine_interfaces import Catalogue
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.reference.engines import DESCRIPTIONS, listed_version, version_numbers

_OPEN_REDIS = (7, 2)  # the last Redis whose data Valkey reads
_WAY_BACK = ((Engine.VALKEY, (7, 2)), (Engine.REDIS, (7, 1)))  # the only downgrade

Version = tuple[Engine, str]  # engine, full version


def asked_version(
    catalogue: Catalogue, desired: GroupDesired, request: Mapping[str, Any], *, replicated: bool
) -> Version | None:
    """The engine and version that the cache shall have, the present ones when an equal value is asked for; None when the
    request says nothing, so that what is pending stays. replicated: it is a replication group. Raises
    InvalidParameterValue, InvalidParameterCombination."""
    named, version = request.get("Engine") or "", request.get("EngineVersion") or ""
    present = (desired.engine, desired.engine_version)
    waiting = desired.pending.engine if desired.pending is not None else ""
    if not named and not version:
        return None
    engine = asked_engine(named or waiting or desired.engine, tuple(Engine))
    if not version and engine.value == (waiting or desired.engine):
        return None
    same_version = not version or names_version(desired.engine, version, desired.engine_version)
    if same_version and (not named or engine is desired.engine):
        return present
    _check_engine(desired, engine, replicated)
    build = choose_build(catalogue, engine, version or None)
    check_direction(present, (engine, build.version))
    return engine, build.version


def _check_engine(desired: GroupDesired, engine: Engine, replicated: bool) -> None:
    """Raises InvalidParameterValue, InvalidParameterCombination."""
    if engine is desired.engine:
        return
    if Engine.MEMCACHED in (engine, desired.engine):
        raise invalid_value(f"Engine: a {desired.engine} cache cannot become {engine}; create another one.")
    if not replicated:
        raise invalid_combination(
            f"Engine: a cluster on its own cannot be changed from {desired.engine} to {engine}. Make it the primary of a "
            "replication group (CreateReplicationGroup with PrimaryClusterId) and change that."
        )


def check_direction(
    present: Version, asked: Version, what: str = "a change", remedy: str = "name a newer version, or create another cache"
) -> None:
    """Raises InvalidParameterValue for a version that could not read the present one's data, or that Amazon ElastiCache has no
    way to."""
    (engine, version), (new_engine, new_version) = present, asked
    numbers, new_numbers = version_numbers(version), version_numbers(new_version)
    if ((engine, numbers[:2]), (new_engine, new_numbers[:2])) == _WAY_BACK:
        return
    span = f"from {_shown(engine, version)} to {_shown(new_engine, new_version)}"
    if engine is Engine.VALKEY and new_engine is Engine.REDIS:
        raise invalid_value(f"Engine: {what} {span} is not possible; the only way back is from Valkey 7.2 to Redis OSS 7.1.")
    if engine is Engine.REDIS and new_engine is Engine.VALKEY:
        if numbers[:2] > _OPEN_REDIS:
            raise invalid_value(f"Engine: {what} {span} is not possible, since Valkey does not read the data of that Redis.")
        return
    if new_numbers < numbers:
        raise invalid_value(f"EngineVersion: a downgrade {span} is not possible; {remedy}.")


def _shown(engine: Engine, version: str) -> str:
    return f"{DESCRIPTIONS[engine.value]} {listed_version(engine.value, version)}"
