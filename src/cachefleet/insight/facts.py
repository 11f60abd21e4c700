"""What engines tell for an insight: plain data. Made by engines.insight_verbs, read by telemetry.insights."""

from __future__ import annotations

import msgspec

Use = tuple[int, int, int]  # hash of the key, bytes of a stored value with its key (else 0), what was done (insight.shards)


class Fetched(msgspec.Struct, frozen=True, array_like=True):
    """Since the trace began, but for the entries, which are new. commands: that came; looked: how many of them were looked at
    more closely, a random sample, which had so many keys, of which so many were read. more: there are entries left."""

    commands: int
    looked: int
    looked_reads: int
    looked_keys: int
    dropped: int
    traced_ms: int
    resting_ms: int
    entries: tuple[Use, ...]
    more: bool

    @property
    def reads(self) -> float:
        """Of all keys, about."""
        return self.commands * self.looked_reads / self.looked if self.looked else 0.0


class HotName(msgspec.Struct, frozen=True):
    """name: its beginning. count: of the uses that were looked at; over: by how much that may be too high."""

    name: bytes
    count: int
    over: int
