"""The driver of Memcached: renders nodes and looks at them. A node has no role, so there are no verbs.

Memcached does not tell which launch it is; a view carries the process id instead, and an empty incarnation. Called by the
control loop through interfaces.EngineDriver.
"""

from __future__ import annotations

import os
import resource

from cachefleet.engines import memcached_config
from cachefleet.engines.connections import reason
from cachefleet.engines.line_connections import LineConnection, LineConnections, LinesEnded
from cachefleet.interfaces import Build, NodeSpec, Rendering
from cachefleet.model.observed import Address, NodeView

_UNPRIVILEGED = "nobody"


class MemcachedDriver:
    """interfaces.EngineDriver. user: whom the processes become ("" stays who we are); open_files: their limit. Both are taken
    from this process when not given."""

    def __init__(self, user: str | None = None, open_files: int | None = None) -> None:
        self._user = user
        self._open_files = open_files
        self._connections = LineConnections()

    def render(self, spec: NodeSpec, build: Build, folder: str) -> Rendering:
        """As root it drops its privileges: Memcached does not start as root without being told whom to become."""
        user = self._user if self._user is not None else (_UNPRIVILEGED if os.geteuid() == 0 else "")
        files = self._open_files if self._open_files is not None else resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return memcached_config.render(spec, build, user, files)

    async def probe(self, at: Address, clustered: bool) -> NodeView:
        """`stats` on a connection that stays open, so that a node whose connections are all taken is still seen."""
        try:
            async with self._connections.at(at) as connection:
                stats = await _stats(connection)
        except (OSError, LinesEnded) as error:
            return NodeView(reachable=False, why=reason(error))
        pid = stats.get("pid", "")
        return NodeView(
            reachable=True, version=stats.get("version", ""), pid=int(pid) if pid.isdecimal() else 0, bound=(at.host,)
        )

    async def close(self) -> None:
        await self._connections.close()


async def _stats(connection: LineConnection) -> dict[str, str]:
    connection.write(b"stats\r\n")
    stats = {}
    while (line := await connection.line()) != "END":
        word, _, rest = line.partition(" ")
        if word != "STAT":
            raise LinesEnded(f"answered {line[:60]!r} to stats")
        name, _, value = rest.partition(" ")
        stats[name] = value
    return stats
