"""Paging: MaxRecords, opaque markers and the cut after a page (reference 1.5).

Pure. A list is asked for one item more than the page holds; whether that one came decides about a marker. Called by every
Describe operation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from cachefleet.model.errors import AwsError, invalid_value

T = TypeVar("T")

MIN_RECORDS = 20
MAX_RECORDS = 100


class Page(msgspec.Struct, frozen=True):
    """limit: items a page holds. after: name (or other key) of the last item of the page before, "" at the start."""

    kind: str
    limit: int
    after: str = ""

    @property
    def fetch(self) -> int:
        """How many to ask the store for."""
        return self.limit + 1


def page_of(request: Mapping[str, Any], kind: str, *, default: int = MAX_RECORDS, maximum: int = MAX_RECORDS) -> Page:
    """What a request asks for. kind: a word that ties the marker to its operation. Raises InvalidParameterValue."""
    limit = request.get("MaxRecords")
    if limit is None:
        limit = default
    if not MIN_RECORDS <= limit <= maximum:
        raise invalid_value(
            f"Invalid value {limit} for MaxRecords: it must be between {MIN_RECORDS} and {maximum}; leave it out for {default}."
        )
    marker = request.get("Marker") or ""
    return Page(kind, limit, read_marker(kind, marker) if marker else "")


def cut(found: Sequence[T], page: Page, key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The page's items and the marker for the next page (None on the last). found: up to page.fetch items after page.after."""
    items = list(found[: page.limit])
    if len(found) <= page.limit:
        return items, None
    return items, write_marker(page.kind, key(items[-1]))


def page_sequence(items: Sequence[T], page: Page, key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """Like cut, from a whole list that is sorted by key."""
    return cut([item for item in items if key(item) > page.after][: page.fetch], page, key)


def reply(member: str, items: Sequence[Any], marker: str | None) -> dict[str, Any]:
    """The reply of a list operation; Marker only where there is a next page."""
    return {member: items} if marker is None else {member: items, "Marker": marker}


def write_marker(kind: str, last: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}/{last}".encode()).decode()


def read_marker(kind: str, marker: str) -> str:
    """What write_marker was given. Raises InvalidParameterValue for anything else, other kinds included."""
    try:
        text = base64.b64decode(marker.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise _invalid_marker() from None
    last = text.partition("/")[2]
    if not last or not last.isprintable() or marker != write_marker(kind, last):
        raise _invalid_marker()
    return last


def after_of(kind: str, token: str | None, wrong: AwsError) -> str:
    """After which name the page begins, by a token of another service than ElastiCache; "" without one. Raises `wrong`."""
    if not token:
        return ""
    try:
        return read_marker(kind, token)
    except AwsError:
        raise wrong from None


def place_of(kind: str, token: str | None, wrong: AwsError) -> int:
    """How many items came before this page, in lists without an order by name; 0 without a token. Raises `wrong`."""
    text = after_of(kind, token, wrong) or "0"
    if not text.isdecimal():
        raise wrong
    return int(text)


def page_from(place: int, items: Sequence[T], size: int, kind: str) -> tuple[list[T], str | None]:
    """That many items of a whole list, and the token of the next page."""
    end = place + size
    return list(items[place:end]), write_marker(kind, str(end)) if end < len(items) else None


def _invalid_marker() -> AwsError:
    return invalid_value(
        "Invalid marker: Marker must be what an earlier page of the same operation returned; leave it out to start anew."
    )
