"""Processes of a group without cluster mode are killed, alone and together, and roles are changed by clients.

Data that any living node held whole is never lost; nobody is left on a node that is no primary.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import redis
from botocore.exceptions import ClientError

from tests.faults.shard import Shard, frozen, made_shard
from tests.fixtures.service import Service, wait_for
from tests.traffic.writer import EndpointWriter

MEETINGS = int(os.environ.get("TEST_MEETINGS", "3"))


# --- deaths --------------------------------------------------------------------------------------------------------


def test_a_killed_replica_is_replaced_and_writers_do_not_notice(trio: Shard) -> None:
    victim, primary = trio.replicas[0], trio.primary
    with EndpointWriter(*trio.primary_endpoint) as writer:
        writer.await_writes(100)
        trio.kill(victim)
        wait_for("the reader leads to one that lives", lambda: trio.role_at(trio.reader_endpoint) == "slave", 5)
        trio.heal()
        writer.await_writes(100)
    assert writer.errors == []
    assert trio.primary == primary
    assert writer.acknowledged <= trio.log()
    assert "Finished recovery for cache nodes 0001" in trio.events(victim)


# Story 2: a primary that is started anew is empty; whatever else dies, it must not empty those that are left.


def _primary(trio: Shard) -> None:
    trio.kill(trio.primary)


def _primary_and_a_replica(trio: Shard) -> None:
    trio.kill(trio.primary, trio.replicas[0])


def _replica_then_primary(trio: Shard) -> None:
    trio.kill(trio.replicas[0])
    trio.kill(trio.primary)


def _primary_and_its_heir(trio: Shard) -> None:
    old = trio.primary
    trio.kill(old)
    heir = wait_for("another has the role", lambda: trio.primary if trio.primary != old and trio.takes_writes() else "", 10)
    trio.kill(heir)


def _primary_while_nobody_watches(trio: Shard) -> None:
    primary = trio.pid_of(trio.primary)
    with trio.service_down():
        os.kill(primary, signal.SIGKILL)
        wait_for("its end was long ago", lambda: trio.silent_s(trio.reader_endpoint) >= 3, 10)


@pytest.mark.parametrize(
    "die",
    [_primary, _primary_and_a_replica, _replica_then_primary, _primary_and_its_heir, _primary_while_nobody_watches],
    ids=lambda function: function.__name__.strip("_"),
)
def test_an_empty_primary_never_empties_the_others(trio: Shard, die: Callable[[Shard], None]) -> None:
    trio.put("held", die.__name__)
    die(trio)
    trio.heal()
    assert {trio.get("held", trio.address_of(node)) for node in trio.nodes} == {die.__name__}


def test_a_group_all_of_whose_nodes_die_comes_back_empty_at_the_same_endpoints(service: Service) -> None:
    with made_shard(service, "all", 3) as group:
        before, addresses = group.endpoints, {node: group.address_of(node) for node in group.nodes}
        group.put("lost", "yes")
        group.kill(*group.nodes)
        group.heal()
        assert group.endpoints == before
        assert {node: group.address_of(node) for node in group.nodes} == addresses
        assert group.get("lost") is None
        group.put("again", "yes")


# --- roles that are changed by hand --------------------------------------------------------------------------------


def test_a_second_primary_made_by_hand_is_made_a_replica_again(trio: Shard) -> None:
    """By somebody who got in as us: clients may not."""
    trio.put("kept", "both")
    primary, rival = trio.primary, trio.replicas[0]
    where = trio.address_of(rival)
    with EndpointWriter(*trio.primary_endpoint) as writer, trio.operate(where) as client:
        writer.await_writes(50)
        client.replicaof("NO", "ONE")
        wait_for("it follows again", lambda: trio.role_at(where) == "slave", 10)
        writer.await_writes(50)
    trio.heal()
    assert trio.primary == primary
    assert writer.errors == []
    assert writer.acknowledged <= trio.log()
    assert trio.get("kept", where) == "both"


def test_a_primary_that_is_made_a_replica_of_its_replica_by_hand_is_primary_again(trio: Shard) -> None:
    """By somebody who got in as us: clients may not."""
    trio.put("kept", "by hand")
    with trio.operate() as client:
        client.replicaof(*trio.address_of(trio.replicas[0]))
    wait_for("a primary serves the endpoint", lambda: trio.role_at(trio.primary_endpoint) == "master", 10)
    trio.heal()
    assert {trio.get("kept", trio.address_of(node)) for node in trio.nodes} == {"by hand"}


# --- two reasons at once (story 17) --------------------------------------------------------------------------------


def test_a_death_and_a_test_failover_in_the_same_instant_are_one_failover(service: Service) -> None:
    with made_shard(service, "meeting", 2) as pair, ThreadPoolExecutor(2) as both:
        for number in range(MEETINGS):
            pair.put("kept", str(number))
            old, before = pair.primary, len(pair.failovers())
            pid, gate = pair.pid_of(old), Barrier(2)

            def die(pid: int = pid, gate: Barrier = gate) -> None:
                gate.wait()
                os.kill(pid, signal.SIGKILL)

            def ask(gate: Barrier = gate) -> str:
                gate.wait()
                try:
                    pair.api.test_failover(ReplicationGroupId="meeting", NodeGroupId="0001")
                except ClientError as error:
                    return str(error.response["Error"]["Code"])
                return "accepted"

            asked, died = both.submit(ask), both.submit(die)
            died.result()
            assert asked.result() in ("accepted", "InvalidReplicationGroupState", "InvalidCacheClusterState")
            wait_for("the role has moved", lambda: pair.primary != old and pair.takes_writes(), 10)  # noqa: B023
            pair.heal()
            assert pair.primary != old
            assert len(pair.failovers()) == before + 1, (number, pair.events())
            assert pair.get("kept") == str(number)


# --- without automatic failover ------------------------------------------------------------------------------------


def test_without_automatic_failover_a_primary_comes_back_with_its_role_and_its_data(service: Service) -> None:
    with made_shard(service, "manual", 2, AutomaticFailoverEnabled=False) as pair:
        pair.put("kept", "yes")
        primary = pair.primary
        pair.kill(primary)
        pair.heal()
        wait_for("its role is back", lambda: pair.primary == primary and pair.takes_writes(), 10)
        pair.heal()
        assert pair.get("kept") == "yes"


def test_a_standalone_node_that_is_killed_comes_back_empty(service: Service) -> None:
    with made_shard(service, "single", 1) as single:
        single.put("lost", "yes")
        single.kill("single-001")
        wait_for("it is back", lambda: single.takes_writes() and single.get("lost") is None, 10)
        single.heal()


def test_a_frozen_service_lets_caches_serve_and_fails_over_when_it_goes_on(trio: Shard) -> None:
    trio.put("kept", "yes")
    assert trio.service.process is not None
    primary = trio.primary
    pid = trio.pid_of(primary)
    with frozen(trio.service.process.pid):
        assert trio.takes_writes()
        os.kill(pid, signal.SIGKILL)
        with trio.connect(trio.reader_endpoint) as reader:
            assert reader.get("kept") == "yes"
        with pytest.raises(redis.exceptions.RedisError), trio.connect(socket_timeout=0.3) as client:
            client.set("no", "primary")
    trio.heal()
    assert trio.primary != primary
    assert trio.get("kept") == "yes"
