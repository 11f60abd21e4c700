"""RDBs of real engines: counted, split by slots, merged, and loaded again by the engine that wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from cachefleet.engine_interfaces import Build
from cachefleet.engines.rdb import HeaderReader, RdbRefused, checked, counts, select, slot_of
from cachefleet.engines.replica_stream import open_stream
from cachefleet.model.group import SLOTS, Engine, SlotRanges
from tests.engine.bare_engines import BareEngine, bare_engine
from tests.engine.engine_processes import build_of, every_version
from tests.engine.every_type import ODD_KEYS, Seen, fill, has_functions, load_function, seen
from tests.fixtures.service import wait_for

ALL: SlotRanges = ((0, SLOTS - 1),)


def snapshot(engine: BareEngine) -> list[bytes]:
    with open_stream(engine.address, version=engine.build.version, timeout_s=10) as chunks:
        return list(chunks)


def parts(number: int) -> list[SlotRanges]:
    """So many even parts of all slots; the last one in two ranges."""
    ends = [SLOTS * place // number for place in range(number + 1)]
    ranges: list[SlotRanges] = [((first, end - 1),) for first, end in pairwise(ends)]
    ((first, last),) = ranges[-1]
    return [*ranges[:-1], ((first, first + 9), (first + 10, last))]


def chosen(sources: Sequence[list[bytes]], slots: SlotRanges | None) -> tuple[list[bytes], int | None]:
    selection = select([lambda chunks=chunks: iter(chunks) for chunks in sources], slots)  # type: ignore[misc]
    return list(selection), selection.keys_passed


def loaded(build: Build, chunks: list[bytes]) -> Seen:
    with bare_engine(build, seed=chunks) as engine:
        return seen(engine.client(), build)


@every_version
def test_every_key_is_in_one_part_and_is_what_it_was(engine: Engine, version: str) -> None:
    """One RDB into 1, 3 and 5; the five into three; with TTLs, functions and keys of every kind of name."""
    build = build_of(engine, version)
    with bare_engine(build) as source:
        client = source.client()
        fill(client, build)
        if has_functions(build):
            load_function(client, "mine")
        whole, before = snapshot(source), seen(client, build)
        counted = counts(checked(whole))
        assert counted.keys == {0: client.dbsize()} == {0: len(before)}
        assert counted.expires == client.info("keyspace")["db0"]["expires"]
        assert counted.functions == has_functions(build)
        assert build.version in counted.aux.values()
    fifths = [chosen([whole], slots) for slots in parts(5)]
    assert sum(passed or 0 for _, passed in fifths) == len(before)
    for number in (3, 5):
        together: Seen = {}
        for slots in parts(number):
            taken, passed = chosen([whole], slots)
            assert counts(taken).keys.get(0, 0) == passed
            assert counts(taken).functions == has_functions(build)
            mine = loaded(build, taken)
            assert all(any(first <= slot_of(key) <= last for first, last in slots) for _, key in mine)
            assert together.keys().isdisjoint(mine)
            together |= mine
        assert together == before
    assert loaded(build, chosen([whole], None)[0]) == before
    merged = [chosen([chunks for chunks, _ in fifths], slots)[0] for slots in parts(3)]
    thirds = [loaded(build, chunks) for chunks in merged]
    assert sum(map(len, thirds)) == len(before)
    assert {key: value for third in thirds for key, value in third.items()} == before
    assert [counts(chunks).functions for chunks in merged] == [has_functions(build)] * 3


@every_version
def test_one_source_and_all_slots_is_passed_on_as_it_is(engine: Engine, version: str) -> None:
    with bare_engine(build_of(engine, version)) as source:
        source.client().set("key", "value")
        whole = snapshot(source)
    for slots in (None, ALL, ((0, 5), (6, SLOTS - 1))):
        taken, passed = chosen([whole], slots)
        assert b"".join(taken) == b"".join(whole)
        assert passed is None


@every_version
def test_several_databases(engine: Engine, version: str) -> None:
    """Counted and merged each for itself; refused where slots are asked for."""
    build = build_of(engine, version)
    with bare_engine(build) as source, bare_engine(build) as other:
        for database in (0, 3, 9):
            for number in range(100):
                source.client(database).set(f"key:{number}", f"{database}:{number}")
                other.client(database).set(f"other:{number}", f"{database}:{number}", ex=10_000)
        first, second = snapshot(source), snapshot(other)
    assert counts(first).keys == {0: 100, 3: 100, 9: 100}
    assert counts(second).expires == 300
    taken, passed = chosen([first, second], None)
    assert passed == 600
    with bare_engine(build, seed=taken) as target:
        for database in (0, 3, 9):
            client = target.client(database)
            assert client.dbsize() == 200
            assert client.get("key:7") == client.get("other:7") == f"{database}:7".encode()
    with pytest.raises(RdbRefused, match=r"has keys in databases 0 and 3; cluster mode has database 0 only"):
        chosen([first], parts(3)[0])


@every_version
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
def test_keys_keep_how_old_or_how_wanted_they_are(engine: Engine, version: str, policy: str) -> None:
    build = build_of(engine, version)
    memory = ("--maxmemory", "512mb", "--maxmemory-policy", policy)
    with bare_engine(build, *memory) as source:
        client = source.client()
        dump = (client.set("model", "value"), client.dump("model"))[1]
        word, number = ("IDLETIME", 100_000) if policy.endswith("lru") else ("FREQ", 77)
        for place in range(50):
            client.execute_command("RESTORE", f"key:{place}", 10_000_000 * (place % 2), dump, word, number)
        whole = snapshot(source)
    assert counts(whole).keys == {0: 51}
    assert counts(whole).expires == 25
    for slots in parts(3):
        with bare_engine(build, *memory, seed=chosen([whole], slots)[0]) as target:
            client = target.client()
            for key in client.keys("key:*"):
                if word == "IDLETIME":
                    assert 99_000 <= client.object("idletime", key) <= 101_000
                else:
                    assert 70 <= client.object("freq", key) <= 77


@every_version
def test_the_header_tells_how_many_keys_there_are(engine: Engine, version: str) -> None:
    build = build_of(engine, version)
    with bare_engine(build) as source:
        empty = HeaderReader().feed(b"".join(snapshot(source)))
        assert empty is not None
        assert (empty.database, empty.keys, empty.expires) == (None, 0, 0)
        client = source.client()
        for number in range(300):
            client.set(f"key:{number}", "value", ex=10_000 if number % 3 == 0 else None)
        if has_functions(build):
            load_function(client, "mine")
        header = HeaderReader().feed(snapshot(source)[0])
    assert header is not None
    assert (header.database, header.keys, header.expires, header.functions) == (0, 300, 100, has_functions(build))
    assert header.aux[f"{engine.value}-ver"] == build.version
    assert int(header.aux["ctime"]) > 1_600_000_000


@every_version
def test_keys_whose_time_is_over_are_dropped_and_counted_by_the_engine(engine: Engine, version: str) -> None:
    build = build_of(engine, version)
    with bare_engine(build) as source:
        client = source.client()
        for number in range(100):
            client.set(f"key:{number}", "value", px=300 if number % 4 == 0 else 9_000_000)
        whole = snapshot(source)
        wait_for("a quarter of them is over", lambda: client.dbsize() == 75)
    left = 0
    for slots in parts(3):
        chunks, passed = chosen([whole], slots)
        with bare_engine(build, seed=chunks) as copy:
            told = copy.client().info("persistence")
            left += copy.client().dbsize()
        if has_functions(build):  # as old as what INFO tells
            assert told["rdb_last_load_keys_loaded"] + told["rdb_last_load_keys_expired"] == passed
    assert left == 75


@every_version
def test_slots_are_those_of_the_engine(engine: Engine, version: str) -> None:
    with bare_engine(build_of(engine, version), "--cluster-enabled", "yes") as node:
        client = node.client()
        for key in ODD_KEYS:
            word = key.encode() if isinstance(key, str) else key
            assert client.execute_command("CLUSTER", "KEYSLOT", word) == slot_of(word)


def test_libraries_that_differ_between_shards_are_refused() -> None:
    """The newest engine's RDB and an older one's are one RDB of the newer version otherwise."""
    build = build_of(Engine.REDIS, "7.0")
    with bare_engine(build) as first, bare_engine(build) as second:
        load_function(first.client(), "mine", 1)
        load_function(second.client(), "mine", 2)
        shards = [snapshot(first), snapshot(second)]
    with pytest.raises(RdbRefused, match="different code in different shards for the function library mine"):
        chosen(shards, parts(3)[0])


def test_shards_of_several_versions_become_one_of_the_newest() -> None:
    newest = build_of(Engine.VALKEY, "9.1")
    builds = [build_of(Engine.REDIS, "7.0"), newest, build_of(Engine.VALKEY, "8.1")]
    shards = []
    before: Seen = {}
    for number, build in enumerate(builds):
        with bare_engine(build) as source:
            source.client().hset(f"hash:{number}", mapping={"a": "b"})
            if build is newest:
                source.client().execute_command("HEXPIRE", f"hash:{number}", 90_000, "FIELDS", 1, "a")
            shards.append(snapshot(source))
            before |= {(0, f"hash:{number}".encode()): ("hash", -1, {b"a": b"b"})}
    taken, passed = chosen(shards, None)
    assert counts(taken).magic == "VALKEY080"
    assert passed == 3
    assert {key: value[:3] for key, value in loaded(newest, taken).items()} == before
