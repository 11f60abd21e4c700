"""Parameter families, their default groups, and the values that a node of some type really gets (reference 5).

Pure. Says what ought to hold; whether an engine build knows a parameter is its driver's business. Called by the API (checks,
listings) and by the controller (the parameters of a node).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from cachefleet.reference.memcached_parameters import MEMCACHED_FAMILY
from cachefleet.reference.node_types import NodeType
from cachefleet.reference.parameter_types import Family, Parameter
from cachefleet.reference.resp_parameters import RESP_FAMILIES

FAMILIES: Mapping[str, Family] = {MEMCACHED_FAMILY.name: MEMCACHED_FAMILY, **RESP_FAMILIES}

_MB = 1024 * 1024
_DEFAULT_PREFIX = "default."
_CLUSTER_SUFFIX = ".cluster.on"


class DefaultGroup(msgspec.Struct, frozen=True):
    """A built-in parameter group."""

    name: str
    family: str
    cluster_on: bool


def family(name: str) -> Family:
    """Raises KeyError for a name that is not in FAMILIES."""
    return FAMILIES[name]


def default_group(family_name: str, cluster_on: bool) -> str:
    """ "default.valkey9", "default.valkey9.cluster.on"."""
    return _DEFAULT_PREFIX + family_name + (_CLUSTER_SUFFIX if cluster_on else "")


DEFAULT_GROUPS: Mapping[str, DefaultGroup] = {
    name: DefaultGroup(name, found.name, cluster_on)
    for found in FAMILIES.values()
    for cluster_on in ((False, True) if found.engine != "memcached" else (False,))
    for name in (default_group(found.name, cluster_on),)
}


def node_type_value(parameter: str, node_type: NodeType) -> str:
    """The value of a parameter that depends on the node type. Raises KeyError for any other."""
    return str(_PER_NODE_TYPE[parameter](node_type))


def value(parameter: Parameter, cluster_on: bool) -> str:
    """The default in a default group, for a parameter that does not depend on the node type."""
    return "yes" if parameter.name == "cluster-enabled" and cluster_on else parameter.default


def effective(family_name: str, cluster_on: bool, overrides: Mapping[str, str], node_type: NodeType) -> dict[str, str]:
    """Every parameter of the family with the value that holds on a node of this type. Raises KeyError for an unknown family.

    overrides: what a parameter group sets itself; must be names of the family.
    """
    values: dict[str, str] = {}
    for name, parameter in family(family_name).parameters.items():
        if name in overrides:
            values[name] = overrides[name]
        elif parameter.per_node_type:
            values[name] = node_type_value(name, node_type)
        else:
            values[name] = value(parameter, cluster_on)
    return values


def usable_memory_bytes(values: Mapping[str, str]) -> int:
    """Memory for data, of what `effective` returned: Valkey and Redis maxmemory less the reserved share (or, when set, less
    the reserved bytes); Memcached max_cache_memory less the overhead of connections.

    At least 1 MB, since 0 would mean "no limit" to an engine.
    """
    if "max_cache_memory" in values:
        return max(1, int(values["max_cache_memory"]) - int(values["memcached_connections_overhead"])) * _MB
    maxmemory, reserved = int(values["maxmemory"]), int(values["reserved-memory"])
    usable = maxmemory - reserved if reserved else maxmemory * (100 - int(values["reserved-memory-percent"])) // 100
    return max(_MB, usable)


def _max_clients(node_type: NodeType) -> int:
    if node_type.name.startswith("cache.t2.") or node_type.name in ("cache.t3.micro", "cache.t4g.micro"):
        return 20_000
    return 46_000 if node_type.name in ("cache.t3.small", "cache.t3.medium") else 65_000


_PER_NODE_TYPE: Mapping[str, Callable[[NodeType], int]] = {
    "maxmemory": lambda node_type: node_type.maxmemory_bytes,
    "maxclients": _max_clients,
    "client-output-buffer-limit-replica-hard-limit": lambda node_type: node_type.maxmemory_bytes // 10,
    "client-output-buffer-limit-replica-soft-limit": lambda node_type: node_type.maxmemory_bytes // 10,
    "max_cache_memory": lambda node_type: node_type.memcached_mb,
    "memcached_connections_overhead": lambda node_type: 13 if node_type.name == "cache.t1.micro" else 100,
    "num_threads": lambda node_type: node_type.memcached_threads,
}
