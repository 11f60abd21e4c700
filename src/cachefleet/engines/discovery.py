"""The driver of the Memcached configuration endpoint: a process of its own, which lives on without the control plane.

Renders its start (engines/discovery_server.py by the same Python), reads back which node list it serves, and writes that list.
Called by the control loop through engine_interfaces.EngineDriver.
"""

from __future__ import annotations

import json
import posixpath
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cachefleet.engine_interfaces import Build, EngineRefused, NodeSpec, Rendering
from cachefleet.engines.connections import reason
from cachefleet.engines.conversation import ConnectionEnded
from cachefleet.engines.line_connections import Exchange, LineConnections
from cachefleet.engines.memcached_config import certificate_files
from cachefleet.engines.trust import Trust
from cachefleet.engines.valkey_config import AUTHORITIES
from cachefleet.model.observed import Address, NodeView, ParameterView
from cachefleet.model.transit import NodeCertificate

NODES_FILE = "nodes.json"
_SERVER = Path(__file__).with_name("discovery_server.py")


def node_list_file(address: Address, version: int, nodes: Sequence[tuple[str, int]]) -> bytes:
    """The file that the endpoint at `address` serves: nodes as (host, port). Version 0 means that none is published yet."""
    document = {
        "listen": [address.host, address.port],
        "version": version,
        "nodes": [[host, port] for host, port in sorted(nodes)],
    }
    return json.dumps(document).encode()


class DiscoveryDriver:
    """engine_interfaces.EngineDriver; a view's `version` is the version of the node list that is served, "0" before the first.

    python: the interpreter to run it with; ours when not given."""

    def __init__(self, python: str = sys.executable, trust: Trust | None = None) -> None:
        self._python = python
        self._connections = LineConnections(_CONFIG, trust)

    def render(self, spec: NodeSpec, build: Build, folder: str) -> Rendering:
        """Starts without nodes; `build` does not matter."""
        argv = self._python, "-I", "-S", str(_SERVER), posixpath.join(folder, NODES_FILE)
        files = {NODES_FILE: node_list_file(spec.address, 0, ())}
        if not spec.address.transit:
            return Rendering(argv=argv, files=files)
        if spec.certificate is None:
            raise EngineRefused(f"{spec.name} has no certificate, so it cannot be started with TLS")
        return Rendering(argv=(*argv, folder), files={**files, **self.certificate_files(spec.certificate)})

    async def measure(self, at: Address) -> Mapping[str, float]:
        return {}  # it is no node of the cache

    async def probe(self, at: Address, clustered: bool) -> NodeView:
        try:
            lines = await self._connections.ask(at, _CONFIG)
        except (OSError, ConnectionEnded) as error:
            return NodeView(reachable=False, why=reason(error))
        shown = self._connections.certificate(at)
        return NodeView(reachable=True, version=_version(lines), bound=(at.host,), certificate=shown)

    async def parameters(self, at: Address, spec: NodeSpec, build: Build) -> ParameterView:
        return ParameterView()

    async def resize(self, at: Address, spec: NodeSpec) -> None:
        """It holds a list only, of any size."""

    def certificate_files(self, certificate: NodeCertificate) -> Mapping[str, bytes]:
        """The node list's process reads the key with its certificate, and by whom it knows nodes."""
        return {**certificate_files(certificate), AUTHORITIES: certificate.authorities}

    async def certify(self, at: Address, folder: str) -> None:
        """It sees for itself that the files are others. Our connection is made anew, so that the certificate is seen."""
        try:
            await self._connections.renew(at)
        except OSError as error:
            raise EngineRefused(f"no connection could be made to {at}: {reason(error)}") from error

    def pulse(self, at: Address) -> bool | None:
        """Asks what a probe does: anything else would be passed on to a node."""
        return self._connections.pulse(at)

    async def close(self) -> None:
        await self._connections.close()


def _version(lines: list[str]) -> str:
    """`CONFIG cluster 0 <len>`, version, nodes, empty line, END; or SERVER_ERROR while no list is published."""
    return "0" if lines[0].startswith("SERVER_ERROR") else lines[1]


def _whole_config(lines: list[str]) -> bool:
    head = lines[0]
    if head.startswith("SERVER_ERROR"):
        return True
    if not head.startswith("CONFIG cluster "):
        raise ConnectionEnded(f"answered {head[:60]!r} to config get cluster")
    return len(lines) > 2 and lines[-1] == "END"


_CONFIG = Exchange(b"config get cluster\r\n", _whole_config)
