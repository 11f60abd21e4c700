"""Valkey and Redis processes without a driver, for tests of the RDBs that they write and read."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from cachefleet.engine_interfaces import Build
from cachefleet.model.observed import Address
from tests.engine.engine_processes import free_address
from tests.fixtures.machine import data_folder, wait_for

PORT = 6379
Client = Any  # redis.Redis


class BareEngine:
    """One process; clients of it are closed with it."""

    def __init__(self, build: Build, folder: Path, address: Address, process: subprocess.Popen[bytes]) -> None:
        self.build = build
        self.folder = folder
        self.address = address
        self.process = process
        self._clients: list[Client] = []

    @property
    def log(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def client(self, database: int = 0) -> Client:
        client = redis.Redis(self.address.host, self.address.port, db=database, socket_timeout=20)
        self._clients.append(client)
        return client

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return bool(self.client().ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def replicas(self) -> list[str]:
        """What the engine lists as its replicas."""
        info = self.client().info("replication")
        return [name for name in info if name.startswith("slave") and name[5:].isdigit()]

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self.process.kill()
        self.process.wait(10)


@contextmanager
def bare_engine(build: Build, *options: str, seed: Iterable[bytes] | None = None) -> Iterator[BareEngine]:
    """A running engine. seed: chunks of an RDB that it reads from a pipe at its start, as a restored node does."""
    address = free_address(PORT)
    with data_folder() as folder:
        if seed is not None:
            os.mkfifo(folder / "dump.rdb", 0o600)
        words = ["--bind", address.host, "--port", str(address.port), "--dir", str(folder), "--save", ""]
        words += ["--repl-diskless-sync-delay", "0", *options]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [build.binary, *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        engine = BareEngine(build, folder, address, process)
        writer = threading.Thread(target=_write, args=(folder / "dump.rdb", seed or (), process))
        try:
            if seed is not None:
                writer.start()
            wait_for(engine.ready, 20)
            yield engine
        finally:
            engine.end()
            if seed is not None:
                writer.join(20)


def _write(path: Path, chunks: Iterable[bytes], process: subprocess.Popen[bytes]) -> None:
    """Into the pipe, as long as the engine lives. Some engines open the file once more after they have read it, and would wait
    there for a writer: it is gone by then."""
    opened: list[int] = []

    def open_pipe() -> bool:
        try:
            opened.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            return process.poll() is not None
        return True

    wait_for(open_pipe)
    if not opened:
        return
    path.unlink()
    os.set_blocking(opened[0], True)
    with os.fdopen(opened[0], "wb") as pipe:
        for chunk in chunks:
            pipe.write(chunk)
