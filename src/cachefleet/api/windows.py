"""Maintenance and snapshot windows as callers write them (reference 2.4): the rules of reference.windows as AWS errors."""

from __future__ import annotations

from cachefleet.api.names import quoted
from cachefleet.model.errors import invalid_value
from cachefleet.reference import windows


def maintenance_window(value: str, field: str = "PreferredMaintenanceWindow") -> str:
    """The window in its stored form ("sun:05:00-sun:06:00"). Raises InvalidParameterValue."""
    try:
        return str(windows.parse_maintenance(value))
    except ValueError as error:
        raise invalid_value(f"{field} {quoted(value)}: {error}") from None


def snapshot_window(value: str, field: str = "SnapshotWindow") -> str:
    """The window in its stored form ("05:00-06:00"). Raises InvalidParameterValue."""
    try:
        return str(windows.parse_daily(value))
    except ValueError as error:
        raise invalid_value(f"{field} {quoted(value)}: {error}") from None
