"""Members of a modify request that would change nodes: an equal value asks for nothing and passes, any other is refused.

Pure. Called by ModifyReplicationGroup and ModifyCacheCluster until such changes are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachefleet.api.engine_choice import check_version_form, names_version
from cachefleet.api.names import folded
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.group import GroupDesired


def refuse_node_changes(desired: GroupDesired, request: Mapping[str, Any]) -> None:
    """Raises InvalidParameterValue for a node type, engine, version or parameter group that is not the present one."""
    if request.get("CacheNodeType") not in (None, "", desired.node_type):
        raise not_yet("CacheNodeType", desired.node_type)
    engine = request.get("Engine")
    if engine and engine.lower() != desired.engine:
        raise not_yet("Engine", desired.engine.value)
    version = request.get("EngineVersion")
    if version and not names_version(desired.engine, version, desired.engine_version):
        check_version_form(desired.engine, version)
        raise not_yet("EngineVersion", desired.engine_version)
    group = request.get("CacheParameterGroupName")
    if group and folded(group) != desired.parameter_group:
        raise not_yet("CacheParameterGroupName", desired.parameter_group)


def not_yet(member: str, present: object) -> AwsError:
    return invalid_value(f"{member}: changing it is not implemented yet; it is {present}, leave it out or give the same value.")
