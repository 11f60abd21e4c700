"""What somebody asked to be found out about a group's keys, and what was found: a row of its own for each group."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cachefleet.model.resource import GROUP_KINDS, Key, Kind

LEAST_S, MOST_S, USUAL_S = 1, 600, 30
MOST_NAMED = 20  # keys of a kind in a report
SHOWN_CHARACTERS = 128  # of a key's name


class InsightState(StrEnum):
    ASKED = "asked"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class HotKey(msgspec.Struct, frozen=True):
    """share: of all uses of keys, 0.0 to 1.0; "" of the source is the trace, "lfu" the engine's counters (then the share is of
    the highest counter that was found)."""

    name: str
    share: float
    source: str = ""


class BigKey(msgspec.Struct, frozen=True):
    name: str
    type: str
    bytes: int


class Portion(msgspec.Struct, frozen=True):
    """Keys with something in common. bytes and keys: of the whole group's primaries, estimated from the sample."""

    name: str
    keys: int
    bytes: int


class Point(msgspec.Struct, frozen=True):
    """hit_rate: expected with so many times the memory that there is, None where nothing is known of so much."""

    times: float
    hit_rate: float | None


class TraceReport(msgspec.Struct, frozen=True):
    """seconds: traced, without rests. keys: sampled. hit_rate, reads: as the engines counted them in that time; None without
    reads. why: why nothing more is known, "" for nothing."""

    seconds: float = 0.0
    reads: int = 0
    keys: int = 0
    dropped: int = 0
    resting: float = 0.0
    hit_rate: float | None = None
    memory_bytes: int = 0
    used_bytes: int = 0
    seen_bytes: int = 0
    evicting: bool = False
    points: tuple[Point, ...] = ()
    why: str = ""


class KeyReport(msgspec.Struct, frozen=True):
    """keys: that there are; looked_at: of them, how many were. idle: seconds -> share of the bytes not used for so long."""

    keys: int = 0
    looked_at: int = 0
    types: tuple[Portion, ...] = ()
    prefixes: tuple[Portion, ...] = ()
    big: tuple[BigKey, ...] = ()
    idle: dict[int, float] = {}


class InsightReport(msgspec.Struct, frozen=True):
    trace: TraceReport = TraceReport()
    keyspace: KeyReport = KeyReport()
    hot: tuple[HotKey, ...] = ()
    missing: tuple[str, ...] = ()  # what could not be found out, and why


class InsightDesired(msgspec.Struct, frozen=True, kw_only=True):
    """Times in epoch seconds, 0 before."""

    asked_at: float
    seconds: int = USUAL_S
    state: InsightState = InsightState.ASKED
    begun_at: float = 0.0
    ended_at: float = 0.0
    why: str = ""  # it failed
    report: InsightReport | None = None


def insight_key(group: Key) -> Key:
    """A replication group and a cluster may have the same name."""
    return group.scope.key(Kind.INSIGHT, f"{group.kind}/{group.name}")


def group_of(key: Key) -> Key:
    """Of insight_key. Raises ValueError for a key that it did not make."""
    kind, _, name = key.name.partition("/")
    if kind not in GROUP_KINDS:
        raise ValueError(f"{key} is no key of an insight")
    return key.scope.key(Kind(kind), name)
