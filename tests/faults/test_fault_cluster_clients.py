"""Cluster mode enabled: what can be done to a cluster with its own commands, and how it gets whole again.

Clients are kept from these commands, as ElastiCache keeps them (tests/engine/test_attacks_commands.py). Here somebody got in as
the service itself: an operator with a debugging habit, or a bug of ours. Even so none of these may leave a cluster broken.
"""

from __future__ import annotations

import pytest
import redis

from cachefleet.model.group import Engine
from cachefleet.model.slots import count
from tests.engine.engine_processes import build_of
from tests.faults.cluster_truth import ClusterGroup, ask, client_of, made_cluster
from tests.fixtures.operator import as_operator
from tests.fixtures.service import Service, wait_for
from tests.traffic.writer import ClusterWriter


@pytest.fixture
def group(three_shards: ClusterGroup) -> ClusterGroup:
    return three_shards


@pytest.fixture
def hosts(group: ClusterGroup) -> dict[str, str]:
    """Node name -> address."""
    return group.hosts()


def replica_of(group: ClusterGroup, primary: str) -> str:
    shard = primary.rsplit("-", 1)[0]
    (found,) = [name for name in group.members() if name.startswith(shard) and name != primary]
    return found


def ids(group: ClusterGroup) -> dict[str, str]:
    return {name: table.my_id for name, table in group.tables().items()}


def slots_of(group: ClusterGroup, node: str) -> tuple[tuple[int, int], ...]:
    table = group.tables()[node]
    return table.nodes[table.my_id].slots


# --- identities and addresses --------------------------------------------------------------------------------------


def test_a_replica_that_is_reset_comes_back_with_another_id(group: ClusterGroup, hosts: dict[str, str]) -> None:
    primary = group.primaries()["0001"]
    replica = replica_of(group, primary)
    before = ids(group)[replica]
    ask(hosts[replica], "CLUSTER", "RESET", "HARD")
    assert ids(group)[replica] != before
    group.await_whole()
    assert group.primaries()["0001"] == primary
    assert group.lost_marks() == []


def test_an_empty_primary_that_is_reset_leaves_no_slot_without_an_owner(group: ClusterGroup, hosts: dict[str, str]) -> None:
    with group.connect() as client:
        client.flushall(target_nodes=client.PRIMARIES)
    primary = group.primaries()["0002"]
    before = ids(group)[primary]
    ask(hosts[primary], "CLUSTER", "RESET", "HARD")
    wait_for("it has another id", lambda: ids(group).get(primary, before) != before)
    group.await_whole()
    group.put_marks()
    assert group.lost_marks() == []


def test_a_primary_with_keys_refuses_to_be_reset(group: ClusterGroup, hosts: dict[str, str]) -> None:
    with pytest.raises(redis.exceptions.ResponseError, match="keys"):
        ask(hosts[group.primaries()["0003"]], "CLUSTER", "RESET", "HARD")
    assert group.why_not_whole() == ""


def test_a_node_that_announces_another_address_is_told_its_own(group: ClusterGroup, hosts: dict[str, str]) -> None:
    primary = group.primaries()["0001"]
    ask(hosts[primary], "CONFIG", "SET", "cluster-announce-ip", "127.255.255.250")
    wait_for(
        "it is healed",
        lambda: ask(hosts[primary], "CONFIG", "GET", "cluster-announce-ip")["cluster-announce-ip"] == hosts[primary],
    )
    group.await_whole()
    assert group.primaries()["0001"] == primary
    assert {known.host for table in group.tables().values() for known in table.nodes.values()} == set(hosts.values())
    assert group.lost_marks() == []


# --- who knows whom ------------------------------------------------------------------------------------------------


def test_a_primary_that_others_are_told_to_forget_is_back_soon(group: ClusterGroup, hosts: dict[str, str]) -> None:
    """Engines from 7.2 on pass the word on and delete the id again and again for a minute: the slots change hands instead."""
    primary = group.primaries()["0002"]
    before = ids(group)[primary]
    ask(hosts[group.primaries()["0001"]], "CLUSTER", "FORGET", before)
    group.await_event("were told to forget cache node 0001")
    wait_for("it has another id", lambda: ids(group).get(primary, before) != before)
    group.await_whole()
    assert group.lost_marks() == []


def test_redis_7_0_forgets_alone_and_is_introduced_again(cluster_service: Service) -> None:
    build_of(Engine.REDIS, "7.0")
    with made_cluster(cluster_service, "older", 3, replicas=0, Engine="redis", EngineVersion="7.0") as group:
        group.put_marks()
        before, hosts = ids(group), group.hosts()
        first, second, _ = sorted(hosts)
        ask(hosts[first], "CLUSTER", "FORGET", before[second])
        assert group.why_not_whole() != ""
        group.await_whole()
        assert ids(group) == before, "nobody had to start anew"
        assert group.lost_marks() == []


def test_a_stray_introduction_to_another_group_does_not_reach_it(
    cluster_service: Service, group: ClusterGroup, hosts: dict[str, str]
) -> None:
    """Two clusters that meet become one within half a second, and lose slots and keys to each other."""
    with made_cluster(cluster_service, "other", 1, replicas=0) as other:
        (theirs,) = other.hosts().values()
        ours = hosts[group.primaries()["0001"]]
        assert ask(ours, "CLUSTER", "MEET", theirs, "6379") == "OK"
        assert ask(theirs, "CLUSTER", "MEET", ours, "6379") == "OK"
        tried = [_is_shaking_hands(ours), _is_shaking_hands(theirs)]
        while _is_shaking_hands(ours) or _is_shaking_hands(theirs):  # given up after the node timeout of 2 s
            assert sum(count(slots_of(group, name)) for name in group.primaries().values()) == 16384
            assert slots_of(other, other.members()[0]) == ((0, 16383),)
        assert tried == [True, True]
        group.await_whole()
        other.await_whole()
        assert group.lost_marks() == []


def _is_shaking_hands(host: str) -> bool:
    return "handshake" in ask(host, "CLUSTER", "NODES")


# --- who owns what -------------------------------------------------------------------------------------------------


def test_a_takeover_by_hand_is_adopted(group: ClusterGroup, hosts: dict[str, str]) -> None:
    primary = group.primaries()["0003"]
    replica = replica_of(group, primary)
    assert ask(hosts[replica], "CLUSTER", "FAILOVER", "TAKEOVER") == "OK"
    wait_for("it is the primary", lambda: group.primaries().get("0003") == replica)
    group.await_whole()
    group.await_event(f"Failover from primary node {primary} to replica node {replica} completed")
    assert group.primaries()["0003"] == replica, "nobody takes the role back"
    assert group.lost_marks() == []


def test_slots_that_another_shard_claims_have_one_owner_afterwards(group: ClusterGroup, hosts: dict[str, str]) -> None:
    """Which one: the higher epoch says so. Their keys stay with whoever had them, as with Valkey and Redis everywhere."""
    first, second = group.primaries()["0001"], group.primaries()["0002"]
    host = hosts[second]
    with client_of(host, **as_operator((host, 6379))) as client, client.pipeline(transaction=False) as orders:
        for order in ("DELSLOTS", "ADDSLOTS"):  # at once: by the next message from others the slots are theirs again
            orders.execute_command("CLUSTER", order, "0", "1")
        assert orders.execute() == ["OK", "OK"]
    group.await_whole()
    owners = [name for name in (first, second) if slots_of(group, name)[0][0] == 0]
    assert len(owners) == 1


def test_a_slot_that_is_moved_by_hand_stays_where_it_was_moved(group: ClusterGroup, hosts: dict[str, str]) -> None:
    primaries = group.primaries()
    target = ids(group)[primaries["0003"]]
    for shard in ("0003", "0002"):
        ask(hosts[primaries[shard]], "CLUSTER", "SETSLOT", "10000", "NODE", target)
    group.await_whole()
    with ClusterWriter(*group.configuration()) as writer:
        writer.await_writes(100)
    assert (10000, 10000) in slots_of(group, primaries["0003"])


def test_an_old_record_does_not_win_slots_that_a_fresh_node_has_claimed(group: ClusterGroup, hosts: dict[str, str]) -> None:
    """Another shard's primary still tells of the dead owner, by somebody's hand even with a higher epoch than before."""
    primaries = group.primaries()
    ask(hosts[primaries["0003"]], "CLUSTER", "BUMPEPOCH")
    group.kill(*[name for name in group.members() if "-0001-" in name])
    group.await_whole()
    epochs = [known.epoch for known in group.tables()[primaries["0003"]].nodes.values() if known.slots]
    assert len(set(epochs)) == 3


def test_groups_that_were_joined_on_purpose_are_told_apart_and_one_is_whole_when_the_other_goes(
    cluster_service: Service, group: ClusterGroup, hosts: dict[str, str]
) -> None:
    """With the port of the other's bus, CLUSTER MEET does reach it. What it takes along is lost; the rest must heal."""
    with made_cluster(cluster_service, "far", 2, replicas=0) as far:
        theirs = far.hosts()[far.members()[0]]
        bus = ask(theirs, "CONFIG", "GET", "cluster-port")["cluster-port"]
        ask(hosts[group.primaries()["0001"]], "CLUSTER", "MEET", theirs, "6379", bus)
        far.await_event("do not belong to replication group far")
        group.await_event("do not belong to replication group trio")
        told = [message for message in group.events() if "do not belong" in message]
        assert len(told) == 1
        assert theirs in told[0]
    group.await_whole()
    group.put_marks()
    assert group.lost_marks() == []
