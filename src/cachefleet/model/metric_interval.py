"""How often a group's nodes are measured: a setting, and a tag of the group that wins over it."""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.settings import INTERVALS_S

TAG = "cachefleet:metrics-interval-s"


def interval_s(tags: Mapping[str, str], fallback: int) -> int:
    """A tag that says something else counts as none: the operations refuse it."""
    asked = tags.get(TAG, "")
    return int(asked) if asked.isdecimal() and int(asked) in INTERVALS_S else fallback
