"""The loss of a zone: all of its nodes at once, by accident and by a drill; where primaries stand afterwards."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from cachefleet.planning.balance import QUIET_S
from tests.engine.groups import describe_cluster
from tests.faults.cluster_truth import ClusterGroup, made_cluster
from tests.faults.shard import Shard, made_shard
from tests.fixtures.service import CACHEFLEET, Service, wait_for
from tests.traffic.writer import ClusterWriter

LIMIT_S = 20.0  # it takes a second or two; on a busy machine everything takes longer
REPLACED_S = 2.0  # by then a node that ends is started again, usually
PATIENCE_S = 60.0  # on a busy machine nodes may be missed for a moment, and quiet begins anew


@pytest.fixture(scope="module")
def trio(service: Service) -> Iterator[ClusterGroup]:
    with made_cluster(service, "trio", 3, MultiAZEnabled=True) as made:
        yield made


@pytest.fixture(scope="module")
def plain(service: Service) -> Iterator[Shard]:
    with made_shard(service, "plain", 3, MultiAZEnabled=True) as made:
        yield made


@pytest.fixture
def zones(service: Service, trio: ClusterGroup, plain: Shard) -> Iterator[dict[str, str]]:
    """Node name -> zone letter. Every zone is back afterwards."""
    trio.await_whole()
    plain.heal()
    client = service.client()
    found = {name: describe_cluster(client, name) for name in (*trio.members(), *plain.nodes)}
    yield {name: str(each["PreferredAvailabilityZone"])[-1] for name, each in found.items() if each}
    for letter in "abc":
        drill(service, "back", letter)


def drill(service: Service, word: str, letter: str) -> None:
    command = [CACHEFLEET, "zone", word, letter, "--data", str(service.data)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def test_primary_and_replicas_stand_in_different_zones(zones: dict[str, str], trio: ClusterGroup, plain: Shard) -> None:
    for shard in ("trio-0001", "trio-0002", "trio-0003", "plain"):
        places = [letter for name, letter in zones.items() if name.startswith(shard)]
        assert len(set(places)) == len(places)
    assert max(Counter(zones[name] for name in trio.primaries().values()).values()) == 1


def test_all_nodes_of_a_zone_killed_at_once(zones: dict[str, str], trio: ClusterGroup, plain: Shard) -> None:
    """No zone is out: they come back where they were."""
    trio.put_marks()
    plain.put("mark", "1")
    lost = [name for name, letter in zones.items() if letter == zones[plain.primary]]
    primaries = set(trio.primaries().values()) & set(lost)
    assert primaries
    with ClusterWriter(*trio.configuration()) as writer:
        trio.kill(*lost)
        wait_for("every shard has a primary", lambda: _has_primaries(trio, primaries) and plain.takes_writes(), LIMIT_S)
        writer.await_writes(100)
    trio.await_whole()
    plain.heal()
    assert trio.lost_marks() == []
    assert plain.get("mark") == "1"


def _has_primaries(group: ClusterGroup, gone: set[str]) -> bool:
    found = group.primaries()
    return len(found) == 3 and not gone & set(found.values())


def test_a_zone_that_is_out_is_done_without_until_it_is_back_and_roles_are_spread_again(
    zones: dict[str, str], service: Service, trio: ClusterGroup, plain: Shard
) -> None:
    trio.put_marks()
    plain.put("mark", "2")
    letter = zones[trio.primaries()["0001"]]
    lost = {name for name, zone in zones.items() if zone == letter}
    drill(service, "out", letter)
    wait_for("every shard has a primary", lambda: _has_primaries(trio, lost) and plain.takes_writes(), LIMIT_S)
    assert plain.get("mark") == "2"
    assert trio.lost_marks() == []
    wait_for("its nodes are gone", lambda: not lost & set(_running(service)), LIMIT_S)
    until = time.monotonic() + REPLACED_S
    while time.monotonic() < until:  # replacements wait for the zone
        assert not lost & set(_running(service))
    assert _statuses(service, lost) == {"modifying"}
    drill(service, "back", letter)
    trio.await_whole()
    plain.heal()
    wait_for("no zone has most of the primaries", lambda: _is_spread(trio, zones), QUIET_S + PATIENCE_S)
    trio.await_event("so that zones have equal parts of the primaries")
    trio.await_whole()
    assert trio.lost_marks() == []


def _is_spread(group: ClusterGroup, zones: dict[str, str]) -> bool:
    return sorted(Counter(zones[name] for name in group.primaries().values()).values()) == [1, 1, 1]


def _running(service: Service) -> list[str]:
    return [incarnation.split(".")[1] for incarnation in service.engine_pids().values()]


def _statuses(service: Service, names: set[str]) -> set[str]:
    client = service.client()
    found = [describe_cluster(client, name) for name in names]
    return {str(each["CacheClusterStatus"]) for each in found if each}
