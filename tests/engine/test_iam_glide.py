"""valkey-glide's own IAM support against the module: it makes tokens by itself, over TLS, and knows nothing of us."""

from __future__ import annotations

import asyncio
import ipaddress
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import glide
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cachefleet.engines.iam_module import IAM_SOURCE
from cachefleet.engines.module_compiling import compiled_module
from cachefleet.model.group import Engine
from cachefleet.model.iam_rules import IamRules, day_keys
from tests.engine.engine_processes import build_of, free_address
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.machine import data_folder
from tests.fixtures.service import wait_for

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE0000000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-west-1"
OURS = "password-of-the-controller"


def certificate(folder: Path, host: str) -> bytes:
    """node.pem and node.key for that address; returns the certificate of the authority that made it, as does ca.pem."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)

    def begun(subject: x509.Name, of: ec.EllipticCurvePrivateKey, serial: int) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(ca_name, subject, of.public_key(), serial)
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))

    authority = begun(ca_name, ca_key, 1).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    node = begun(name, key, 2).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False
    )
    pem = authority.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "node.pem").write_bytes(node.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    kind, sealed = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "node.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, sealed))
    return pem


@pytest.fixture
def node() -> Iterator[tuple[str, int, bytes]]:
    """Address, port and authority of an engine that speaks TLS and knows the IAM user anna of the cache shop."""
    require_compiler()
    build = build_of(Engine.VALKEY, "8.0")
    with data_folder() as folder:
        address = free_address(6379)
        authority = certificate(folder, address.host)
        (folder / "node.conf").write_text(
            f'port 0\ntls-port {address.port}\nbind {address.host}\nsave ""\ntls-auth-clients no\n'
            f"tls-ca-cert-file {folder}/ca.pem\ntls-cert-file {folder}/node.pem\ntls-key-file {folder}/node.key\n"
            f"loadmodule {compiled_module(IAM_SOURCE, folder / 'modules')}\n"
            f"user default off -@all\nuser cachefleet on >{OURS} ~* &* +@all\nuser anna on resetpass ~* &* +@all\n"
        )
        log = folder / "output"
        with log.open("wb") as output:
            process = subprocess.Popen([build.binary, str(folder / "node.conf")], cwd=folder, stdout=output, stderr=output)
        try:
            wait_for("it listens", lambda: b"Ready to accept" in log.read_bytes() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            ours: Any = redis.Redis(
                address.host,
                address.port,
                username="cachefleet",
                password=OURS,
                ssl=True,
                ssl_ca_certs=str(folder / "ca.pem"),
            )
            keys = day_keys(ACCESS_KEY, SECRET_KEY, REGION, ("anna",), datetime.now(UTC).timestamp())
            assert ours.execute_command("CACHEFLEET.IAM", "RULES", IamRules("shop", REGION, ("anna",), keys).text())
            yield address.host, address.port, authority
        finally:
            process.kill()
            process.wait(10)


def configuration(node: tuple[str, int, bytes], cache: str) -> glide.GlideClientConfiguration:
    host, port, authority = node
    return glide.GlideClientConfiguration(
        [glide.NodeAddress(host, port)],
        use_tls=True,
        credentials=glide.ServerCredentials(
            username="anna",
            iam_config=glide.IamAuthConfig(cluster_name=cache, service=glide.ServiceType.ELASTICACHE, region=REGION),
        ),
        request_timeout=5000,
        advanced_config=glide.AdvancedGlideClientConfiguration(
            connection_timeout=5000, tls_config=glide.TlsAdvancedConfiguration(root_pem_cacerts=authority)
        ),
    )


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the AWS SDK in it looks first."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


def test_glide_gets_in_by_itself(node: tuple[str, int, bytes]) -> None:
    async def scenario() -> None:
        client = await glide.GlideClient.create(configuration(node, "shop"))
        try:
            assert await client.custom_command(["ACL", "WHOAMI"]) == b"anna"
            assert await client.set("greeting", "hello") == "OK"
            assert await client.get("greeting") == b"hello"
        finally:
            await client.close()

    asyncio.run(scenario())


def test_not_with_a_token_of_another_cache(node: tuple[str, int, bytes]) -> None:
    async def scenario() -> None:
        with pytest.raises(glide.ClosingError):
            await glide.GlideClient.create(configuration(node, "shop2"))

    asyncio.run(scenario())
