"""A line of DescribeEvents."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True):
    source_type: str
    source_id: str
    message: str
    at: float  # epoch seconds
    id: int = 0  # rises with time; set by the store
