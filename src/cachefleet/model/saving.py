"""Caches that survive a planned stop of everything (`cachefleet down`): names that several layers use.

Whoever stops everything asks for it by a tag of the group, and reads in others how that ended.
"""

from __future__ import annotations

from collections.abc import Mapping

WANTED, ON, OFF = "cachefleet:save-on-down", "on", "off"  # of a group; wins over the setting archive.save_on_down

ASKED = "cachefleet:save"  # save it now, for a stop; another value is another request, and without the tag nothing is kept
DONE = "cachefleet:saved"  # the value of the request that it has been saved for
FAILED = "cachefleet:save-failed"  # that value, and why it could not be
RESULTS = (DONE, FAILED)  # users cannot set them

KEPT_S = 900.0  # so long what was saved is kept for caches that nobody stops
STALE_S = 5.0  # a service that begins with caches that run keeps it no longer than this


def is_wanted(tags: Mapping[str, str], setting: bool) -> bool:
    """Whether a group with these tags is to be saved."""
    return {ON: True, OFF: False}.get(tags.get(WANTED, ""), setting)


def failure(tags: Mapping[str, str], request: str) -> str | None:
    """Why that request failed, None when it has not."""
    value, _, why = tags.get(FAILED, "").partition(" ")
    return why if value == request else None
