"""Both directions of a Memcached conversation, cut anywhere."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cachefleet.engines.discovery_list import CONFIG, VALUE
from cachefleet.engines.discovery_stream import PASS, TOO_LONG, Replies, Requests

COMMANDS = [
    (PASS, b"get a b c\r\n"),
    (PASS, b"set k 0 0 20\r\nconfig get cluster\r\n\r\n"),
    (PASS, b"cas k 0 0 5 77\r\nget \n\r\n"),
    (PASS, b"ms k 4 T0\r\n\r\n\r\n\r\n"),
    (PASS, b"append k 0 0 0 noreply\r\n\r\n"),
    (PASS, b"set k 0 0 many\r\n"),
    (PASS, b"config get other\r\n"),
    (PASS, b"get AmazonElastiCache:cluster b\r\n"),
    (PASS, b"get " + b"k" * 3000 + b"\r\n"),
    (PASS, b"\r\n"),
    (PASS, b"quit\n"),
    (CONFIG, b"config get cluster\r\n"),
    (CONFIG, b"config  get cluster \n"),
    (VALUE, b"get AmazonElastiCache:cluster\r\n"),
    (VALUE, b"gets AmazonElastiCache:cluster\r\n"),
]
ANSWERS = [
    b"END\r\n",
    b"VALUE k 0 4\r\nMN\r\n\r\nEND\r\n",
    b"VALUE k 0 0 99\r\n\r\nEND\r\n",
    b"VA 4 f0\r\nMN\r\n\r\n",
    b"STORED\r\n",
    b"VALUE k 0 many\r\n",
    b"STAT " + b"s" * 3000 + b"\r\n",
    b"HD\r\n",
]
CUTS = st.lists(st.integers(1, 200), min_size=1, max_size=50)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """In pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def requests(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    """Actions, with neighbouring PASS joined."""
    stream, found = Requests(), list[tuple[str, bytes]]()
    for piece in pieces:
        stream.feed(piece)
        while (action := stream.next()) is not None:
            if action[0] == TOO_LONG:
                return [*found, action]
            if action[0] == PASS and found and found[-1][0] == PASS:
                found[-1] = (PASS, found[-1][1] + action[1])
            else:
                found.append(action)
    return found


def joined(commands: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for action, data in commands:
        if action == PASS and found and found[-1][0] == PASS:
            found[-1] = (PASS, found[-1][1] + data)
        else:
            found.append((action, data if action == PASS else b""))
    return found


@settings(max_examples=50)
@given(st.lists(st.sampled_from(COMMANDS), max_size=12), CUTS)
def test_commands_are_told_from_data_wherever_the_stream_is_cut(commands: list[tuple[str, bytes]], sizes: list[int]) -> None:
    text = b"".join(data for _, data in commands)
    assert requests(cut(text, sizes)) == joined(commands)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(ANSWERS), st.booleans()), max_size=12), CUTS)
def test_marks_are_told_from_values_wherever_the_stream_is_cut(answers: list[tuple[bytes, bool]], sizes: list[int]) -> None:
    text = b"".join(answer + (b"MN\r\n" if mark else b"") for answer, mark in answers)
    stream, passed, seen = Replies(), b"", 0
    for piece in cut(text, sizes):
        stream.feed(piece)
        while (part := stream.next()) is not None:
            passed += part
            seen += part == b"MN\r\n" and stream.at_line
    assert passed == text
    assert seen == sum(mark for _, mark in answers)


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=20))
def test_whatever_comes_passes_or_is_refused_within_bounds(pieces: list[bytes]) -> None:
    for action, _ in requests(pieces):
        assert action in (PASS, CONFIG, VALUE, TOO_LONG)


def test_a_line_without_end_is_refused() -> None:
    assert requests([b"a" * 1000] * 3) == [(TOO_LONG, b"")]
    assert requests([b"set " + b"a" * 3000]) == [(TOO_LONG, b"")]
    assert requests([b"get " + b"a" * 3000]) == [(PASS, b"get " + b"a" * 3000)]


def test_the_binary_protocol_is_passed_on() -> None:
    text = b"\x80\x0a" + b"config get cluster\r\n" * 3
    assert requests(cut(text, [1])) == [(PASS, text)]
