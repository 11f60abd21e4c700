"""Real engine processes for the tests of drivers: started as a driver renders them, each below a folder that is cleaned."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cachefleet.engine_interfaces import Build, EngineDriver, NodeSpec
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address, NodeView
from cachefleet.settings import EngineSettings
from tests.fixtures.claims import blocks
from tests.fixtures.machine import data_folder

RESP_VERSIONS = [
    (Engine.VALKEY, "9.1"),
    (Engine.VALKEY, "8.1"),
    (Engine.VALKEY, "8.0"),
    (Engine.REDIS, "7.0"),
    (Engine.REDIS, "6.2"),
]
NEEDED_IN_CI = {(Engine.VALKEY, "9.1"), (Engine.VALKEY, "8.0"), (Engine.REDIS, "7.0"), (Engine.MEMCACHED, "1.6")}
NODE_TIMEOUT_MS = 1000
_MB = 1_048_576
_hosts = (f"127.39.{block}.{number}" for block in blocks("127.39", 250) for number in range(1, 251))

every_version = pytest.mark.parametrize(
    ("engine", "version"), RESP_VERSIONS, ids=[f"{engine}-{version}" for engine, version in RESP_VERSIONS]
)


@cache
def _catalogue() -> InstalledEngines:
    return InstalledEngines(EngineSettings())


def build_of(engine: Engine, version: str) -> Build:
    """The installed build; skips the test without one, except where CI must have it."""
    build = _catalogue().resolve(engine, version)
    if build is None:
        message = f"{engine} {version} is not installed"
        if os.environ.get("CI") == "true" and (engine, version) in NEEDED_IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return build


def free_address(port: int) -> Address:
    """A loopback address on whose port nobody listens; never given twice."""
    for host in _hosts:
        with socket.socket() as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            return Address(host, port)
    raise AssertionError("unreachable")


class Node:
    """One started process."""

    def __init__(self, address: Address, incarnation: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.address = address
        self.incarnation = incarnation
        self.folder = folder
        self.process = process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class EngineProcesses:
    """Starts nodes with one driver and one build; all end with it."""

    def __init__(self, driver: EngineDriver, build: Build, root: Path) -> None:
        self.driver = driver
        self.build = build
        self.root = root
        self.nodes: list[Node] = []

    def start(self, address: Address | None = None, **spec: Any) -> Node:
        at = address or free_address(11211 if self.build.engine is Engine.MEMCACHED else 6379)
        incarnation = f"u1.node.{len(self.nodes) + 1}"
        folder = self.root / incarnation
        folder.mkdir()
        filled = {"maxmemory_bytes": 64 * _MB, "parameters": {}, "zone": "a", **spec}
        rendering = self.driver.render(
            NodeSpec(name="node", incarnation=incarnation, address=at, **filled), self.build, str(folder)
        )
        for name, content in rendering.files.items():
            (folder / name).write_bytes(content)
            if rendering.owner:
                folder.chmod(0o711)
                shutil.chown(folder / name, rendering.owner)
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                rendering.argv,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**rendering.environment},
            )
        node = Node(at, incarnation, folder, process)
        self.nodes.append(node)
        return node

    async def view(
        self,
        node: Node,
        condition: Callable[[NodeView], bool] = lambda view: True,
        *,
        clustered: bool = False,
        limit_s: float = 15,
    ) -> NodeView:
        """What a probe sees as soon as the condition holds."""
        view = NodeView(reachable=False)
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    view = await self.driver.probe(node.address, clustered)
                    if view.reachable and condition(view):
                        return view
                    assert node.process.poll() is None, (node.folder / "output").read_text()
                    await asyncio.sleep(0.003)
        except TimeoutError:
            raise AssertionError(f"not so within {limit_s:g} s: {view}") from None

    async def end(self) -> None:
        await self.driver.close()
        for node in self.nodes:
            node.kill()


@asynccontextmanager
async def processes(driver: EngineDriver, build: Build) -> AsyncIterator[EngineProcesses]:
    with data_folder() as root:
        running = EngineProcesses(driver, build, root)
        try:
            yield running
        finally:
            await running.end()


@asynccontextmanager
async def resp_processes(engine: Engine, version: str) -> AsyncIterator[tuple[ValkeyDriver, EngineProcesses]]:
    """A Valkey or Redis driver and processes of that version."""
    build = build_of(engine, version)
    driver = ValkeyDriver(NODE_TIMEOUT_MS)
    async with processes(driver, build) as running:
        yield driver, running


async def until(condition: Callable[[], bool], limit_s: float = 15) -> None:
    """Poll until it holds."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - conditions are of other processes
            await asyncio.sleep(0.003)


class Client:
    """A plain client of one address, as an application has it: commands in RESP by hand, so that nothing is hidden."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=10)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *words: str | bytes) -> None:
        self.send_at_once(words)

    def send_at_once(self, *commands: Sequence[str | bytes]) -> None:
        packed = b""
        for words in commands:
            parts = [word.encode() if isinstance(word, str) else word for word in words]
            packed += b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(packed)

    def reply(self) -> Any:
        """str, int, None, list; an error is a str that begins with "-". ConnectionError at the end."""
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return ("-" if kind == b"-" else "") + rest.decode()

    def call(self, *words: str | bytes) -> Any:
        self.send(*words)
        return self.reply()


def refused(host: str, port: int) -> bool:
    """Nobody listens there."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def endpoints(count: int, port: int = 6379) -> Iterator[str]:
    """Addresses for endpoints."""
    return (free_address(port).host for _ in range(count))
