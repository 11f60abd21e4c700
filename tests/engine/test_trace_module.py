"""The module that samples keys in real engines: what it sees, whom it obeys, and that it ends by itself."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from cachefleet.clock import SystemClock
from cachefleet.engine_interfaces import EngineRefused
from cachefleet.engines.access import CONTROLLER
from cachefleet.engines.connections import Connections
from cachefleet.engines.insight_verbs import InsightVerbs
from cachefleet.engines.module_compiling import compiled_module
from cachefleet.engines.trace_module import TRACE_SOURCE
from cachefleet.engines.valkey import ValkeyDriver
from cachefleet.insight.facts import Fetched
from cachefleet.insight.findings import key_report
from cachefleet.insight.shards import CHANGED, ERASED, FULL, READ, STORED
from cachefleet.model.group import Engine
from cachefleet.telemetry.key_survey import survey
from cachefleet.telemetry.key_trace import trace
from tests.engine.engine_processes import Node, every_version
from tests.engine.test_config_module import OURS
from tests.engine.test_config_module import engine as engine_with
from tests.engine.test_drivers_access import PASSWORDS, client_of, launched, primary
from tests.fixtures.iam_tokens import require_compiler
from tests.fixtures.service import wait_for
from tests.unit.insight.test_shards import simulated, zipf

OLDEST = (Engine.REDIS, "6.2")
NEWEST = (Engine.VALKEY, "9.1")
LONG = "k" * 5000
AT_ONCE = 5
ODD: list[tuple[str, ...]] = [
    *[(word,) for word in ("", "MGET", "DEL", "MSET", "SET", "GET", "m", "\0")],
    *[("MSET", "a"), ("MSET", "a", "1", "b"), ("DEL", *map(str, range(3000))), ("GET", ""), ("GET", LONG), (LONG, LONG)],
    *[("ge\0t", "a"), ("unlink", ""), ("EVAL", "return 1" + " " * 100_000, "0"), ("SET", "\0\r\n", "\0" * 70_000)],
]
both_ends = pytest.mark.parametrize(("engine", "version"), [NEWEST, OLDEST], ids=["newest", "oldest"])


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> str:
    require_compiler()
    return str(compiled_module(TRACE_SOURCE, tmp_path_factory.mktemp("modules")))


@asynccontextmanager
async def traced(
    engine: Engine, version: str, module: str, **spec: Any
) -> AsyncIterator[tuple[ValkeyDriver, InsightVerbs, Node]]:
    verbs = InsightVerbs(Connections(raw=True, passwords=PASSWORDS))
    try:
        async with launched(engine, version) as (driver, engines):
            yield driver, verbs, await primary(driver, engines, trace_module=module, **spec)
    finally:
        await verbs.close()


def client(node: Node) -> Any:
    return redis.Redis(node.address.host, node.address.port, socket_timeout=10)


async def send(node: Node, *commands: Sequence[str]) -> None:
    """As a client, one after the other."""

    def body() -> None:
        with client_of(node) as sender:
            for command in commands:
                sender.call(*command)

    await asyncio.to_thread(body)


def uses(fetched: Fetched) -> list[tuple[int, int]]:
    return [(size, use) for _, size, use in fetched.entries]


@every_version
def test_each_use_of_a_key_is_seen_and_nothing_else(engine: Engine, version: str, module: str) -> None:
    async def scenario() -> None:
        async with traced(engine, version, module) as (_, verbs, node):
            await send(node, ("SET", "before", "x"))
            assert await verbs.begin(node.address, FULL, 1)
            await send(
                node, ("SET", "a", "12345"), ("GET", "a"), ("get", "b"), ("HSET", "h", "f", "v"), ("PING",), ("TTL", "a")
            )
            await send(node, ("MSET", "a", "1", "b", "22"), ("MGET", "a", "b", "c"), ("DEL", "a", "b"), ("CONFIG", "GET", "a"))
            fetched = await verbs.fetch(node.address)
            expected = [(6, STORED), (0, READ), (0, READ), (0, CHANGED), (2, STORED), (3, STORED)]
            assert uses(fetched) == [*expected, *[(0, READ)] * 3, *[(0, ERASED)] * 2]
            hashes = [key for key, _, _ in fetched.entries]
            assert hashes[0] == hashes[1] == hashes[4] == hashes[6] == hashes[9]
            assert len(set(hashes)) == 4
            await send(node, ("MULTI",), ("GET", "a"), ("EXEC",), ("EVAL", "return redis.call('GET', KEYS[1])", "1", "a"))
            again = await verbs.fetch(node.address)
            assert [key for key, _, _ in again.entries] == hashes[:2]
            await verbs.end(node.address)
            with pytest.raises(EngineRefused, match="nothing is traced"):
                await verbs.fetch(node.address)

    asyncio.run(scenario())


@both_ends
def test_odd_commands_do_not_disturb_it(engine: Engine, version: str, module: str) -> None:
    async def scenario() -> None:
        async with traced(engine, version, module) as (_, verbs, node):
            for threshold in (FULL, 0, FULL // 2):
                assert await verbs.begin(node.address, threshold, 7)
                await send(node, *ODD, *ODD)
                fetched = await verbs.fetch(node.address)
                assert (fetched.more, fetched.dropped) == (False, 0)
                assert bool(fetched.entries) is (threshold > 0)
                await verbs.lower(node.address, 0)
                await send(node, *ODD)
                assert (await verbs.fetch(node.address)).entries == ()
            assert client(node).get("\0\r\n") == b"\0" * 70_000

    asyncio.run(scenario())


@both_ends
def test_what_there_is_no_room_for_is_counted(engine: Engine, version: str, module: str) -> None:
    async def scenario() -> None:
        async with traced(engine, version, module) as (_, verbs, node):
            with client(node) as sender:
                pipe = sender.pipeline(transaction=False)
                for _ in range(70):
                    pipe.delete(*(f"key-{number}" for number in range(1000)))
                assert await verbs.begin(node.address, FULL, 7)
                await asyncio.to_thread(pipe.execute)
            kept, dropped, more = 0, 0, True
            while more:
                fetched = await verbs.fetch(node.address)
                kept, dropped, more = kept + len(fetched.entries), fetched.dropped, fetched.more
            assert (kept, dropped) == (65536, 70_000 - 65536)

    asyncio.run(scenario())


@every_version
def test_only_we_may_switch_it_and_nobody_sees_that(engine: Engine, version: str, module: str) -> None:
    async def scenario() -> None:
        async with traced(engine, version, module) as (_, verbs, node):
            with client_of(node) as stranger:
                for words in (("START", str(FULL), "1"), ("FETCH",), ("HOT",), ("STOP",), ("RATE", "0"), ()):
                    assert str(stranger.call("CACHEFLEET.TRACE", *words)).startswith("-NOPERM")
                assert await verbs.begin(node.address, FULL, 1)
                script = "return redis.pcall('CACHEFLEET.TRACE', 'STOP')"
                assert str(stranger.call("EVAL", script, "0")).startswith("-")
                assert stranger.call("MULTI") == "OK"
                stranger.call("CACHEFLEET.TRACE", "STOP")
                assert str(stranger.call("EXEC")).find("NOPERM") > 0
                assert str(stranger.call("MODULE", "UNLOAD", "cachefleet-trace")).startswith("-")
            await verbs.fetch(node.address)

    asyncio.run(scenario())


def test_it_ends_when_nobody_fetches_any_more(module: str) -> None:
    """As when the service was killed."""

    async def scenario() -> None:
        async with traced(*NEWEST, module) as (_, verbs, node):
            assert await verbs.begin(node.address, FULL, 1)
            told = ""
            async with asyncio.timeout(30):
                while "nothing is traced" not in told:
                    await asyncio.sleep(0.2)
                    try:
                        await verbs.lower(node.address, 0)  # says whether it is on, and does not count as fetching
                    except EngineRefused as error:
                        told = str(error)
            assert await verbs.begin(node.address, FULL, 1)

    asyncio.run(scenario())


def test_a_node_without_the_module_says_so() -> None:
    async def scenario() -> None:
        async with traced(*NEWEST, "") as (_, verbs, node):
            assert not await verbs.begin(node.address, FULL, 1)

    asyncio.run(scenario())


@both_ends
def test_the_curve_of_known_traffic_is_that_of_a_simulation_and_hot_keys_are_found(
    engine: Engine, version: str, module: str
) -> None:
    keys = zipf(8000, 40_000, 1.0, 5)

    def traffic(node: Node) -> None:
        """Few at a time: with more in a second the module would rest in between."""
        with client(node) as sender:
            for begin in range(0, len(keys), AT_ONCE):
                pipe = sender.pipeline(transaction=False)
                for key in keys[begin : begin + AT_ONCE]:
                    pipe.get(f"item:{key}")
                pipe.execute()

    async def scenario() -> None:
        async with traced(engine, version, module) as (driver, verbs, node):
            with client(node) as sender:
                sender.mset({f"item:{key}": "x" * 100 for key in range(8000)})
            begun, done = asyncio.Event(), asyncio.Event()

            async def measure(at: Any) -> Any:
                return await driver.measure(at)

            class Clock(SystemClock):
                is_over = False

                def monotonic(self) -> float:
                    """Time is over when the traffic is, and all of it has been fetched."""
                    return float(self.is_over)

                async def sleep(self, seconds: float) -> None:
                    begun.set()
                    await super().sleep(seconds)
                    self.is_over = self.is_over or (seconds > 0 and done.is_set())

            async def body() -> None:
                await begun.wait()
                await asyncio.to_thread(traffic, node)
                done.set()

            task = asyncio.create_task(body())
            found = await trace(node.address, 1.0, verbs, measure, Clock(), 3)
            await task
            assert found is not None
            curve = found.shard.curve
            each = found.shard.used_bytes / 8000
            for items in (200, 500, 1000, 2000, 4000, 8000):
                assert abs(curve.hit_rate(items * each * 1.01) - simulated(keys, items)) < 0.03, items
            most = [f"item:{key}".encode() for key, _ in Counter(keys).most_common(3)]
            counted = sorted(found.hot, key=lambda one: one.over - one.count)
            assert most[0] in {one.name for one in counted[:2]}
            assert set(most) <= {one.name for one in counted[:10]}
            assert (found.shard.hits, found.shard.misses) == (40_000, 0)

    asyncio.run(scenario())


class Hasty(SystemClock):
    """Sleeps never for long."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
@both_ends
def test_every_key_of_a_small_cache_is_looked_at(engine: Engine, version: str, policy: str) -> None:
    async def scenario() -> None:
        parameters = {"maxmemory-policy": policy}
        async with traced(engine, version, "", parameters=parameters) as (driver, verbs, node):
            with client(node) as sender:
                sender.mset({f"user:{number}:name": "x" * 10 for number in range(300)})
                sender.set(b"\xff\x00big", "y" * 100_000)
                sender.rpush("list:a", "1", "2")
                for _ in range(300):
                    sender.get("user:7:name")
                sender.select(3)
                sender.set("other:database", "1")
            before = await driver.measure(node.address)
            found = await survey(node.address, 60, verbs, driver.measure, Hasty(), clustered=False)
            after = await driver.measure(node.address)
            assert (found.keys, len(found.found)) == (303, 303)
            report, hot = key_report([(found.keys, found.found)])
            assert (report.keys, report.looked_at) == (303, 303)
            assert (report.big[0].name, report.big[0].type) == ("\\xff\\x00big", "string")
            assert 100_000 <= report.big[0].bytes < 140_000
            assert {one.name: one.keys for one in report.types} == {"string": 302, "list": 1}
            assert ("user:*:name", 300) in {(one.name, one.keys) for one in report.prefixes}
            assert [one.name for one in hot][:1] == (["user:7:name"] if policy.endswith("lfu") else [])
            assert bool(report.idle) is not policy.endswith("lfu")
            assert after["keyspace_misses"] == before["keyspace_misses"]
            assert after["keyspace_hits"] - before["keyspace_hits"] <= 2 * len(found.found)  # docs/insight.md says so

    asyncio.run(scenario())


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_no_byte_is_read_or_written_where_there_is_none(tmp_path: Path) -> None:
    """Every access of the module in its engine is watched, and nothing is left behind."""
    report = tmp_path / "valgrind"
    options = ("valgrind", "--leak-check=full", "--num-callers=30", f"--log-file={report}")
    with engine_with(NEWEST, module=False, config="", beside=[TRACE_SOURCE], under=options) as node, node.client() as client:
        ours: Any = redis.Redis(node.host, node.port, username=CONTROLLER, password=OURS, socket_timeout=60)
        for round_number in range(3):
            assert ours.execute_command("CACHEFLEET.TRACE", "START", FULL >> round_number, 7)
            for words in (*ODD, *ODD, ("MULTI",), ("GET", "a"), ("DISCARD",), *[("GET", "a")] * 200):
                client.call(*words)
                ours.execute_command("CACHEFLEET.TRACE", "FETCH")  # or it would end meanwhile: all is slow here
            assert ours.execute_command("CACHEFLEET.TRACE", "HOT")
            ours.execute_command("CACHEFLEET.TRACE", "RATE", 1)
        for words in (("STOP",), ("FETCH",), ("STOP", "x"), ("START", "-1", "1"), ("START", "a", "b"), ("RATE",), ()):
            with suppress(redis.ResponseError):
                ours.execute_command("CACHEFLEET.TRACE", *words)
        lines = report.read_text().splitlines()
        assert [line for line in lines if "Invalid" in line or "ninitialised" in line] == [], report.read_text()[-4000:]
        with suppress(redis.ConnectionError):
            ours.shutdown(nosave=True)
        wait_for("valgrind has told what was left", lambda: "ERROR SUMMARY" in report.read_text(), 60)
        assert "trace.c" not in report.read_text() and "module.c" not in report.read_text(), report.read_text()[-4000:]
