"""A table of the engine builds that this installation found. Called by `cachefleet engines list`."""

from __future__ import annotations

from cachefleet.app.engines import installed
from cachefleet.cli.failure import Failure
from cachefleet.cli.table import plain_table, screen
from cachefleet.settings import Settings


def show_engines(settings: Settings) -> None:
    builds = installed(settings)
    if not builds:
        raise Failure("no engine was found; set CACHEFLEET_ENGINES_BINARIES to the path of a valkey-server binary")
    table = plain_table(("ENGINE", "VERSION", "FOUND BY", "BINARY"))
    for build in builds:
        table.add_row(build.engine.value, build.version, build.origin, build.binary)
    screen().print(table)
