"""Several services on one PostgreSQL: any answers, one leads; the others take over from one that dies, ends or freezes, and
one that was frozen, wherever in its work, does nothing any more when it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.groups import address, await_healthy, delete, describe, primary_member, replication_group
from tests.engine.test_postgres import closed
from tests.faults.crew import DOOMED, TAKEOVER_S, Crew, crew
from tests.fixtures.long import long
from tests.fixtures.machine import data_folder
from tests.fixtures.postgres import Postgres, postgres, postgres_url
from tests.fixtures.service import CACHEFLEET, wait_for
from tests.traffic.writer import EndpointWriter

__all__ = ["postgres", "postgres_url"]

PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
TRIO = {**PAIR, "NumCacheClusters": 3}


@pytest.fixture
def pair(postgres_url: str) -> Iterator[Crew]:
    with crew(postgres_url, 2) as made:
        yield made


@pytest.fixture
def doomed_pair(postgres_url: str) -> Iterator[Crew]:
    with crew(postgres_url, 2, program=DOOMED) as made:
        yield made


def tool(*arguments: str) -> str:
    done = subprocess.run([CACHEFLEET, *arguments], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def events(client: Any, group: str) -> list[str]:
    found = client.describe_events(SourceIdentifier=group, SourceType="replication-group", Duration=60)["Events"]
    return sorted(event["Message"] for event in found)


def state(crew: Crew, client: Any, group: str) -> dict[str, Any]:
    """What a deposed service must not change: processes, roles, what was told."""
    found = describe(client, group)
    assert found is not None
    return {"processes": crew.services[0].engine_pids(), "primary": primary_member(found), "events": events(client, group)}


def create(client: Any, group: str, **more: Any) -> None:
    client.create_replication_group(
        ReplicationGroupId=group,
        ReplicationGroupDescription="test",
        CacheNodeType="cache.t4g.micro",
        Engine="valkey",
        **more,
    )


def primary_endpoint(found: dict[str, Any]) -> tuple[str, int]:
    return address(found["NodeGroups"][0]["PrimaryEndpoint"])


def passes(client: Any, group: str, crew: Crew) -> None:
    """Let the control loop go over the group again, several times: each change is a pass at least."""
    for number in range(3):
        client.modify_replication_group(ReplicationGroupId=group, ReplicationGroupDescription=f"pass {number}")
        await_healthy(client, group)


# --- together ------------------------------------------------------------------------------------------------------


def test_any_answers_and_one_leads(postgres_url: str) -> None:
    with crew(postgres_url, 3) as made:
        leader = made.leader()
        assert leader is made.services[0]
        said = tool("status", "--data", str(made.data)).splitlines()
        assert said[0] == f"3 services run on the data folder {made.data}:"
        assert [service.url in line for service, line in zip(made.services, said[1:4], strict=True)] == [True] * 3
        assert [line.endswith("(leads)") for line in said[1:4]] == [True, False, False]
        assert f"export AWS_ENDPOINT_URL={leader.url}" in tool("env", "--data", str(made.data)).splitlines()
        clients = [service.client() for service in made.services]
        for number, client in enumerate(clients):
            create(client, f"by-{number}", **PAIR)
        for number in range(3):
            for client in clients:
                assert await_healthy(client, f"by-{number}")["Status"] == "available"
        assert len(leader.engine_pids()) == 6
        delete(clients[2], "by-0")
        clients[1].modify_replication_group(ReplicationGroupId="by-1", ReplicationGroupDescription="from another")
        found = describe(clients[0], "by-1")
        assert found is not None and found["Description"] == "from another"
        assert tool("down", "--data", str(made.data)).splitlines() == [
            "3 services have stopped.",
            "4 cache processes have stopped.",
        ]
        for service in made.services:
            assert service.process is not None
            assert service.process.wait(10) == 0
            service.process = None


def test_a_group_made_through_a_standby_is_there_at_once(pair: Crew) -> None:
    """The leader is told; it does not find it at its next look, which may be a minute away."""
    client = pair.standby().client()
    with replication_group(client, "standby", **PAIR):
        pass


def test_another_database_or_another_folder_is_refused(pair: Crew, postgres_url: str) -> None:
    up = [CACHEFLEET, "up", "--listen", "127.0.0.1:0", "--no-demo", "--data"]
    own = subprocess.run([*up, str(pair.data)], capture_output=True, text=True, timeout=30, check=False)
    assert (own.returncode, own.stdout) == (1, "")
    assert "already runs on the data folder" in own.stderr
    with data_folder() as elsewhere:
        other = subprocess.run(
            [*up, str(elsewhere), "--database-url", postgres_url], capture_output=True, text=True, timeout=30, check=False
        )
        assert (other.returncode, other.stdout) == (1, "")
        (line,) = other.stderr.splitlines()
        assert str(pair.data) in line and "a second time" in line and str(elsewhere / "installation") in line
        assert "Traceback" not in line and postgres_url.split(":")[2].split("@", maxsplit=1)[0] not in line


# --- one is gone ---------------------------------------------------------------------------------------------------


def test_the_leader_killed_together_with_a_primary(pair: Crew) -> None:
    leader, other = pair.leader(), pair.standby()
    assert leader is not None
    client = other.client()
    with replication_group(client, "orphan", **TRIO) as group:
        await_healthy(client, "orphan")
        with EndpointWriter(*primary_endpoint(group)) as writer:
            writer.await_writes(200)
            victim = leader.pid_of(primary_member(group))
            leader.kill()
            os.kill(victim, signal.SIGKILL)
            _, taken_s = pair.await_leader(but=leader)
            writer.await_writes(200)
            gap_s = writer.longest_gap_s()
        print(f"kill -9 of the leader: another leads after {taken_s:.2f} s; writes paused for {gap_s:.2f} s")
        assert gap_s < TAKEOVER_S
        healed = await_healthy(client, "orphan")
        assert primary_member(healed) != primary_member(group)
        leader.start()
        wait_for("it is back as a standby", lambda: pair.token(leader) == 0 and pair.leader() is other)
        assert await_healthy(leader.client(), "orphan")["Status"] == "available"


def test_a_leader_that_ends_hands_over_at_once(pair: Crew) -> None:
    leader, other = pair.leader(), pair.standby()
    assert leader is not None and leader.process is not None
    client = other.client()
    with replication_group(client, "handed", **PAIR):
        await_healthy(client, "handed")
        before = state(pair, client, "handed")
        leader.process.terminate()
        heir, taken_s = pair.await_leader(but=leader)
        print(f"SIGTERM of the leader: another leads after {taken_s:.2f} s")
        assert heir is other
        assert leader.process.wait(10) == 0
        leader.process = None
        passes(client, "handed", pair)
        assert state(pair, client, "handed") == before
        leader.start()


def test_a_standby_that_dies_or_freezes_is_no_loss(pair: Crew) -> None:
    leader, other = pair.leader(), pair.standby()
    assert leader is not None
    client = leader.client()
    with replication_group(client, "alone", **PAIR) as group:
        pair.freeze(other)
        os.kill(leader.pid_of(primary_member(group)), signal.SIGKILL)
        wait_for("another is primary", lambda: primary_member(describe(client, "alone") or group) != primary_member(group))
        await_healthy(client, "alone")
        pair.thaw(other)
        other.kill()
        assert pair.leader() is leader
        assert pair.token(leader) == 1


# --- one is frozen -------------------------------------------------------------------------------------------------


def test_a_frozen_leader_is_succeeded_and_does_no_harm_afterwards(pair: Crew) -> None:
    leader, other = pair.leader(), pair.standby()
    assert leader is not None
    client = other.client()
    with replication_group(leader.client(), "frozen", **TRIO) as group:
        await_healthy(client, "frozen")
        first = primary_member(group)
        pair.freeze(leader)
        os.kill(leader.pid_of(first), signal.SIGKILL)
        heir, taken_s = pair.await_leader(but=leader)
        assert heir is other
        print(f"SIGSTOP of the leader: another leads after {taken_s:.2f} s")
        wait_for("another is primary", lambda: primary_member(describe(client, "frozen") or group) != first)
        await_healthy(client, "frozen")
        with EndpointWriter(*primary_endpoint(group)) as writer:
            writer.await_writes(100)
            before = state(pair, client, "frozen")
            assert sum("Failover from" in message for message in before["events"]) == 1
            pair.thaw(leader)
            passes(client, "frozen", pair)
            writer.await_writes(500)
            assert not writer.errors, "its connections were cut"
        assert state(pair, client, "frozen") == before
        assert '"action failed"' not in pair.log_of(leader)
        assert describe(leader.client(), "frozen") is not None, "it answers the API as before"
        other.kill()
        assert pair.await_leader(but=other)[0] is leader
        await_healthy(leader.client(), "frozen")
        assert state(pair, leader.client(), "frozen") == before, "what it knew of its first term is forgotten"


FREEZES = [
    long("before Launch"),
    "within Spawn",
    long("amid Launch"),
    "within Save",
    long("before Promote"),
    "after Promote",
    long("before Follow"),
]


@pytest.mark.parametrize("point", FREEZES)
def test_a_leader_frozen_in_the_middle_of_a_failover(doomed_pair: Crew, point: str) -> None:
    leader, other = doomed_pair.leader(), doomed_pair.standby()
    assert leader is not None
    client = other.client()
    with replication_group(client, "amid", **TRIO) as group:
        await_healthy(client, "amid")
        with EndpointWriter(*primary_endpoint(group)) as writer:
            writer.await_writes(100)
            (doomed_pair.data / "doom").write_text(f"{point} freeze")
            os.kill(leader.pid_of(primary_member(group)), signal.SIGKILL)
            doomed_pair.await_frozen(leader)
            _, taken_s = doomed_pair.await_leader(but=leader)
            print(f"frozen {point}: another leads after {taken_s:.2f} s")
            wait_for("another is primary", lambda: _primary(client, "amid") != primary_member(group))
            wait_for("three run", lambda: len(leader.engine_pids()) == 3)
            await_healthy(client, "amid")
            writer.await_writes(100)
            before = state(doomed_pair, client, "amid")
            doomed_pair.thaw(leader)
            errors = len(writer.errors)
            passes(client, "amid", doomed_pair)
            writer.await_writes(500)
            assert len(writer.errors) == errors, "its connections were cut"
        assert state(doomed_pair, client, "amid") == before
        folders = sorted(entry.name for entry in (doomed_pair.data / "nodes").iterdir())
        assert folders == sorted(before["processes"].values()), "nothing is left of what it had begun"


# --- the database is gone ------------------------------------------------------------------------------------------


def test_without_the_database_nobody_leads_and_afterwards_one_does(pair: Crew, postgres: Postgres, postgres_url: str) -> None:
    client = pair.services[0].client()
    with replication_group(client, "without", **PAIR) as group:
        await_healthy(client, "without")
        first = primary_member(group)
        with closed(postgres, postgres_url):
            wait_for("nobody leads", lambda: pair.leader() is None, TAKEOVER_S)
            os.kill(pair.services[0].pid_of(first), signal.SIGKILL)
        pair.await_leader()
        wait_for("another is primary", lambda: _primary(client, "without") not in ("", first))
        await_healthy(client, "without")
        assert sum(pair.token(service) > 0 for service in pair.services) == 1


def _primary(client: Any, group: str) -> str:
    try:
        found = describe(client, group)
    except Exception:  # the database has only just come back
        return ""
    return primary_member(found) if found else ""


def test_a_restart_of_the_database_is_not_even_noticed(pair: Crew, postgres: Postgres) -> None:
    leader = pair.leader()
    assert leader is not None
    client = leader.client()
    with replication_group(client, "restarted", **PAIR):
        await_healthy(client, "restarted")
        before = state(pair, client, "restarted")
        postgres.restart()
        passes(client, "restarted", pair)
        assert state(pair, client, "restarted") == before
        assert pair.leader() is leader
        assert pair.token(leader) == 1
