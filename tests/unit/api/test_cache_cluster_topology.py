"""Nodes and zones of standalone and Memcached clusters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.api.groups.cache_cluster_topology import Placement, asked_nodes, build_cluster, place_nodes
from cachefleet.api.groups.replication_group_topology import Place
from cachefleet.model.errors import AwsError
from cachefleet.model.group import Engine

ZONES = ("local-1a", "local-1b", "local-1c")
PLACE = Place(ZONES, ZONES)
MEMCACHED, VALKEY = Engine.MEMCACHED, Engine.VALKEY


def place(engine: Engine = MEMCACHED, usable: tuple[str, ...] = ZONES, /, **request: Any) -> Placement:
    return place_nodes(request, engine, request.get("NumCacheNodes", 1), Place(usable, ZONES))


@pytest.mark.parametrize(
    ("engine", "nodes", "code", "rule"),
    [
        (MEMCACHED, 0, "InvalidParameterValue", "at least 1"),
        (MEMCACHED, 41, "NodeQuotaForClusterExceeded", "memcached_nodes"),
        (VALKEY, 2, "InvalidParameterValue", "one node; use CreateReplicationGroup"),
        (Engine.REDIS, 10**18, "InvalidParameterValue", "one node"),
    ],
)
def test_numbers_of_nodes_that_cannot_be(engine: Engine, nodes: int, code: str, rule: str) -> None:
    with pytest.raises(AwsError, match=rule) as refusal:
        asked_nodes({"NumCacheNodes": nodes}, engine, 40)
    assert refusal.value.code == code


def test_numbers_of_nodes() -> None:
    assert [asked_nodes({"NumCacheNodes": nodes}, MEMCACHED, 40) for nodes in (1, 40)] == [1, 40]
    assert asked_nodes({}, VALKEY, 40) == 1


def test_one_zone_unless_several_are_asked_for() -> None:
    assert place(NumCacheNodes=3) == Placement(("local-1a",) * 3, "single-az")
    assert place(NumCacheNodes=2, PreferredAvailabilityZone="local-1c") == Placement(("local-1c",) * 2, "single-az")
    assert place(NumCacheNodes=2, PreferredAvailabilityZones=["local-1b"] * 2) == Placement(("local-1b",) * 2, "single-az")
    assert place(VALKEY) == Placement(("local-1a",), "")
    assert place(VALKEY, PreferredAvailabilityZone="local-1b", AZMode="single-az") == Placement(("local-1b",), "")


def test_several_zones() -> None:
    assert place(NumCacheNodes=4, AZMode="cross-az") == Placement((*ZONES, "local-1a"), "cross-az")
    asked = ["local-1c", "local-1a"]
    assert place(NumCacheNodes=2, PreferredAvailabilityZones=asked) == Placement(tuple(asked), "cross-az")
    assert place(NumCacheNodes=2, PreferredAvailabilityZones=asked, AZMode="cross-az").zones == tuple(asked)


@pytest.mark.parametrize(
    ("code", "rule", "engine", "usable", "request_"),
    [
        ("InvalidParameterValue", "single-az or cross-az", MEMCACHED, ZONES, {"AZMode": "both"}),
        ("InvalidParameterValue", "not an availability zone", MEMCACHED, ZONES, {"PreferredAvailabilityZone": "Multiple"}),
        ("InvalidParameterValue", "no subnet in local-1c", MEMCACHED, ZONES[:2], {"PreferredAvailabilityZones": ["local-1c"]}),
        ("InvalidParameterCombination", "is for Memcached", VALKEY, ZONES, {"AZMode": "cross-az"}),
        ("InvalidParameterCombination", "at least two nodes", MEMCACHED, ZONES, {"AZMode": "cross-az"}),
        (
            "InvalidParameterCombination",
            "would stand in one",
            MEMCACHED,
            ZONES[:1],
            {"NumCacheNodes": 2, "AZMode": "cross-az"},
        ),
        (
            "InvalidParameterCombination",
            "use PreferredAvailabilityZones",
            MEMCACHED,
            ZONES,
            {"NumCacheNodes": 2, "AZMode": "cross-az", "PreferredAvailabilityZone": "local-1a"},
        ),
        (
            "InvalidParameterCombination",
            "at least two zones",
            MEMCACHED,
            ZONES,
            {"NumCacheNodes": 2, "AZMode": "cross-az", "PreferredAvailabilityZones": ["local-1a", "local-1a"]},
        ),
        (
            "InvalidParameterCombination",
            "AZMode is single-az",
            MEMCACHED,
            ZONES,
            {"NumCacheNodes": 2, "AZMode": "single-az", "PreferredAvailabilityZones": ["local-1a", "local-1b"]},
        ),
        (
            "InvalidParameterCombination",
            "names 1 zones for 2 nodes",
            MEMCACHED,
            ZONES,
            {"NumCacheNodes": 2, "PreferredAvailabilityZones": ["local-1a"]},
        ),
        (
            "InvalidParameterCombination",
            "given together",
            MEMCACHED,
            ZONES,
            {"PreferredAvailabilityZone": "local-1a", "PreferredAvailabilityZones": ["local-1a"]},
        ),
    ],
)
def test_zones_that_cannot_be(code: str, rule: str, engine: Engine, usable: tuple[str, ...], request_: dict[str, Any]) -> None:
    with pytest.raises(AwsError, match=rule) as refusal:
        place(engine, usable, **request_)
    assert refusal.value.code == code


@given(st.integers(2, 40), st.integers(2, 3))
def test_cross_az_uses_every_zone_evenly(nodes: int, zones: int) -> None:
    placement = place(MEMCACHED, ZONES[:zones], NumCacheNodes=nodes, AZMode="cross-az")
    counts = [placement.zones.count(zone) for zone in ZONES[:zones]]
    assert sum(counts) == nodes and max(counts) - min(counts) <= 1


def test_nodes_are_named_after_their_cluster() -> None:
    (shard,) = build_cluster("mem", MEMCACHED, ("local-1a", "local-1b"), 5.0)
    assert [(node.name, node.node_id, node.zone, node.created_at) for node in shard.nodes] == [
        ("mem.0001", "0001", "local-1a", 5.0),
        ("mem.0002", "0002", "local-1b", 5.0),
    ]
    (shard,) = build_cluster("alone", VALKEY, ("local-1c",), 5.0)
    assert [(node.name, node.node_id, node.zone) for node in shard.nodes] == [("alone", "0001", "local-1c")]
