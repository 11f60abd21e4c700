"""A table of the engine builds that this installation found. Called by `cachefleet engines list`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from cachefleet.app.engines import installed
from cachefleet.cli.failure import Failure
from cachefleet.settings import Settings


def show_engines(settings: Settings) -> None:
    builds = installed(settings)
    if not builds:
        raise Failure("no engine was found; set CACHEFLEET_ENGINES_BINARIES to the path of a valkey-server binary")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ENGINE", "VERSION", "FOUND BY", "BINARY"):
        table.add_column(heading, overflow="fold")
    for build in builds:
        table.add_row(build.engine.value, build.version, build.origin, build.binary)
    Console().print(table)
