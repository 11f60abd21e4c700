"""When scheduled actions are due."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachefleet.scaling.schedules import BadSchedule, next_due, read_schedule


def moment(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def following(schedule: str, after: str, zone: str = "", count: int = 3) -> list[str]:
    """The next moments, in the schedule's own time."""
    read = read_schedule(schedule, zone)
    found, now = [], moment(after, zone or "UTC")
    for _ in range(count):
        now = next_due(read, now, created_at=now)
        if not now:
            break
        found.append(datetime.fromtimestamp(now, read.zone).strftime("%Y-%m-%d %H:%M"))
    return found


CRON = [
    ("cron(0 9 * * ? *)", ["2026-11-24 09:00", "2026-11-25 09:00", "2026-11-26 09:00"]),
    ("cron(0/20 23 * * ? *)", ["2026-11-23 23:00", "2026-11-23 23:20", "2026-11-23 23:40"]),
    ("cron(15 10 ? * MON-FRI *)", ["2026-11-24 10:15", "2026-11-25 10:15", "2026-11-26 10:15"]),
    ("cron(0 8 ? * 7,1 *)", ["2026-11-28 08:00", "2026-11-29 08:00", "2026-12-05 08:00"]),
    ("cron(30 1 L * ? *)", ["2026-11-30 01:30", "2026-12-31 01:30", "2027-01-31 01:30"]),
    ("cron(0 0 LW * ? *)", ["2026-11-30 00:00", "2026-12-31 00:00", "2027-01-29 00:00"]),
    ("cron(0 0 1W * ? 2027)", ["2027-01-01 00:00", "2027-02-01 00:00", "2027-03-01 00:00"]),
    ("cron(0 0 15W 8 ? *)", ["2027-08-16 00:00", "2028-08-15 00:00", "2029-08-15 00:00"]),
    ("cron(0 12 ? * 6#3 *)", ["2026-12-18 12:00", "2027-01-15 12:00", "2027-02-19 12:00"]),
    ("cron(0 12 ? * FRIL *)", ["2026-11-27 12:00", "2026-12-25 12:00", "2027-01-29 12:00"]),
    ("cron(0 0 29 FEB ? *)", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
    ("cron(0 0 30 2 ? *)", []),
    ("cron(0 0 1 1 ? 2026)", []),
]


@pytest.mark.parametrize(("schedule", "moments"), CRON, ids=[schedule for schedule, _ in CRON])
def test_cron(schedule: str, moments: list[str]) -> None:
    assert following(schedule, "2026-11-23T12:00:00") == moments  # a Monday


def test_local_time_follows_the_clocks() -> None:
    daily = "cron(30 2 * * ? *)"
    assert following(daily, "2026-03-28T12:00:00", "Europe/Berlin") == [
        "2026-03-29 03:30",  # 02:30 is left out there
        "2026-03-30 02:30",
        "2026-03-31 02:30",
    ]
    assert following(daily, "2026-10-24T12:00:00", "Europe/Berlin", 2) == ["2026-10-25 02:30", "2026-10-26 02:30"]


def test_at_comes_once_in_its_zone() -> None:
    schedule = read_schedule("at(2026-11-24T07:00:00)", "America/New_York")
    due = next_due(schedule, moment("2026-11-23T00:00:00"), 0.0)
    assert due == moment("2026-11-24T12:00:00")
    assert next_due(schedule, due, 0.0) == 0.0


def test_a_rate_counts_from_its_start_or_from_the_creation() -> None:
    schedule = read_schedule("rate(10 minutes)")
    assert next_due(schedule, 1000.0, created_at=1000.0) == 1600.0
    assert next_due(schedule, 1600.0, created_at=1000.0) == 2200.0
    assert next_due(schedule, 1000.0, created_at=1000.0, start=5000.0) == 5000.0
    assert next_due(schedule, 5000.0, created_at=1000.0, start=5000.0, end=5500.0) == 0.0


def test_far_from_now_nothing_is_due() -> None:
    schedule = read_schedule("cron(0 9 * * ? *)", "Europe/Berlin")
    assert next_due(schedule, 1000.0, 0.0, start=253_402_300_799.0) == 0.0
    assert next_due(schedule, -62_135_596_800.0, 0.0) == 8 * 3600.0


def test_start_and_end_bound_a_cron() -> None:
    schedule = read_schedule("cron(0 9 * * ? *)")
    now, start, end = moment("2026-11-23T12:00:00"), moment("2026-12-01T09:00:00"), moment("2026-12-02T08:00:00")
    due = next_due(schedule, now, now, start, end)
    assert due == start
    assert next_due(schedule, due, now, start, end) == 0.0


BAD = [
    "",
    "every day",
    "at(2026-11-24 07:00:00)",
    "at(2026-13-24T07:00:00)",
    "rate(0 minutes)",
    "rate(1 minutes)",
    "rate(5 minute)",
    "rate(5 weeks)",
    "cron(0 9 * * ?)",
    "cron(0 9 * * * *)",
    "cron(0 9 ? * ? *)",
    "cron(60 9 * * ? *)",
    "cron(0 24 * * ? *)",
    "cron(0 9 * 13 ? *)",
    "cron(0 9 ? * 8 *)",
    "cron(0 9 ? * MON#6 *)",
    "cron(5-1 9 * * ? *)",
    "cron(*/0 9 * * ? *)",
    "cron(0 9 32W * ? *)",
    "cron(a 9 * * ? *)",
    "cron(0 9 * * ? 1969)",
]


@pytest.mark.parametrize("schedule", BAD)
def test_what_no_schedule_is(schedule: str) -> None:
    with pytest.raises(BadSchedule):
        read_schedule(schedule)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "Europe", "\x00", "x" * 5000])
def test_what_no_time_zone_is(zone: str) -> None:
    with pytest.raises(BadSchedule, match="time zone"):
        read_schedule("rate(5 minutes)", zone)


@given(st.text(alphabet="0123456789*?/-,#LWMONJAN ", max_size=40))
def test_whatever_is_written_is_read_or_refused(fields: str) -> None:
    try:
        schedule = read_schedule(f"cron({fields})")
    except BadSchedule:
        return
    found = next_due(schedule, 1_700_000_000.0, 0.0)
    assert found == 0.0 or (found > 1_700_000_000.0 and found % 60 == 0)


@given(st.integers(0, 59), st.integers(0, 23), st.integers(1, 7), st.floats(0, 2e9))
def test_the_next_moment_is_the_first_that_matches(minute: int, hour: int, weekday: int, after: float) -> None:
    found = next_due(read_schedule(f"cron({minute} {hour} ? * {weekday} *)"), after, 0.0)
    read = datetime.fromtimestamp(found, UTC)
    assert (read.minute, read.hour, read.isoweekday() % 7 + 1) == (minute, hour, weekday)
    assert 0 < found - after <= 7 * 86400
