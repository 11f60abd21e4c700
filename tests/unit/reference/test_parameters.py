"""Parameter families, and what a node of some type gets."""

from __future__ import annotations

import pytest

from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.reference.parameters import (
    DEFAULT_GROUPS,
    FAMILIES,
    default_group,
    effective,
    family,
    usable_memory_bytes,
)

MICRO = NODE_TYPES["cache.t4g.micro"]
MB = 1024 * 1024


def test_families() -> None:
    assert set(FAMILIES) == {"redis6.x", "redis7", "valkey7", "valkey8", "valkey9", "memcached1.6"}
    with pytest.raises(KeyError):
        family("redis5.0")


def test_default_groups() -> None:
    assert default_group("redis7", False) == "default.redis7"
    assert default_group("redis6.x", True) == "default.redis6.x.cluster.on"
    assert len(DEFAULT_GROUPS) == 11
    assert "default.memcached1.6.cluster.on" not in DEFAULT_GROUPS
    assert DEFAULT_GROUPS["default.valkey9.cluster.on"].family == "valkey9"


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_parameter_is_well_formed(name: str) -> None:
    for key, parameter in family(name).parameters.items():
        assert key == parameter.name
        assert parameter.description.endswith("."), key
        assert parameter.change_type in ("immediate", "requires-reboot")
        assert parameter.data_type in ("integer", "string", "boolean", "float")
        assert [part.isdecimal() for part in parameter.minimum_version.split(".")] == [True] * 3
        if parameter.default and parameter.allowed:
            assert _allows(parameter.allowed, parameter.default), key
        if parameter.data_type == "integer" and not parameter.per_node_type:
            int(parameter.default)
    assert list(family(name).parameters) == sorted(family(name).parameters)


def _allows(allowed: str, value: str) -> bool:
    """ "1-100", "0-", "-1-", "yes,no", "0,20-"."""
    for part in allowed.split(","):
        low, dash, high = part.rpartition("-") if not part.endswith("-") else (part[:-1], "-", "")
        if part == value:
            return True
        if dash and low and float(value) >= float(low) and (not high or float(value) <= float(high)):
            return True
    return False


@pytest.mark.parametrize(
    ("family_name", "parameter", "default"),
    [
        ("redis6.x", "acl-pubsub-default", "allchannels"),
        ("redis7", "acl-pubsub-default", "resetchannels"),
        ("redis6.x", "hash-max-ziplist-entries", "512"),
        ("redis7", "hash-max-listpack-entries", "512"),
        ("redis7", "repl-backlog-size", "1048576"),
        ("valkey8", "repl-backlog-size", "10485760"),
        ("valkey9", "repl-backlog-size", "10485760"),
        ("valkey9", "cluster-databases", "0"),
        ("valkey8", "extended-redis-compatibility", "yes"),
        ("valkey7", "lazyfree-lazy-eviction", "no"),
        ("memcached1.6", "max_item_size", "1048576"),
    ],
)
def test_defaults_by_family(family_name: str, parameter: str, default: str) -> None:
    assert family(family_name).parameters[parameter].default == default


@pytest.mark.parametrize(
    ("family_name", "absent"),
    [
        ("redis7", "hash-max-ziplist-entries"),
        ("redis6.x", "hash-max-listpack-entries"),
        ("redis7", "activerehashing"),
        ("valkey8", "lazyfree-lazy-eviction"),
        ("valkey8", "replica-lazy-flush"),
        ("valkey8", "cluster-databases"),
        ("valkey7", "extended-redis-compatibility"),
    ],
)
def test_parameters_that_a_family_lacks(family_name: str, absent: str) -> None:
    assert absent not in family(family_name).parameters


def test_minimum_versions() -> None:
    assert family("redis6.x").parameters["acl-pubsub-default"].minimum_version == "6.2.0"
    assert family("valkey8").parameters["commandlog-large-reply-max-len"].minimum_version == "8.1.0"
    assert family("valkey9").parameters["commandlog-large-reply-max-len"].minimum_version == "9.0.0"
    assert family("valkey7").parameters["timeout"].minimum_version == "7.2.0"


def test_effective_values_of_a_node() -> None:
    values = effective("valkey9", True, {"maxmemory-policy": "allkeys-lfu"}, MICRO)
    assert set(values) == set(family("valkey9").parameters)
    assert values["maxmemory"] == "536870912"
    assert values["client-output-buffer-limit-replica-hard-limit"] == "53687091"
    assert values["client-output-buffer-limit-replica-soft-limit"] == "53687091"
    assert values["maxclients"] == "20000"
    assert values["cluster-enabled"] == "yes"
    assert values["maxmemory-policy"] == "allkeys-lfu"
    assert effective("valkey9", False, {}, MICRO)["cluster-enabled"] == "no"


@pytest.mark.parametrize(
    ("node_type", "clients"),
    [
        ("cache.t2.medium", 20000),
        ("cache.t3.micro", 20000),
        ("cache.t3.small", 46000),
        ("cache.t4g.small", 65000),
        ("cache.m5.large", 65000),
    ],
)
def test_most_clients_by_node_type(node_type: str, clients: int) -> None:
    assert effective("redis7", False, {}, NODE_TYPES[node_type])["maxclients"] == str(clients)


@pytest.mark.parametrize(
    ("overrides", "usable"),
    [
        ({}, 402653184),
        ({"reserved-memory-percent": "50"}, 268435456),
        ({"reserved-memory-percent": "0"}, 536870912),
        ({"reserved-memory-percent": "100"}, MB),
        ({"reserved-memory": "36870912"}, 500000000),
    ],
)
def test_usable_memory(overrides: dict[str, str], usable: int) -> None:
    assert usable_memory_bytes(effective("redis7", False, overrides, MICRO)) == usable


def test_usable_memory_is_rounded_down() -> None:
    assert usable_memory_bytes(effective("redis7", False, {}, NODE_TYPES["cache.t4g.small"])) == 1471026299 * 75 // 100


def test_memcached_values() -> None:
    values = effective("memcached1.6", False, {}, MICRO)
    assert (values["max_cache_memory"], values["num_threads"], values["memcached_connections_overhead"]) == ("512", "2", "100")
    assert usable_memory_bytes(values) == 412 * MB
    smallest = effective("memcached1.6", False, {}, NODE_TYPES["cache.t1.micro"])
    assert usable_memory_bytes(smallest) == (213 - 13) * MB
    assert usable_memory_bytes(effective("memcached1.6", False, {"memcached_connections_overhead": "9999"}, MICRO)) == MB
