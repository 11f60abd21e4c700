"""Which part of CONFIG the clients of a group get: none, unless its tag asks for it. Plain data."""

from __future__ import annotations

ASKED = "cachefleet:allow-config"  # tag of a group; its value is one of:
GET, SET = "get", "set"  # harmless parameters can be read; and some of them changed

COMMAND_FILTERS = "command-filters"  # what an engine has to be capable of (engines.capabilities)
_PARTS: dict[str, tuple[str, ...]] = {"": (), GET: (GET,), SET: (GET, SET)}
VALUES = tuple(value for value in _PARTS if value)


def parts(value: str) -> tuple[str, ...]:
    """Subcommands of CONFIG that this value of the tag gives; "" none."""
    return _PARTS[value]
