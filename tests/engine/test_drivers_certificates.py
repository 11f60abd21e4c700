"""Certificates of Memcached by way of its driver, with a real process: what becomes of the look at a node that has no room."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from cachefleet.app.certificate_authority import CertificateAuthority
from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.memcached import MemcachedDriver
from cachefleet.engines.trust import Trust
from cachefleet.model.group import Engine
from cachefleet.model.transit import REQUIRED, NodeCertificate
from cachefleet.settings import TransitSettings
from tests.engine.engine_processes import EngineProcesses, Node, build_of, free_address, processes
from tests.fixtures.tls import handshake

PORT = 11211


def test_a_full_node_is_seen_though_nobody_can_look_at_its_new_certificate(tmp_path: Path) -> None:
    """The connection by which we see it stays where there is no room for another one."""
    issuer = CertificateAuthority.of(tmp_path, TransitSettings(), SystemClock())

    async def scenario() -> None:
        async with processes(MemcachedDriver(trust=Trust(issuer.authorities)), build_of(Engine.MEMCACHED, "1.6")) as engines:
            at = msgspec.structs.replace(free_address(PORT), transit=REQUIRED)
            first, second = (issuer.issue(name, (), (at.host,)) for name in ("first", "second"))
            node = engines.start(at, parameters={"max_simultaneous_connections": "40"}, certificate=first)
            seen = (await engines.view(node)).certificate
            assert seen is not None
            with ExitStack() as stack:
                for _ in range(40):
                    stack.enter_context(socket.create_connection((at.host, PORT), timeout=5))
                for name, content in engines.driver.certificate_files(second).items():
                    (node.folder / name).write_bytes(content)  # stays the owner's
                with pytest.raises((EngineRefused, TimeoutError)):
                    async with asyncio.timeout(1):
                        await engines.driver.certify(at, "")
                assert (await engines.view(node)).certificate == seen
            async with asyncio.timeout(10):
                await certified(engines, node)
            assert handshake((at.host, PORT), tmp_path / "ca" / "ca.pem")["serialNumber"] == serial(second)

    asyncio.run(scenario())


async def certified(engines: EngineProcesses, node: Node) -> None:
    """As soon as it has noticed that others have gone."""
    while True:
        with suppress(EngineRefused):
            return await engines.driver.certify(node.address, "")
        await asyncio.sleep(0.01)


def serial(certificate: NodeCertificate) -> str:
    number = x509.load_pem_x509_certificate(certificate.certificate).serial_number
    return f"{number:X}".zfill(len(f"{number:X}") + len(f"{number:X}") % 2)
