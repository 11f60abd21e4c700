"""Encryption in transit of real caches: at creation, step by step under a client, in failovers, snapshots and resharding."""

from __future__ import annotations

import itertools
import os
import signal
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, await_available, await_healthy, describe, primary_member, replication_group
from tests.engine.snapshots import await_snapshot, remove
from tests.fixtures.operator import operator_login
from tests.fixtures.service import CACHEFLEET, Service, wait_for
from tests.fixtures.tls import authority, connect, handshake, tls

WITH_TLS = ((Engine.REDIS, "7.0"), (Engine.VALKEY, "8.0"))
PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
LOST = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, redis.exceptions.ResponseError)


@pytest.fixture(params=WITH_TLS, ids=lambda param: f"{param[0].value}-{param[1]}")
def engine(request: pytest.FixtureRequest) -> dict[str, str]:
    """Of a creation."""
    name, version = request.param
    build_of(name, version)
    return {"Engine": name.value, "EngineVersion": version}


def modify(client: Any, group: str, timeout_s: float = 90.0, **change: Any) -> dict[str, Any]:
    client.modify_replication_group(ReplicationGroupId=group, ApplyImmediately=True, **change)
    return await_healthy(client, group, timeout_s)


def step(client: Any, group: str, mode: str) -> dict[str, Any]:
    if mode == "off":
        return modify(client, group, TransitEncryptionEnabled=False)
    return modify(client, group, TransitEncryptionEnabled=True, TransitEncryptionMode=mode)


class Writer:
    """A client that is given the address, and retries at each way in that the mode may have. Every write that was acknowledged
    has to be found later."""

    def __init__(self, ways: list[Any]) -> None:
        self._ways = ways
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: dict[str, str] = {}
        self.longest_gap = 0

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            name = f"key-{number}"
            for attempt in range(2000):
                try:
                    self._ways[0].set(name, str(number))
                except LOST:
                    self._ways.append(self._ways.pop(0))
                    self.longest_gap = max(self.longest_gap, attempt)
                    if self._stop.wait(0.005):
                        return
                else:
                    self.acknowledged[name] = str(number)
                    break

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def await_more(self) -> None:
        before = len(self.acknowledged)
        wait_for("writes go on", lambda: len(self.acknowledged) > before + 50)


def ways(service: Service, host: str, port: int) -> list[Any]:
    plain: dict[str, Any] = {
        "socket_timeout": 0.5,
        "retry": Retry(NoBackoff(), 0),
    }  # one that speaks TLS to who does not waits for an answer
    return [
        redis.Redis(host, port, **plain),
        redis.Redis(host, port + 1, **plain, **tls(service)),
        redis.Redis(host, port, **plain, **tls(service)),
    ]


def missing(found: Mapping[str, Any], expected: Mapping[str, str]) -> list[str]:
    return [name for name, value in expected.items() if found.get(name) != value.encode()]


def test_replicas_speak_tls_and_a_failover_keeps_what_was_written(service: Service, engine: dict[str, str]) -> None:
    client = service.client()
    with replication_group(client, "tls-pair", **engine, **PAIR, TransitEncryptionEnabled=True) as group:
        assert (group["TransitEncryptionEnabled"], group["TransitEncryptionMode"]) == (True, "required")
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        cache = connect(service, where)
        assert cache.set("kept", "value")
        user, password = operator_login(*where)
        ours = connect(service, where, username=user, password=password)
        assert ours.config_get("tls-replication") == {"tls-replication": "yes"}
        assert ours.config_get("port") == {"port": "0"}
        wait_for("the replica has it", lambda: ours.execute_command("WAIT", 1, 100) == 1)
        old = primary_member(group)
        os.kill(service.pid_of(old), signal.SIGKILL)
        wait_for("the other node is primary", lambda: primary_member(describe(client, "tls-pair") or group) != old)
        assert connect(service, where).get("kept") == b"value"
        await_healthy(client, "tls-pair")
        member = group["NodeGroups"][0]["NodeGroupMembers"][0]["ReadEndpoint"]
        assert connect(service, address(member)).get("kept") == b"value"


def test_a_pair_goes_all_the_way_and_back_under_a_client(service: Service, engine: dict[str, str]) -> None:
    client = service.client()
    with replication_group(client, "tls-steps", **engine, **PAIR) as group:
        host, port = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        plain, beside, only = ways(service, host, port)
        with Writer(ways(service, host, port)) as writer:
            for mode, open_ways, closed in (
                ("preferred", (plain, beside), (only,)),
                ("required", (only,), (plain, beside)),
                ("preferred", (plain, beside), (only,)),
                ("off", (plain,), (beside, only)),
            ):
                after = step(client, "tls-steps", mode)
                shown = after["TransitEncryptionEnabled"], after.get("TransitEncryptionMode", "off")
                assert shown == (mode != "off", mode)
                assert not after["PendingModifiedValues"]
                writer.await_more()
                for way in open_ways:
                    assert way.ping(), mode
                for way in closed:
                    with pytest.raises((redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)):
                        way.ping()
        names = list(writer.acknowledged)
        found = dict(zip(names, plain.mget(names), strict=True))
        assert not missing(found, writer.acknowledged)


def cluster_client(service: Service, host: str, port: int, *, encrypted: bool) -> Any:
    more = tls(service) if encrypted else {}
    return RedisCluster(host=host, port=port, socket_timeout=2, **more)


class Reconnecting:
    """A cluster client that learns the topology anew after each failure."""

    def __init__(self, service: Service, host: str, port: int, *, encrypted: bool) -> None:
        self._how = (service, host, port)
        self._encrypted = encrypted
        self._client: Any = None

    def set(self, name: str, value: str) -> None:
        try:
            self._client = self._client or cluster_client(*self._how, encrypted=self._encrypted)
            self._client.set(name, value)
        except Exception as error:
            self._client = None
            raise redis.exceptions.ConnectionError(str(error)) from error


def test_a_cluster_goes_all_the_way_and_back_under_a_client(service: Service, engine: dict[str, str]) -> None:
    client = service.client()
    shards = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True}
    with replication_group(client, "tls-slots", **engine, **shards) as group:
        host, port = address(group["ConfigurationEndpoint"])
        modes = (Reconnecting(service, host, port, encrypted=False), Reconnecting(service, host, port + 1, encrypted=True))
        with Writer([*modes, Reconnecting(service, host, port, encrypted=True)]) as writer:
            for mode in ("preferred", "required", "preferred", "off"):
                step(client, "tls-slots", mode)
                writer.await_more()
                if mode == "preferred":
                    for shift, encrypted in ((0, False), (1, True)):
                        reached = cluster_client(service, host, port + shift, encrypted=encrypted)
                        assert {node.port for node in reached.get_nodes()} == {port + shift}
        reader = cluster_client(service, host, port, encrypted=False)
        found = {name: reader.get(name) for name in writer.acknowledged}
        assert not missing(found, writer.acknowledged)


def test_slots_move_and_snapshots_are_made_and_restored_with_tls(service: Service, engine: dict[str, str]) -> None:
    client = service.client()
    two = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True, "TransitEncryptionEnabled": True}
    with replication_group(client, "tls-move", **engine, **two) as group:
        where = address(group["ConfigurationEndpoint"])
        cache = cluster_client(service, *where, encrypted=True)
        expected = {f"key-{number}": str(number) for number in range(2000)}
        for name, value in expected.items():
            cache.set(name, value)
        client.modify_replication_group_shard_configuration(
            ReplicationGroupId="tls-move", NodeGroupCount=3, ApplyImmediately=True
        )
        await_healthy(client, "tls-move", 90)
        cache = cluster_client(service, *where, encrypted=True)
        assert len(cache.get_primaries()) == 3
        assert not missing({name: cache.get(name) for name in expected}, expected)
        client.create_snapshot(ReplicationGroupId="tls-move", SnapshotName="tls-saved")
        await_snapshot(client, "tls-saved")
    try:
        client.create_replication_group(
            ReplicationGroupId="tls-again",
            ReplicationGroupDescription="test",
            SnapshotName="tls-saved",
            CacheNodeType="cache.t4g.micro",
            AutomaticFailoverEnabled=True,
            TransitEncryptionEnabled=True,
            **engine,
        )
        again = await_available(client, "tls-again", 60)
        reader = cluster_client(service, *address(again["ConfigurationEndpoint"]), encrypted=True)
        assert not missing({name: reader.get(name) for name in expected}, expected)
    finally:
        with_group_gone(client, "tls-again")
        remove(client, "tls-saved")


def with_group_gone(client: Any, group: str) -> None:
    client.delete_replication_group(ReplicationGroupId=group)
    wait_for(f"{group} is gone", lambda: describe(client, group) is None)


def is_told(client: Any, group: str, words: str) -> bool:
    """Of the group, whatever else has been told since."""
    return any(words in event["Message"] for event in client.describe_events(SourceIdentifier=group)["Events"])


def test_certificates_are_rotated_on_demand_and_connections_stay(service: Service, engine: dict[str, str]) -> None:
    client = service.client()
    with replication_group(client, "tls-rotate", **engine, **PAIR, TransitEncryptionEnabled=True) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        before = handshake(where, authority(service))
        cache = connect(service, where)
        name = cache.client_id()
        rotated = subprocess.run(
            [CACHEFLEET, "ca", "rotate", "--data", str(service.data)], capture_output=True, text=True, timeout=60, check=True
        )
        assert "certificate" in rotated.stdout
        serial = before["serialNumber"]
        wait_for("another certificate is shown", lambda: handshake(where, authority(service))["serialNumber"] != serial)
        assert cache.client_id() == name
        assert before["subject"][1] != handshake(where, authority(service))["subject"][1]
        wait_for("users are told", lambda: is_told(client, "tls-rotate", "certificates of the nodes have been renewed"))


def test_the_authority_is_told_to_whoever_asks(service: Service) -> None:
    told = urllib.request.urlopen(f"{service.url}/ca.pem", timeout=10).read()
    assert told == Path(authority(service)).read_bytes()
    printed = subprocess.run([CACHEFLEET, "ca", "--data", str(service.data)], capture_output=True, timeout=60, check=True)
    assert printed.stdout == told
    key = service.data / "ca" / "ca.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert (service.data / "ca").stat().st_mode & 0o777 == 0o700
    ssl.create_default_context(cadata=told.decode())
    assert b"PRIVATE" not in told


def refused(client: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        client.modify_replication_group(ApplyImmediately=True, **request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_what_cannot_be_is_refused_with_what_to_do(service: Service) -> None:
    client = service.client()
    combination = "InvalidParameterCombination"
    with replication_group(client, "tls-not", Engine="redis", EngineVersion="7.0", NumCacheClusters=1):
        group = {"ReplicationGroupId": "tls-not"}
        code, message = refused(client, **group, TransitEncryptionMode="preferred")
        assert (code, message) == (combination, "To modify transit encryption mode, set encryption-in-transit as enabled.")
        for asked in ({"TransitEncryptionMode": "required"}, {}):
            code, message = refused(client, **group, TransitEncryptionEnabled=True, **asked)
            assert code == combination
            assert "preferred first" in message
        code, message = refused(client, **group, TransitEncryptionEnabled=True, TransitEncryptionMode="both")
        assert code == "InvalidParameterValue"


@contextmanager
def gone_after(client: Any, group: str) -> Iterator[None]:
    try:
        yield
    finally:
        if describe(client, group) is not None:
            with_group_gone(client, group)


def test_an_engine_without_tls_is_refused_and_others_are_named(service: Service) -> None:
    client = service.client()
    assert "tls" not in build_of(Engine.VALKEY, "9.1").capabilities
    with gone_after(client, "tls-none"), pytest.raises(ClientError) as caught:
        client.create_replication_group(
            ReplicationGroupId="tls-none",
            ReplicationGroupDescription="test",
            CacheNodeType="cache.t4g.micro",
            TransitEncryptionEnabled=True,
            Engine="valkey",
            EngineVersion="9.1",
        )
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameterCombination"
    assert "Installed builds with TLS" in error["Message"]
    assert "cachefleet engines build valkey 9.1" in error["Message"]


def test_the_cluster_mode_changes_with_tls(service: Service, engine: dict[str, str]) -> None:
    client = service.client()
    with replication_group(client, "tls-modes", **engine, **PAIR, TransitEncryptionEnabled=True) as group:
        where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
        assert connect(service, where).set("kept", "value")
        compatible = modify(client, "tls-modes", ClusterMode="compatible")
        assert connect(service, where).get("kept") == b"value"
        enabled = modify(client, "tls-modes", ClusterMode="enabled")
        reader = cluster_client(service, *address(enabled["ConfigurationEndpoint"]), encrypted=True)
        assert reader.get("kept") == b"value"
        assert compatible["TransitEncryptionMode"] == enabled["TransitEncryptionMode"] == "required"
