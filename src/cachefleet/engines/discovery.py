"""The driver of the Memcached configuration endpoint: a process of its own, which lives on without the control plane.

Renders its start (engines/discovery_server.py by the same Python), reads back which node list it serves, and writes that list.
Called by the control loop through interfaces.EngineDriver.
"""

from __future__ import annotations

import json
import posixpath
import sys
from collections.abc import Sequence
from pathlib import Path

from cachefleet.engines.connections import reason
from cachefleet.engines.line_connections import LineConnection, LineConnections, LinesEnded
from cachefleet.interfaces import Build, NodeSpec, Rendering
from cachefleet.model.observed import Address, NodeView

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
    """interfaces.EngineDriver; a view's `version` is the version of the node list that is served, "0" before the first.

    python: the interpreter to run it with; ours when not given."""

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._connections = LineConnections()

    def render(self, spec: NodeSpec, build: Build, folder: str) -> Rendering:
        """Starts without nodes; `build` does not matter."""
        return Rendering(
            argv=(self._python, "-I", "-S", str(_SERVER), posixpath.join(folder, NODES_FILE)),
            files={NODES_FILE: node_list_file(spec.address, 0, ())},
        )

    async def probe(self, at: Address, clustered: bool) -> NodeView:
        try:
            async with self._connections.at(at) as connection:
                return NodeView(reachable=True, version=await _version(connection), bound=(at.host,))
        except (OSError, LinesEnded) as error:
            return NodeView(reachable=False, why=reason(error))

    async def close(self) -> None:
        await self._connections.close()


async def _version(connection: LineConnection) -> str:
    """`CONFIG cluster 0 <len>`, version, nodes, empty line, END; or SERVER_ERROR while no list is published."""
    connection.write(b"config get cluster\r\n")
    head = await connection.line()
    if head.startswith("SERVER_ERROR"):
        return "0"
    if not head.startswith("CONFIG cluster "):
        raise LinesEnded(f"answered {head[:60]!r} to config get cluster")
    version = await connection.line()
    while await connection.line() != "END":
        pass
    return version
