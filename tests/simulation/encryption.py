"""Encryption in transit of simulated engines: which ports speak TLS, what a node shows there, and who believes it.

A connection is made where both sides mean the same, and else refused at once; a control plane connects only to who shows a
certificate for the address that it called. Nothing is encrypted.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from cachefleet.engines.trust import Trust
from cachefleet.model.observed import Address
from cachefleet.model.transit import NodeCertificate
from tests.simulation.network import End
from tests.simulation.process import Process

LIFE_S = 90 * 86_400.0
_CERTIFICATE = "node.crt"


class Certificates:
    """access_interfaces.Certificates: one authority, whatever becomes of control planes."""

    lead_s = LIFE_S / 3

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._rotations = 0

    @property
    def series(self) -> str:
        return f"series-{self._rotations}"

    @property
    def until(self) -> float:
        return self._now() + LIFE_S

    def names(self, group: str, node: str) -> tuple[str, ...]:
        return ()

    def issue(self, node: str, names: Sequence[str], addresses: Sequence[str]) -> NodeCertificate:
        shown = json.dumps({"series": self.series, "until": self.until, "addresses": list(addresses)})
        return NodeCertificate(shown.encode(), b"key", b"authorities")

    def authorities(self) -> str:
        return ""

    def rotate(self) -> None:
        self._rotations += 1


class Belief(Trust):
    """What a control plane connects with: anything that is not None where the node has a port with TLS."""

    def __init__(self) -> None:
        super().__init__(lambda: "")

    def context(self, at: Address) -> ssl.SSLContext | None:
        return cast(ssl.SSLContext, "TLS") if at.tls_port else None


class Ports:
    """Of one engine. files: of its folder, as they are now."""

    def __init__(self, process: Process, config: dict[str, str], files: Callable[[], Mapping[str, bytes]]) -> None:
        self._config, self._files = config, files
        plain, encrypted = int(config["port"]), int(config.get("tls-port", "0"))
        process.ports = {port: port == encrypted for port in (plain, encrypted) if port}
        process.port = plain or encrypted  # the group's, in every mode
        self._plain, self._encrypted = plain, encrypted
        self.shown: dict[str, Any] = {}
        self.read()

    def read(self) -> None:
        """The certificate that lies in its folder now, for connections to come."""
        content = self._files().get(_CERTIFICATE)
        self.shown = json.loads(content) if content is not None and self._encrypted else {}

    @property
    def can(self) -> bool:
        return bool(self._encrypted)

    @property
    def replicates_encrypted(self) -> bool:
        return self._config.get("tls-replication") == "yes"

    @property
    def gossips_encrypted(self) -> bool:
        return self._config.get("tls-cluster") == "yes"

    @property
    def announced(self) -> int:
        """To the other nodes of a cluster."""
        return self._encrypted if self.gossips_encrypted else self._plain or self._encrypted


def proven(end: End) -> dict[str, Any]:
    """What the other side of a connection with TLS has shown, as Python's ssl tells it. Raises ssl.SSLError when it is not for
    the address that was called."""
    ports = getattr(getattr(end.peer.owner, "program", None), "transit", None)
    shown: dict[str, Any] = ports.shown if isinstance(ports, Ports) else {}
    if end.address not in shown.get("addresses", ()):
        raise ssl.SSLError(1, f"the certificate is not valid for {end.address}")
    until = time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(shown["until"]))
    return {
        "subject": ((("organizationalUnitName", shown["series"]),),),
        "notAfter": until,
        "subjectAltName": tuple(("IP Address", address) for address in shown["addresses"]),
    }
