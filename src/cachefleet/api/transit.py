"""Encryption in transit: what a request asks for, what refuses it, what is shown (reference 3.3, 10.6).

Values in and out; starts nothing. Called by the create and modify operations and by the views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.engine_interfaces import Build, Catalogue
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired, Shape
from cachefleet.model.row import GroupRow
from cachefleet.model.transit import HIGHEST_PREFERRED_PORT, OFF, PREFERRED, REQUIRED, STEPS
from cachefleet.reference.engines import DESCRIPTIONS, version_numbers

ENABLED, MODE = "TransitEncryptionEnabled", "TransitEncryptionMode"
OFF_LATER = "off"  # what PendingChange says, where "" means no change
_FIRST_CHANGEABLE = {Engine.REDIS: (7, 0), Engine.VALKEY: (7, 2)}
_FIRST_MEMCACHED = (1, 6, 12)
_OLD_TYPES = ("cache.m1.", "cache.m2.")
_OLD_MEMCACHED_TYPES = (*_OLD_TYPES, "cache.m3.", "cache.r3.", "cache.t2.")


# --- at creation ---------------------------------------------------------------------------------------------------


def asked_transit(request: Mapping[str, Any]) -> str:
    """Of a creation. Raises InvalidParameterCombination, InvalidParameterValue."""
    mode, enabled = _mode(request), bool(request.get(ENABLED))
    if mode and not enabled:
        raise _not_enabled()
    return (mode or REQUIRED) if enabled else OFF


def fitting_build(catalogue: Catalogue, build: Build, version: str | None, transit: str) -> Build:
    """The build for a new cache: `build`, or where no version was asked for and it cannot do TLS the newest of its engine that
    can. Raises InvalidParameterCombination."""
    if not transit or "tls" in build.capabilities:
        return build
    able = [other for other in catalogue.builds() if other.engine is build.engine and "tls" in other.capabilities]
    if version or not able:
        raise without_tls(catalogue, build, ENABLED)
    return able[0]


def check_created(desired: GroupDesired) -> None:
    """Raises InvalidParameterCombination."""
    if not desired.transit:
        return
    if desired.shape is Shape.MEMCACHED and version_numbers(desired.engine_version) < _FIRST_MEMCACHED:
        raise invalid_combination(f"{ENABLED}: Memcached has encryption in transit from 1.6.12 on.")
    _check_node_type(desired)
    if desired.transit == PREFERRED:
        _check_preferred(desired, PREFERRED)


def node_type_has_tls(engine: Engine, node_type: str) -> bool:
    """Reference 3.3, 6."""
    return not node_type.startswith(_OLD_MEMCACHED_TYPES if engine is Engine.MEMCACHED else _OLD_TYPES)


def without_tls(catalogue: Catalogue, build: Build, member: str) -> AwsError:
    """The build cannot do TLS; which of those that are installed can."""
    able = [
        f"{DESCRIPTIONS[other.engine.value]} {other.version}" for other in catalogue.builds() if "tls" in other.capabilities
    ]
    have = f"Installed builds with TLS: {', '.join(able)}." if able else "No installed build has TLS."
    remedy = f"`cachefleet engines build {build.engine.value} {'.'.join(build.version.split('.')[:2])}` makes one"
    if build.engine is not Engine.VALKEY:
        remedy = f"`apt install {'redis-server' if build.engine is Engine.REDIS else 'memcached'}` installs one"
    return invalid_combination(
        f"{member}: encryption in transit needs an engine built with TLS, which {DESCRIPTIONS[build.engine.value]} "
        f"{build.version} at {build.origin} is not. {have} {remedy}."
    )


# --- of a group that there is --------------------------------------------------------------------------------------


def asked_change(catalogue: Catalogue, row: GroupRow, request: Mapping[str, Any], waiting: str) -> str:
    """PendingChange.transit once this request is counted in. Raises InvalidParameterCombination, InvalidParameterValue,
    InvalidReplicationGroupState."""
    if request.get(ENABLED) is None and not request.get(MODE):
        return waiting
    desired = row.desired
    if desired.user_group:
        raise invalid_combination("Modification of transit encryption is not supported for access control enabled clusters.")
    asked = _asked(desired.transit, request)
    if asked == desired.transit:
        return ""
    _check_step(row, asked)
    if asked:
        _check_node_type(desired)
    build = catalogue.exact(desired.engine, desired.engine_version)
    if asked and build is not None and "tls" not in build.capabilities:
        raise without_tls(catalogue, build, ENABLED)
    if PREFERRED in (asked, desired.transit):
        _check_preferred(desired, asked)
    return asked or OFF_LATER


def check_build(catalogue: Catalogue, transit: str, engine: str, version: str) -> None:
    """Of a change of the engine's version. Raises InvalidParameterCombination."""
    build = catalogue.exact(Engine(engine), version)
    if transit and build is not None and "tls" not in build.capabilities:
        raise without_tls(catalogue, build, "EngineVersion")


def _asked(present: str, request: Mapping[str, Any]) -> str:
    mode, enabled = _mode(request), request.get(ENABLED)
    if mode and (enabled is False or (enabled is None and not present)):
        raise _not_enabled()
    if enabled is False:
        return OFF
    return mode or present or REQUIRED


def _check_step(row: GroupRow, asked: str) -> None:
    present, name = row.desired.transit, row.key.name
    if abs(STEPS.index(asked) - STEPS.index(present)) > 1:
        way = "is on with mode required" if present else "is off"
        raise invalid_combination(
            f"{MODE}: encryption in transit of {name} {way}, and changes in two steps; set {ENABLED} to true and {MODE} to "
            f"{PREFERRED} first, and {'turn it off' if present else f'to {REQUIRED}'} when that is done."
        )
    if not asked and row.desired.auth is not None:
        raise invalid_combination(
            f"{ENABLED}: {name} has an AUTH token, which clients must not send in the clear; move it to a user group, and from "
            "there to open access, first."
        )


def _check_node_type(desired: GroupDesired) -> None:
    if not node_type_has_tls(desired.engine, desired.node_type):
        raise invalid_combination(
            f"{ENABLED}: {DESCRIPTIONS[desired.engine.value]} nodes of type {desired.node_type} have no encryption in transit; "
            "take a newer type."
        )


def _check_preferred(desired: GroupDesired, asked: str) -> None:
    first = _FIRST_CHANGEABLE.get(desired.engine)
    if first is None or version_numbers(desired.engine_version) < first:
        engine = DESCRIPTIONS[desired.engine.value]
        raise invalid_combination(
            f"{MODE}: {PREFERRED}, and changes of encryption in transit, need Redis OSS 7.0 or Valkey 7.2 at least; this is "
            f"{engine} {desired.engine_version}."
        )
    if asked == PREFERRED and desired.port > HIGHEST_PREFERRED_PORT:
        raise invalid_combination(
            f"{MODE}: while TLS is {PREFERRED} it is served at the next port, and there is none above {desired.port}."
        )


def _mode(request: Mapping[str, Any]) -> str:
    mode = request.get(MODE) or ""
    if mode not in ("", PREFERRED, REQUIRED):
        raise invalid_value(f"{MODE} must be {PREFERRED} or {REQUIRED}.")
    return mode


def _not_enabled() -> AwsError:
    return invalid_combination("To modify transit encryption mode, set encryption-in-transit as enabled.")


# --- what is shown -------------------------------------------------------------------------------------------------


def transit_view(row: GroupRow) -> dict[str, Any]:
    """What holds for all nodes: until a change is done the former."""
    transit = _present(row)
    return {ENABLED: bool(transit), **({MODE: transit} if transit else {})}


def pending_transit(row: GroupRow) -> dict[str, Any]:
    """Members of PendingModifiedValues: of a change that waits or is under way."""
    waiting = row.desired.pending.transit if row.desired.pending is not None else ""
    asked = OFF if waiting == OFF_LATER else waiting or row.desired.transit
    if asked == _present(row):
        return {}
    return {ENABLED: bool(asked), **({MODE: asked} if asked else {})}


def _present(row: GroupRow) -> str:
    settled = row.memory.settled
    return row.desired.transit if settled is None else settled.form.transit
