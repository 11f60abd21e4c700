"""Snapshots over the wire: from primaries and replicas, whole or not at all, and nothing left of them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cachefleet.engines.rdb import counts
from cachefleet.engines.replica_stream import StreamBroken, open_stream
from cachefleet.model.group import Engine
from tests.engine.bare_engines import BareEngine, bare_engine
from tests.engine.engine_processes import build_of, every_version, free_address, resp_processes
from tests.engine.every_type import NOISE
from tests.engine.slot_pairs import ALL, SlotCluster
from tests.fixtures.machine import wait_for

MB = 1_048_576
by_socket = pytest.mark.parametrize("diskless", ["yes", "no"], ids=["mark", "length"])


def fill(engine: BareEngine, keys: int, size: int = 100) -> None:
    client = engine.client()
    for first in range(0, keys, 500):
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(keys, first + 500)):
                pipe.set(f"key:{number}", NOISE[number % 1000 : number % 1000 + size])
            pipe.execute()


@contextmanager
def replica_of(primary: BareEngine) -> Iterator[BareEngine]:
    at = primary.address
    with bare_engine(primary.build, "--replicaof", at.host, str(at.port)) as replica:
        wait_for(lambda: replica.client().info("replication")["master_link_status"] == "up", 20)
        yield replica


@every_version
@by_socket
def test_a_primary_and_a_replica_serve_the_same_keys(engine: Engine, version: str, diskless: str) -> None:
    with bare_engine(build_of(engine, version), "--repl-diskless-sync", diskless) as primary:
        fill(primary, 20_000)
        with replica_of(primary) as replica:
            replica.client().config_set("repl-diskless-sync", diskless)
            for node in (primary, replica):
                with open_stream(node.address, version=node.build.version, timeout_s=10) as chunks:
                    taken = list(chunks)
                assert counts(taken).keys == {0: 20_000}
                assert max(map(len, taken)) <= 262_144
                assert len(taken) < 20
                assert (counts(taken).magic == "VALKEY080") == (version == "9.1")
            wait_for(lambda: len(primary.replicas()) == 1 and not replica.replicas())


@every_version
@by_socket
def test_values_come_as_they_are_and_other_replicas_get_them_compressed(engine: Engine, version: str, diskless: str) -> None:
    value = b"again and " * 1000
    with bare_engine(build_of(engine, version), "--repl-diskless-sync", diskless) as node:
        node.client().set("key", value)
        with open_stream(node.address, version=node.build.version, timeout_s=10) as chunks:
            assert node.client().config_get("rdbcompression") == {"rdbcompression": "yes"}
            assert value in b"".join(chunks)


@every_version
def test_leaving_ends_the_engines_work(engine: Engine, version: str) -> None:
    with bare_engine(build_of(engine, version), "--repl-diskless-sync", "yes", "--rdb-key-save-delay", "500") as node:
        fill(node, 20_000)
        with open_stream(node.address, version=node.build.version, timeout_s=10) as chunks:
            assert next(chunks)
            assert len(node.replicas()) == 1
        wait_for(lambda: not node.replicas())
        wait_for(lambda: node.client().info("persistence")["rdb_bgsave_in_progress"] == 0)
        assert node.client().ping()


@every_version
def test_a_node_that_dies_on_the_way_gives_no_snapshot(engine: Engine, version: str) -> None:
    for diskless in ("yes", "no"):
        with bare_engine(build_of(engine, version), "--repl-diskless-sync", diskless) as node:
            fill(node, 60, 400_000 - 1000)
            with (
                pytest.raises(StreamBroken, match=f"{node.address}.*(before its snapshot was whole|broke)"),
                open_stream(node.address, version=node.build.version, timeout_s=10) as chunks,
            ):
                for number, _ in enumerate(chunks):
                    if number == 2:
                        node.process.kill()


@every_version
def test_a_node_that_falls_silent_gives_no_snapshot(engine: Engine, version: str) -> None:
    with bare_engine(build_of(engine, version), "--repl-diskless-sync", "yes") as node:
        fill(node, 60, 400_000 - 1000)
        with (
            pytest.raises(StreamBroken, match=f"{node.address} sent nothing for 0.5 s"),
            open_stream(node.address, version=node.build.version, timeout_s=0.5) as chunks,
        ):
            for number, _ in enumerate(chunks):
                if number == 0:
                    node.process.send_signal(signal.SIGSTOP)


@every_version
def test_a_replica_without_its_primary_refuses(engine: Engine, version: str) -> None:
    at = free_address(6379)
    with (
        bare_engine(build_of(engine, version), "--replicaof", at.host, str(at.port)) as node,
        pytest.raises(StreamBroken, match=f"{node.address} refuses a snapshot: NOMASTERLINK"),
        kept_as_it_was(node),
        open_stream(node.address, version=node.build.version, timeout_s=10) as chunks,
    ):
        next(chunks)


@contextmanager
def kept_as_it_was(node: BareEngine) -> Iterator[None]:
    """Also by who is refused."""
    before = node.client().config_get("*")
    try:
        yield
    finally:
        assert node.client().config_get("*") == before


def test_nobody_there() -> None:
    at = free_address(6379)
    with pytest.raises(StreamBroken, match=f"the connection to {at} broke"), open_stream(at, version="9.1.2", timeout_s=1):
        pass


@every_version
def test_nodes_of_a_cluster_begin_at_once_and_those_without_a_role_never(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            cluster = SlotCluster(driver, engines)
            await cluster.start(ALL)
            with cluster.client(0) as client:
                assert client.call("SET", "key", "value") == "OK"
            replica = await cluster.replicate(0)
            for node in (cluster.nodes[0], replica):
                with open_stream(node.address, version=engines.build.version, timeout_s=2) as chunks:
                    assert counts(chunks).keys == {0: 1}
            waiting = engines.start(maxmemory_bytes=64 * MB, clustered=True)
            await engines.view(waiting, clustered=True)
            with (
                pytest.raises(StreamBroken, match="has no role in its cluster yet"),
                open_stream(waiting.address, version=engines.build.version, timeout_s=2),
            ):
                pass

    asyncio.run(scenario())


def test_a_node_that_waits_says_so_for_as_long_as_it_takes() -> None:
    """Newlines are signs of life: here for longer than the node may be silent."""
    with bare_engine(build_of(Engine.REDIS, "7.0"), "--repl-diskless-sync", "yes") as node:
        node.client().config_set("repl-diskless-sync-delay", 3)
        node.client().set("key", "value")
        signs: list[int] = []
        with open_stream(node.address, version=node.build.version, timeout_s=1.5, alive=lambda: signs.append(1)) as chunks:
            assert counts(chunks).keys == {0: 1}
        assert len(signs) >= 2
