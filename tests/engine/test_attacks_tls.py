"""An attacker's view of caches with TLS: in the clear, with old protocols, with another authority, behind another address."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachefleet.model.group import Engine
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, replication_group
from tests.fixtures.service import Service
from tests.fixtures.tls import authority, handshake

PROTOCOLS = {
    ssl.TLSVersion.TLSv1: False,
    ssl.TLSVersion.TLSv1_1: False,
    ssl.TLSVersion.TLSv1_2: True,
    ssl.TLSVersion.TLSv1_3: True,
}
NAME = "attacked.caches.example"
TWO = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "TransitEncryptionEnabled": True}


@pytest.fixture(scope="module", params=((Engine.REDIS, "7.0"), (Engine.VALKEY, "8.0")), ids=lambda param: str(param[0]))
def groups(request: pytest.FixtureRequest, service: Service) -> Iterator[list[dict[str, Any]]]:
    """Two, with TLS required."""
    engine, version = request.param
    build_of(engine, version)
    client = service.client()
    made = {"Engine": engine.value, "EngineVersion": version, **TWO}
    with replication_group(client, "attacked", **made) as first, replication_group(client, "other", **made) as second:
        yield [first, second]


def primary(group: dict[str, Any]) -> tuple[str, int]:
    return address(group["NodeGroups"][0]["PrimaryEndpoint"])


def everywhere(group: dict[str, Any]) -> list[tuple[str, int]]:
    (shard,) = group["NodeGroups"]
    nodes = [address(member["ReadEndpoint"]) for member in shard["NodeGroupMembers"]]
    return [address(shard["PrimaryEndpoint"]), address(shard["ReaderEndpoint"]), *nodes]


def weak(context: ssl.SSLContext) -> None:
    """Old protocols need ciphers that OpenSSL has put away."""
    context.set_ciphers("ALL:@SECLEVEL=0")


def test_nothing_is_said_in_the_clear(groups: list[dict[str, Any]]) -> None:
    for where in everywhere(groups[0]):
        with socket.create_connection(where, timeout=5) as plain:
            plain.settimeout(1)
            plain.sendall(b"*1\r\n$4\r\nPING\r\n")
            try:
                answer = plain.recv(100)
            except (ConnectionError, TimeoutError):
                answer = b""
            assert b"PONG" not in answer
            assert not answer.startswith((b"+", b"-", b"$"))
        with pytest.raises((redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)):
            redis.Redis(*where, socket_timeout=1, retry=Retry(NoBackoff(), 0)).get("key")


def test_there_is_no_other_port(groups: list[dict[str, Any]]) -> None:
    host, port = primary(groups[0])
    for other in (port - 1, port + 1, port + 10_000):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, other), timeout=5)


@pytest.mark.parametrize("version", PROTOCOLS, ids=lambda version: version.name)
def test_only_tls_1_2_and_newer_are_spoken(groups: list[dict[str, Any]], version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    weak(context)
    with pytest.warns(DeprecationWarning) if not PROTOCOLS[version] else nullcontext():
        context.minimum_version = version
    with pytest.warns(DeprecationWarning) if not PROTOCOLS[version] else nullcontext():
        context.maximum_version = version
    with socket.create_connection(primary(groups[0]), timeout=5) as plain:
        if PROTOCOLS[version]:
            with context.wrap_socket(plain) as made:
                assert made.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain)


def test_another_authority_is_not_believed(groups: list[dict[str, Any]], tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Cachefleet certificate authority")])
    now = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    forged = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "forged.pem"
    file.write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(primary(groups[0]), file)


def test_no_name_is_believed_that_nobody_gave(groups: list[dict[str, Any]], service: Service) -> None:
    for name in (NAME, "localhost", "127.0.0.1"):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(primary(groups[0]), authority(service), name)


def test_a_certificate_is_good_for_its_own_group_only(groups: list[dict[str, Any]], service: Service) -> None:
    """A node that an attacker leads clients of another group to cannot pass for that one."""
    first, second = ({host for host, _ in everywhere(group)} for group in groups)
    for where in everywhere(groups[0]):
        shown = handshake(where, authority(service))
        valid_for = {str(ipaddress.ip_address(value)) for kind, value in shown["subjectAltName"] if kind == "IP Address"}
        assert where[0] in valid_for
        assert valid_for <= first
        for host in second:
            with pytest.raises(ssl.SSLCertVerificationError):
                handshake(where, authority(service), host)


def test_keys_are_nowhere_but_in_files_of_the_owner(groups: list[dict[str, Any]], service: Service) -> None:
    with_keys = [file for file in service.data.rglob("*") if file.is_file() and b"PRIVATE KEY" in file.read_bytes()]
    assert with_keys
    for file in with_keys:
        assert file.name in ("node.key", "node.pem", "ca.key")
        assert file.stat().st_mode & 0o777 == 0o600
    bodies = [body for file in with_keys for body in [file.read_bytes().splitlines()[1]]]
    for pid in service.engine_pids():
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(body in told for body in bodies)
    log = b"".join(file.read_bytes() for file in service.data.rglob("*.log"))
    assert not any(body in log for body in bodies)
    assert (service.data / "ca").stat().st_mode & 0o077 == 0
