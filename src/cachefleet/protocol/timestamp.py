"""Points in time between their wire forms and epoch seconds. Pure; called by the codecs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_EPOCH = re.compile(r"-?\d{1,11}(\.\d{1,9})?", re.ASCII)
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # the years 1 to 9999: others cannot be written


def parse_timestamp(text: str) -> float:
    """ISO 8601 (UTC when it names no offset) or epoch seconds -> epoch seconds. Raises ValueError."""
    if _EPOCH.fullmatch(text):
        return timestamp(float(text))
    if not _ISO.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def timestamp(seconds: float) -> float:
    """Epoch seconds as they came. Raises ValueError when no calendar has them."""
    if not _FIRST_S <= seconds <= _LAST_S:  # neither has NaN
        raise ValueError(seconds)
    return float(seconds)


def format_timestamp(seconds: float) -> str:
    """2026-11-22T12:00:00.123Z, as the service writes it."""
    return datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
