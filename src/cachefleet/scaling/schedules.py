"""When a scheduled action is due: at(), rate() and cron() as Application Auto Scaling reads them. Pure, but for the tables of
time zones that the machine has."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import msgspec

FIRST_YEAR, LAST_YEAR = 1970, 2199
_LAST_S = (LAST_YEAR - FIRST_YEAR + 1) * 366 * 86400.0  # later than that
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_UNITS_S = {"minute": 60, "hour": 3600, "day": 86400}
_FORM = re.compile(r"(at|rate|cron)\((.*)\)", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
_RATE = re.compile(r"([1-9]\d{0,8}) (minute|hour|day)(s?)", re.ASCII)
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", re.ASCII)

DayTest = Callable[[date], bool]


class BadSchedule(Exception):
    """What is wrong with it, in words for its author."""


class Cron(msgspec.Struct, frozen=True):
    """In local time. is_day: by day of the month or of the week."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    is_day: DayTest


class Schedule(msgspec.Struct, frozen=True):
    """One of: a moment, seconds between two, or a calendar rule."""

    zone: tzinfo
    at: float = 0.0
    every_s: int = 0
    cron: Cron | None = None


def read_schedule(text: str, timezone: str = "") -> Schedule:
    """timezone: a name of the IANA database, "" UTC. Raises BadSchedule."""
    zone = read_zone(timezone) if timezone else UTC
    form = _FORM.fullmatch(text)
    if form is None:
        raise BadSchedule("it must be at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(fields)")
    kind, inner = form[1], form[2].strip()
    if kind == "at":
        return Schedule(zone, at=_moment(inner, zone))
    if kind == "rate":
        return Schedule(zone, every_s=_rate_s(inner))
    return Schedule(zone, cron=_cron(inner))


def read_zone(name: str) -> tzinfo:
    """Raises BadSchedule."""
    if name in ("UTC", "Etc/UTC"):  # which there is without any tables
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise BadSchedule(
            f"{name[:60]!r} is no time zone that this machine knows (of the IANA database, package tzdata)"
        ) from None


def next_due(schedule: Schedule, after: float, created_at: float, start: float = 0.0, end: float = 0.0) -> float:
    """The first moment after that one, not before start, not after end (0: no such limit); 0 when there is none. A rate counts
    from start, or from the creation on, when it is not due yet."""
    if schedule.at:
        found = schedule.at if schedule.at > after and schedule.at >= start else 0.0
    elif schedule.every_s:
        first = start or created_at + schedule.every_s
        found = first + max(0, int((after - first) // schedule.every_s) + 1) * schedule.every_s
    else:
        found = _next_of_cron(schedule, max(after, start - 1, 0.0))
    return 0.0 if end and found > end else found


def _moment(text: str, zone: tzinfo) -> float:
    if not _MOMENT.fullmatch(text):
        raise BadSchedule("at() takes a time as yyyy-mm-ddThh:mm:ss")
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        raise BadSchedule(f"at() takes a time that there is, not {text}") from None


def _rate_s(text: str) -> int:
    form = _RATE.fullmatch(text)
    if form is None or (form[1] == "1") == bool(form[3]):
        raise BadSchedule("rate() takes a number and minute, hour or day (minutes, hours or days for more than 1)")
    return int(form[1]) * _UNITS_S[form[2]]


# --- cron ----------------------------------------------------------------------------------------------------------


def _cron(text: str) -> Cron:
    fields = text.upper().split()
    if len(fields) != 6:
        raise BadSchedule("cron() takes six fields: minutes, hours, day of month, month, day of week, year")
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") == (of_week == "?"):
        raise BadSchedule("cron() takes ? as day of month or as day of week, and as exactly one of them")
    return Cron(
        minutes=tuple(sorted(_numbers(minutes, 0, 59, "minutes"))),
        hours=tuple(sorted(_numbers(hours, 0, 23, "hours"))),
        months=_numbers(months, 1, 12, "month", _MONTHS),
        years=_numbers(years, FIRST_YEAR, LAST_YEAR, "year"),
        is_day=_day_of_week(of_week) if of_month == "?" else _day_of_month(of_month),
    )


def _numbers(text: str, first: int, last: int, field: str, words: tuple[str, ...] = ()) -> frozenset[int]:
    """words: names of the numbers from first on."""
    found: set[int] = set()
    for part in text.split(","):
        form = _PART.fullmatch(part)
        if form is None or (form[1] == "*" and form[2]) or form[3] == "0" * len(form[3] or "0"):
            raise BadSchedule(f"cron(): {part[:20]!r} cannot be the {field}")
        begin = first if form[1] == "*" else _number(form[1], first, last, field, words)
        alone = last if form[1] == "*" or form[3] else begin
        end = _number(form[2], first, last, field, words) if form[2] else alone
        if end < begin:
            raise BadSchedule(f"cron(): {part[:20]!r} of the {field} ends before it begins")
        found.update(range(begin, end + 1, int(form[3] or 1)))
    return frozenset(found)


def _number(text: str, first: int, last: int, field: str, words: tuple[str, ...]) -> int:
    if text in words:
        return first + words.index(text)
    if not text.isdecimal() or len(text) > 4 or not first <= int(text) <= last:
        raise BadSchedule(f"cron(): {text[:20]!r} cannot be the {field}, which is {first} to {last}")
    return int(text)


def _day_of_month(text: str) -> DayTest:
    """A list of numbers, L (the last), nW (the weekday nearest to the n-th, in the same month) or LW."""
    if text == "L":
        return lambda day: day.day == _length(day)
    if text == "LW":
        return lambda day: day.day == _weekday_near(day, _length(day))
    if text.endswith("W"):
        number = _number(text[:-1], 1, 31, "day of month", ())
        return lambda day: number <= _length(day) and day.day == _weekday_near(day, number)
    numbers = _numbers(text, 1, 31, "day of month")
    return lambda day: day.day in numbers


def _day_of_week(text: str) -> DayTest:
    """A list of numbers or names, 1 is SUN; nL (the last of the month), n#k (the k-th), L (Saturday)."""
    if text == "L":
        return lambda day: _of_week(day) == 7
    if text.endswith("L"):
        last = _number(text[:-1], 1, 7, "day of week", _DAYS)
        return lambda day: _of_week(day) == last and day.day + 7 > _length(day)
    name, hash_mark, turn = text.partition("#")
    if hash_mark:
        number, nth = _number(name, 1, 7, "day of week", _DAYS), _number(turn, 1, 5, "week of #", ())
        return lambda day: _of_week(day) == number and (day.day - 1) // 7 + 1 == nth
    numbers = _numbers(text, 1, 7, "day of week", _DAYS)
    return lambda day: _of_week(day) in numbers


def _of_week(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _weekday_near(day: date, number: int) -> int:
    wanted = day.replace(day=number)
    if wanted.isoweekday() == 6:
        return number - 1 if number > 1 else number + 2
    if wanted.isoweekday() == 7:
        return number + 1 if number < _length(day) else number - 2
    return number


def _next_of_cron(schedule: Schedule, after: float) -> float:
    """A local time that is left out when clocks go forward comes as much later; one that comes twice counts once."""
    cron = schedule.cron
    if cron is None or after > _LAST_S:
        return 0.0
    for day in _days(cron, datetime.fromtimestamp(after, schedule.zone).date()):
        moments = (
            datetime.combine(day, time(hour, minute), schedule.zone).timestamp()
            for hour in cron.hours
            for minute in cron.minutes
        )
        found = next((moment for moment in moments if moment > after), None)
        if found is not None:
            return found
    return 0.0


def _days(cron: Cron, day: date) -> Iterator[date]:
    """From the given one on."""
    while day.year <= LAST_YEAR:
        if day.year not in cron.years:
            day = date(day.year + 1, 1, 1)
        elif day.month not in cron.months:
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        else:
            if cron.is_day(day):
                yield day
            day += timedelta(days=1)
