"""Nodes that fail, restart, are added or lacked the module, and a service that dies: IAM users get in all the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials
from redis.cluster import RedisCluster

from cachefleet.model.iam_rules import day_keys
from tests.engine.groups import address, await_available, await_healthy, describe, primary_member, replication_group
from tests.engine.iam_caches import (
    ENGINE,
    REGION,
    People,
    Provider,
    await_in,
    await_out,
    connecting,
    create_iam_user,
    let_in,
    nodes_of,
    shown,
)
from tests.engine.test_access_control import client, operator, primary, team
from tests.engine.test_reboots import reboot
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for


@contextmanager
def cache_of_ines(
    service: Service, name: str, **shape: Any
) -> Iterator[tuple[dict[str, Any], list[tuple[str, int]], Credentials, People]]:
    """A cache for one IAM user; its nodes, and who may connect, already known everywhere."""
    require_compiler()
    elasticache, people = service.client(), People(service)
    create_iam_user(elasticache, f"{name}-ines")
    try:
        with (
            team(elasticache, f"{name}-team", [f"{name}-ines"], engine="valkey"),
            replication_group(elasticache, name, UserGroupIds=[f"{name}-team"], **{**ENGINE, **shape}) as group,
        ):
            app = people.add(f"{name}-app", connecting(name, f"{name}-ines"))
            places = nodes_of(elasticache, group)
            await_in(places, name, f"{name}-ines", app)
            yield group, places, app, people
    finally:
        people.end()


def test_a_failover_and_a_reboot_change_nothing(elasticache: Any, service: Service) -> None:
    with cache_of_ines(service, "falls", NumCacheClusters=2, AutomaticFailoverEnabled=True) as (group, places, app, _):
        first = primary_member(group)
        os.kill(service.pid_of(first), signal.SIGKILL)
        wait_for("the other one is primary", lambda: primary_member(describe(elasticache, "falls") or group) != first)
        assert let_in([primary(group)], "falls", "falls-ines", app) == [True]
        after = await_healthy(elasticache, "falls")
        assert all(let_in(places, "falls", "falls-ines", app))
        reboot(elasticache, service, primary_member(after))
        await_healthy(elasticache, "falls")
        assert all(let_in(places, "falls", "falls-ines", app))
        assert not any(let_in(places, "falls", "falls-ines", Credentials(app.access_key, "guessed")))


def test_a_service_that_dies_changes_nothing_and_revocations_hold_when_it_is_back(elasticache: Any, service: Service) -> None:
    with (
        cache_of_ines(service, "dies", NumCacheClusters=2) as (_, places, app, people),
        client(places[0], shown("dies", "dies-ines", app), "dies-ines") as inside,
    ):
        service.kill()
        try:
            assert all(let_in(places, "dies", "dies-ines", app)), "nodes check tokens by themselves"
            assert inside.ping()
        finally:
            service.start()
        assert all(let_in(places, "dies", "dies-ines", app))
        people.switch("dies-app", "Inactive")
        service.kill()  # before nodes are told
        service.start()
        await_out(places, "dies", "dies-ines", app)
        people.switch("dies-app", "Active")
        await_in(places, "dies", "dies-ines", app)
        service.kill(signal.SIGTERM)
        service.start()
        assert all(let_in(places, "dies", "dies-ines", app))
        assert inside.ping(), "it never noticed"


def test_a_new_replica_lets_in(elasticache: Any, service: Service) -> None:
    with cache_of_ines(service, "grows", NumCacheClusters=2) as (_, places, app, _people):
        elasticache.increase_replica_count(ReplicationGroupId="grows", NewReplicaCount=2, ApplyImmediately=True)
        group = await_healthy(elasticache, "grows")
        new = [where for where in nodes_of(elasticache, group) if where not in places]
        assert len(new) == 1
        await_in(new, "grows", "grows-ines", app)


def test_shards_are_added_and_taken_away_under_an_iam_user(elasticache: Any, service: Service) -> None:
    with cache_of_ines(service, "shards", NumNodeGroups=2, ReplicasPerNodeGroup=1) as (group, _, app, _people):
        where = address(group["ConfigurationEndpoint"])
        provider = Provider("shards-ines", "shards", app)
        with RedisCluster(*where, credential_provider=provider, ssl=True, ssl_cert_reqs="none") as ines:
            for number in range(500):
                ines.set(f"key:{number}", number)
            for count in (3, 2):
                fewer = {"NodeGroupsToRemove": ["0003"]} if count == 2 else {}
                elasticache.modify_replication_group_shard_configuration(
                    ReplicationGroupId="shards", NodeGroupCount=count, ApplyImmediately=True, **fewer
                )
                after = await_available(elasticache, "shards", 90)
                await_in(nodes_of(elasticache, after), "shards", "shards-ines", app)
                assert [int(ines.get(f"key:{number}")) for number in range(500)] == list(range(500))


def test_nodes_that_lacked_the_module_get_it_by_themselves() -> None:
    """There was no compiler when they were launched: IAM users are refused then, and are possible as soon as there is one."""
    require_compiler()
    with data_folder() as data, running_service(data, start=False) as service:
        service.start(environment={"CC": "false"})
        elasticache, people = service.client(), People(service)
        create_iam_user(elasticache, "ines")
        elasticache.create_user_group(UserGroupId="team", Engine="valkey", UserIds=["ines"])
        shape = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
        with replication_group(elasticache, "late", **ENGINE, **shape) as group:
            change = {"ReplicationGroupId": "late", "UserGroupIdsToAdd": ["team"], "ApplyImmediately": True}
            with pytest.raises(elasticache.exceptions.InvalidParameterCombinationException) as refused:
                elasticache.modify_replication_group(**change)
            assert "authenticates with IAM, which engines here cannot check: the module" in str(refused.value)
            with client(primary(group)) as anybody:
                anybody.mset({f"key:{number}": number for number in range(100)})
            before = service.engine_pids()
            service.kill(signal.SIGTERM)
            service.start()
            assert service.engine_pids() == before
            elasticache.modify_replication_group(**change)
            app = people.add("app", connecting("late", "ines"))
            after = await_healthy(elasticache, "late", 60)
            places = nodes_of(elasticache, after)
            await_in(places, "late", "ines", app)
            assert not service.engine_pids().items() & before.items(), "all were launched anew"
            with client(primary(after), shown("late", "ines", app), "ines") as ines:
                assert ines.dbsize() == 100


def test_secret_keys_are_nowhere_but_with_their_owners(elasticache: Any, service: Service) -> None:
    """Engines have keys of the day in their memory, and no file has those."""
    with cache_of_ines(service, "hides", NumCacheClusters=2) as (_, places, app, _people):
        days = day_keys(app.access_key, app.secret_key, REGION, ("*",), time.time())
        hidden = {"the secret key": app.secret_key.encode()}
        hidden |= {f"the key of {key.day}": key.key.hex().encode() for key in days}
        hidden |= {f"the key of {key.day}, as it is": key.key for key in days}
        found = [f"{what} in {path}" for path in _files(service.data) for what in _within(path.read_bytes(), hidden)]
        assert found == []
        for pid in (service.process.pid if service.process else 0, *service.engine_pids()):
            for name in ("cmdline", "environ"):
                assert _within(Path(f"/proc/{pid}/{name}").read_bytes(), hidden) == []
        with operator(places[0], service) as ours:
            ours.config_set("slowlog-log-slower-than", 0)
            told = [ours.slowlog_get(128), ours.execute_command("ACL", "LOG"), ours.execute_command("ACL", "LIST")]
            told += [ours.config_get("*"), ours.client_list(), ours.info("everything")]
        assert _within(str(told).encode(), hidden) == []
        assert describe(elasticache, "hides") is not None
        replies = [elasticache.describe_users(), elasticache.describe_events(), service.told()]
        assert _within(str(replies).encode(), hidden) == []
        # What the engines know is in their memory alone, and is no secret key.
        memory = [_memory(pid) for pid in service.engine_pids()]
        assert all(app.secret_key.encode() not in part for parts in memory for part in parts)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _within(content: bytes, hidden: dict[str, bytes]) -> list[str]:
    return [what for what, text in hidden.items() if text in content]


def _memory(pid: int) -> Sequence[bytes]:
    """Of a process, what it may write to."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            (
                span,
                rights,
                *_,
            ) = line.split()
            if rights.startswith("rw") and "[vvar" not in line:
                begin, end = (int(each, 16) for each in span.split("-"))
                try:
                    memory.seek(begin)
                    parts.append(memory.read(end - begin))
                except (OSError, ValueError, OverflowError):
                    continue
    return parts
