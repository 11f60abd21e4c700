"""Hit rates of other sizes: what engines counted, moved by the curve; nothing where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest

from cachefleet.insight.expectation import TIMES, ShardTrace, hit_rate, points
from cachefleet.insight.facts import HotName
from cachefleet.insight.findings import hot_keys, key_report, together, trace_report
from cachefleet.insight.keyspace import KeyFacts
from cachefleet.insight.shards import Curve

CURVE = Curve(((25.0, 0.2), (100.0, 0.5), (200.0, 0.6), (400.0, 0.7)), reads=1000.0, keys=1000, seen_bytes=500.0)


def shard(**changes: Any) -> ShardTrace:
    known = {"hits": 800.0, "misses": 200.0, "memory_bytes": 100.0, "used_bytes": 99.0, "evicting": True, "seconds": 10.0}
    return ShardTrace(**{"curve": CURVE, **known, **changes})


def rates(*shards: ShardTrace) -> dict[float, float | None]:
    return {point.times: point.hit_rate for point in points(shards)}


def test_differences_come_from_the_curve_and_the_level_from_the_engine() -> None:
    found = rates(shard())
    assert {times: found[times] for times in (0.25, 1.0, 2.0, 4.0)} == pytest.approx({0.25: 0.5, 1.0: 0.8, 2.0: 0.9, 4.0: 1.0})
    assert set(found) == set(TIMES)


def test_nothing_is_known_of_more_than_was_seen_in_use() -> None:
    found = rates(shard(curve=Curve(CURVE.steps, 1000.0, 1000, seen_bytes=250.0)))
    assert (found[2.0] is not None, found[3.0], found[4.0]) == (True, None, None)
    assert rates(shard(curve=Curve(CURVE.steps, 1000.0, 1000, seen_bytes=50.0)))[0.75] is None


def test_where_the_memory_was_never_full_only_less_of_it_matters() -> None:
    found = rates(shard(evicting=False, used_bytes=60.0, curve=Curve(CURVE.steps, 1000.0, 1000, seen_bytes=60.0)))
    assert [found[times] for times in (0.75, 1.0, 4.0)] == [0.8, 0.8, 0.8]
    assert found[0.25] == pytest.approx(0.8)  # of 60 bytes the curve knows no more hits than of 25
    assert rates(shard(evicting=False, used_bytes=110.0, memory_bytes=200.0))[0.25] == pytest.approx(0.3)


def test_shards_count_by_their_reads() -> None:
    busy, idle = shard(hits=900.0, misses=0.0), shard(hits=0.0, misses=100.0)
    assert hit_rate([busy, idle]) == 0.9
    assert rates(busy, idle)[2.0] == pytest.approx((1.0 * 900 + 0.1 * 100) / 1000)
    assert rates(busy, shard(hits=0.0, misses=0.0, curve=Curve((), 0.0, 0, 0.0)))[2.0] == 1.0
    assert (hit_rate([]), points([shard(hits=0.0, misses=0.0)])) == (None, ())


@pytest.mark.parametrize(
    ("traces", "shards", "why"),
    [
        ([], 1, "no primary could be traced"),
        ([shard()], 2, "only 1 of 2 shards could be traced"),
        ([shard(resting=0.2)], 1, "20% of the time was left out"),
        ([shard(curve=Curve((), 1.0, 199, 1.0))], 1, "only 199 keys were seen"),
    ],
)
def test_a_report_says_why_it_has_no_curve(traces: list[ShardTrace], shards: int, why: str) -> None:
    report = trace_report(traces, shards)
    assert why in report.why
    assert report.points == ()


def test_a_report_has_what_there_is() -> None:
    report = trace_report([shard(), shard(dropped=3)], 2)
    assert (report.hit_rate, report.reads, report.keys, report.dropped, report.why) == (0.8, 2000, 2000, 3, "")
    assert (report.memory_bytes, report.used_bytes, report.seen_bytes, report.evicting) == (200, 198, 1000, True)
    assert len(report.points) == len(TIMES)


def test_hot_keys_are_those_of_the_group_not_of_the_shard() -> None:
    names = [HotName(b"hot", 60, 10), HotName(b"chance", 12, 10), HotName(b"warm", 10, 0)]
    found = hot_keys([(names, 100, 9000.0), ([HotName(b"other", 100, 0)], 100, 1000.0), ([], 0, 0.0)])
    assert {one.name: one.share for one in found} == pytest.approx({"hot": 0.45, "other": 0.1, "warm": 0.09})
    assert [one.name for one in found] == ["hot", "other", "warm"]
    assert hot_keys([]) == ()


def test_keys_of_shards_stand_for_as_many_as_their_shard_has() -> None:
    key = KeyFacts(b"a:1", "string", 10, frequency=5)
    report, hot = key_report([(100, [key]), (6, [KeyFacts(b"b:1", "string", 1000, frequency=10)] * 2), (0, [])])
    assert [(one.name, one.keys, one.bytes) for one in report.prefixes] == [("b:", 6, 6000), ("a:", 100, 1000)]
    assert (report.keys, report.looked_at) == (106, 3)
    assert [(one.name, one.share, one.source) for one in hot] == [("b:1", 1.0, "lfu"), ("a:1", 0.5, "lfu")]
    whole = together(trace_report([], 1), report, hot, {"which keys are used on n": "why"})
    assert whole.missing == ("which keys are used on n: why",)
