"""Certificates that live for seconds: every place of every engine with TLS gets the next one before the last one ends, while
connections stay open, and nobody who verifies is ever refused."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, cache_cluster, describe, describe_cluster, replication_group
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import operator_login
from tests.fixtures.service import Service, running_service, wait_for
from tests.fixtures.tls import authority, cluster_buses, connect, openssl

LIFE_S = 24.0
RENEWALS = 2
PAIR = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "TransitEncryptionEnabled": True}
SHARDS = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "AutomaticFailoverEnabled": True, "TransitEncryptionEnabled": True}
Where = tuple[str, int]


@pytest.fixture
def hasty() -> Iterator[Service]:
    with data_folder() as data, running_service(data, start=False) as service:
        service.start(environment={"CACHEFLEET_TRANSIT_CERTIFICATE_DAYS": f"{LIFE_S / 86_400:.8f}"})
        yield service


class Visitor:
    """Comes again and again to all places, and believes only what is valid now and for the place. One connection to each place
    stays. seen: certificates by place, in order."""

    def __init__(self, service: Service, places: list[Where]) -> None:
        self._context = ssl.create_default_context(cafile=authority(service))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen: dict[Where, list[bytes]] = {where: [] for where in places}
        self.refused: list[str] = []
        self.stays = {where: self._connection(where) for where in places}

    def _connection(self, where: Where) -> ssl.SSLSocket:
        return self._context.wrap_socket(socket.create_connection(where, timeout=10), server_hostname=where[0])

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for where, shown in self.seen.items():
                try:
                    with self._connection(where) as made:
                        certificate = made.getpeercert(binary_form=True) or b""
                except OSError as error:
                    self.refused.append(f"{where}: {error}")
                else:
                    if certificate not in shown:
                        shown.append(certificate)

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        for made in self.stays.values():
            made.close()


def endpoints_of(group: dict[str, Any]) -> list[Where]:
    """The endpoints of a replication group."""
    endpoints = [group["ConfigurationEndpoint"]] if "ConfigurationEndpoint" in group else []
    for shard in group["NodeGroups"]:
        endpoints += [shard[key] for key in ("PrimaryEndpoint", "ReaderEndpoint") if key in shard]
    return [address(endpoint) for endpoint in endpoints]


def nodes(client: Any, group: dict[str, Any]) -> list[Where]:
    found = [describe_cluster(client, member) for member in group["MemberClusters"]]
    return [address(node["Endpoint"]) for cluster in found if cluster is not None for node in cluster["CacheNodes"]]


def certificate(told: str) -> str:
    return told[told.index("-----BEGIN CERT") : told.index("-----END CERT")]


def answers(made: ssl.SSLSocket, said: bytes, expected: bytes) -> bool:
    made.sendall(said)
    return made.recv(100).startswith(expected)


def test_every_place_gets_the_next_certificate_before_the_last_one_ends(hasty: Service) -> None:
    for engine, version in ((Engine.REDIS, "7.0"), (Engine.VALKEY, "8.0"), (Engine.MEMCACHED, "1.6")):
        build_of(engine, version)
    client = hasty.client()
    with ExitStack() as stack:
        pair = stack.enter_context(replication_group(client, "pair", Engine="redis", EngineVersion="7.0", **PAIR))
        slots = stack.enter_context(replication_group(client, "slots", Engine="valkey", EngineVersion="8.0", **SHARDS))
        made = {"Engine": "memcached", "NumCacheNodes": 2, "TransitEncryptionEnabled": True}
        items = stack.enter_context(cache_cluster(client, "items", **made))
        speaking = [*endpoints_of(pair), *nodes(client, pair), *endpoints_of(slots), *nodes(client, slots)]
        telling = [address(items["ConfigurationEndpoint"]), *(address(node["Endpoint"]) for node in items["CacheNodes"])]
        buses = cluster_buses(hasty, address(slots["ConfigurationEndpoint"]))
        first = [openssl(hasty, where) for where in buses]
        primary = connect(hasty, address(pair["NodeGroups"][0]["PrimaryEndpoint"]))
        held = Client(telling[1], tls_context=ssl.create_default_context(cafile=authority(hasty)), timeout=5)
        assert primary.set("kept", "value") and held.set("kept", b"value")
        connection = primary.client_id()
        visitor = stack.enter_context(Visitor(hasty, [*speaking, *telling]))

        def renewed() -> bool:
            assert not visitor.refused
            assert {(describe(client, group) or {})["Status"] for group in ("pair", "slots")} == {"available"}
            assert (describe_cluster(client, "items") or {})["CacheClusterStatus"] == "available"
            return all(len(shown) > RENEWALS for shown in visitor.seen.values())

        wait_for("all certificates were renewed twice", renewed, 4 * RENEWALS * LIFE_S, 0.1)
        assert primary.client_id() == connection and primary.get("kept") == b"value"
        assert held.get("kept") == b"value"
        held.close()
        assert all(answers(visitor.stays[where], b"PING\r\n", b"+PONG") for where in speaking)
        assert all(answers(visitor.stays[where], b"config get cluster\r\n", b"CONFIG cluster") for where in telling[:1])
        assert all(answers(visitor.stays[where], b"version\r\n", b"VERSION") for where in telling[1:])
        assert len({shown[-1] for shown in visitor.seen.values()}) >= len(nodes(client, pair)) + len(buses) + len(telling)
        for where, before in zip(buses, first, strict=True):
            now = openssl(hasty, where, "-verify_return_error", "-verify_ip", where[0])
            assert "Verification: OK" in now and certificate(now) != certificate(before)
        replicas_come_back(hasty, address(pair["NodeGroups"][0]["PrimaryEndpoint"]))
    log = (hasty.data / "up.log").read_text()
    assert "certificate" not in log.lower().replace("certificate authority", ""), log[-4000:]


def replicas_come_back(service: Service, primary: Where) -> None:
    """Their link is cut: they have to believe the certificate that the primary has by now."""
    user, password = operator_login(*primary)
    with connect(service, primary, username=user, password=password) as ours:
        (before,) = (each["id"] for each in ours.client_list(_type="replica"))
        assert ours.execute_command("CLIENT", "KILL", "TYPE", "replica") == 1
        wait_for("another link", lambda: [each["id"] for each in ours.client_list(_type="replica")] not in ([], [before]))
        assert ours.set("later", "value")
        wait_for("the replica has it", lambda: ours.execute_command("WAIT", 1, 100) == 1)


def test_memcached_reads_its_certificate_as_who_it_has_become(service: Service) -> None:
    """It has given up the rights that it began with. Nobody else gets to the file: what is above it is closed."""
    build_of(Engine.MEMCACHED, "1.6")
    client = service.client()
    with cache_cluster(client, "tls-owner", Engine="memcached", NumCacheNodes=1, TransitEncryptionEnabled=True):
        pid = service.pid_of("tls-owner.0001")
        folder = Path(f"/proc/{pid}/cwd").resolve()
        (file,) = folder.glob("node.pem")
        (uid,) = (
            int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:")
        )
        assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (uid, 0o600)
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_uid == folder.parent.stat().st_uid
        assert folder.stat().st_mode & 0o066 == 0
