"""Each modifiable parameter of each family at each of its bounds, on a live node of every engine version, read back from it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping

import pytest
from msgspec.structs import replace

from cachefleet.engine_interfaces import Build, NodeSpec
from cachefleet.engines.memcached import MemcachedDriver
from cachefleet.model.group import Engine
from cachefleet.model.observed import Address, ParameterView
from cachefleet.reference import parameter_values, parameters
from cachefleet.reference.engines import family_of
from cachefleet.reference.node_types import NODE_TYPES
from cachefleet.reference.parameter_types import Family, Parameter
from tests.engine.engine_processes import Client, build_of, every_version, processes, resp_processes

PORT, MEMCACHED_PORT = 6379, 11211
NODE_TYPE = NODE_TYPES["cache.m7g.large"]
_MB = 1_048_576
# Of modules that no engine here has; what clients send (tests of clients_module); node types' memory (a test of its own).
ELSEWHERE = {"rename-commands", "close-on-replica-write", "reserved-memory", "reserved-memory-percent"}
NOT_HERE = {"search-default-timeout-ms", "search-enable-partial-results", "search-fanout-target-mode"}
LIMITS = "client-output-buffer-limit"
EVENTS = "notify-keyspace-events"
# What Memcached 1.6 has no more, takes for something else, or is needed for snapshots (docs/parameter-groups.md).
MEMCACHED_LACKS = {"inline_ascii_resp", "worker_logbuf_size", "lru_crawler metadump"}


def bounds(parameter: Parameter, most: int) -> list[str]:
    """Every value that it may have, or the lowest and the highest of each range. most: where memory is the bound."""
    if parameter.name == EVENTS:
        return ["", "KEA", "Eg$lshzxetdm"]
    if parameter.data_type == "float":
        return ["1.01", parameter.allowed.split("-")[1]]
    if parameter.data_type != "integer":
        return parameter.allowed.split(",")
    ends = [end for low_and_high in parameter_values.ranges(parameter) for end in low_and_high]
    return list(dict.fromkeys(str(min(end, most) if parameter.name == "repl-backlog-size" else end) for end in ends))


def rounds(family: Family, names: set[str], most: int) -> Iterator[dict[str, str]]:
    """As few as there have to be, so that each parameter has each value in one of them."""
    values = {name: bounds(family.parameters[name], most) for name in sorted(names)}
    for number in range(max(map(len, values.values()))):
        yield {name: each[number % len(each)] for name, each in values.items()}


def spec_of(at: Address, family: Family, own: Mapping[str, str], clustered: bool = False) -> NodeSpec:
    values = parameters.effective(family.name, clustered, own, NODE_TYPE)
    return NodeSpec(
        name="node",
        incarnation="u1.node.1",
        address=at,
        zone="a",
        clustered=clustered,
        maxmemory_bytes=parameters.usable_memory_bytes(values),
        threads=2,
        parameters=values,
    )


# --- Valkey and Redis ----------------------------------------------------------------------------------------------


def family_and_names(build: Build) -> tuple[Family, set[str]]:
    family = parameters.family(family_of(build.engine, build.version) or "")
    modifiable = {name for name, known in family.parameters.items() if known.modifiable}
    return family, modifiable - ELSEWHERE - NOT_HERE


def lacks(build: Build, name: str) -> bool:
    """This version, though its family has it."""
    return name.startswith("commandlog-") and "commandlog" not in build.capabilities


def said(client: Client, name: str) -> str | None:
    """What the engine itself answers."""
    if name.startswith(LIMITS):
        kind, part = name.removeprefix(f"{LIMITS}-").split("-", 1)
        words = client.call("CONFIG", "GET", LIMITS)[1].split()
        of_kind = words[words.index(kind) :]
        return str(of_kind[1 + ("hard-limit", "soft-limit", "soft-seconds").index(part)])
    answer = client.call("CONFIG", "GET", name)
    return answer[1] if answer else None


def expected(build: Build, name: str, value: str) -> str:
    """What docs/parameter-groups.md says that becomes of it."""
    if name == "activedefrag" and "active-defrag" not in build.capabilities:
        return "no"
    if name.startswith(f"{LIMITS}-normal") and name.endswith("limit"):
        return value if value == "0" else str(max(_MB, int(value)))
    return "ip" if name == "cluster-preferred-endpoint-type" else value


def letters(value: str | None) -> set[str]:
    return set((value or "").replace("A", "g$lshzxetd"))


@every_version
def test_each_bound_is_set_on_a_running_node_and_read_back(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            build = engines.build
            family, names = family_and_names(build)
            names -= {"databases"}
            node = engines.start(parameters=parameters.effective(family.name, False, {}, NODE_TYPE))
            await engines.view(node)
            with Client(node.address.host, PORT) as client:
                for own in rounds(family, names, NODE_TYPE.maxmemory_bytes):
                    spec = spec_of(node.address, family, own)
                    view = await driver.parameters(node.address, spec, build)
                    await driver.resize(node.address, spec)
                    await driver.set_parameters(node.address, {each.directive: each.value for each in view.differing})
                    assert await driver.parameters(node.address, spec, build) == ParameterView()
                    found = {name: said(client, name) for name in names if not lacks(build, name)}
                    asked = {name: expected(build, name, own[name]) for name in found}
                    wrong = {name: (asked[name], value) for name, value in found.items() if value != asked[name]}
                    events = wrong.pop(EVENTS, ("", ""))
                    assert wrong == {} and letters(events[0]) == letters(events[1])
                view = await driver.parameters(node.address, spec_of(node.address, family, {"databases": "10000"}), build)
                assert view.at_launch == ("databases",)

    asyncio.run(scenario())


@pytest.mark.parametrize("clustered", [False, True], ids=["plain", "cluster"])
@every_version
def test_a_node_starts_with_each_bound(engine: Engine, version: str, clustered: bool) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            family, names = family_and_names(engines.build)
            for own in rounds(family, names, NODE_TYPE.maxmemory_bytes):
                spec = spec_of(Address("127.0.0.1", PORT), family, own, clustered)
                node = engines.start(parameters=spec.parameters, maxmemory_bytes=spec.maxmemory_bytes, clustered=clustered)
                await engines.view(node, clustered=clustered)
                view = await driver.parameters(node.address, replace(spec, address=node.address), engines.build)
                assert view == ParameterView()
                node.kill()

    asyncio.run(scenario())


@every_version
def test_reserved_memory_is_taken_from_a_running_node(engine: Engine, version: str) -> None:
    async def scenario() -> None:
        async with resp_processes(engine, version) as (driver, engines):
            family, _ = family_and_names(engines.build)
            all_bytes = NODE_TYPE.maxmemory_bytes
            node = engines.start(parameters=parameters.effective(family.name, False, {}, NODE_TYPE))
            await engines.view(node)
            for own, left in (
                ({"reserved-memory-percent": "0"}, all_bytes),
                ({"reserved-memory-percent": "50"}, all_bytes // 2),
                ({"reserved-memory-percent": "100"}, _MB),
                ({"reserved-memory": "0"}, all_bytes * 3 // 4),
                ({"reserved-memory": str(all_bytes - 1)}, _MB),
            ):
                await driver.resize(node.address, spec_of(node.address, family, own))
                assert (await engines.view(node)).maxmemory_bytes == left

    asyncio.run(scenario())


# --- Memcached -----------------------------------------------------------------------------------------------------


def settings_of(host: str, port: int) -> dict[str, str]:
    """Raises OSError."""
    with socket.create_connection((host, port), timeout=5) as client:
        client.sendall(b"stats settings\r\n")
        text = b""
        while not text.endswith(b"END\r\n"):
            more = client.recv(65536)
            if not more:
                raise ConnectionError("it has ended")
            text += more
    return dict(line.split(" ", 2)[1:] for line in text.decode(errors="replace").splitlines() if line.count(" ") > 1)


def test_memcached_starts_with_each_bound_and_tells_when_it_would_start_otherwise() -> None:
    async def scenario() -> None:
        driver = MemcachedDriver()
        family = parameters.family("memcached1.6")
        modifiable = {name for name, known in family.parameters.items() if known.modifiable}
        names = modifiable - MEMCACHED_LACKS - {"memcached_connections_overhead"}
        seen: set[str] = set()
        async with processes(driver, build_of(Engine.MEMCACHED, "1.6")) as engines:
            tried = [fitting(own) for own in rounds(family, names, NODE_TYPE.memcached_mb * _MB)]
            for own in tried:
                spec = spec_of(Address("127.0.0.1", MEMCACHED_PORT), family, own)
                node = engines.start(parameters=spec.parameters, maxmemory_bytes=spec.maxmemory_bytes, threads=2)
                await engines.view(node)
                at = node.address
                assert await driver.parameters(at, spec, engines.build) == ParameterView(), own
                for name in names:
                    for value in {other[name] for other in tried} - {own[name]}:
                        other = spec_of(at, family, {**own, name: value})
                        seen |= {name} & {*(await driver.parameters(at, other, engines.build)).at_launch}
                node.kill()
        assert names - seen == {"no_modern"}  # which is in what others are without it

    asyncio.run(scenario())


def fitting(own: Mapping[str, str]) -> dict[str, str]:
    """As the API takes them: pieces of an item are of a power of two, and no larger than it (reference 3.3)."""
    item = min(int(own["max_item_size"]), 256 * _MB)
    piece = min(item, 524_288 if int(own["slab_chunk_max"]) > 1024 else 1024)
    return {**own, "max_item_size": str(item), "slab_chunk_max": str(piece)}
