"""Snapshots of Memcached clusters, which ElastiCache does not have: there are some where a tag asks for them."""

from __future__ import annotations

from collections.abc import Mapping

ASKED, ON = "cachefleet:snapshots", "on"


def has_snapshots(tags: Mapping[str, str]) -> bool:
    """Whether a Memcached cluster with these tags can have snapshots."""
    return tags.get(ASKED) == ON
