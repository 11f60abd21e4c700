"""The driver of Memcached: renders nodes and looks at them. A node has no role, so there are no verbs.

Memcached does not tell which launch it is; a view carries the process id instead, and an empty incarnation. Called by the
control loop through engine_interfaces.EngineDriver.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

from cachefleet.engine_interfaces import Build, EngineRefused, NodeSpec, Rendering
from cachefleet.engines import memcached_config, memcached_parameters
from cachefleet.engines.connections import reason
from cachefleet.engines.conversation import ConnectionEnded
from cachefleet.engines.line_connections import Exchange, LineConnections
from cachefleet.engines.measurements import numbers
from cachefleet.engines.trust import Trust
from cachefleet.model.observed import Address, NodeView, ParameterView
from cachefleet.model.transit import NodeCertificate

_UNPRIVILEGED = "nobody"


class MemcachedDriver:
    """engine_interfaces.EngineDriver. user: whom the processes become ("" stays who we are); open_files: their limit. Both are
    taken from this process when not given."""

    def __init__(self, user: str | None = None, open_files: int | None = None, trust: Trust | None = None) -> None:
        self._user = user
        self._open_files = open_files
        self._connections = LineConnections(_VERSION, trust)

    def render(self, spec: NodeSpec, build: Build, folder: str) -> Rendering:
        """As root it drops its privileges: Memcached does not start as root without being told whom to become."""
        user = self._user if self._user is not None else (_UNPRIVILEGED if os.geteuid() == 0 else "")
        files = self._open_files if self._open_files is not None else resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return memcached_config.render(spec, build, user, files)

    async def probe(self, at: Address, clustered: bool) -> NodeView:
        """`stats` on a connection that stays open, so that a node whose connections are all taken is still seen."""
        try:
            stats = _stats(await self._connections.ask(at, _STATS))
        except (OSError, ConnectionEnded) as error:
            return NodeView(reachable=False, why=reason(error))
        pid = stats.get("pid", "")
        return NodeView(
            reachable=True,
            version=stats.get("version", ""),
            pid=int(pid) if pid.isdecimal() else 0,
            bound=(at.host,),
            used_bytes=int(stats.get("bytes", "-1")),
            maxmemory_bytes=int(stats.get("limit_maxbytes", "-1")),
            threads=int(stats.get("threads", "-1")),
            certificate=self._connections.certificate(at),
        )

    async def measure(self, at: Address) -> Mapping[str, float]:
        try:
            return numbers(_stats(await self._connections.ask(at, _STATS)))
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"stats did not reach {at}: {reason(error)}") from error

    async def resize(self, at: Address, spec: NodeSpec) -> None:
        """Items stay, but for those that do not fit any more."""
        megabytes = memcached_config.memory_mb(spec)
        try:
            answer = await self._connections.ask(at, Exchange(f"cache_memlimit {megabytes}\r\n".encode(), lambda lines: True))
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"cache_memlimit did not reach {at}: {reason(error)}") from error
        if answer != ["OK"]:
            raise EngineRefused(f"cache_memlimit was refused by {at}: {' '.join(answer)[:60]}")

    async def parameters(self, at: Address, spec: NodeSpec, build: Build) -> ParameterView:
        try:
            told = _stats(await self._connections.ask(at, _SETTINGS))
            (watch,) = await self._connections.ask(at, _WATCH_NOTHING)
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"stats settings did not reach {at}: {reason(error)}") from error
        return memcached_parameters.compared(spec, {**told, "watch": "enabled" if watch == "ERROR" else "disabled"})

    def certificate_files(self, certificate: NodeCertificate) -> Mapping[str, bytes]:
        return memcached_config.certificate_files(certificate)

    async def certify(self, at: Address, folder: str) -> None:
        """It reads its file again. Our connection is made anew, so that the certificate is seen."""
        try:
            answer = await self._connections.ask(at, _REFRESH)
            if answer != ["OK"]:
                raise EngineRefused(f"refresh_certs was refused by {at}: {' '.join(answer)[:200]}")
            await self._connections.renew(at)
        except (OSError, ConnectionEnded) as error:
            raise EngineRefused(f"refresh_certs, or a connection made after it, failed at {at}: {reason(error)}") from error

    def pulse(self, at: Address) -> bool | None:
        return self._connections.pulse(at)

    async def close(self) -> None:
        await self._connections.close()


def _stats(lines: list[str]) -> dict[str, str]:
    """`STAT <name> <value>`, and END."""
    pairs = (line.split(" ", 2) for line in lines[:-1])
    return {name: value for _, name, value in pairs}


def _all_stats(lines: list[str]) -> bool:
    line = lines[-1]
    if line.startswith("STAT ") and line.count(" ") > 1:
        return False
    if line == "END":
        return True
    raise ConnectionEnded(f"answered {line[:60]!r} to stats")


_STATS = Exchange(b"stats\r\n", _all_stats)
_SETTINGS = Exchange(b"stats settings\r\n", _all_stats)
# It refuses the word, where it does not refuse the command: nothing is watched by this connection.
_WATCH_NOTHING = Exchange(b"watch nothing\r\n", lambda lines: True)
_REFRESH = Exchange(b"refresh_certs\r\n", lambda lines: True)
_VERSION = Exchange(b"version\r\n", lambda lines: True)
