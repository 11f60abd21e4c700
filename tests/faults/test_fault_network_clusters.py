"""Packets to and from a primary of a cluster with three shards that do not arrive: on its data port, on its bus, or on both."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cachefleet.model.slots import contains
from tests.faults.cluster_truth import ClusterGroup, ask
from tests.faults.packet_rules import PacketRules, both_ways, local_ports
from tests.fixtures.service import wait_for
from tests.traffic.writer import ClusterWriter

LIMIT_S = 10.0
DATA_PORT = 6379


@pytest.fixture
def trio(three_shards: ClusterGroup, rules: PacketRules) -> Iterator[ClusterGroup]:
    yield three_shards
    rules.clear()


def bus_port(host: str) -> int:
    return int(ask(host, "CONFIG", "GET", "cluster-port")["cluster-port"])


def cut_bus(group: ClusterGroup, rules: PacketRules, node: str) -> None:
    """What it sends on the bus, and what is sent to it there, is lost."""
    host = group.hosts()[node]
    bus = bus_port(host)
    ask(host, "CONFIG", "SET", "bind-source-addr", host)  # of the links that it will make
    links = local_ports(group.service.pid_of(node), to_port=bus)
    assert links
    old = f"{{ {', '.join(map(str, links))} }}"
    rules.drop(
        *both_ways(host, bus),
        f"ip saddr {host} tcp dport {bus}",
        f"ip daddr {host} tcp sport {bus}",
        f"tcp dport {bus} tcp sport {old}",
        f"tcp sport {bus} tcp dport {old}",
    )


def test_a_bus_that_is_cut_makes_the_others_elect_and_nobody_else_serves_meanwhile(
    trio: ClusterGroup, rules: PacketRules
) -> None:
    """The data ports stay open. A primary without a majority stops by itself and another is elected; that is adopted, not
    fought. It may notice up to half a node timeout later than the others do, as engines count that from their last pings: what
    it acknowledged in between is lost, and nothing after it."""
    old = trio.primaries()["0001"]
    pid = trio.service.pid_of(old)
    table = trio.tables()[old]
    slot = table.nodes[table.my_id].slots[0][0]  # which is not 0 when a test before has moved that to another shard
    with ClusterWriter(*trio.configuration()) as writer:
        cut_bus(trio, rules, old)
        wait_for("another is elected", lambda: _owner_by_others(trio, old, slot) not in ("", old), LIMIT_S)
        writer.await_writes(100)
        rules.clear()
        trio.await_whole()
        writer.await_writes(100)
    assert trio.primaries()["0001"] != old
    assert trio.service.pid_of(old) == pid, "it was well all the time"
    _, lost_since = writer.lost()
    assert lost_since == set()
    assert trio.lost_marks() == []
    trio.await_event(f"Failover from primary node {old} to replica node {trio.primaries()['0001']} completed")


def _owner_by_others(group: ClusterGroup, node: str, slot: int) -> str:
    """Who owns the slot by the word of those who are not cut off; "" when they do not agree."""
    tables = group.tables()
    names = {table.my_id: name for name, table in tables.items()}
    owners = {
        names.get(known.engine_id, "")
        for name, table in tables.items()
        if name != node
        for known in table.nodes.values()
        if contains(known.slots, slot)
    }
    return owners.pop() if len(owners) == 1 else ""


def test_a_data_port_that_is_cut_is_given_up_though_the_bus_is_well(trio: ClusterGroup, rules: PacketRules) -> None:
    """The other nodes see nothing wrong, and would never elect another."""
    old = trio.primaries()["0002"]
    pid, host = trio.service.pid_of(old), trio.hosts()[old]
    rules.drop(*both_ways(host, DATA_PORT))
    wait_for("another owns the slots", lambda: trio.primaries().get("0002", old) != old, LIMIT_S)
    assert old not in [name for name, running in _running(trio).items() if running == pid]
    rules.clear()
    trio.await_whole()
    assert trio.lost_marks() == []


def test_a_primary_that_is_cut_off_from_everything_is_given_up(trio: ClusterGroup, rules: PacketRules) -> None:
    old = trio.primaries()["0003"]
    host = trio.hosts()[old]
    began = time.monotonic()
    cut_bus(trio, rules, old)
    rules.drop(*both_ways(host, DATA_PORT))
    wait_for("another owns the slots", lambda: trio.primaries().get("0003", old) != old, LIMIT_S)
    assert time.monotonic() - began > 1
    rules.clear()
    trio.await_whole()
    assert trio.lost_marks() == []


def _running(group: ClusterGroup) -> dict[str, int]:
    """Node name -> pid."""
    return {incarnation.split(".")[1]: pid for pid, incarnation in group.service.engine_pids().items()}
