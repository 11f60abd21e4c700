"""Run the service in the foreground and tell the user what to do with it. Called by `cachefleet up`.

Prints the addresses as soon as the API answers, and the demo's endpoint as soon as there is one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from cachefleet.app.installation import Installation
from cachefleet.app.service import Running, run_service
from cachefleet.cli.demo import DEMO_ID, Demo, DemoEndpoints
from cachefleet.cli.invocation import command
from cachefleet.cli.public_api import elasticache_client
from cachefleet.clock import SystemClock
from cachefleet.settings import Settings


def run_up(settings: Settings) -> int:
    """The exit code. Raises AlreadyRunning, StartFailed."""
    demos: list[Demo] = []

    def announce(running: Running) -> None:
        _show(welcome(settings, running))
        if settings.demo:
            client = elasticache_client(running.url, running.region, Installation(running.data_dir).credentials())
            demo = Demo(client, SystemClock(), lambda found: _show(demo_lines(found)), _show_demo_failure)
            demos.append(demo)
            demo.start()

    try:
        code = run_service(settings, announce)
    finally:
        for demo in demos:
            demo.finish()
    _show([f"The service has stopped; the caches go on. Stop them too: {command('down', settings)}"])
    return code


def welcome(settings: Settings, running: Running) -> Iterator[str]:
    environment = command("env", settings)
    yield f"Cachefleet answers the ElastiCache API at {running.url} (region {running.region})."
    yield f"  data         {_short(running.data_dir)}"
    yield f'  AWS clients  eval "$({environment})"; aws elasticache describe-replication-groups'
    yield f"  Ctrl-C       stops the service and leaves the caches running; {command('down', settings)} stops them too"


def demo_lines(demo: DemoEndpoints) -> Iterator[str]:
    yield ""
    yield f"The cache `{DEMO_ID}` is available: primary {demo.primary}:{demo.port}, reader {demo.reader}:{demo.port}. Try it:"
    yield from (f"  {line}" for line in example(demo, _client_program()))


def example(demo: DemoEndpoints, program: str) -> tuple[str, str]:
    """Two lines for a shell that write through the primary endpoint and read through the reader endpoint.

    program: a command line client (redis-cli, valkey-cli), or a Python that has the valkey package.
    """
    if program.endswith("-cli"):
        return (
            f"{program} -h {demo.primary} -p {demo.port} set greeting hello",
            f"{program} -h {demo.reader} -p {demo.port} get greeting",
        )
    return (
        f'{program} -c \'import valkey; print(valkey.Valkey("{demo.primary}", {demo.port}).set("greeting", "hello"))\'',
        f'{program} -c \'import valkey; print(valkey.Valkey("{demo.reader}", {demo.port}).get("greeting"))\'',
    )


def _client_program() -> str:
    for name in ("valkey-cli", "redis-cli"):
        if shutil.which(name):
            return name
    relative = os.path.relpath(sys.executable)
    return sys.executable if relative.startswith("..") else relative


def _show_demo_failure(why: str) -> None:
    _show([f"The cache `{DEMO_ID}` could not be made: {why}"])


def _show(lines: Iterator[str] | list[str]) -> None:
    print("\n".join(lines), flush=True)


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
