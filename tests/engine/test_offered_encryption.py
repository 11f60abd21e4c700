"""What every kind of port offers of TLS, asked as testssl.sh asks: protocols, ciphers, compression, renegotiation, early data,
certificates. Of engines, the bus of clusters, reader endpoints, TLS while it is preferred, Memcached, its endpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from cachefleet.engines import discovery_encryption
from cachefleet.model.group import Engine
from cachefleet.model.transit import CIPHERS
from tests.engine.engine_processes import build_of
from tests.engine.groups import address, cache_cluster, describe_cluster, replication_group
from tests.fixtures.service import Service
from tests.fixtures.tls import cluster_buses, openssl, service_group
from tests.fixtures.tls_survey import SUITES, TLS12, TLS13, Survey

ROOT = Path(__file__).resolve().parents[2]
Where = tuple[str, int]
RESP = ((Engine.REDIS, "7.0"), (Engine.VALKEY, "8.0"))
KINDS = ("primary", "reader", "node", "preferred", "slots", "bus")
PORTS = [f"{engine.value} {kind}" for engine, _ in RESP for kind in KINDS] + ["memcached", "configuration"]
ECDHE_ECDSA_AES128_GCM, ECDHE_ECDSA_AES256_GCM, ECDHE_ECDSA_CHACHA20 = 0xC02B, 0xC02C, 0xCCA9
AES_128_GCM, AES_256_GCM, CHACHA20 = 0x1301, 0x1302, 0x1303
WEAK = {  # some of those that nobody must offer, by name; all others but three are refused as well
    "NULL-MD5": 0x0001, "NULL-SHA256": 0x003B, "EXP-RC4-MD5": 0x0003, "RC4-SHA": 0x0005, "DES-CBC-SHA": 0x0009,
    "DES-CBC3-SHA": 0x000A, "ADH-AES128-SHA": 0x0034, "AES128-SHA": 0x002F, "AES256-GCM-SHA384": 0x009D,
    "AECDH-AES128-SHA": 0xC018, "ECDHE-ECDSA-NULL-SHA": 0xC006, "ECDHE-ECDSA-RC4-SHA": 0xC007,
    "ECDHE-ECDSA-DES-CBC3-SHA": 0xC008, "ECDHE-ECDSA-AES128-SHA": 0xC009, "PSK-AES128-CBC-SHA": 0x008C,
}  # fmt: skip


@pytest.fixture(scope="module")
def places(service: Service) -> Iterator[dict[str, Where]]:
    """One of each kind of port."""
    for engine, version in (*RESP, (Engine.MEMCACHED, "1.6")):
        build_of(engine, version)
    client = service.client()
    found: dict[str, Where] = {}
    with ExitStack() as stack:
        for engine, version in RESP:
            of = {"Engine": engine.value, "EngineVersion": version, "TransitEncryptionEnabled": True}
            found |= {f"{engine.value} {kind}": where for kind, where in made(service, client, stack, engine.value, of).items()}
        wanted = {"Engine": "memcached", "NumCacheNodes": 1, "TransitEncryptionEnabled": True}
        items = stack.enter_context(cache_cluster(client, "offer-items", **wanted))
        found["configuration"] = address(items["ConfigurationEndpoint"])
        found["memcached"] = address(items["CacheNodes"][0]["Endpoint"])
        assert set(found) == set(PORTS)
        yield found


def made(service: Service, client: Any, stack: ExitStack, name: str, of: dict[str, Any]) -> dict[str, Where]:
    pair = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True}
    slots = {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 0, "AutomaticFailoverEnabled": True}
    required = stack.enter_context(replication_group(client, f"offer-{name}", **of, **pair))
    both = {"NumCacheClusters": 1, "TransitEncryptionMode": "preferred"}
    preferred = stack.enter_context(replication_group(client, f"offer-{name}-both", **of, **both))
    sharded = stack.enter_context(replication_group(client, f"offer-{name}-slots", **of, **slots))
    node = describe_cluster(client, required["MemberClusters"][1]) or {}
    host, port = address(preferred["NodeGroups"][0]["PrimaryEndpoint"])
    configuration = address(sharded["ConfigurationEndpoint"])
    return {
        "primary": address(required["NodeGroups"][0]["PrimaryEndpoint"]),
        "reader": address(required["NodeGroups"][0]["ReaderEndpoint"]),
        "node": address(node["CacheNodes"][0]["Endpoint"]),
        "preferred": (host, port + 1),
        "slots": configuration,
        "bus": cluster_buses(service, configuration)[0],
    }


@pytest.fixture(scope="module")
def surveys(service: Service, places: dict[str, Where]) -> dict[str, Survey]:
    """Asked for by a process of the service's group: to all others buses are closed."""
    found = {}
    for name, (host, port) in places.items():
        command = [sys.executable, "-m", "tests.fixtures.tls_survey", host, str(port)]
        group = service_group(service)
        told = subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=120, check=True, group=group if group != os.getegid() else None
        )
        found[name] = msgspec.json.decode(told.stdout, type=Survey)
    return found


@pytest.mark.parametrize("port", PORTS)
def test_tls_1_2_and_1_3_and_nothing_older(surveys: dict[str, Survey], port: str) -> None:
    assert surveys[port].versions == (TLS12, TLS13)


@pytest.mark.parametrize("port", PORTS)
def test_no_cipher_without_forward_secrecy_and_authenticated_encryption(surveys: dict[str, Survey], port: str) -> None:
    assert set(WEAK.values()) < set(SUITES)
    assert set(surveys[port].suites) == {ECDHE_ECDSA_AES128_GCM, ECDHE_ECDSA_AES256_GCM, ECDHE_ECDSA_CHACHA20}
    assert set(surveys[port].suites_13) == {AES_128_GCM, AES_256_GCM, CHACHA20}


def test_the_list_of_ciphers_is_one() -> None:
    assert discovery_encryption.CIPHERS == CIPHERS


@pytest.mark.parametrize("port", PORTS)
def test_nothing_is_compressed(surveys: dict[str, Survey], port: str) -> None:
    assert surveys[port].compression == 0


@pytest.mark.parametrize("port", [port for port in PORTS if not port.endswith("bus")])  # where no handshake gets as far
def test_renegotiation_is_secure_and_not_the_clients_to_begin(
    service: Service, places: dict[str, Where], surveys: dict[str, Survey], port: str
) -> None:
    assert surveys[port].secure_renegotiation
    told = openssl(service, places[port], "-tls1_2", said="R\n")
    assert "RENEGOTIATING" in told
    assert "no renegotiation" in told or "SSL alert number" in told, told[-2000:]
    assert "Verify return code: 0 (ok)" in openssl(service, places[port], "-tls1_2"), "others are not disturbed"


@pytest.mark.parametrize("port", PORTS)
def test_no_data_before_the_handshake_is_over(service: Service, places: dict[str, Where], port: str) -> None:
    """Early data could be sent again by whoever has seen it."""
    told = openssl(service, places[port], "-tls1_3", "-sess_out", os.devnull)
    assert "TLSv1.3" in told
    assert "Max Early Data: 0" in told or "Max Early Data" not in told


@pytest.mark.parametrize("port", PORTS)
def test_certificates_are_of_a_strong_key_for_a_short_time_and_no_wildcard(
    service: Service, places: dict[str, Where], port: str
) -> None:
    told = openssl(service, places[port], "-verify_return_error", "-verify_ip", places[port][0])
    assert "Verification: OK" in told
    pem = told[told.index("-----BEGIN CERTIFICATE") : told.index("-----END CERTIFICATE")] + "-----END CERTIFICATE-----\n"
    shown = x509.load_pem_x509_certificate(pem.encode())
    key = shown.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    assert shown.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    assert (shown.not_valid_after_utc - shown.not_valid_before_utc).days <= 90
    assert shown.serial_number.bit_length() > 64
    assert not shown.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = shown.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not (usage.key_cert_sign or usage.key_encipherment)
    assert ExtendedKeyUsageOID.SERVER_AUTH in shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []


@pytest.mark.parametrize("port", ["redis bus", "valkey bus"])
def test_who_has_no_certificate_is_not_heard_on_a_bus(service: Service, places: dict[str, Where], port: str) -> None:
    """Even among those that reach it."""
    told = openssl(service, places[port], "-tls1_2", said="hello\n")
    assert "alert handshake failure" in told or "SSL alert number 40" in told, told[-2000:]
