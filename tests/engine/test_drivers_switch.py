"""The planned hand-over of the primary role, under a writing client and with interruptions at every moment."""

from __future__ import annotations

import asyncio
import threading
import time
import types
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import Any

import pytest

from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.model.group import Engine
from tests.engine.engine_processes import (
    Client,
    EngineProcesses,
    Node,
    endpoints,
    every_version,
    refused,
    resp_processes,
    until,
)

PORT = 6379


class Writer(threading.Thread):
    """One client of an endpoint that writes without a pause and connects anew when it is cut."""

    def __init__(self, host: str) -> None:
        super().__init__(daemon=True)
        self.host = host
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.cut = 0
        self.longest_gap_s = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        number = 0
        while not self._over.is_set():
            with suppress(OSError), Client(self.host, PORT) as client:
                self.cut += 1
                while not self._over.is_set():
                    number += 1
                    answer = client.call("SET", f"k{number}", str(number))
                    if answer != "OK":
                        self.refused.append(answer)
                        continue
                    self.acknowledged.append(f"k{number}")
                    now = time.monotonic()
                    self.longest_gap_s = max(self.longest_gap_s, now - last)
                    last = now

    async def progress(self, count: int) -> None:
        """Wait for that many further writes."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted)

    def end(self) -> None:
        self._over.set()
        self.join(10)


def lost(node: Node, writer: Writer) -> list[str]:
    """Acknowledged writes that are not there."""
    with Client(node.address.host, PORT) as client:
        values = client.call("MGET", *writer.acknowledged) if writer.acknowledged else []
    return [key for key, value in zip(writer.acknowledged, values, strict=True) if value is None]


async def group_of_three(driver: ValkeyDriver, engines: EngineProcesses, endpoint: str, reader: str) -> list[Node]:
    """A primary with the endpoint, a replica with the reader, another replica; all in sync and getting the stream."""
    primary = engines.start()
    await engines.view(primary)
    await driver.promote(primary.address, [endpoint])
    replicas = [engines.start(follow=primary.address) for _ in range(2)]
    for replica in replicas:
        await engines.view(replica, lambda view: view.link_up and not view.syncing)
    with Client(endpoint, PORT) as client:
        client.call("SET", "first", "1")
        assert client.call("WAIT", "2", "10000") == 2
    await driver.bind(replicas[0].address, [reader])
    return [primary, *replicas]


def full_syncs(node: Node) -> int:
    with Client(node.address.host, PORT) as client:
        lines = client.call("INFO", "stats").splitlines()
    return int(next(line.partition(":")[2] for line in lines if line.startswith("sync_full:")))


@every_version
def test_a_switch_loses_nothing(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            endpoint, reader = endpoints(2)
            old, new, third = await group_of_three(driver, engines, endpoint, reader)
            before = [full_syncs(node) for node in (old, new, third)]
            writer = Writer(endpoint)
            writer.start()
            try:
                await writer.progress(500)
                with Client(reader, PORT) as reading:
                    await driver.switch(
                        old.address, new.address, to_bind=[endpoint], from_bind=[reader], others=[third.address]
                    )
                    with pytest.raises(ConnectionError):  # it was connected to what is the primary now
                        reading.call("PING")
                await writer.progress(500)
            finally:
                writer.end()
            assert lost(new, writer) == []
            assert writer.refused == []
            view = await engines.view(new, lambda view: len(view.streams_to) == 2)
            assert view.primary and set(view.bound) == {new.address.host, endpoint}
            for node, bound in ((old, {old.address.host, reader}), (third, {third.address.host})):
                view = await engines.view(node, lambda view: view.link_up)
                assert (view.follows, set(view.bound)) == (new.address.host, bound)
            assert [full_syncs(node) for node in (old, new, third)] == before

    asyncio.run(scenario())


@every_version
def test_a_switch_to_one_that_is_no_replica_changes_nothing(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            (endpoint,) = endpoints(1)
            primary, stranger = engines.start(), engines.start()
            for node in (primary, stranger):
                await engines.view(node)
            await driver.promote(primary.address, [endpoint])
            with pytest.raises(EngineRefused, match="not an in-sync replica"):
                await driver.switch(primary.address, stranger.address, to_bind=[endpoint], from_bind=[], others=[])
            with Client(endpoint, PORT) as client:
                assert client.call("SET", "a", "1") == "OK"

    asyncio.run(scenario())


@every_version
def test_a_switch_that_cannot_catch_up_is_undone(engine: Engine, version: str) -> None:
    """The replica hangs: the old primary takes writes again, through the endpoint, on the connections that it had."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            endpoint, reader = endpoints(2)
            old, new, _ = await group_of_three(driver, engines, endpoint, reader)
            with Client(endpoint, PORT) as client:
                await driver.probe(new.address, False)
                new.freeze()
                try:
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.3):
                            await driver.switch(old.address, new.address, to_bind=[endpoint], from_bind=[], others=[])
                    assert client.call("SET", "a", "1") == "OK"
                finally:
                    new.thaw()
            view = await engines.view(old)
            assert view.primary and endpoint in view.bound
            assert (await engines.view(new, lambda view: view.link_up)).follows == old.address.host

    asyncio.run(scenario())


@every_version
def test_what_a_control_plane_left_when_it_died_is_finished(engine: Engine, version: str) -> None:
    """It died after the promotion, before the old primary was demoted: two primaries, one of them paused, and clients on it."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            endpoint, reader = endpoints(2)
            old, new, _ = await group_of_three(driver, engines, endpoint, reader)
            at_old, at_new = old.address.host, new.address.host
            with (
                Client(endpoint, PORT) as left,
                Client(old.address.host, PORT) as direct,
                Client(new.address.host, PORT) as dead,
            ):
                assert left.call("PING") == "PONG"
                assert direct.call("CLIENT", "PAUSE", "600000", "WRITE") == "OK"
                assert direct.call("CONFIG", "SET", "bind", at_old) == "OK"
                left.send("SET", "unacknowledged", "1")
                assert dead.call("REPLICAOF", "NO", "ONE") == "OK"
                assert dead.call("CONFIG", "SET", "bind", f"{at_new} {endpoint}") == "OK"

                again = ValkeyDriver(1000)
                assert (await again.probe(old.address, False)).primary
                with pytest.raises(ConnectionError):
                    left.reply()
                await again.follow(old.address, new.address, [])
                assert direct.call("SET", "a", "1").startswith("-READONLY")
                await again.close()
            assert (await engines.view(old, lambda view: view.link_up)).follows == new.address.host
            with Client(endpoint, PORT) as client:
                assert client.call("GET", "unacknowledged") is None
                assert client.call("SET", "a", "1") == "OK"

    asyncio.run(scenario())


@types.coroutine
def interrupted(work: Coroutine[Any, Any, None], after: int) -> Generator[Any, Any, bool]:
    """Runs it in the current task and cancels that while the work waits for the n-th time; False when it never came to that."""
    task = asyncio.current_task()
    assert task is not None
    waits = 0
    answer: Any = None
    while True:
        try:
            waiting = work.send(answer)
        except StopIteration:
            return False
        if waits == after:
            task.cancel()
        waits += 1
        try:
            answer = yield waiting
        except asyncio.CancelledError as cancelled:
            task.uncancel()
            with suppress(asyncio.CancelledError):
                work.throw(cancelled)
            work.close()
            return True


@every_version
def test_a_switch_may_be_cancelled_at_any_moment(engine: Engine, version: str) -> None:
    """Whatever the moment: never two primaries, and repeating the switch (or promoting the one that is due) ends well."""

    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            endpoint, reader = endpoints(2)
            old, new, third = await group_of_three(driver, engines, endpoint, reader)
            writer = Writer(endpoint)
            writer.start()
            outcomes = []
            try:
                for moment in range(200):
                    work = driver.switch(
                        old.address, new.address, to_bind=[endpoint], from_bind=[reader], others=[third.address]
                    )
                    cut_short = await interrupted(work, moment)
                    roles = ((await engines.view(old)).primary, (await engines.view(new)).primary)
                    outcomes.append(roles)
                    assert roles != (True, True)
                    assert (await engines.view(old)).bound  # what was sent to undo it has been answered by now
                    if roles == (True, False):
                        await engines.view(new, lambda view: view.link_up)
                        await writer.progress(1)
                        continue
                    if roles == (False, False):
                        await driver.promote(new.address, [endpoint])
                    await driver.switch(
                        old.address, new.address, to_bind=[endpoint], from_bind=[reader], others=[third.address]
                    )
                    for node in (old, third):
                        assert (await engines.view(node, lambda view: view.link_up)).follows == new.address.host
                    assert set((await engines.view(new)).bound) == {new.address.host, endpoint}
                    await writer.progress(1)
                    old, new = new, old
                    if not cut_short:
                        break
            finally:
                writer.end()
            assert {(True, False), (False, True)} <= set(outcomes)
            assert lost(old, writer) == []
            assert not refused(endpoint, PORT)

    asyncio.run(scenario())
