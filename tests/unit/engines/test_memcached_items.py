"""The file of Memcached items: what is written is read again, and nothing else counts as a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.engines.memcached_items import Encoder, Item, ItemsFault, decoded

items = st.builds(
    Item,
    key=st.binary(min_size=1, max_size=250),
    value=st.binary(max_size=200) | st.just(b"v" * 300_000),
    flags=st.integers(0, 2**32 - 1),
    expires_at=st.integers(0, 2**40),
    binary=st.booleans(),
)
SMALL = [Item(b"a", b"1\r\n2"), Item(b"\0 \n", b"", flags=7, expires_at=1_800_000_000, binary=True)]


def encoded(given_items: list[Item]) -> bytes:
    return b"".join(Encoder().chunks(given_items))


def cut_up(file: bytes, size: int) -> list[bytes]:
    return [file[place : place + size] for place in range(0, len(file), size)]


@given(st.lists(items, max_size=12), st.integers(1, 400_000))
def test_what_was_written_is_read_again_however_it_arrives(expected: list[Item], size: int) -> None:
    file = encoded(expected)
    size = max(size, len(file) // 2000)
    assert list(decoded(cut_up(file, size))) == expected


def test_the_format_is_as_documented() -> None:
    assert encoded([Item(b"key", b"value", flags=5, expires_at=9, binary=True)]) == (
        b"CFMEMCACHED1"
        b"I\x00\x03\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x09\x01\x00\x00\x00\x05keyvalue"
        b"E\x00\x00\x00\x00\x00\x00\x00\x01"
    )


def test_a_file_without_items_is_a_file() -> None:
    assert list(decoded([encoded([])])) == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_beginning_of_a_file_is_a_file(size: int) -> None:
    file = encoded(SMALL)
    for length in range(len(file)):
        with pytest.raises(ItemsFault):
            list(decoded(cut_up(file[:length], size)))


@pytest.mark.parametrize(
    ("place", "byte", "message"),
    [
        (0, b"X", "no file of Memcached items"),
        (11, b"2", "no file of Memcached items"),
        (12, b"J", "after 0 items the file has a record of an unknown kind"),
        (13, b"\x7f", "record 1 .* is none that Memcached can have"),
        (-1, b"\x03", "says that it has 3 items, and has 2"),
    ],
)
def test_what_is_wrong_is_said(place: int, byte: bytes, message: str) -> None:
    file = bytearray(encoded(SMALL))
    file[place] = byte[0]
    with pytest.raises(ItemsFault, match=message):
        list(decoded([bytes(file)]))


def test_nothing_follows_the_end() -> None:
    with pytest.raises(ItemsFault, match="goes on after its end"):
        list(decoded([encoded(SMALL), b"", b"E"]))


def test_the_encoder_counts_and_holds_back_little() -> None:
    encoder = Encoder()
    chunks = list(encoder.chunks(Item(b"k", b"v" * 100_000) for _ in range(20)))
    assert encoder.count == 20
    assert max(map(len, chunks)) < 400_000


def test_expiry() -> None:
    assert [Item(b"k", b"", expires_at=at).has_expired(100.0) for at in (0, 100, 101)] == [False, True, False]
