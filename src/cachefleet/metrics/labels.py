"""What series are called in replies: default labels, and labels with parts that are filled in, such as `${LAST}`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from cachefleet.metrics.lines import Line

_PART = re.compile(r"\$\{([^{}]*)\}")
_PROPERTY = re.compile(r"PROP\('([^']*)'\)")
_TIMEZONE = re.compile(r"([+-])([01]\d|2[0-3])([0-5]\d)")
_NOTHING = "--"  # of a series without points


class Owner(msgspec.Struct, frozen=True):
    account: str
    region: str


_NUMBERS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "AVG": lambda numbers: sum(numbers) / len(numbers),
    "DATAPOINT_COUNT": lambda numbers: float(len(numbers)),
    "FIRST": lambda numbers: numbers[0],
    "FIRST_LAST_RANGE": lambda numbers: abs(numbers[-1] - numbers[0]),
    "LAST": lambda numbers: numbers[-1],
    "MAX": max,
    "MIN": min,
    "MIN_MAX_RANGE": lambda numbers: max(numbers) - min(numbers),
    "SUM": sum,
}
_TIMES: Mapping[str, Callable[[Mapping[int, float]], int]] = {
    "FIRST_TIME": lambda points: next(iter(points)),
    "LAST_TIME": lambda points: next(reversed(list(points))),
    "MAX_TIME": lambda points: max(points, key=lambda time: points[time]),
    "MIN_TIME": lambda points: min(points, key=lambda time: points[time]),
}
_PROPERTIES = ("AccountId", "MetricName", "Namespace", "Period", "Region", "Stat")


def label_fault(label: str) -> str:
    """The first part that is not known, "" none."""
    for part in _PART.findall(label):
        wanted = _PROPERTY.fullmatch(part)
        if wanted is None and part not in ("LABEL", *_NUMBERS, *_TIMES):
            return f"${{{part}}}"
        if wanted is not None and wanted[1] not in _PROPERTIES and not wanted[1].startswith("Dim."):
            return f"${{{part}}}"
    return ""


def is_dynamic(label: str) -> bool:
    return _PART.search(label) is not None


def read_timezone(text: str) -> timezone | None:
    """Of "+0130". None for what is none."""
    found = _TIMEZONE.fullmatch(text)
    if found is None:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(offset if found[1] == "+" else -offset)


def filled(label: str, default: str, line: Line, owner: Owner, zone: timezone = UTC) -> str:
    """label: without fault."""

    def fill(part: re.Match[str]) -> str:
        if wanted := _PROPERTY.fullmatch(part[1]):
            return _property(wanted[1], line, owner)
        if part[1] == "LABEL":
            return default
        if not line.points:
            return _NOTHING
        if part[1] in _TIMES:
            return datetime.fromtimestamp(_TIMES[part[1]](line.points), zone).isoformat()
        return f"{_NUMBERS[part[1]](tuple(line.points.values())):.6g}"

    return _PART.sub(fill, label)


def default_labels(lines: Sequence[Line]) -> list[str]:
    """Of the series of an array: what tells them apart, or the metric's name where nothing does."""
    subjects = [line.subject for line in lines]
    known = [subject for subject in subjects if subject is not None]
    shared = set.intersection(*(set(subject.dimensions) for subject in known)) if known else set()
    one_name = len({subject.name for subject in known}) == 1
    labels = []
    for subject in subjects:
        if subject is None:
            labels.append("")
            continue
        parts = [] if one_name and len(known) > 1 else [subject.name]
        parts += [value for key, value in subject.dimensions if (key, value) not in shared]
        labels.append(" ".join(parts) or subject.name)
    return labels


def _property(name: str, line: Line, owner: Owner) -> str:
    if name == "AccountId":
        return owner.account
    if name == "Region":
        return owner.region
    subject = line.subject
    if name == "Period":
        return str(line.period_s)
    if subject is None:
        return _NOTHING
    if name.startswith("Dim."):
        return dict(subject.dimensions).get(name.removeprefix("Dim."), _NOTHING)
    return {"MetricName": subject.name, "Namespace": subject.namespace, "Stat": subject.statistic}[name]
