"""Weekly maintenance and daily snapshot windows: their text form, their rules and their defaults (reference 2.4).

Pure: chance and time come in as numbers.
"""

from __future__ import annotations

import re

import msgspec

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
SHORTEST_MINUTES = 60
LONGEST_MINUTES = DAY_MINUTES

_TIME = r"([01][0-9]|2[0-3]):([0-5][0-9])"
_DAILY = re.compile(f"{_TIME}-{_TIME}", re.ASCII)
_WEEKLY = re.compile(f"({'|'.join(DAYS)}):{_TIME}-({'|'.join(DAYS)}):{_TIME}", re.ASCII)

_STEP_MINUTES = 30
_DEFAULT_BLOCK = (3 * 60, 8 * 60)
_BLOCKS: dict[tuple[str, ...], tuple[int, int]] = {  # regions -> (start, length) of the block, in minutes, UTC
    ("us-east-1",): (3 * 60, 480),
    ("us-east-2",): (4 * 60, 480),
    ("us-west-1", "us-west-2", "us-gov-west-1"): (6 * 60, 480),
    ("sa-east-1",): (1 * 60, 480),
    ("ap-northeast-1", "ap-east-1", "af-south-1", "me-south-1", "me-central-1"): (13 * 60, 480),
    ("ap-southeast-1", "ap-southeast-3", "cn-north-1", "cn-northwest-1"): (14 * 60, 480),
    ("eu-west-1",): (22 * 60, 480),
    ("eu-west-2", "eu-central-1"): (23 * 60, 480),
    ("eu-west-3",): (23 * 60 + 59, 450),
    ("eu-south-1",): (21 * 60, 480),
    ("ap-northeast-2", "ap-northeast-3", "ap-southeast-2"): (12 * 60, 480),
    ("ap-south-1",): (17 * 60 + 30, 480),
}
_BLOCK_OF = {region: block for regions, block in _BLOCKS.items() for region in regions}


class WeeklyWindow(msgspec.Struct, frozen=True):
    """start_minute: from Monday 00:00 UTC. str() is the stored form."""

    start_minute: int
    length_minutes: int

    def __str__(self) -> str:
        return f"{_weekly_text(self.start_minute)}-{_weekly_text(self.start_minute + self.length_minutes)}"


class DailyWindow(msgspec.Struct, frozen=True):
    """start_minute: from 00:00 UTC. str() is the stored form."""

    start_minute: int
    length_minutes: int

    def __str__(self) -> str:
        return f"{_daily_text(self.start_minute)}-{_daily_text(self.start_minute + self.length_minutes)}"


def parse_maintenance(text: str) -> WeeklyWindow:
    """ "Sun:05:00-sun:06:00" in any case. Raises ValueError with the rule that is broken."""
    match = _WEEKLY.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("a maintenance window must look like sun:05:00-sun:06:00 (ddd:hh24:mi-ddd:hh24:mi, UTC).")
    start = DAYS.index(match[1]) * DAY_MINUTES + int(match[2]) * 60 + int(match[3])
    end = DAYS.index(match[4]) * DAY_MINUTES + int(match[5]) * 60 + int(match[6])
    length = (end - start) % WEEK_MINUTES
    if not SHORTEST_MINUTES <= length <= LONGEST_MINUTES:
        raise ValueError("a maintenance window must be at least 60 minutes and at most 24 hours long.")
    return WeeklyWindow(start, length)


def is_open(window: WeeklyWindow, at: float) -> bool:
    """at: epoch seconds. Its first minute belongs to it, the one that it ends with does not."""
    return (_minute_of_week(at) - window.start_minute) % WEEK_MINUTES < window.length_minutes


def _minute_of_week(at: float) -> float:
    """From Monday 00:00 UTC. The epoch began on a Thursday."""
    return (at / 60 + 3 * DAY_MINUTES) % WEEK_MINUTES


def parse_daily(text: str) -> DailyWindow:
    """ "05:00-06:00", may pass midnight. Raises ValueError with the rule that is broken."""
    match = _DAILY.fullmatch(text.strip())
    if match is None:
        raise ValueError("a snapshot window must look like 05:00-06:00 (hh24:mi-hh24:mi, UTC).")
    start = int(match[1]) * 60 + int(match[2])
    length = (int(match[3]) * 60 + int(match[4]) - start) % DAY_MINUTES
    if length < SHORTEST_MINUTES:
        raise ValueError("a snapshot window must be at least 60 minutes long.")
    return DailyWindow(start, length)


def default_maintenance_window(region: str, draw: int) -> str:
    """One hour on some day inside the region's block. draw: any number >= 0; the same one gives the same window."""
    day, draw = draw % 7, draw // 7
    return str(WeeklyWindow((day * DAY_MINUTES + _start_in_block(region, draw)) % WEEK_MINUTES, SHORTEST_MINUTES))


def default_snapshot_window(region: str, draw: int) -> str:
    """One hour inside the region's block, every day."""
    return str(DailyWindow(_start_in_block(region, draw) % DAY_MINUTES, SHORTEST_MINUTES))


def _start_in_block(region: str, draw: int) -> int:
    start, length = _BLOCK_OF.get(region, _DEFAULT_BLOCK)
    starts = (length - SHORTEST_MINUTES) // _STEP_MINUTES + 1
    return start + draw % starts * _STEP_MINUTES


def _daily_text(minute: int) -> str:
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


def _weekly_text(minute: int) -> str:
    return f"{DAYS[minute // DAY_MINUTES % 7]}:{_daily_text(minute)}"
