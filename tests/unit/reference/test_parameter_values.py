"""Values of parameters: by themselves, together, and on a type of node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.reference.parameter_types import Family, Parameter
from cachefleet.reference.parameter_values import (
    CREATION_ONLY,
    check_together,
    check_value,
    creation_values,
    databases,
    is_settable,
    misfit,
)
from cachefleet.reference.parameters import FAMILIES, effective

MICRO = NODE_TYPES["cache.t4g.micro"]
MEMCACHED, VALKEY9, REDIS6 = FAMILIES["memcached1.6"], FAMILIES["valkey9"], FAMILIES["redis6.x"]
SETTABLE = [(family, one) for family in FAMILIES.values() for one in family.parameters.values() if is_settable(one)]
MB = 1024 * 1024


def refusal(family: Family, name: str, value: str) -> str:
    """Why the value is refused; "" when it is not."""
    try:
        check_value(family, family.parameters[name], value)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("family", "parameter"), SETTABLE, ids=[f"{family.name}-{one.name}" for family, one in SETTABLE])
def test_every_default_is_allowed(family: Family, parameter: Parameter) -> None:
    value = effective(family.name, False, {}, MICRO)[parameter.name]
    assert refusal(family, parameter.name, value) == ""


@pytest.mark.parametrize("family", ["redis6.x", "redis7", "valkey7"])
def test_no_more_keys_are_compared_than_the_stack_of_an_engine_has_room_for(family: str) -> None:
    assert refusal(FAMILIES[family], "maxmemory-samples", "65536") == ""
    assert "1 to 65536" in refusal(FAMILIES[family], "maxmemory-samples", "65537")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("acllog-max-len", "1 128 10000", "0 10001 -1 1.0 01 +1 1e3 0x1 ٣"),
        ("timeout", "0 20 86400 2147483647", "1 19 -1 2147483648"),
        ("slowlog-log-slower-than", "-1 0 9223372036854775807", "-2 -0 9223372036854775808"),
        ("lfu-log-factor", "1 2147483647", "0 2147483648"),
        ("repl-backlog-size", "16384", "16383"),
        ("maxmemory-samples", "1 64", "0 65"),
        ("reserved-memory-percent", "0 100", "101 25%"),
        ("activedefrag", "yes no", "Yes 1 true yes,no"),
        ("maxmemory-policy", "noeviction allkeys-lfu", "lru allkeys-LRU"),
        ("cluster-enabled", "yes no", "on"),
        ("cluster-databases", "0 1 10000", "10001 -1"),
        ("notify-keyspace-events", "KEA Kx Elg$shzxetmdn", "Q kea KE, KKKKKKKKKKKKKKKK"),
        ("search-fanout-target-mode", "client throughput", "server"),
    ],
)
def test_values(name: str, good: str, bad: str) -> None:
    assert [value for value in good.split() if refusal(VALKEY9, name, value)] == []
    assert [value for value in [*bad.split(), " ", f" {good.split(maxsplit=1)[0]}"] if not refusal(VALKEY9, name, value)] == []


def test_values_of_memcached() -> None:
    for value in ("1.25", "1.000001", "2", "1024"):
        assert refusal(MEMCACHED, "chunk_size_growth_factor", value) == ""
    for value in ("1", "1.0", "0.5", "1025", "-2", "1.", ".5", "nan", "inf", "1e2", "1.1234567", ""):
        assert "greater than 1 and at most 1024" in refusal(MEMCACHED, "chunk_size_growth_factor", value)
    for value, wanted in (("0", ""), ("1", ""), ("2", "one of 0, 1"), ("yes", "one of 0, 1")):
        assert wanted in refusal(MEMCACHED, "cas_disabled", value)
    for value, wanted in (("2", ""), ("3", "0 or 1 or 2")):
        assert wanted in refusal(MEMCACHED, "slab_automove", value)
    assert "one of enabled, disabled" in refusal(MEMCACHED, "watch", "1")


def test_what_is_told_of_a_wrong_value() -> None:
    assert refusal(VALKEY9, "timeout", "5") == "it must be an integer: 0 or 20 to 2147483647"
    assert refusal(VALKEY9, "activedefrag", "on") == "it must be one of yes, no"
    assert (
        refusal(VALKEY9, "rename-commands", "GET")
        == "it must be pairs of a command and its new name, with one space between all words"
    )


def test_redis_oss_gives_commands_no_new_names() -> None:
    assert refusal(REDIS6, "rename-commands", "KEYS blocked flushall BLOCKED") == ""
    assert refusal(REDIS6, "rename-commands", "KEYS blocked GET fetch") == "Redis OSS takes blocked only; 'fetch' takes Valkey"
    assert refusal(VALKEY9, "rename-commands", "KEYS blocked GET fetch") == ""


def test_letters_of_keyspace_events_by_family() -> None:
    assert refusal(VALKEY9, "notify-keyspace-events", "En") == refusal(VALKEY9, "notify-keyspace-events", "") == ""
    assert "or empty for no events" in refusal(REDIS6, "notify-keyspace-events", "En")


@given(st.sampled_from(SETTABLE), st.one_of(st.text(max_size=30), st.integers().map(str), st.floats().map(str)))
def test_any_text_is_taken_or_refused_with_a_rule(which: tuple[Family, Parameter], value: str) -> None:
    family, parameter = which
    why = refusal(family, parameter.name, value)
    assert why or "\n" not in value
    if not why and parameter.data_type == "integer":
        assert str(int(value)) == value


@given(st.integers(-(2**70), 2**70))
def test_ranges_hold_for_every_number(number: int) -> None:
    assert (refusal(VALKEY9, "timeout", str(number)) == "") == (number == 0 or 20 <= number < 2**31)
    assert (refusal(VALKEY9, "hll-sparse-max-bytes", str(number)) == "") == (1 <= number <= 16000)
    assert (refusal(VALKEY9, "commandlog-reply-larger-than", str(number)) == "") == (-1 <= number < 2**63)


def test_what_users_may_set() -> None:
    fixed = {name for name, one in VALKEY9.parameters.items() if not is_settable(one)}
    assert {"maxmemory", "maxclients", "appendonly", "lua-time-limit"} <= fixed
    assert not fixed & {"cluster-enabled", "cluster-databases", "databases", "reserved-memory"}
    assert not is_settable(REDIS6.parameters["activerehashing"])


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"max_item_size": "2097152"}, ""),
        ({"max_item_size": "524288"}, ""),
        ({"max_item_size": "1024", "slab_chunk_max": "1024"}, ""),
        ({"slab_chunk_max": "1048576"}, ""),
        ({"max_item_size": "1024"}, r"slab_chunk_max \(524288\) must not be larger than max_item_size \(1024\)"),
        ({"max_item_size": "1048577"}, "must be a multiple of slab_chunk_max"),
        ({"max_item_size": "3145728", "slab_chunk_max": "3145728"}, "1024 times a power of two, up to 1048576"),
        ({"slab_chunk_max": "512"}, "1024 times a power of two"),
        ({"idle_timeout": "60"}, ""),
    ],
)
def test_item_sizes_of_memcached(values: dict[str, str], why: str) -> None:
    if not why:
        check_together(MEMCACHED, values)
        return
    with pytest.raises(ValueError, match=why):
        check_together(MEMCACHED, values)


@given(st.integers(1, 2**31 - 1), st.integers(1024, 2**30))
def test_item_sizes_that_are_taken_are_those_that_memcached_starts_with(chunk_bytes: int, item_bytes: int) -> None:
    try:
        check_together(MEMCACHED, {"slab_chunk_max": str(chunk_bytes), "max_item_size": str(item_bytes)})
    except ValueError:
        return
    assert chunk_bytes <= item_bytes
    assert item_bytes % chunk_bytes == MB % chunk_bytes == chunk_bytes % 1024 == 0


def test_what_does_not_go_with_a_node_type() -> None:
    size_bytes = MICRO.maxmemory_bytes
    assert misfit(VALKEY9, {"reserved-memory": str(size_bytes - 1), "repl-backlog-size": str(size_bytes)}, MICRO) == ""
    assert "reserved-memory is" in misfit(VALKEY9, {"reserved-memory": str(size_bytes)}, MICRO)
    assert f"node has {size_bytes} bytes" in misfit(VALKEY9, {"repl-backlog-size": str(size_bytes + 1)}, MICRO)
    left_mb = MICRO.memcached_mb - 100
    assert misfit(MEMCACHED, {"max_item_size": str(left_mb * MB // 4)}, MICRO) == ""
    assert f"a quarter of the {left_mb} MB" in misfit(MEMCACHED, {"max_item_size": str(left_mb * MB // 4 + 1)}, MICRO)
    overhead = {"memcached_connections_overhead": str(MICRO.memcached_mb)}
    assert "leaves nothing" in misfit(MEMCACHED, overhead, MICRO)
    for family in FAMILIES.values():
        assert [kind.name for kind in NODE_TYPES.values() if misfit(family, {}, kind)] == []


def test_what_is_fixed_at_the_creation() -> None:
    assert creation_values(VALKEY9, {}) == {"cluster-databases": "0", "databases": "16"}
    assert creation_values(REDIS6, {"databases": "4", "timeout": "20"}) == {"activerehashing": "yes", "databases": "4"}
    assert creation_values(MEMCACHED, {"idle_timeout": "60"}) == {}
    assert {"cluster-enabled", "databases"} <= CREATION_ONLY


def test_how_many_databases_there_are() -> None:
    assert databases(VALKEY9, {}, clustered=False) == 16
    assert databases(VALKEY9, {"databases": "3"}, clustered=False) == 3
    assert databases(VALKEY9, {"databases": "3"}, clustered=True) == 1
    assert databases(VALKEY9, {"cluster-databases": "5"}, clustered=True) == 5
    assert databases(REDIS6, {}, clustered=True) == 1
