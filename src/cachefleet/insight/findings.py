"""One report of what was found out about the shards of a group. Pure. Called by telemetry.insights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cachefleet.insight.expectation import ShardTrace, hit_rate, points
from cachefleet.insight.facts import HotName
from cachefleet.insight.keyspace import KeyFacts, Keyspace, shown
from cachefleet.model.insight import MOST_NAMED, HotKey, InsightReport, KeyReport, TraceReport

LEAST_KEYS = 200  # that were sampled: with fewer a curve may be far off
MOST_RESTING = 0.1
_LEAST_COUNT = 3
_LEAST_SHARE = 0.002
WITHOUT_MODULE = (
    "the node was launched without the module for that; once the service can make it "
    "(its log says why it could not), reboot the node"
)


def trace_report(traces: Sequence[ShardTrace], shards: int) -> TraceReport:
    """shards: that the group has."""
    if not traces:
        return TraceReport(why="no primary could be traced")
    resting = max(one.resting for one in traces)
    sampled = sum(one.curve.keys for one in traces)
    why = ""
    if len(traces) < shards:
        why = f"only {len(traces)} of {shards} shards could be traced"
    elif resting > MOST_RESTING:
        why = f"more commands came than can be followed: {resting:.0%} of the time was left out, so distances are not known"
    elif sampled < LEAST_KEYS:
        why = f"only {sampled} keys were seen; look longer, or with more traffic"
    return TraceReport(
        seconds=max(one.seconds * (1 - one.resting) for one in traces),
        reads=round(sum(one.hits + one.misses for one in traces)),
        keys=sampled,
        dropped=sum(one.dropped for one in traces),
        resting=resting,
        hit_rate=hit_rate(traces),
        memory_bytes=round(sum(one.memory_bytes for one in traces)),
        used_bytes=round(sum(one.used_bytes for one in traces)),
        seen_bytes=round(sum(one.curve.seen_bytes for one in traces)),
        evicting=any(one.evicting for one in traces),
        points=() if why else points(traces),
        why=why,
    )


def hot_keys(shards: Sequence[tuple[Sequence[HotName], int, float]]) -> tuple[HotKey, ...]:
    """Of each shard the names, how many uses were looked at, and how many there were. The ones used most first."""
    uses = sum(used for _, _, used in shards)
    found = [
        HotKey(shown(one.name), (one.count - one.over) / looked * used / uses)
        for names, looked, used in shards
        for one in names
        if looked and uses and one.count - one.over >= _LEAST_COUNT
    ]
    return tuple(sorted((one for one in found if one.share >= _LEAST_SHARE), key=lambda one: -one.share)[:MOST_NAMED])


def key_report(shards: Sequence[tuple[int, Sequence[KeyFacts]]]) -> tuple[KeyReport, tuple[HotKey, ...]]:
    """Of each shard how many keys it has, and those that were looked at. Also the keys that are used most where engines count
    that (LFU)."""
    keyspace = Keyspace()
    for keys, found in shards:
        for key in found:
            keyspace.add(key, max(keys, len(found)) / len(found))
    frequent = keyspace.frequent()
    highest = max((count for _, count in frequent), default=1)
    hot = tuple(HotKey(name, count / highest, "lfu") for name, count in frequent)
    return keyspace.report(sum(keys for keys, _ in shards)), hot


def together(trace: TraceReport, keyspace: KeyReport, hot: Sequence[HotKey], failed: Mapping[str, str]) -> InsightReport:
    """failed: what could not be found out -> why."""
    return InsightReport(trace, keyspace, tuple(hot), tuple(f"{what}: {why}" for what, why in failed.items()))
