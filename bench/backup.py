"""How fast a cache is backed up and restored, and what its clients and our own process feel of it. valkey 9.1, a primary and a
replica; keys of 600 B that hardly become smaller when they are compressed.

Throughput: bytes of the RDB over the time from the call of CreateSnapshot until the snapshot is seen to be available; it is
compressed and encrypted into the local archive. The reference, in turn with it: the engines' own tool, `valkey-cli --rdb` or
`redis-cli --rdb`, which writes a bare file of the same replica's data on the same disk. Whoever waits for a snapshot asks five
times a second: asking all the time would take a fifth of two cores from what is measured. Memory: what the
control plane has at most during a backup over what it had before; its worker processes have a row of their own.

Latency: four clients (redis-py) of the primary, of which together 500 operations a second are due: the 99th percentile while a
snapshot is made, over that of the seconds before. Beside it, the same while one process a core does nothing but count, in time
that nobody else wants: no use of all cores can do less to the clients, whatever it is.

What bounds both on two cores is processor time, of four processes at once. For a GB of this data the engine's child takes some
1.5 s (twice as much for the tool, since values are compressed for it), the engine that hands it on 0.5 s, and the worker 4 s:
1.6 s compress, 0.9 s are checksums, 0.2 s encrypt, the rest moves bytes. Clients wait where these processes do not give way at
once, or are in the middle of a system call.

Restores: from the call of CreateReplicationGroup until the group is available and has every key. Keys of 200 B, one shard
before, so that three and five shards each read all of it.
"""

from __future__ import annotations

import os
import random
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil

from bench.clients import Where
from bench.counting import counting
from bench.rebalancer import tool
from bench.references import Processes
from bench.row import Row, shown
from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings
from tests.engine.groups import address, await_available, delete, replication_group
from tests.engine.snapshots import await_snapshot, remove
from tests.fixtures.machine import data_folder
from tests.fixtures.operator import operator_login
from tests.fixtures.service import Service, running_service
from tests.traffic import keys as traffic_keys
from tests.traffic.traffic import Client
from tests.traffic.verdict import Verdict

NOTE = __doc__
ROUNDS = 3
MEGABYTES = 2000
VALUE_BYTES = 600
RESTORED_KEYS = 1_500_000
SHARDS = (1, 3, 5)
NODE_TYPE = "cache.m7g.large"
RATE = 500.0
CLIENTS = 4
BEFORE = 2000  # operations of each before the snapshot
SETTLING = 200  # of them, those that show how clients start
TIMEOUT_S = 600.0
ASK_S = 0.2
COUNTED = 1000  # operations of each while others count
LOOK_S = 0.1
MB = 1_000_000
_POOL_BYTES = 64 * MB
_BATCH = 2000
_OK = b"+OK\r\n"


class Backup(msgspec.Struct, frozen=True):
    took_s: float
    rdb_bytes: int
    growth_bytes: int = 0  # of the control plane's memory
    worker_bytes: int = 0  # the most that a worker process had

    @property
    def rate(self) -> float:
        return self.rdb_bytes / MB / self.took_s


def measure(data: Path, megabytes: int = MEGABYTES, restored_keys: int = RESTORED_KEYS) -> Iterator[Row]:
    with running_service(data) as service:
        api = service.client()
        pair = {"NumCacheClusters": 2, "AutomaticFailoverEnabled": True, "AtRestEncryptionEnabled": True}
        with replication_group(api, "full", CacheNodeType=NODE_TYPE, EngineVersion="9.1", **pair) as group:
            where = address(group["NodeGroups"][0]["PrimaryEndpoint"])
            fill(where, megabytes * MB // VALUE_BYTES)
            pairs = [(_ours(service, api), _tools(group)) for _ in range(ROUNDS)]
            yield from _throughput(pairs, megabytes)
            yield _latency([_loaded(service, api, where) for _ in range(ROUNDS)])
            yield _floor([_counted(where) for _ in range(ROUNDS)])
        yield from _restores(api, restored_keys)


def fill(where: Where, keys: int) -> None:
    """With values that are slices of noise in printable characters: an engine does not compress them."""
    chance = random.Random(1)
    pool = bytes(chance.choices(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=_POOL_BYTES))
    head = b"*3\r\n$3\r\nSET\r\n$12\r\n%%012d\r\n$%d\r\n" % VALUE_BYTES
    with socket.create_connection(where, timeout=60) as connection:
        for first in range(0, keys, _BATCH):
            count = min(_BATCH, keys - first)
            starts = [chance.randrange(_POOL_BYTES - VALUE_BYTES) for _ in range(count)]
            words = [head % (first + number) + pool[at : at + VALUE_BYTES] + b"\r\n" for number, at in enumerate(starts)]
            connection.sendall(b"".join(words))
            replies = b""
            while len(replies) < len(_OK) * count and (part := connection.recv(65_536)):
                replies += part
            if replies != _OK * count:
                raise AssertionError(f"a write was refused: {replies.replace(_OK, b'')[:200]!r}")


# --- throughput and memory -----------------------------------------------------------------------------------------


def _ours(service: Service, api: Any) -> Backup:
    with Memory(service) as memory:
        begun_s = time.perf_counter()
        api.create_snapshot(SnapshotName="bench", ReplicationGroupId="full")
        await_snapshot(api, "bench", TIMEOUT_S, every_s=ASK_S)
        took_s = time.perf_counter() - begun_s
    (manifest,) = (service.data / "snapshots").rglob("manifest.json")
    rdb_bytes = sum(file["rdb_bytes"] for file in msgspec.json.decode(manifest.read_bytes())["files"])
    remove(api, "bench")
    return Backup(took_s, rdb_bytes, memory.growth_bytes, memory.worker_bytes)


def _tools(group: dict[str, Any]) -> Backup:
    (replica,) = [one for one in group["NodeGroups"][0]["NodeGroupMembers"] if one["CurrentRole"] == "replica"]
    host, port = address(replica["ReadEndpoint"])
    with data_folder() as folder:
        begun_s = time.perf_counter()
        _dump((host, port), folder / "dump.rdb")
        return Backup(time.perf_counter() - begun_s, (folder / "dump.rdb").stat().st_size)


def _dump(where: Where, file: Path) -> None:
    user, password = operator_login(*where)
    command = [str(tool()), "-h", where[0], "-p", str(where[1]), "--user", user, "--rdb", str(file)]
    environment = {**os.environ, "REDISCLI_AUTH": password, "VALKEYCLI_AUTH": password}
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S, env=environment)


class Memory:
    """Of the control plane and its workers, looked at again and again."""

    def __init__(self, service: Service) -> None:
        assert service.process is not None
        self._process = psutil.Process(service.process.pid)
        self._before = self._most = self._process.memory_info().rss
        self.worker_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def growth_bytes(self) -> int:
        return self._most - self._before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self._most = max(self._most, self._process.memory_info().rss)
            for child in self._process.children():
                try:
                    if "cachefleet.app.transfer_worker" in child.cmdline():
                        self.worker_bytes = max(self.worker_bytes, child.memory_info().rss)
                except psutil.Error:
                    continue


def _throughput(pairs: Sequence[tuple[Backup, Backup]], megabytes: int) -> Iterator[Row]:
    ours, tools = [own for own, _ in pairs], [other for _, other in pairs]
    what = f"{megabytes / 1000:g} GB"
    own = Row(
        figure=f"{what}, compressed and encrypted: MB of RDB a second",
        unit="MB/s",
        values=[one.rate for one in ours],
        at_least=True,
    )
    other = Row(figure="", unit="MB/s", values=[one.rate for one in tools])
    yield own
    yield Row(
        figure=f"{what}: times as fast as the tool",
        unit="",
        values=[one.rate / theirs.rate for one, theirs in pairs],
        target=1.0,
        at_least=True,
        reference=f"{shown(own.median, 'MB/s')} over {shown(other.median, 'MB/s')} of {tool().name} --rdb, medians",
    )
    growth = [one.growth_bytes / MB for one in ours]
    yield Row(figure=f"{what}: memory of the control plane grows by", unit="MB", values=growth, target=64.0, each=True)
    yield Row(figure=f"{what}: memory of the worker", unit="MB", values=[one.worker_bytes / MB for one in ours])


# --- latency -------------------------------------------------------------------------------------------------------


class Loaded(msgspec.Struct, frozen=True):
    before: Verdict
    during: Verdict


def _loaded(service: Service, api: Any, where: Where) -> Loaded:
    with data_folder() as folder, _clients(where, folder) as clients:
        begun_s = time.perf_counter()
        backup = _ours(service, api)
        return _parted(clients, begun_s, begun_s + backup.took_s)


def _counted(where: Where) -> Loaded:
    with data_folder() as folder, _clients(where, folder) as clients:
        before_s = time.perf_counter()
        with counting():
            begun_s = time.perf_counter()
            for client in clients:
                client.await_operations(COUNTED, 60)
            return _parted(clients, begun_s, time.perf_counter(), before_s)


def _parted(clients: Sequence[Client], begun_s: float, over_s: float, before_s: float | None = None) -> Loaded:
    """What was done until before_s (begun_s unless given), and from begun_s to over_s. Ends the clients."""
    for client in clients:
        client.end()
    loads = [client.verdict() for client in clients]
    before = [one for load in loads for one in load.between(0.0, before_s or begun_s).operations[SETTLING:]]
    during = [one for load in loads for one in load.between(begun_s, over_s).operations]
    return Loaded(Verdict(before), Verdict(during))


@contextmanager
def _clients(where: Where, folder: Path) -> Iterator[Sequence[Client]]:
    with ExitStack() as stack:
        clients = []
        for number in range(CLIENTS):
            clients.append(Client("redis-py", where, folder, name=f"client{number}", rate=RATE / CLIENTS))
            stack.callback(clients[-1].end)
        for client in clients:
            client.await_operations(BEFORE, 60)
        yield clients


def _latency(rounds: Sequence[Loaded]) -> Row:
    return _times_p99("p99 at the primary while a snapshot of the replica is made, over before", rounds, 1.3)


def _floor(rounds: Sequence[Loaded]) -> Row:
    return _times_p99("p99 at the primary while a process a core only counts, over before", rounds, None)


def _times_p99(figure: str, rounds: Sequence[Loaded], target: float | None) -> Row:
    befores_ms = [1000 * one.before.latency_s(0.99) for one in rounds]
    durings_ms = [1000 * one.during.latency_s(0.99) for one in rounds]
    return Row(
        figure=figure,
        unit="",
        values=[one / other for one, other in zip(durings_ms, befores_ms, strict=True)],
        target=target,
        reference=f"{shown(statistics.median(durings_ms), 'ms')} over {shown(statistics.median(befores_ms), 'ms')}, medians",
    )


# --- restores ------------------------------------------------------------------------------------------------------


def _restores(api: Any, keys: int) -> Iterator[Row]:
    shape = {"NumNodeGroups": 1, "ReplicasPerNodeGroup": 0, "ClusterMode": "enabled", "AutomaticFailoverEnabled": True}
    kind = {"CacheNodeType": NODE_TYPE, "EngineVersion": "9.1", "AtRestEncryptionEnabled": True}
    with replication_group(api, "origin", **kind, **shape) as group:
        entrance = address(group["ConfigurationEndpoint"])
        total = traffic_keys.fill(entrance, keys)
        with data_folder() as folder:
            file = folder / "dump.rdb"
            host, port = next(iter(traffic_keys.owners(entrance)))
            _dump((host, port), file)
            engine_s = [_engine_loads(folder) for _ in range(ROUNDS)]
        api.create_snapshot(SnapshotName="origin", ReplicationGroupId="origin")
        await_snapshot(api, "origin", TIMEOUT_S)
    plain = Row(figure="", unit="s", values=engine_s)
    for shards in SHARDS:
        yield Row(
            figure=f"{total / 1e6:.2g} M keys into {shards} {'shard' if shards == 1 else 'shards'}",
            unit="s",
            values=[_restored_s(api, shards, total) for _ in range(ROUNDS)],
            reference=f"an engine that reads the bare file, once, from its start: {shown(plain.median, 's')}",
        )
    remove(api, "origin")


def _restored_s(api: Any, shards: int, keys: int) -> float:
    begun_s = time.perf_counter()
    api.create_replication_group(
        ReplicationGroupId="back",
        ReplicationGroupDescription="bench",
        SnapshotName="origin",
        NumNodeGroups=shards,
        ReplicasPerNodeGroup=0,
    )
    group = await_available(api, "back", TIMEOUT_S)
    took_s = time.perf_counter() - begun_s
    found = sum(traffic_keys.counts(list(traffic_keys.owners(address(group["ConfigurationEndpoint"])))))
    if found != keys:
        raise AssertionError(f"of {keys} keys {found} were restored")
    delete(api, "back")
    return took_s


def _engine_loads(folder: Path) -> float:
    """Until it serves. The file is linked into the engine's own folder as the engine starts."""
    build = InstalledEngines(EngineSettings()).resolve(Engine.VALKEY, "9.1")
    if build is None:
        raise AssertionError("valkey 9.1 is not installed")
    with data_folder() as own:
        processes = Processes(str(build.binary), own)
        try:
            begun_s = time.perf_counter()
            processes.start(6379, {"dir": folder, "save": '""', "protected-mode": "no"})
            return time.perf_counter() - begun_s
        finally:
            processes.end()
