"""What differs between what a node ought to say of its parameters and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.engine_interfaces import NodeSpec
from cachefleet.engines.capabilities import capabilities
from cachefleet.engines.valkey_parameters import compared, wanted
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address
from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.reference.parameters import effective

VALKEY, REDIS6 = capabilities(Engine.VALKEY, "9.1.2"), capabilities(Engine.REDIS, "6.2.14")
LIMIT = "client-output-buffer-limit"


def spec(family: str = "valkey9", *, clustered: bool = False, **own: Any) -> NodeSpec:
    own = {name.replace("_", "-"): value for name, value in own.items()}
    values = effective(family, clustered, own, NODE_TYPES["cache.t4g.micro"])
    at = Address("127.0.1.1", 6379)
    return NodeSpec(
        name="n", incarnation="u.n.1", address=at, zone="a", clustered=clustered, maxmemory_bytes=1000, parameters=values
    )


def test_a_node_that_has_everything_differs_in_nothing() -> None:
    found = wanted(spec(), VALKEY)
    assert len(found) > 40 and not {"maxclients", "maxmemory", "lua-time-limit"} & found.keys()
    assert compared(found, found) == compared(found, {})


def test_what_differs_is_told_with_its_own_names() -> None:
    found = wanted(spec(timeout="300"), VALKEY)
    view = compared(found, {**found, "timeout": "0"})
    assert [(each.directive, each.value, each.parameters) for each in view.differing] == [("timeout", "300", ("timeout",))]
    assert not view.at_launch


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "g$lshzxetdK", "AK"),
        ("activedefrag", "no", "NO"),
        ("timeout", "0300", "300"),
    ],
)
def test_the_same_in_other_words(name: str, value: str, said: str) -> None:
    found = {name: value}
    assert not compared(found, {name: said}).differing
    assert compared(found, {name: "1"}).differing


def test_limits_of_buffers_are_compared_by_class() -> None:
    found = wanted(spec(client_output_buffer_limit_pubsub_soft_seconds="61"), VALKEY)
    said = "normal 0 0 0 slave 5 5 6 pubsub 33554432 8388608 61"  # those of replicas are not its business
    assert not compared({LIMIT: found[LIMIT]}, {LIMIT: said}).differing
    (difference,) = compared({LIMIT: found[LIMIT]}, {LIMIT: said.replace("61", "60")}).differing
    assert difference.value == "pubsub 33554432 8388608 61"
    assert "client-output-buffer-limit-pubsub-soft-seconds" in difference.parameters


def test_answers_to_the_control_loop_are_not_cut_off() -> None:
    own: dict[str, Any] = {
        "client_output_buffer_limit_normal_hard_limit": "1",
        "client_output_buffer_limit_normal_soft_limit": "0",
    }
    assert wanted(spec(**own), VALKEY)[LIMIT].startswith("normal 1048576 0 0 ")


def test_databases_wait_for_a_launch_and_are_none_in_cluster_mode() -> None:
    found = wanted(spec(databases="32"), VALKEY)
    assert compared(found, {**found, "databases": "16"}).at_launch == ("databases",)
    assert "databases" not in wanted(spec(clustered=True), VALKEY)


def test_an_older_engine_is_asked_by_its_own_names() -> None:
    found = wanted(spec("redis7", hash_max_listpack_entries="9"), REDIS6)
    assert found["hash-max-ziplist-entries"] == "9" and "hash-max-listpack-entries" not in found
    (difference,) = compared(found, {**found, "hash-max-ziplist-entries": "512"}).differing
    assert difference.parameters == ("hash-max-ziplist-entries", "hash-max-listpack-entries")


def test_what_an_engine_cannot_have_is_not_asked_of_it() -> None:
    own: dict[str, Any] = {"activedefrag": "yes", "cluster_preferred_endpoint_type": "tls-dynamic"}
    assert wanted(spec(**own), VALKEY)["activedefrag"] == "no"
    assert wanted(spec(**own), VALKEY | {"active-defrag"})["activedefrag"] == "yes"
    assert wanted(spec(**own), VALKEY)["cluster-preferred-endpoint-type"] == "ip"
    assert not any(name.startswith("search-") for name in wanted(spec(), VALKEY))
