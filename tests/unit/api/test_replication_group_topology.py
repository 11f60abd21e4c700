"""Shards from requests: ids, slots, replica counts, zones, quotas."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.api.groups.replication_group_topology import (
    Place,
    Quota,
    ShardPlan,
    asked_shards,
    build_shards,
    member_name,
    plan_shards,
)
from cachefleet.api.groups.slots import check_complete, even_split, format_slots, parse_slots
from cachefleet.model.errors import AwsError
from cachefleet.model.group import SLOTS

ZONES = ("local-1a", "local-1b", "local-1c")
PLACE = Place(ZONES, ZONES)
QUOTA = Quota(shards=500, nodes=500)


def plan(clustered: bool = True, place: Place = PLACE, quota: Quota = QUOTA, /, **request: Any) -> tuple[ShardPlan, ...]:
    return plan_shards(request, clustered, place, quota)


def refused(
    code: str, rule: str, clustered: bool = True, place: Place = PLACE, quota: Quota = QUOTA, /, **request: Any
) -> None:
    with pytest.raises(AwsError, match=rule) as refusal:
        plan_shards(request, clustered, place, quota)
    assert refusal.value.code == code


# --- slots ---------------------------------------------------------------------------------------------------------


def test_three_shards_split_as_the_service_splits_them() -> None:
    assert [format_slots(shard.slots) for shard in plan(NumNodeGroups=3)] == ["0-5461", "5462-10922", "10923-16383"]


@given(st.integers(1, 500))
def test_an_even_split_is_complete_and_even(shards: int) -> None:
    split = even_split(shards)
    check_complete(split, "Slots")
    sizes = [last - first + 1 for ((first, last),) in split]
    assert len(sizes) == shards and sum(sizes) == SLOTS
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


@given(st.sets(st.integers(1, SLOTS - 1), min_size=1, max_size=30), st.integers(1, 6), st.randoms())
def test_any_partition_of_the_slots_is_taken_as_given(cuts: set[int], shards: int, random: Any) -> None:
    edges = [0, *sorted(cuts), SLOTS]
    pieces = [(first, after - 1) for first, after in itertools.pairwise(edges)]
    if len(pieces) < shards:
        shards = len(pieces)
    random.shuffle(pieces)
    dealt = [pieces[index::shards] for index in range(shards)]
    texts = [
        ",".join(f"{first}-{last}" if random.random() < 0.9 or first != last else str(first) for first, last in hand)
        for hand in dealt
    ]
    planned = plan(NodeGroupConfiguration=[{"Slots": text} for text in texts])
    assert [shard.slots for shard in planned] == [parse_slots(text, "Slots") for text in texts]
    owned = Counter(slot for shard in planned for first, last in shard.slots for slot in range(first, last + 1))
    assert len(owned) == SLOTS and set(owned.values()) == {1}


def test_slots_that_nobody_or_two_own_are_refused() -> None:
    refused(
        "InvalidParameterValue",
        "8000-8000 are given to no shard",
        NodeGroupConfiguration=[{"Slots": "0-7999"}, {"Slots": "8001-16383"}],
    )
    refused(
        "InvalidParameterValue",
        "16383-16383 are given to no",
        NodeGroupConfiguration=[{"Slots": "0-7999"}, {"Slots": "8000-16382"}],
    )
    refused(
        "InvalidParameterValue",
        "slot 7999 is given to more",
        NodeGroupConfiguration=[{"Slots": "0-7999"}, {"Slots": "7999-16383"}],
    )
    refused("InvalidParameterValue", "every shard or for none", NodeGroupConfiguration=[{"Slots": "0-16383"}, {}])
    refused("InvalidParameterValue", "Slots", NodeGroupConfiguration=[{"Slots": "0-16384"}])
    refused("InvalidParameterValue", "Slots", NodeGroupConfiguration=[{"Slots": "all"}])


# --- shards --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 83), st.integers(0, 5), st.integers(1, 3))
def test_shards_of_equal_size(shards: int, replicas: int, zones: int) -> None:
    usable = ZONES[:zones]
    planned = plan(True, Place(usable, ZONES), NumNodeGroups=shards, ReplicasPerNodeGroup=replicas)
    assert [shard.shard_id for shard in planned] == [f"{number:04d}" for number in range(1, shards + 1)]
    for number, shard in enumerate(planned):
        assert len(shard.zones) == replicas + 1
        assert shard.zones[0] == usable[number % zones], "primaries stand in different zones in turn"
        counts = [shard.zones.count(zone) for zone in usable]
        assert sum(counts) == replicas + 1 and max(counts) - min(counts) <= 1
    built = build_shards("demo", planned, True, 1.0, {"team": "a"})
    names = [node.name for shard in built for node in shard.nodes]
    assert len(set(names)) == shards * (replicas + 1)
    assert all(node.tags == {"team": "a"} and node.node_id == "0001" for shard in built for node in shard.nodes)


def test_members_are_named_as_the_service_names_them() -> None:
    clustered = build_shards("demo", plan(NumNodeGroups=2, ReplicasPerNodeGroup=1), True, 1.0, {})
    assert [node.name for shard in clustered for node in shard.nodes] == [
        "demo-0001-001",
        "demo-0001-002",
        "demo-0002-001",
        "demo-0002-002",
    ]
    (alone,) = build_shards("demo", plan(False, NumCacheClusters=2), False, 1.0, {})
    assert ([node.name for node in alone.nodes], alone.slots) == (["demo-001", "demo-002"], ())
    assert member_name("a" * 40, "9999", 6, True) == "a" * 40 + "-9999-006"


def test_shard_ids_are_kept_padded_and_unique() -> None:
    planned = plan(NodeGroupConfiguration=[{"NodeGroupId": "7"}, {}, {"NodeGroupId": "0001"}])
    assert [shard.shard_id for shard in planned] == ["0001", "0002", "0007"]
    refused(
        "InvalidParameterValue",
        "0001 is used more than once",
        NodeGroupConfiguration=[{"NodeGroupId": "1"}, {"NodeGroupId": "0001"}],
    )
    refused("InvalidParameterValue", "NodeGroupId", NodeGroupConfiguration=[{"NodeGroupId": "0"}])
    refused("InvalidParameterValue", "NodeGroupId", NodeGroupConfiguration=[{"NodeGroupId": "12345"}])
    refused("InvalidParameterValue", "must be 0001", False, NodeGroupConfiguration=[{"NodeGroupId": "0002"}])


def test_slots_stay_with_the_shard_they_were_given_to() -> None:
    planned = plan(
        NodeGroupConfiguration=[{"NodeGroupId": "0009", "Slots": "0-99"}, {"NodeGroupId": "0002", "Slots": "100-16383"}]
    )
    assert [(shard.shard_id, shard.slots) for shard in planned] == [("0002", ((100, 16383),)), ("0009", ((0, 99),))]


def test_the_number_of_shards() -> None:
    assert asked_shards({}) == 1
    assert asked_shards({"NodeGroupConfiguration": [{}, {}]}) == 2
    refused("InvalidParameterCombination", "2 entries", NumNodeGroups=3, NodeGroupConfiguration=[{}, {}])
    refused("InvalidParameterValue", "at least 1", NumNodeGroups=0)
    refused("InvalidParameterCombination", "need cluster mode", False, NumNodeGroups=2)


# --- replicas ------------------------------------------------------------------------------------------------------


def test_replica_counts_come_from_the_entry_or_the_request() -> None:
    assert [len(shard.zones) for shard in plan(NodeGroupConfiguration=[{"ReplicaCount": 2}, {}])] == [3, 1]
    assert [len(shard.zones) for shard in plan(NumNodeGroups=2, NodeGroupConfiguration=[{}, {}], ReplicasPerNodeGroup=1)] == [
        2,
        2,
    ]
    assert [len(shard.zones) for shard in plan(NodeGroupConfiguration=[{"ReplicaAvailabilityZones": list(ZONES)}])] == [4]
    assert [len(shard.zones) for shard in plan(False)] == [1]
    assert [len(shard.zones) for shard in plan(False, NumCacheClusters=6)] == [6]
    assert [len(shard.zones) for shard in plan(False, ReplicasPerNodeGroup=2, NumCacheClusters=3)] == [3]


@pytest.mark.parametrize(
    ("code", "rule", "request_"),
    [
        ("InvalidParameterValue", "from 1 to 6", {"NumCacheClusters": 7}),
        ("InvalidParameterValue", "from 1 to 6", {"NumCacheClusters": 0}),
        ("InvalidParameterValue", "from 0 to 5", {"ReplicasPerNodeGroup": 6}),
        ("InvalidParameterValue", "from 0 to 5", {"ReplicasPerNodeGroup": -1}),
        ("InvalidParameterValue", "from 0 to 5", {"NodeGroupConfiguration": [{"ReplicaCount": 6}]}),
        ("InvalidParameterValue", "from 0 to 5", {"NodeGroupConfiguration": [{"ReplicaAvailabilityZones": ["local-1a"] * 6}]}),
        ("InvalidParameterCombination", "plus one", {"ReplicasPerNodeGroup": 1, "NumCacheClusters": 3}),
        ("InvalidParameterCombination", "one shard", {"NumNodeGroups": 2, "NumCacheClusters": 3}),
        (
            "InvalidParameterCombination",
            "entry 1 is 1",
            {"ReplicasPerNodeGroup": 2, "NodeGroupConfiguration": [{"ReplicaCount": 1}]},
        ),
        (
            "InvalidParameterCombination",
            "names 1 zones for 2 replicas",
            {"NodeGroupConfiguration": [{"ReplicaCount": 2, "ReplicaAvailabilityZones": ["local-1a"]}]},
        ),
    ],
)
def test_replica_counts_that_cannot_be(code: str, rule: str, request_: dict[str, Any]) -> None:
    refused(code, rule, **request_)


# --- zones ---------------------------------------------------------------------------------------------------------


def test_zones_are_taken_as_asked() -> None:
    (shard,) = plan(False, NumCacheClusters=3, PreferredCacheClusterAZs=["local-1c", "local-1a", "local-1a"])
    assert shard.zones == ("local-1c", "local-1a", "local-1a")
    (shard,) = plan(
        NodeGroupConfiguration=[{"PrimaryAvailabilityZone": "local-1b", "ReplicaAvailabilityZones": ["local-1c", "local-1a"]}]
    )
    assert shard.zones == ("local-1b", "local-1c", "local-1a")
    (shard,) = plan(NodeGroupConfiguration=[{"PrimaryAvailabilityZone": "local-1b", "ReplicaCount": 2}])
    assert shard.zones == ("local-1b", "local-1a", "local-1c")


def test_zones_that_cannot_be() -> None:
    narrow = Place(ZONES[:2], ZONES)
    refused("InvalidParameterValue", "not an availability zone", False, PreferredCacheClusterAZs=["mars-1a"])
    refused("InvalidParameterValue", "no subnet in local-1c", False, narrow, PreferredCacheClusterAZs=["local-1c"])
    refused("InvalidParameterValue", "PreferredCacheClusterAZs: ''", False, PreferredCacheClusterAZs=[""])
    blank = {"ReplicaAvailabilityZones": ["local-1a", ""]}
    refused("InvalidParameterValue", "ReplicaAvailabilityZones: ''", False, NodeGroupConfiguration=[blank])
    refused(
        "InvalidParameterValue", "no subnet", True, narrow, NodeGroupConfiguration=[{"PrimaryAvailabilityZone": "local-1c"}]
    )
    refused(
        "InvalidParameterCombination", "names 1 zones for 2", False, NumCacheClusters=2, PreferredCacheClusterAZs=["local-1a"]
    )
    refused("InvalidParameterCombination", "one shard", NumNodeGroups=2, PreferredCacheClusterAZs=["local-1a", "local-1b"])
    refused("InvalidParameterValue", "Outposts", NodeGroupConfiguration=[{"PrimaryOutpostArn": "arn:aws:outposts:1"}])


@given(st.integers(1, 40), st.integers(1, 5), st.integers(2, 3))
def test_with_multi_az_no_shard_stands_in_one_zone(shards: int, replicas: int, zones: int) -> None:
    place = Place(ZONES[:zones], ZONES, multi_az=True)
    for shard in plan(True, place, NumNodeGroups=shards, ReplicasPerNodeGroup=replicas):
        assert any(zone != shard.zones[0] for zone in shard.zones[1:])


def test_multi_az_that_cannot_be() -> None:
    multi = Place(ZONES, ZONES, multi_az=True)
    refused("InvalidParameterCombination", "at least one replica", True, multi, NumNodeGroups=2)
    refused(
        "InvalidParameterCombination", "all its nodes in local-1a", True, Place(ZONES[:1], ZONES, True), ReplicasPerNodeGroup=1
    )
    refused(
        "InvalidParameterCombination",
        "all its nodes in local-1b",
        False,
        multi,
        NumCacheClusters=2,
        PreferredCacheClusterAZs=["local-1b"] * 2,
    )


# --- quotas --------------------------------------------------------------------------------------------------------


def test_quotas_name_their_setting() -> None:
    refused("NodeGroupsPerReplicationGroupQuotaExceeded", "shards_per_group", True, PLACE, Quota(2, 500), NumNodeGroups=3)
    refused("NodeQuotaForClusterExceeded", "nodes_per_group", True, PLACE, Quota(9, 5), NumNodeGroups=3, ReplicasPerNodeGroup=1)
    refused("NodeGroupsPerReplicationGroupQuotaExceeded", "more than", NumNodeGroups=10**18)
    assert len(plan(NumNodeGroups=500)) == 500
