"""RDBs read piece by piece: what is counted, what is chosen, and what is found out about damaged ones."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.engines import rdb_window
from cachefleet.engines.rdb import (
    HeaderReader,
    RdbDamaged,
    RdbFault,
    RdbRefused,
    RdbUnknown,
    begun,
    checked,
    counts,
    select,
    slot_of,
)
from cachefleet.engines.rdb_checksum import checksum
from cachefleet.engines.rdb_strings import decoded
from tests.unit.engines import rdb_bytes as made

THIRDS = ((0, 5460), (5461, 10922), (10923, 16383))
every_magic = pytest.mark.parametrize("magic", [b"REDIS0011", b"VALKEY080"], ids=["redis", "valkey"])


@pytest.fixture(params=[1, 3, 64, 1000, 131_072])
def piece_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How much of the stream is looked at at once: every boundary falls everywhere."""
    monkeypatch.setattr(rdb_window, "LEAST_PIECE_BYTES", request.param)
    return int(request.param)


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[place : place + size] for place in range(0, len(data), size))


def chosen(*sources: bytes, slots: tuple[tuple[int, int], ...] | None, size: int = 1 << 20) -> tuple[bytes, int]:
    selection = select([partial(chunked, source, size) for source in sources], slots)
    taken = b"".join(selection)
    assert selection.keys_passed is not None
    return taken, selection.keys_passed


@every_magic
def test_every_type_is_counted(magic: bytes, piece_bytes: int) -> None:
    counted = counts(chunked(made.every_type(magic), piece_bytes))
    assert counted.keys == {0: len(made.keys(magic))}
    assert (counted.expires, counted.functions, counted.magic) == (3, 1, magic.decode())
    assert counted.aux == {"redis-ver": "7.0.15", "redis-bits": "64"}
    assert counted.version == (80 if magic.startswith(b"V") else 11)


@every_magic
def test_chosen_records_are_those_of_the_slots_unchanged(magic: bytes, piece_bytes: int) -> None:
    for first, last in THIRDS:
        taken, passed = chosen(made.every_type(magic), slots=((first, last),), size=piece_bytes)
        wanted = made.in_slots(magic, first, last)
        assert passed == len(wanted) > 3
        function = b"\xf5" + made.string(made.LIBRARY)
        aux = (
            b"\xfa"
            + made.string(b"redis-ver")
            + made.string(b"7.0.15")
            + b"\xfa"
            + made.string(b"redis-bits")
            + made.string(b"64")
        )
        assert taken == magic + aux + function + b"\xfe\x00" + b"".join(wanted.values()) + b"\xff" + bytes(8)


@pytest.mark.parametrize("magic", [b"REDIS0003", b"VALKEY080"])
def test_a_cut_anywhere_is_damage(magic: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is missing, be it the last byte."""
    end = made.END if magic >= b"REDIS0005" else b"\xff"
    records = made.keys(magic)
    for long_or_like_others in (
        b"{tag}" + b"l" * 100,
        b"key:9",
        b"key:10",
        b"key:11",
        b"key:12",
        b"key:13",
        b"key:16",
        b"key:19",
    ):
        del records[long_or_like_others]
    whole = made.rdb(magic, b"\xf5" + made.string(b"code"), b"\xfe\x00\xfb\x01\x01", *records.values(), end=end)
    assert counts([whole]).keys == {0: len(records)}
    for length in range(len(whole)):
        monkeypatch.setattr(rdb_window, "LEAST_PIECE_BYTES", 7)
        with pytest.raises(RdbDamaged, match="cut short"):
            counts([whole[:length]])
        monkeypatch.setattr(rdb_window, "LEAST_PIECE_BYTES", 131_072)
        with pytest.raises(RdbDamaged, match="cut short"):
            chosen(whole[:length], slots=THIRDS[:1])


def test_what_follows_the_end_is_damage(piece_bytes: int) -> None:
    whole = made.every_type(b"REDIS0011")
    for more in (b"\0", b"x" * 300_000):
        with pytest.raises(RdbDamaged, match="something follows its end"):
            counts(chunked(whole + more, 100_000))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (b"\x06" + made.string(b"key"), "a value of a module"),
        (b"\x07" + made.string(b"key"), "a value of a module"),
        (b"\xf7" + b"\x81" + (0b000010_000001_000000 << 46).to_bytes(8, "big"), "data of the module 'CBAAAAAAA'"),
        (b"\xf6" + made.string(b"code"), "release candidate of Redis 7.0"),
        (b"\x16" + made.string(b"key"), "type 22, which is not known"),
        (b"\xf2" + made.string(b"key"), "type 242, which is not known"),
        (made.expiry(5) + b"\x08" + made.string(b"key"), "type 8, which is not known"),
    ],
)
def test_what_is_not_known_is_said(part: bytes, message: str) -> None:
    with pytest.raises(RdbUnknown, match=message):
        counts([made.rdb(b"REDIS0011", part, b"more" * 100)])


@pytest.mark.parametrize("magic", [b"REDIS0000", b"REDIS0013", b"REDIS0080", b"VALKEY079", b"VALKEY081"])
def test_versions_that_are_not_known(magic: bytes) -> None:
    with pytest.raises(RdbUnknown, match=f"RDB version {int(magic[6:])} of (Redis|Valkey); known are"):
        counts([made.rdb(magic)])
    with pytest.raises(RdbUnknown):
        HeaderReader().feed(made.rdb(magic))


def test_what_is_no_rdb() -> None:
    for text in (b"REDIS00 1" + b"x" * 50, b"#!/bin/sh\necho REDIS", bytes(100)):
        with pytest.raises(RdbDamaged, match="is not an RDB"):
            counts([text])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_bytes_are_a_fault_or_another_rdb_but_never_anything_else(data: st.DataObject) -> None:
    whole = bytearray(made.every_type(b"VALKEY080"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    reader = HeaderReader()
    for read in (counts, lambda chunks: list(select([lambda: chunks], THIRDS[:1])), lambda chunks: reader.feed(chunks[0])):
        try:
            read([bytes(whole)])
        except RdbFault as fault:
            assert str(fault)


def test_keys_of_several_shards_become_one(piece_bytes: int) -> None:
    """A library that all have comes once; records keep their database."""
    library = b"\xf5" + made.string(made.LIBRARY)
    shards = [
        made.rdb(
            b"REDIS0011",
            library,
            b"\xfe\x00",
            *(b"\x00" + made.string(b"%d:%d" % (shard, key)) + b"\x01v" for key in range(50)),
        )
        for shard in range(5)
    ]
    taken, passed = chosen(*shards, slots=None, size=piece_bytes)
    assert passed == 250
    assert counts([taken]).keys == {0: 250}
    assert counts([taken]).functions == 1
    assert sum(chosen(*shards, slots=(third,))[1] for third in THIRDS) == 250


def test_libraries_of_one_name_that_differ_are_refused() -> None:
    shards = [made.rdb(b"REDIS0011", b"\xf5" + made.string(made.LIBRARY + more)) for more in (b"", b"-- newer")]
    with pytest.raises(RdbRefused, match="different code in different shards for the function library mine"):
        chosen(*shards, slots=None)


def test_versions_of_which_no_engine_reads_both_are_refused() -> None:
    with pytest.raises(RdbRefused, match="12 of Redis and 80 of Valkey"):
        chosen(made.every_type(b"REDIS0012"), made.every_type(b"VALKEY080"), slots=None)
    old = made.rdb(b"REDIS0003", b"\xfe\x00\x00\x03old\x01v", end=b"\xff")
    assert chosen(old, made.every_type(b"VALKEY080"), slots=None)[0].startswith(b"VALKEY080")


def test_slots_that_were_on_their_way_to_a_shard_are_left_out() -> None:
    """The shard that they came from has all of their keys."""
    key = b"\x00" + made.string(b"{06S}") + b"\x01v" + b"\x00" + made.string(b"123456789") + b"\x01v"
    on_its_way = b"\xf3" + made.string(b"j" * 40) + made.length(1) + made.length(0) + made.length(99)
    shard = made.rdb(b"VALKEY080", on_its_way, b"\xfe\x00\xfb\x01\x00", key)
    assert chosen(shard, made.rdb(b"VALKEY080"), slots=None)[1] == 1
    header = HeaderReader().feed(shard)
    assert header is not None
    assert header.keys == 1
    with pytest.raises(RdbDamaged, match="names slots 0 to 70000"):
        counts([made.rdb(b"VALKEY080", b"\xf3\x01j\x01\x00" + made.length(70_000))])


def test_databases_are_refused_where_slots_are_asked_for() -> None:
    parts = [b"\xfe" + made.length(number) + b"\x00" + made.string(b"key") + b"\x01v" for number in (3, 9, 200)]
    with pytest.raises(RdbRefused, match="keys in database 3; cluster mode has database 0 only"):
        chosen(made.rdb(b"REDIS0011", *parts), slots=((0, 16382),))
    taken, passed = chosen(made.rdb(b"REDIS0011", *parts), made.rdb(b"REDIS0011", *parts), slots=None)
    assert passed == 6
    assert counts([taken]).keys == {3: 2, 9: 2, 200: 2}


def test_keys_whose_time_is_over_are_left_to_the_engine(piece_bytes: int) -> None:
    """It counts those that it drops; nobody could tell how many were missing otherwise."""
    whole = made.every_type(b"REDIS0011")
    selection = select([partial(chunked, whole, piece_bytes), lambda: [made.rdb(b"REDIS0011")]], None)
    taken = b"".join(selection)
    assert counts([taken]).expires == counts([whole]).expires == 3
    assert counts([taken]).keys == counts([whole]).keys == {0: selection.keys_passed}


def test_one_source_is_passed_on_without_being_read() -> None:
    selection = select([lambda: [b"no", b" RDB"]], ((0, 8000), (8001, 16383)))
    assert list(selection) == [b"no", b" RDB"]
    assert selection.keys_passed is None


def test_sources_are_closed_and_their_errors_are_theirs() -> None:
    opened: list[str] = []

    def source() -> Iterator[bytes]:
        opened.append("open")
        try:
            yield made.every_type(b"REDIS0011")[:200]
            raise OSError("the store is gone")
        finally:
            opened.append("closed")

    with pytest.raises(OSError, match="the store is gone"):
        list(select([source], THIRDS[:1]))
    assert opened == ["open", "closed"] * 2


def test_a_large_value_is_never_held() -> None:
    piece = bytes(262_144)

    def source() -> Iterator[bytes]:
        yield b"REDIS0011\xfe\x00\x00\x03key\x80" + (256 * len(piece)).to_bytes(4, "big")
        yield from (piece for _ in range(256))
        yield made.END

    tracemalloc.start()
    try:
        sizes = [len(part) for part in select([source], ((0, 16382),))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 256 * len(piece)
    assert max(sizes) <= 2 * len(piece)
    assert peak < 16 * len(piece)


@pytest.mark.parametrize(
    ("key", "slot"),
    [(b"123456789", 12739), (b"foo", 12182), (b"{foo}bar", 12182), (b"a{foo}{bar}", 12182), (b"", 0), (b"{06S}x", 0)],
)
def test_slots(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_tags_that_are_none() -> None:
    for key in (b"{}foo", b"{foo", b"foo}{"):
        assert slot_of(key) != slot_of(b"foo")
    assert slot_of(b"{{foo}}") == slot_of(b"{foo")


@given(st.binary(max_size=60))
def test_strings_in_every_form(text: bytes) -> None:
    assert decoded(made.string(text)) == text
    if text:
        assert decoded(made.literals(text)) == text + text[-1:] * 8


@given(st.binary(max_size=40), st.integers(0, 100))
def test_what_is_no_compressed_string(packed: bytes, size: int) -> None:
    try:
        assert len(decoded(b"\xc3" + made.length(len(packed)) + made.length(size) + packed)) == size
    except RdbDamaged as fault:
        assert "compressed string" in str(fault)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_the_header_comes_as_soon_as_it_can(size: int) -> None:
    reader = HeaderReader()
    headers = [header for chunk in chunked(made.every_type(b"VALKEY080"), size) if (header := reader.feed(chunk)) is not None]
    first = headers[0]
    assert (first.magic, first.version, first.database, first.keys, first.expires) == (
        "VALKEY080",
        80,
        0,
        len(made.keys(b"VALKEY080")),
        3,
    )
    assert (first.functions, first.aux["redis-ver"]) == (1, "7.0.15")


def test_headers_that_say_less() -> None:
    old = HeaderReader().feed(made.rdb(b"REDIS0003", b"\xfe\x00\x00\x01k\x01v"))
    empty = HeaderReader().feed(made.rdb(b"REDIS0011"))
    modules = HeaderReader().feed(made.rdb(b"REDIS0011", b"\xf7\x05"))
    assert old is not None
    assert (old.database, old.keys) == (0, None)
    assert empty is not None
    assert (empty.keys, empty.expires) == (0, 0)
    assert modules is not None
    assert modules.keys is None


@pytest.mark.parametrize("size", [5, 8, 1000])
def test_checksums_are_looked_at_where_that_is_asked_for(size: int) -> None:
    assert checksum(b"123456789") == 0xE9C6D914C4B8D9CA
    body = made.every_type(b"REDIS0011")[:-8]
    whole = body + checksum(body).to_bytes(8, "little")
    assert b"".join(checked(chunked(whole, size))) == whole
    assert b"".join(checked(chunked(body + bytes(8), size))) == body + bytes(8)
    assert b"".join(checked(chunked(b"REDIS0003" + body[9:], size))) == b"REDIS0003" + body[9:]
    for place in range(9, len(whole), 2999):
        changed = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        with pytest.raises(RdbDamaged, match="does not fit its checksum"):
            list(checked(chunked(changed, size)))


def test_a_wrong_checksum_is_found_before_the_end_is_given() -> None:
    whole = made.every_type(b"REDIS0011")
    given_so_far: list[bytes] = []
    with pytest.raises(RdbDamaged, match="does not fit its checksum"):
        given_so_far.extend(select([lambda: checked([whole])], THIRDS[:1]))
    assert given_so_far == []


@pytest.mark.parametrize("size", [1, 4, 9, 1000])
def test_what_is_no_rdb_is_said_before_an_engine_has_it(size: int) -> None:
    for whole in (b"REDIS0011" + bytes(100), b"VALKEY080" + bytes(100), b"REDIS0099" + bytes(100)):
        assert b"".join(begun(chunked(whole, size))) == whole
    for whole in (b"", b"REDIS001", b"#!/bin/sh" * 9, b"REDIS" + bytes(50)):
        with pytest.raises(RdbDamaged, match="is not an RDB"):
            list(begun(chunked(whole, size)))
