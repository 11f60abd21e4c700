"""Zones of a region: every region, known to AWS or not, has the three zones a, b and c.

Pure; called by the API (placement, subnets) and by the hosts' callers, which think in zone letters.
"""

from __future__ import annotations

ZONE_LETTERS = ("a", "b", "c")


def zones(region: str) -> tuple[str, ...]:
    """("local-1a", "local-1b", "local-1c") for "local-1"."""
    return tuple(region + letter for letter in ZONE_LETTERS)


def zone_letter(zone: str) -> str:
    """The letter of a zone name: "a" for "local-1a"; "" for ""."""
    return zone[-1:]


def zone_id(zone: str) -> str:
    """What AWS calls a zone in all accounts alike: "local-1-az1" for "local-1a"."""
    return f"{zone[:-1]}-az{ZONE_LETTERS.index(zone[-1]) + 1}"
