"""Memcached with encryption in transit: nodes, the configuration endpoint, what is passed on, snapshots."""

from __future__ import annotations

import socket
import ssl
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymemcache.client.base import Client

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, cache_cluster
from tests.fixtures.service import CACHEFLEET, Service, wait_for
from tests.fixtures.tls import authority, handshake


def talk(service: Service, where: tuple[str, int], said: bytes, end: bytes) -> bytes:
    context = ssl.create_default_context(cafile=authority(service))
    heard = b""
    with socket.create_connection(where, timeout=5) as plain, context.wrap_socket(plain, server_hostname=where[0]) as made:
        made.sendall(said)
        while not heard.endswith(end):
            try:
                piece = made.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no more after {len(heard)} bytes: {heard[:60]!r} ... {heard[-60:]!r}") from None
            assert piece, heard[-100:]
            heard += piece
    return heard


def test_nodes_and_the_configuration_endpoint_speak_tls_only(service: Service) -> None:
    build_of(Engine.MEMCACHED, "1.6")
    client = service.client()
    made = {"Engine": "memcached", "NumCacheNodes": 2, "TransitEncryptionEnabled": True}
    with cache_cluster(client, "tls-items", **made) as cluster:
        assert cluster["TransitEncryptionEnabled"]
        nodes = [address(node["Endpoint"]) for node in cluster["CacheNodes"]]
        endpoint = address(cluster["ConfigurationEndpoint"])
        context = ssl.create_default_context(cafile=authority(service))
        for number, where in enumerate(nodes):
            with closing(Client(where, tls_context=context, timeout=5, connect_timeout=5)) as cache:
                assert cache.set(f"key-{number}", b"x" * 300_000)
                assert cache.get(f"key-{number}") == b"x" * 300_000
        listed = talk(service, endpoint, b"config get cluster\r\n", b"END\r\n")
        assert all(f"{host}|{host}|{port}".encode() in listed for host, port in nodes)
        value = b"y" * 300_000
        with closing(Client(endpoint, tls_context=context, timeout=5, connect_timeout=5)) as passed_on:
            assert passed_on.set("passed", value)
            assert passed_on.get("passed") == value
        # In one record: what follows a stored value in it is seen by Memcached with the next record only.
        heard = talk(service, endpoint, b"get none\r\nconfig get cluster\r\nget none\r\n", b"END\r\nEND\r\n")
        assert heard.startswith(b"END\r\nCONFIG cluster 0 ")
        for where in (*nodes, endpoint):
            with socket.create_connection(where, timeout=5) as plain:
                plain.settimeout(1)
                plain.sendall(b"version\r\n")
                assert not said_by(plain).startswith(b"VERSION")
            with pytest.warns(DeprecationWarning), pytest.raises((ssl.SSLError, ConnectionError)):
                handshake(where, None, maximum_version=ssl.TLSVersion.TLSv1_1)
            with pytest.raises(ssl.SSLCertVerificationError):
                handshake(where, authority(service), "127.0.0.1")


def said_by(plain: Any) -> bytes:
    try:
        return bytes(plain.recv(100))
    except (ConnectionError, TimeoutError):
        return b""


def test_the_key_is_the_owners(service: Service) -> None:
    build_of(Engine.MEMCACHED, "1.6")
    with cache_cluster(service.client(), "tls-keys", Engine="memcached", NumCacheNodes=1, TransitEncryptionEnabled=True):
        keys = [file for file in Path(service.data / "nodes").rglob("node.pem") if "tls-keys" in str(file)]
        assert len(keys) == 2
        assert all(file.stat().st_mode & 0o777 == 0o600 for file in keys)


def test_certificates_are_rotated_on_demand_and_connections_stay(service: Service) -> None:
    build_of(Engine.MEMCACHED, "1.6")
    client = service.client()
    made = {"Engine": "memcached", "NumCacheNodes": 1, "TransitEncryptionEnabled": True}
    with cache_cluster(client, "tls-anew", **made) as cluster:
        places = [address(cluster["ConfigurationEndpoint"]), address(cluster["CacheNodes"][0]["Endpoint"])]
        context = ssl.create_default_context(cafile=authority(service))
        held = [Client(where, tls_context=context, timeout=5, connect_timeout=5) for where in places]
        assert all(cache.set("kept", b"value") for cache in held)
        before = serials(service, places)
        rotate(service)
        wait_for("other certificates are shown", lambda: not set(before) & set(serials(service, places)))
        for cache in held:
            assert cache.sock is not None
            assert cache.get("kept") == b"value"
            cache.close()


def serials(service: Service, places: list[tuple[str, int]]) -> list[str]:
    return [handshake(where, authority(service))["serialNumber"] for where in places]


def rotate(service: Service) -> None:
    command = [CACHEFLEET, "ca", "rotate", "--data", str(service.data)]
    subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
