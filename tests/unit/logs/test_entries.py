"""Entries of both logs in both forms, by the reference's words."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.logs.engine_lines import Before, EngineLine, engine_event, read_lines, time_text
from cachefleet.logs.slow_entries import hidden, slow_event
from cachefleet.model.log import SlowEntry
from cachefleet.model.log_delivery import LogFormat

ENTRY = SlowEntry(296, 1_605_631_822, 1234, ("GET", "a key"), "192.168.12.104:55452", "shop##")
LINE = "812:M 23 Nov 2026 08:55:35.416 * Replica 127.0.0.1:6379 asks for synchronization"
AT_MS = 1_795_424_135_416


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("PING",), "PING"),
        (("GET", "a"), "GET ... (1 more arguments)"),
        (("SET", "a", "b"), "SET ... (2 more arguments)"),
        (("MSET", *"abc", "... (97 more arguments)"), "MSET ... (100 more arguments)"),
        (("GET", "... (3 more bytes)"), "GET ... (1 more arguments)"),
        ((), ""),
    ],
)
def test_arguments_are_counted_and_not_shown(command: tuple[str, ...], shown: str) -> None:
    assert hidden(command) == shown


def test_a_slow_command_in_both_forms() -> None:
    as_json = slow_event(ENTRY, "shop-001", "0001", LogFormat.JSON)
    assert as_json.at_ms == 1_605_631_822_000
    assert msgspec.json.decode(as_json.message) == {
        "CacheClusterId": "shop-001",
        "CacheNodeId": "0001",
        "Id": 296,
        "Timestamp": 1_605_631_822,
        "Duration (us)": 1234,
        "Command": "GET ... (1 more arguments)",
        "ClientAddress": "192.168.12.104:55452",
        "ClientName": "shop##",
    }
    as_text = slow_event(ENTRY, "shop-001", "0001", LogFormat.TEXT).message
    assert as_text == "shop-001,0001,296,1605631822,1234,GET ... (1 more arguments),192.168.12.104:55452,shop##"


def test_a_line_of_an_engine_in_both_forms() -> None:
    (line,) = read_lines(LINE + "\n", Before(1))
    assert line == EngineLine(AT_MS, "M", "*", "Replica 127.0.0.1:6379 asks for synchronization")
    assert engine_event(line, "shop-001", "0001", LogFormat.TEXT).message == (
        "shop-001/0001:M 23 Nov 2026 08:55:35.416 UTC * Replica 127.0.0.1:6379 asks for synchronization"
    )
    event = engine_event(line, "shop-001", "0001", LogFormat.JSON)
    assert event.at_ms == AT_MS
    assert msgspec.json.decode(event.message) == {
        "CacheClusterId": "shop-001",
        "CacheNodeId": "0001",
        "LogLevel": "NOTICE",
        "Role": "M",
        "Time": "23 Nov 2026 08:55:35.416 UTC",
        "Message": "Replica 127.0.0.1:6379 asks for synchronization",
    }


@pytest.mark.parametrize(("level", "name"), [(".", "DEBUG"), ("-", "VERBOSE"), ("*", "NOTICE"), ("#", "WARNING")])
def test_levels(level: str, name: str) -> None:
    (line,) = read_lines(f"1:S 01 Jan 2026 00:00:00.000 {level} x", Before(1))
    assert msgspec.json.decode(engine_event(line, "a", "0001", LogFormat.JSON).message)["LogLevel"] == name


def test_what_has_no_head_belongs_to_the_line_before() -> None:
    text = f"stray\n{LINE}\n\n=== BUG REPORT START\r\n1:M 99 Foo 2026 08:55:35.416 * odd\n"
    assert [(line.at_ms, line.role, line.message) for line in read_lines(text, Before(5, "C", "-"))] == [
        (5, "C", "stray"),
        (AT_MS, "M", "Replica 127.0.0.1:6379 asks for synchronization"),
        (AT_MS, "M", "=== BUG REPORT START"),
        (AT_MS, "M", "1:M 99 Foo 2026 08:55:35.416 * odd"),
    ]


@given(st.text())
def test_no_text_is_lost_or_breaks_the_reading(text: str) -> None:
    lines = [line.rstrip("\r") for line in text.split("\n")]
    found = read_lines(text, Before(7))
    assert len(found) == sum(bool(line.strip()) for line in lines)
    for line in found:
        assert engine_event(line, "a", "b", LogFormat.TEXT).message.endswith(line.message)


@given(st.integers(0, 4_102_444_800_000))
def test_times_are_read_as_they_are_written(at_ms: int) -> None:
    (line,) = read_lines(f"1:M {time_text(at_ms).removesuffix(' UTC')} * x", Before(0))
    assert line.at_ms == at_ms
