"""Nodes that do not answer and are not dead: frozen for long, frozen for short, busy with a command; and replicas that missed
writes meanwhile. A frozen one is ended before anybody is promoted in its place; a busy one is left alone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest
import redis

from tests.faults.shard import Shard, frozen, made_shard
from tests.fixtures.operator import answering
from tests.fixtures.service import Service, wait_for
from tests.traffic.writer import EndpointWriter

BUDGET_S = 1.5  # control.silence_budget_s
MISSING_S = 5.2  # a replica that acknowledged nothing for 4 s, and so for 1 s more, does not get what is written
BUSY_S = 3.5  # longer than the budget, shorter than control.busy_limit_s


def wait(seconds: float) -> None:
    """The length of a fault, not a wait for an effect."""
    threading.Event().wait(seconds)


# --- frozen --------------------------------------------------------------------------------------------------------


def test_a_frozen_primary_is_dead_before_another_serves_and_comes_back_as_a_replica(trio: Shard) -> None:
    old, where = trio.primary, trio.address_of(trio.primary)
    with EndpointWriter(*trio.primary_endpoint) as writer:
        writer.await_writes(200)
        began = time.monotonic()
        with frozen(trio.pid_of(old)) as pidfd:
            wait_for("another serves", lambda: trio.primary != old and trio.takes_writes(), 10)
            took_s = time.monotonic() - began
            with pytest.raises(ProcessLookupError):  # whoever thaws it now is too late
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        writer.await_writes(200)
    assert took_s < BUDGET_S + 1.5
    trio.heal()
    assert trio.primary != old
    assert trio.role_at(where) == "slave"
    lost = writer.acknowledged - trio.log()
    assert len(lost) <= 1, "only the write in flight can be one that no replica had"
    assert any("does not answer and is replaced: its process is stopped" in message for message in trio.events(old))


def test_a_primary_that_is_thawed_while_it_is_being_given_up_never_serves_beside_another(trio: Shard) -> None:
    """At whatever moment: either it goes on as the primary that it was, or it is dead."""
    for thawed_after_s in (BUDGET_S - 0.4, BUDGET_S - 0.2):
        old, before = trio.primary, len(trio.failovers())
        with EndpointWriter(*trio.primary_endpoint) as writer:
            writer.await_writes(50)
            with frozen(trio.pid_of(old)) as pidfd:
                wait(thawed_after_s)
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGCONT)
            writer.await_writes(200)
        trio.heal()
        assert len(trio.failovers()) - before == int(trio.primary != old)
        assert len(writer.acknowledged - trio.log()) <= 1


def test_short_freezes_cause_nothing(trio: Shard) -> None:
    primary, pids, told = trio.primary, trio.pids(), len(trio.events())
    with EndpointWriter(*trio.primary_endpoint) as writer:
        writer.await_writes(20)
        with ExitStack() as freezes:  # one after another would take longer, and is less
            for pid in pids.values():
                freezes.enter_context(frozen(pid))
            wait(BUDGET_S / 2)
        writer.await_writes(20)
    trio.heal()
    assert (trio.primary, trio.pids(), len(trio.events())) == (primary, pids, told)
    assert writer.acknowledged <= trio.log()
    assert writer.errors == []


def test_a_frozen_replica_loses_the_reader_endpoint_and_is_replaced(trio: Shard) -> None:
    with trio.connect(trio.reader_endpoint) as reader:
        held = answering(reader)
    victim = next(node for node in trio.replicas if trio.address_of(node)[0] == held)
    pid, primary = trio.pid_of(victim), trio.primary
    with EndpointWriter(*trio.primary_endpoint) as writer:
        with frozen(pid):
            wait_for("it is replaced", lambda: trio.pids().get(victim, pid) != pid, 10)
            wait_for("the reader answers", lambda: trio.role_at(trio.reader_endpoint) == "slave", 5)
        writer.await_writes(20)
    trio.heal()
    assert trio.primary == primary
    assert writer.errors == []


# --- busy ----------------------------------------------------------------------------------------------------------


@contextmanager
def busy(shard: Shard, node: str, seconds: float) -> Iterator[None]:
    """A script without an end holds the node inside the block. It answers nobody for so long, then says to everybody that it is
    busy; only then can the script be ended, and it is when this returns."""
    where = shard.address_of(node)
    with shard.operate(where) as client, shard.connect(where, socket_timeout=60) as caller, ThreadPoolExecutor(1) as background:
        usual = client.config_get("lua-time-limit")
        client.config_set("lua-time-limit", int(seconds * 1000))
        held = background.submit(caller.eval, "while true do end", 0)
        try:
            wait_for("it does not answer", lambda: not shard.role_at(where), 5)
            yield
        finally:
            wait_for("its script is ended", lambda: is_ended(shard, where), seconds + 10)
        with pytest.raises(redis.exceptions.ResponseError):
            held.result()
        client.config_set("lua-time-limit", usual["lua-time-limit"])


def is_ended(shard: Shard, where: tuple[str, int]) -> bool:
    try:
        with shard.connect(where, socket_timeout=0.5) as client:
            return bool(client.script_kill())
    except redis.exceptions.ResponseError as error:
        return "NOTBUSY" in str(error)
    except redis.exceptions.RedisError:
        return False


def test_a_primary_that_is_busy_with_a_script_is_not_failed_over(trio: Shard) -> None:
    trio.put("kept", "yes")
    primary, pids, before = trio.primary, trio.pids(), trio.failovers()
    with busy(trio, primary, BUSY_S):
        wait(BUDGET_S + 0.5)
    trio.heal()
    assert (trio.primary, trio.pids(), trio.failovers()) == (primary, pids, before)
    assert trio.get("kept") == "yes"


# --- replicas that missed writes (story 15) ------------------------------------------------------------------------


def test_a_replica_that_missed_writes_is_never_promoted_unasked(service: Service) -> None:
    with made_shard(service, "story15", 2) as pair:
        pair.put("old", "yes")
        primary, replica = pair.primary, pair.replicas[0]
        with busy(pair, replica, MISSING_S + 1.0):
            pair.fill(20)
            wait(MISSING_S)
            pair.kill(primary)
        wait_for("it is said that nobody can", lambda: any("has no primary" in event for event in pair.events()), 10)
        assert pair.role_at(pair.address_of(replica)) == "slave"
        assert primary not in pair.pids(), "an empty primary would empty the replica"
        assert pair.get("old", pair.reader_endpoint) == "yes"
        assert not pair.takes_writes()
        assert any("call TestFailover" in event for event in pair.events(primary))
        pair.api.test_failover(ReplicationGroupId="story15", NodeGroupId="0001")
        wait_for("it is primary since it was asked for", lambda: pair.primary == replica and pair.takes_writes(), 10)
        pair.heal()
        assert pair.get("old") == "yes"


def test_after_an_end_that_nobody_saw_the_replica_with_the_most_data_is_promoted(trio: Shard) -> None:
    """Frozen during writes, thawed after the primary's death: its link seems to have broken later than the other's."""
    behind, ahead = trio.replicas
    primary, frozen_one, where = trio.pid_of(trio.primary), trio.pid_of(behind), trio.address_of(ahead)
    with trio.service_down(), trio.connect() as client, frozen(frozen_one):
        trio.fill(20)
        client.set("last", "yes")
        assert client.wait(1, 5000) == 1
        os.kill(primary, signal.SIGKILL)
        wait_for("its end was long ago", lambda: trio.silent_s(where) >= 3, 10)
    trio.heal()
    assert trio.primary == ahead
    assert trio.get("last") == "yes"
