"""The service on PostgreSQL instead of SQLite: a group's life, the control plane's death, and the database's own restart."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from tests.engine.groups import address, await_cluster, await_healthy, delete_cluster, describe, primary_member
from tests.engine.groups import replication_group as made_group
from tests.fixtures.machine import data_folder
from tests.fixtures.postgres import Postgres, postgres, postgres_url
from tests.fixtures.service import Service, running_service, wait_for

__all__ = ["postgres", "postgres_url"]

PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}


@pytest.fixture
def service(postgres_url: str) -> Iterator[Service]:
    with data_folder() as data, running_service(data, "--database-url", postgres_url) as running:
        yield running


@contextmanager
def closed(postgres: Postgres, url: str) -> Iterator[None]:
    """The database takes no connection and has none."""
    name = url.rpartition("/")[2]
    asyncio.run(postgres.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
    try:
        asyncio.run(postgres.administer("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name))
        yield
    finally:
        asyncio.run(postgres.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))


def connect(group: dict[str, Any]) -> redis.Redis:
    host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
    return redis.Redis(host, port, socket_timeout=2, decode_responses=True)


def test_a_groups_life_on_postgresql(postgres_url: str) -> None:
    """The URL comes from the environment here, which hides the password in it from other users."""
    variable = {"CACHEFLEET_DATABASE_URL": postgres_url}
    with data_folder() as data, running_service(data, start=False) as service:
        service.start(environment=variable)
        assert not (service.data / "cachefleet.db").exists()
        elasticache = service.client()
        with made_group(elasticache, "onpg", **PAIR) as group:
            with connect(group) as client:
                assert client.set("kept", "yes")
                assert client.wait(1, 2000) == 1
            old = primary_member(group)
            os.kill(service.pid_of(old), signal.SIGKILL)
            wait_for("another is primary", lambda: primary_member(describe(elasticache, "onpg") or group) != old)
            await_healthy(elasticache, "onpg")
            before = service.engine_pids()
            service.kill()
            with connect(group) as client:
                assert client.get("kept") == "yes"
            service.start(environment=variable)
            await_healthy(elasticache, "onpg")
            assert service.engine_pids() == before
            assert_secret(service, postgres_url.split(":")[2].split("@", maxsplit=1)[0])
        assert service.engine_pids() == {}


def assert_secret(service: Service, password: str) -> None:
    for log in ("up.log", "service.log"):
        assert password not in (service.data / log).read_text()
    for pid in service.engine_pids():
        assert password.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_restart_of_postgresql_is_an_error_that_clients_retry_and_everything_goes_on(
    service: Service, postgres: Postgres
) -> None:
    elasticache, patient = service.client(), service.client()
    seen: list[tuple[int, str]] = []
    stop = Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                elasticache.describe_replication_groups()
            except ClientError as error:
                seen.append((error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]))

    with made_group(elasticache, "before", **PAIR) as group:
        with connect(group) as client:
            assert client.set("kept", "yes")
            assert client.wait(1, 2000) == 1
        with ThreadPoolExecutor(2) as crowd:
            asking = [crowd.submit(ask) for _ in range(2)]
            try:
                patient.create_cache_cluster(
                    CacheClusterId="amid", CacheNodeType="cache.t4g.micro", Engine="valkey", NumCacheNodes=1
                )
                os.kill(service.pid_of(primary_member(group)), signal.SIGKILL)
                postgres.restart()
                await_answer(patient)
            finally:
                stop.set()
            for each in asking:
                each.result()
        assert {status for status, _ in seen} <= {500, 503}, seen
        await_cluster(patient, "amid")
        healed = await_healthy(patient, "before")
        with connect(healed) as client:
            assert client.get("kept") == "yes"
            assert client.set("after", "the restart")
        delete_cluster(patient, "amid")
    assert service.process is not None
    assert service.process.poll() is None
    wait_for("no process is left", lambda: not service.engine_pids())


def await_answer(client: Any) -> None:
    def answers() -> bool:
        try:
            client.describe_replication_groups()
        except ClientError:
            return False
        return True

    wait_for("the API answers again", answers)


def test_without_its_database_the_service_says_so_and_caches_go_on(
    service: Service, postgres: Postgres, postgres_url: str
) -> None:
    elasticache = service.client()
    with made_group(elasticache, "alone", **PAIR) as group:
        before = service.engine_pids()
        with closed(postgres, postgres_url):
            with pytest.raises(ClientError) as refused:
                elasticache.describe_replication_groups()
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
            assert "asyncpg" not in str(refused.value)
            with connect(group) as client:
                assert client.set("without", "a database")
                assert client.wait(1, 2000) == 1
            assert service.engine_pids() == before
            os.kill(service.pid_of(primary_member(group)), signal.SIGKILL)
        await_answer(elasticache)
        wait_for("another is primary", lambda: primary_member(describe(elasticache, "alone") or group) != primary_member(group))
        healed = await_healthy(elasticache, "alone")
        with connect(healed) as client:
            assert client.get("without") == "a database"
