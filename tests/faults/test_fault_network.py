"""Packets to and from a node that do not arrive: who is cut off from whom decides who is given up, and after how long.

The node's own process is well in all of these. Rules are made in a table of our own; clients that are to get through come from
an address that the rules leave alone.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.faults.packet_rules import PacketRules, both_ways, local_ports
from tests.faults.shard import Shard, made_shard
from tests.fixtures.service import Service, wait_for

CUT_LIMIT_S = 6.0  # the budget for silence, and up to 3 s until replicas can say that they hear nothing
SURELY_S = 3.0  # so long no cut is borne that is to end in a failover
LOST_TOUCH_S = 1.5  # one that lost touch that long before its primary ended lacks writes
CLIENT = "127.0.0.77"


@pytest.fixture
def trio(rules: PacketRules, lasting_trio: Shard) -> Iterator[Shard]:
    """Whole, with a mark that every node has."""
    lasting_trio.heal()
    lasting_trio.put("mark", "1")
    yield lasting_trio
    rules.clear()


def speak(host: str, *words: str) -> str:
    """What a client at another address is answered."""
    with closing(socket.create_connection((host, 6379), 2, source_address=(CLIENT, 0))) as client:
        client.sendall((" ".join(words) + "\r\n").encode())
        return client.recv(1000).decode().strip()


@pytest.mark.parametrize("way", ["both ways", "to it", "from it"])
def test_a_primary_that_neither_we_nor_its_replicas_hear_is_ended_and_succeeded(
    trio: Shard, rules: PacketRules, way: str
) -> None:
    old = trio.primary
    pid, (host, port) = trio.pid_of(old), trio.address_of(old)
    to, answers = both_ways(host, port)
    began = time.monotonic()
    rules.drop(*{"both ways": (to, answers), "to it": (to,), "from it": (answers,)}[way])
    wait_for("another serves", lambda: trio.primary != old and trio.takes_writes(), CUT_LIMIT_S)
    took_s = time.monotonic() - began
    assert took_s > 1
    wait_for("its process is ended", lambda: trio.pids().get(old) != pid)
    assert trio.get("mark") == "1"
    rules.clear()
    trio.heal()
    assert trio.role_at((host, port)) == "slave"


def test_a_primary_that_only_we_do_not_hear_stays(trio: Shard, rules: PacketRules) -> None:
    """Its replicas and its clients hear it: no failover before control.busy_limit_s."""
    old = trio.primary
    pid, (host, port) = trio.pid_of(old), trio.address_of(old)
    links = [link for name in trio.replicas for link in local_ports(trio.pid_of(name), [host], port)]
    assert len(links) == 2
    among = f"{{ {', '.join(map(str, links))} }}"
    rules.drop(f"ip saddr 127.0.0.1 ip daddr {host} tcp dport {port} tcp sport != {among}")
    until = time.monotonic() + SURELY_S
    while time.monotonic() < until:
        assert speak(host, "SET", "meanwhile", "1") == "+OK"
        assert trio.primary == old
    wait_for("it is seen", lambda: trio.status_of(old) != "available")
    rules.clear()
    trio.heal()
    assert (trio.primary, trio.pid_of(old)) == (old, pid)
    assert trio.get("meanwhile") == "1"


def test_a_replica_that_was_cut_off_does_not_succeed(trio: Shard, rules: PacketRules) -> None:
    old = trio.primary
    stale, fresh = trio.replicas
    where = trio.address_of(stale)
    _cut_link(trio, rules, stale, old)
    with trio.connect() as client:
        client.set("mark", "2")
        assert client.wait(2, 200) == 1, "one of them does not get it"
    os.kill(trio.pid_of(old), signal.SIGKILL)
    wait_for("another serves", trio.takes_writes)
    assert trio.primary == fresh
    assert trio.get("mark") == "2"
    assert trio.role_at(where) == "slave"
    rules.clear()
    trio.heal()
    assert trio.get("mark", trio.address_of(stale)) == "2"


def test_a_lone_replica_that_was_cut_off_does_not_succeed_before_it_is_told_to(service: Service, rules: PacketRules) -> None:
    with made_shard(service, "pair", 2) as pair:
        old, (stale,) = pair.primary, pair.replicas
        where = pair.address_of(stale)
        pair.put("mark", "1")
        _cut_link(pair, rules, stale, old)
        with pair.connect() as client:
            client.set("mark", "2")
        wait_for("it is seen", lambda: pair.status_of(stale) != "available")  # its link has not broken
        until = time.monotonic() + LOST_TOUCH_S
        while time.monotonic() < until:
            # The reader endpoint comes to the primary meanwhile, and an engine that is to listen on one address more closes
            # and opens all: a connection that arrives at that instant is refused, and the next one is not.
            assert pair.takes_writes() or pair.takes_writes()
        assert pair.primary == old
        os.kill(pair.pid_of(old), signal.SIGKILL)
        wait_for("the group says so", lambda: any("has no primary" in message for message in pair.events()))
        assert pair.role_at(where) == "slave"
        assert pair.get("mark", where) == "1", "reads go on"
        rules.clear()
        pair.api.modify_replication_group(ReplicationGroupId="pair", PrimaryClusterId=stale, ApplyImmediately=True)
        pair.heal()
        assert pair.primary == stale
        assert pair.get("mark") == "1"


def _cut_link(shard: Shard, rules: PacketRules, replica: str, primary: str) -> None:
    """What the replica sends to the primary from now on, and what it is sent, is lost; we and clients reach both."""
    (host, port), own = shard.address_of(primary), shard.address_of(replica)[0]
    with shard.operate((own, port)) as client:
        client.config_set("bind-source-addr", own)  # of the connections that it will make
    (link,) = local_ports(shard.pid_of(replica), [host], port)
    rules.drop(
        f"ip saddr 127.0.0.1 ip daddr {host} tcp sport {link}",
        f"ip saddr {host} ip daddr 127.0.0.1 tcp dport {link}",
        f"ip saddr {own} ip daddr {host}",
        f"ip saddr {host} ip daddr {own}",
    )
