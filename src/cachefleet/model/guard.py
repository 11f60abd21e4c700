"""Who may connect to a group's addresses, as the kernel is told. Plain data."""

from __future__ import annotations

import msgspec


class Opening(msgspec.Struct, frozen=True, order=True):
    """sources: IPv4 networks such as "10.0.0.0/8" that may open TCP connections to this port; sorted, none within another."""

    port: int
    sources: tuple[str, ...]


class Guard(msgspec.Struct, frozen=True):
    """Every port of these addresses is closed to new connections but for the openings. Not for the control plane itself and
    not between nodes. Both sorted, each once."""

    addresses: tuple[str, ...]
    openings: tuple[Opening, ...]
