"""Windows: their text form, their rules, their defaults."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cachefleet.reference.windows import (
    WEEK_MINUTES,
    default_maintenance_window,
    default_snapshot_window,
    is_open,
    parse_daily,
    parse_maintenance,
)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("sun:05:00-sun:06:00", "sun:05:00-sun:06:00"),
        ("Sun:05:00-SUN:06:00", "sun:05:00-sun:06:00"),
        ("sun:23:30-mon:00:30", "sun:23:30-mon:00:30"),
        ("mon:00:00-tue:00:00", "mon:00:00-tue:00:00"),
    ],
)
def test_maintenance_windows(text: str, stored: str) -> None:
    assert str(parse_maintenance(text)) == stored


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("sun:05:00-sun:05:59", "at least 60 minutes"),
        ("sun:05:00-sun:05:00", "at least 60 minutes"),
        ("mon:00:00-tue:00:01", "at most 24 hours"),
        ("tue:05:00-mon:05:00", "at most 24 hours"),
        ("sunday:05:00-sunday:06:00", "must look like"),
        ("sun:24:00-mon:01:00", "must look like"),
        ("sun:5:00-sun:6:00", "must look like"),
        ("05:00-06:00", "must look like"),
        ("", "must look like"),
        ("sun:٠٥:00-sun:06:00", "must look like"),
    ],
)
def test_refused_maintenance_windows(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_maintenance(text)


def test_snapshot_windows() -> None:
    assert str(parse_daily("05:00-06:00")) == "05:00-06:00"
    assert str(parse_daily("23:30-00:30")) == "23:30-00:30"
    for text, rule in (
        ("05:00-05:59", "60 minutes"),
        ("05:00-05:00", "60 minutes"),
        ("5:00-6:00", "look like"),
        ("x", "look like"),
    ):
        with pytest.raises(ValueError, match=rule):
            parse_daily(text)


@pytest.mark.parametrize(
    ("region", "start", "length"),
    [
        ("us-east-1", 180, 480),
        ("local-1", 180, 480),
        ("eu-west-1", 1320, 480),
        ("eu-west-3", 1439, 450),
        ("ap-south-1", 1050, 480),
        ("sa-east-1", 60, 480),
    ],
)
def test_default_windows_lie_in_the_region_block(region: str, start: int, length: int) -> None:
    days = set()
    starts = set()
    for draw in range(7 * 20):
        window = parse_maintenance(default_maintenance_window(region, draw))
        assert window.length_minutes == 60
        days.add((window.start_minute - start) % WEEK_MINUTES // 1440)
        offset = (window.start_minute - start) % 1440
        assert offset + 60 <= length
        daily = parse_daily(default_snapshot_window(region, draw))
        assert daily.length_minutes == 60 and (daily.start_minute - start) % 1440 + 60 <= length
        starts.add(offset)
    assert days == set(range(7))
    assert max(starts) + 60 + 30 > length, "the whole block is used"


def test_defaults_repeat() -> None:
    assert default_maintenance_window("local-1", 12345) == default_maintenance_window("local-1", 12345)


# --- open or not ---------------------------------------------------------------------------------------------------

MONDAY = datetime(2026, 11, 23, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "hours", "expected"),
    [
        ("mon:05:00-mon:06:00", 4.99, False),
        ("mon:05:00-mon:06:00", 5, True),
        ("mon:05:00-mon:06:00", 5.99, True),
        ("mon:05:00-mon:06:00", 6, False),
        ("sun:23:30-mon:00:30", 0.4, True),
        ("sun:23:30-mon:00:30", 0.5, False),
        ("sun:23:30-mon:00:30", 7 * 24 - 0.25, True),
        ("wed:00:00-thu:00:00", 71.9, True),
        ("wed:00:00-thu:00:00", 72, False),
        ("mon:00:00-mon:01:00", 0, True),
    ],
)
def test_a_window_is_open_or_not(window: str, hours: float, expected: bool) -> None:
    """Hours count from a Monday 00:00 UTC; a week later it is the same."""
    assert is_open(parse_maintenance(window), MONDAY + hours * 3600) == expected
    assert is_open(parse_maintenance(window), MONDAY + (hours + 7 * 24) * 3600) == expected


def test_a_window_is_open_for_as_long_as_it_says() -> None:
    for text, minutes in (("sun:22:00-mon:22:00", 1440), ("tue:10:00-tue:11:30", 90)):
        window = parse_maintenance(text)
        assert sum(is_open(window, MONDAY + minute * 60) for minute in range(WEEK_MINUTES)) == minutes
