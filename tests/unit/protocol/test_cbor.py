"""CBOR: the examples of RFC 8949 that Smithy has a use for, and everything that must be refused."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.protocol.cbor import MAX_DEPTH, MAX_ITEMS, Encoded, Moment, dumps, loads

# Appendix A.
EXAMPLES: list[tuple[str, Any]] = [
    ("00", 0), ("01", 1), ("0a", 10), ("17", 23), ("1818", 24), ("1864", 100), ("1903e8", 1000), ("1a000f4240", 1_000_000),
    ("1b000000e8d4a51000", 1_000_000_000_000), ("1bffffffffffffffff", 2**64 - 1), ("3bffffffffffffffff", -(2**64)),
    ("20", -1), ("29", -10), ("3863", -100), ("3903e7", -1000),
    ("f90000", 0.0), ("f93c00", 1.0), ("fb3ff199999999999a", 1.1), ("f93e00", 1.5), ("f97bff", 65504.0),
    ("fa47c35000", 100_000.0), ("fa7f7fffff", 3.4028234663852886e38), ("fb7e37e43c8800759c", 1e300),
    ("f90001", 5.960464477539063e-8), ("f9c400", -4.0), ("fbc010666666666666", -4.1), ("f97c00", math.inf),
    ("f9fc00", -math.inf), ("f4", False), ("f5", True), ("f6", None), ("f7", None),
    ("c11a514b67b0", Moment(1363896240.0)), ("c1fb41d452d9ec200000", Moment(1363896240.5)),
    ("40", b""), ("4401020304", b"\x01\x02\x03\x04"), ("60", ""), ("6161", "a"), ("62225c", '"\\'), ("62c3bc", "\u00fc"),
    ("64f0908591", "\U00010151"), ("80", []), ("83010203", [1, 2, 3]), ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("a0", {}), ("a26161016162820203", {"a": 1, "b": [2, 3]}), ("826161a161626163", ["a", {"b": "c"}]),
    ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"), ("7f657374726561646d696e67ff", "streaming"), ("9fff", []),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]), ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ("bf6346756ef563416d7421ff", {"Fun": True, "Amt": -2}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_examples_of_the_standard(text: str, value: Any) -> None:
    read = loads(bytes.fromhex(text))
    assert (read, type(read)) == (value, type(value))
    assert loads(dumps(value)) == value


def test_not_a_number() -> None:
    assert math.isnan(loads(bytes.fromhex("f97e00")))
    assert math.isnan(loads(dumps(math.nan)))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.floats(allow_nan=False).map(Moment),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(PLAIN)
def test_what_is_written_is_read(value: Any) -> None:
    assert loads(dumps(value)) == value
    assert dumps([Encoded(dumps(value))]) == dumps([value])


@given(PLAIN, st.data())
def test_nothing_of_it_can_be_left_out(value: Any, data: st.DataObject) -> None:
    whole = dumps(value)
    with pytest.raises(ValueError, match="ends too early"):
        loads(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = loads(data)
    except ValueError:
        return
    dumps(value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "ends too early"),
        (b"\x01\x01", "follows the value at byte 1"),
        (b"\xff", "unknown simple value"),
        (b"\xf8\x20", "unknown simple value"),
        (b"\xe0", "unknown simple value"),
        (b"\x1c", "unknown length"),
        (b"\x1f", "unknown length"),
        (b"\x5b" + b"\xff" * 8, "ends too early: 18446744073709551615 bytes"),
        (b"\x9b" + b"\xff" * 8, "18446744073709551615 values are announced"),
        (b"\xbb" + b"\x7f" + b"\xff" * 7, "values are announced"),
        (b"\x9a\x00\x01\x00\x00", "values are announced"),
        (b"\x9f\x01", "ends too early"),
        (b"\xbf\x61a", "ends too early"),
        (b"\xbf\x61a\xff", "unknown simple value"),
        (b"\x5f\x61a\xff", "a piece of a string is none"),
        (b"\x7f\x7f\x61a\xff\xff", "a piece of a string is none"),
        (b"\x7f\x62\xc3", "ends too early"),
        (b"\x62\xc3\x28", "not valid UTF-8"),
        (b"\x63\xed\xa0\x80", "not valid UTF-8"),  # half of a surrogate pair
        (b"\x7f\x61\xc3\x61\xbc\xff", "not valid UTF-8"),  # a character in two pieces
        (b"\xa2\x61a\x01\x61a\x02", "a key is given twice"),
        (b"\xbf\x61a\x01\x61a\x02\xff", "a key is given twice"),
        (b"\xa1\x01\x02", "a key is no text"),
        (b"\xa1\x41a\x02", "a key is no text"),
        (b"\xa1\x80\x02", "levels"),
        (b"\xc2\x49\x01" + bytes(8), "tag 2 is not known"),  # big numbers
        (b"\xc4\x82\x1b" + b"\x7f" * 8 + b"\x01", "tag 4 is not known"),  # ten to the power of very much
        (b"\xd8\x1c\x81\xd8\x1d\x00", "tag 28 is not known"),  # a list that holds itself
        (b"\xd8\x23\x61a", "tag 35 is not known"),  # regular expressions
        (b"\xc0\x61a", "tag 0 is not known"),
        (b"\xc1\xc1\x01", "levels"),
        (b"\xc1\x61a", "a point in time is no number"),
        (b"\xc1\xf5", "a point in time is no number"),
        (b"\x81" * (MAX_DEPTH + 1) + b"\x01", f"more than {MAX_DEPTH} levels at byte {MAX_DEPTH}"),
        (b"\xc1" * 1_000_000, "levels"),
        (b"\x9f" * 1_000_000, "levels"),
        (b"\xa1\x61a" * 300_000, "levels"),
        (b"\x9f" + b"\x01" * 1_000_000 + b"\xff", f"more than {MAX_ITEMS} values"),
        (b"\x9f" + b"\x80" * 1_000_000 + b"\xff", f"more than {MAX_ITEMS} values"),
        (b"\x5f" + b"\x40" * 1_000_000 + b"\xff", f"more than {MAX_ITEMS} values"),
    ],
)
def test_what_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        loads(data)


def test_the_deepest_and_the_longest_that_are_read() -> None:
    assert loads(b"\x81" * MAX_DEPTH + b"\x01")
    assert len(loads(b"\x9f" + b"\x01" * (MAX_ITEMS - 1) + b"\xff")) == MAX_ITEMS - 1
    assert loads(b"\x5a" + struct.pack(">I", 1_000_000) + bytes(1_000_000)) == bytes(1_000_000)


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1, object(), {"a": {1}}, (1,)])
def test_what_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)
