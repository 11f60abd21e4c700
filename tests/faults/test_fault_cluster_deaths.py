"""Cluster mode enabled: primaries, shards and whole groups that die or freeze. After each fault every slot has one owner by the
word of every node, and nobody knows of a node that left."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.faults.cluster_truth import ClusterGroup
from tests.faults.shard import frozen
from tests.fixtures.service import wait_for
from tests.traffic.writer import ClusterWriter

BUDGET_S = 1.5  # control.silence_budget_s
UNSENT = 100  # writes that a primary may have acknowledged and not sent on yet when it dies


def primary_of(group: ClusterGroup, shard: str) -> str:
    return group.primaries()[shard]


def replica_of(group: ClusterGroup, shard: str) -> str:
    (found,) = [name for name in group.members() if f"-{shard}-" in name and name != primary_of(group, shard)]
    return found


def test_a_majority_of_primaries_killed_at_once(three_shards: ClusterGroup) -> None:
    """The engines alone could not elect anybody."""
    before = three_shards.primaries()
    with ClusterWriter(*three_shards.configuration()) as writer:
        three_shards.kill(before["0001"], before["0002"])
        writer.await_writes(100)
    after = three_shards.primaries()
    assert (after["0001"], after["0002"]) != (before["0001"], before["0002"])
    assert writer.longest_gap_s() < 5
    three_shards.await_whole()
    assert three_shards.lost_marks() == []
    assert three_shards.primaries()["0003"] == before["0003"]


def test_both_nodes_of_a_shard_killed_at_once(three_shards: ClusterGroup) -> None:
    """Its data are gone with them; its slots come back with an epoch above all others, so that no old record wins them."""
    endpoint, shard = three_shards.configuration(), [name for name in three_shards.members() if "-0002-" in name]
    epochs = [table.current_epoch for table in three_shards.tables().values()]
    with ClusterWriter(*endpoint) as writer:
        three_shards.kill(*shard)
        three_shards.await_whole()
        writer.await_writes(10)
    assert three_shards.configuration() == endpoint
    table = three_shards.tables()[primary_of(three_shards, "0002")]
    assert table.nodes[table.my_id].epoch > max(epochs)
    assert writer.lost() == (set(), set()), "the other shards kept everything"
    with three_shards.connect() as client:
        lost = {client.keyslot(f"mark:{number}") for number in three_shards.lost_marks()}
    assert lost
    assert all(5461 < slot <= 10922 for slot in lost)


@pytest.mark.parametrize("name", ["three_shards", "one_shard"])
def test_all_nodes_killed_at_once(name: str, request: pytest.FixtureRequest) -> None:
    group: ClusterGroup = request.getfixturevalue(name)
    endpoint, hosts = group.configuration(), group.hosts()
    group.kill(*group.members())
    group.await_whole()
    assert group.configuration() == endpoint
    assert group.hosts() == hosts
    group.put_marks()
    assert group.lost_marks() == []


@pytest.mark.parametrize("name", ["three_shards", "one_shard"])
def test_a_frozen_primary_is_dead_before_its_replica_serves(name: str, request: pytest.FixtureRequest) -> None:
    group: ClusterGroup = request.getfixturevalue(name)
    old = primary_of(group, "0001")
    host = group.hosts()[old]
    with ClusterWriter(*group.configuration()) as writer, socket.create_connection((host, 6379), 2) as client:
        with frozen(group.service.pid_of(old)) as pidfd:
            client.sendall(b"SET late 1\r\n")  # waits in its socket for the day it is thawed
            wait_for("another has its role", lambda: group.primaries().get("0001", old) != old, 10)
            writer.await_writes(100)
            with pytest.raises(ProcessLookupError):  # whoever thaws it now is too late
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        assert writer.longest_gap_s() < BUDGET_S + 1.5
        with pytest.raises(OSError, match="reset"):
            client.recv(100)
    group.await_whole()
    assert primary_of(group, "0001") != old
    lost, after = writer.lost()
    assert after == set()
    assert len(lost) <= UNSENT
    with group.connect() as reader:
        assert reader.get("late") is None


def test_a_frozen_replica_is_replaced_and_writes_go_on(three_shards: ClusterGroup) -> None:
    replica, before = replica_of(three_shards, "0001"), three_shards.primaries()
    old = three_shards.tables()[replica].my_id
    with ClusterWriter(*three_shards.configuration()) as writer:
        with frozen(three_shards.service.pid_of(replica)):
            wait_for("it is replaced", lambda: (found := three_shards.tables().get(replica)) and found.my_id != old)
        three_shards.await_whole()
        writer.await_writes(100)
    assert three_shards.primaries() == before
    assert writer.longest_gap_s() < BUDGET_S
    assert writer.lost() == (set(), set())


@pytest.mark.parametrize("damage", ["wiped", "garbage"])
def test_a_damaged_table_of_nodes_harms_nobody(three_shards: ClusterGroup, damage: str) -> None:
    """Every launch has a folder of its own: what an old one holds is never read again."""
    old = primary_of(three_shards, "0003")
    pid = three_shards.service.pid_of(old)
    table = Path(f"/proc/{pid}/cwd/nodes.conf").resolve()
    good = table.read_bytes()
    table.write_bytes({"wiped": b"", "garbage": b"neither id nor address\n" + good[: len(good) // 2]}[damage])
    os.kill(pid, signal.SIGKILL)
    wait_for("its replica owns the slots", lambda: three_shards.primaries().get("0003", old) != old)
    three_shards.await_whole()
    assert three_shards.lost_marks() == []
