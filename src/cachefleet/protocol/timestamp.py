"""Points in time between their wire forms and epoch seconds. Pure; called by the codecs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_EPOCH = re.compile(r"-?\d{1,11}(\.\d{1,9})?", re.ASCII)


def parse_timestamp(text: str) -> float:
    """ISO 8601 (UTC when it names no offset) or epoch seconds -> epoch seconds. Raises ValueError."""
    if _EPOCH.fullmatch(text):
        return float(text)
    if not _ISO.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def format_timestamp(seconds: float) -> str:
    """2026-11-22T12:00:00.123Z, as the service writes it."""
    return datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
