"""A table of the engine builds that this installation found, and what each can do. Called by `cachefleet engines list`."""

from __future__ import annotations

from collections.abc import Sequence

from cachefleet.app.engines import installed
from cachefleet.cli.failure import Failure
from cachefleet.cli.invocation import command
from cachefleet.cli.table import plain_table, screen
from cachefleet.engine_interfaces import Build
from cachefleet.engines.sources import RELEASES
from cachefleet.model.group import Engine
from cachefleet.settings import Settings

_HEADINGS = ("ENGINE", "VERSION", "TLS", "ALLOCATOR", "ATOMIC SLOTS", "AUTH CALLBACK", "MODULES", "FOUND BY", "BINARY")


def show_engines(settings: Settings) -> None:
    """Raises Failure when there is none."""
    engines = installed(settings)
    builds = engines.builds()
    for binary, why in engines.skipped():
        if binary in settings.engines.binaries or not builds:
            screen().print(f"Not usable: {binary}: {why}", markup=False)
    if not builds:
        raise Failure("no engine was found; set CACHEFLEET_ENGINES_BINARIES to the path of a valkey-server binary")
    table = plain_table(_HEADINGS)
    for build in builds:
        table.add_row(*line_of(build))
    screen().print(table)
    valkeys = [build for build in builds if build.engine is Engine.VALKEY]
    if valkeys and "tls" not in valkeys[0].capabilities:
        print(f"Valkey {valkeys[0].version} here cannot do TLS. Build one that can, in a few minutes:")
        known = [valkeys[0].version] if valkeys[0].version in RELEASES else []
        print(f"  {command('engines build valkey', settings, *known)}")


def line_of(build: Build) -> Sequence[str]:
    """Pure: one row of the table. "-" is what does not apply to an engine."""
    can = build.capabilities
    if build.engine is Engine.MEMCACHED:
        extras = ["-", "-", "-", "-"]
    else:
        allocator = "jemalloc" if "jemalloc" in can else "libc"
        extras = [allocator, *(_told(name in can) for name in ("atomic-slot-migration", "auth-callback", "modules"))]
    return (build.engine.value, build.version, _told("tls" in can), *extras, build.origin, build.binary)


def _told(can: bool) -> str:
    return "yes" if can else "no"
