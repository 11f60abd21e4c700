"""Which values parameters of a group may have: each by itself, together, and on nodes of some type (reference 3.3, 5).

Pure; whoever breaks a rule is told it by a ValueError. Says what a value must be; what an engine build cannot do is its
driver's business. Called by the operations on parameter groups and by those that give caches one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cachefleet.reference.node_types import NodeType
from cachefleet.reference.parameter_types import Family, Parameter
from cachefleet.reference.parameters import effective
from cachefleet.reference.renamable_commands import BLOCKED, renames

_LARGEST_INT, _LARGEST_LONG = 2**31 - 1, 2**63 - 1
_INTS = frozenset(  # numbers that engines keep in 32 bits; all others have 64
    {
        "client-output-buffer-limit-normal-soft-seconds",
        "client-output-buffer-limit-pubsub-soft-seconds",
        "lfu-decay-time",
        "lfu-log-factor",
        "list-compress-depth",
        "min-replicas-max-lag",
        "min-replicas-to-write",
        "slab_chunk_max",
        "memcached_connections_overhead",
        "tcp-keepalive",
        "timeout",
    }
)
_MOST = {"maxmemory-samples": 65_536}  # before Valkey 8 engines have that many pointers on the stack, and end without room
# Fixed when a cache is created: caches that exchange groups must have the same, and it stays while a cache uses the group.
CREATION_ONLY = frozenset({"activerehashing", "cluster-databases", "cluster-enabled", "databases"})
_BEFORE_USE = frozenset({"cluster-databases", "cluster-enabled"})  # not modifiable, but for groups that no cache uses
_KEYSPACE_LETTERS = "KEg$lshzxetmdnA"
_RANGE = re.compile(r"(-?[0-9]+)(?:(-)(-?[0-9]+)?)?", re.ASCII)
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_FLOAT = re.compile(r"(0|[1-9][0-9]{0,4})(\.[0-9]{1,6})?", re.ASCII)
_MB = 1024 * 1024


def is_settable(parameter: Parameter) -> bool:
    """Whether users may give it a value in a group of their own."""
    return parameter.modifiable or parameter.name in _BEFORE_USE


def check_value(family: Family, parameter: Parameter, value: str) -> None:
    """Raises ValueError: what the value must be."""
    if parameter.name == "notify-keyspace-events":
        _check_keyspace_events(family, value)
    elif parameter.name == "rename-commands":
        _check_renames(family, value)
    elif parameter.data_type == "integer":
        _check_integer(parameter, value)
    elif parameter.data_type == "float":
        low, high = map(float, parameter.allowed.split("-"))
        if not _FLOAT.fullmatch(value) or not low < float(value) <= high:
            raise ValueError(f"it must be a number greater than {low:g} and at most {high:g}, such as 1.25")
    elif value not in parameter.allowed.split(","):
        raise ValueError(f"it must be one of {', '.join(parameter.allowed.split(','))}")


def ranges(parameter: Parameter) -> Iterator[tuple[int, int]]:
    """The lowest and highest values of each part of an integer's AllowedValues: "1-100", "0,20-", "-1-"."""
    most = _MOST.get(parameter.name, _LARGEST_INT if parameter.name in _INTS else _LARGEST_LONG)
    for part in parameter.allowed.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise ValueError(f"nothing is known of its values ({parameter.allowed})")
        low, dash, high = found.groups()
        yield int(low), int(high) if high else most if dash else int(low)


def check_together(family: Family, values: Mapping[str, str]) -> None:
    """values: all that a group sets itself. Raises ValueError: the rule, with the names that it is about."""
    if "max_item_size" not in values and "slab_chunk_max" not in values:
        return
    item_bytes, chunk_bytes = (int(_value(family, values, name)) for name in ("max_item_size", "slab_chunk_max"))
    if chunk_bytes > item_bytes:
        raise ValueError(f"slab_chunk_max ({chunk_bytes}) must not be larger than max_item_size ({item_bytes})")
    if item_bytes % chunk_bytes:
        raise ValueError(f"max_item_size ({item_bytes}) must be a multiple of slab_chunk_max ({chunk_bytes})")
    if _MB % chunk_bytes or chunk_bytes % 1024:
        raise ValueError(f"slab_chunk_max ({chunk_bytes}) must be 1024 times a power of two, up to {_MB}")


def misfit(family: Family, values: Mapping[str, str], node_type: NodeType) -> str:
    """Why nodes of this type cannot have what a group sets itself, "" when they can."""
    if family.engine == "memcached":
        return _memcached_misfit(family, values, node_type)
    for name, most in (("reserved-memory", node_type.maxmemory_bytes - 1), ("repl-backlog-size", node_type.maxmemory_bytes)):
        if int(values.get(name, "0")) > most:
            return f"{name} is {values[name]}, and a {node_type.name} node has {node_type.maxmemory_bytes} bytes in all"
    return ""


def _memcached_misfit(family: Family, values: Mapping[str, str], node_type: NodeType) -> str:
    if "max_item_size" not in values and "memcached_connections_overhead" not in values:
        return ""
    all_values = effective(family.name, False, values, node_type)
    left_mb = int(all_values["max_cache_memory"]) - int(all_values["memcached_connections_overhead"])
    if left_mb < 1:
        return f"memcached_connections_overhead leaves nothing of the {all_values['max_cache_memory']} MB of {node_type.name}"
    if int(all_values["max_item_size"]) > left_mb * _MB // 4:
        return (
            f"max_item_size is {all_values['max_item_size']}, more than a quarter of the {left_mb} MB that a {node_type.name} "
            "node has for items"
        )
    return ""


def creation_values(family: Family, values: Mapping[str, str]) -> dict[str, str]:
    """Of what is fixed when a cache is created, what the group says; cluster mode is told apart by other rules."""
    names = CREATION_ONLY & family.parameters.keys() - {"cluster-enabled"}
    return {name: _value(family, values, name) for name in sorted(names)}


def databases(family: Family, values: Mapping[str, str], *, clustered: bool) -> int:
    """How many databases a cache with this group has; databases are numbered from 0."""
    if clustered:
        return max(1, int(_value(family, values, "cluster-databases"))) if "cluster-databases" in family.parameters else 1
    return int(_value(family, values, "databases"))


def _value(family: Family, values: Mapping[str, str], name: str) -> str:
    return values.get(name, family.parameters[name].default)


def _check_keyspace_events(family: Family, value: str) -> None:
    letters = _KEYSPACE_LETTERS.replace("n", "") if family.name == "redis6.x" else _KEYSPACE_LETTERS
    if not set(value) <= set(letters) or len(value) > len(letters):
        raise ValueError(f"it must be some of the letters {' '.join(letters)}, or empty for no events")


def _check_renames(family: Family, value: str) -> None:
    """Modules of Redis OSS before 7.2 cannot tell clients from nodes, whose commands keep their names."""
    new = [name for name in renames(value).values() if name != BLOCKED]
    if new and family.engine == "redis":
        raise ValueError(f"Redis OSS takes {BLOCKED} only; {new[0]!r} takes Valkey")


def _check_integer(parameter: Parameter, value: str) -> None:
    allowed = list(ranges(parameter))
    if _INTEGER.fullmatch(value) and any(low <= int(value) <= high for low, high in allowed):
        return
    shown = " or ".join(str(low) if low == high else f"{low} to {high}" for low, high in allowed)
    raise ValueError(f"it must be an integer: {shown}")
