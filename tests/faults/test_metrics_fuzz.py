"""The metrics API behind the real gateway, over a real recorder, given inputs of the right shape with wrong contents: no 500.

Requests are good ones with some members replaced, dropped or added; times reach from the year 1 to 9999.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cachefleet.metrics.expression_functions import FUNCTIONS
from cachefleet.protocol.service import service
from cachefleet.store import open_metric_store
from cachefleet.telemetry.recorder import Recorder
from tests.fakes.api import make_context
from tests.fakes.clock import ManualClock
from tests.faults.drawn_requests import Chooser, make_real_gateway, send
from tests.fixtures.gateway import NOW

STEPS = 1500
OPERATIONS = ("PutMetricData", "GetMetricData", "GetMetricStatistics", "ListMetrics")
WORDS = """
    mine AWS/ElastiCache :x Jobs CacheHits Queue CacheClusterId demo-001 m1 m2 e1 E1 1x Sum Average p99 p101 TM(10%:90%) PR(:5)
    IQM PT3H m1+m2 SUM(METRICS()) SEARCH('{mine,Queue}','Sum',60) FILL(m1,LINEAR) 1/0 TIME_SERIES(1) ((( ${LAST}
    ${PROP('Dim.Queue')} ${X} +0130 bWV0cmljcy9bMV0= bWV0cmljLWRhdGEvMQ== \u00e9 \U0001f600
"""
TEXTS = [*WORDS.split(), *(f"{name}(METRICS())" for name in FUNCTIONS), "SEARCH('Jobs OR NOT x', 'p50')", "", " ", "a" * 300]
DIMENSIONS = [{"Name": "Queue", "Value": "mail"}]
JOBS = {"Namespace": "mine", "MetricName": "Jobs", "Dimensions": DIMENSIONS}
TIMES = {"StartTime": NOW - 3600, "EndTime": NOW + 60}
QUERIES = [
    {"Id": "m1", "MetricStat": {"Metric": JOBS, "Period": 60, "Stat": "Sum"}},
    {"Id": "m2", "MetricStat": {"Metric": {**JOBS, "Dimensions": []}, "Period": 300, "Stat": "p90"}, "ReturnData": False},
]
EXPRESSIONS = [text for text in TEXTS if "(" in text or "+" in text]
GOOD: dict[str, list[dict[str, Any]]] = {
    "PutMetricData": [
        {"Namespace": "mine", "MetricData": [{"MetricName": "Jobs", "Value": 3.0, "Dimensions": DIMENSIONS}]},
        {"Namespace": "mine", "MetricData": [{"MetricName": "Jobs", "Values": [1.0, 2.0], "Timestamp": NOW - 86400}]},
    ],
    "GetMetricData": [
        {"MetricDataQueries": QUERIES, **TIMES},
        *({"MetricDataQueries": [*QUERIES, {"Id": "e1", "Expression": text}], **TIMES} for text in EXPRESSIONS),
        {"MetricDataQueries": QUERIES, **TIMES, "MaxDatapoints": 1},
    ],
    "GetMetricStatistics": [{**JOBS, **TIMES, "Period": 60, "Statistics": ["Sum"]}],
    "ListMetrics": [{"Namespace": "mine"}, {"Dimensions": DIMENSIONS}],
}


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_that_is_asked_is_an_internal_failure(seed: int, tmp_path: Path) -> None:
    asyncio.run(_play(seed, tmp_path))


async def _play(seed: int, folder: Path) -> None:
    store = await open_metric_store(f"sqlite+aiosqlite:///{folder}/metrics.db")
    try:
        clock = ManualClock(NOW)
        context = replace(make_context(clock=clock), metrics=Recorder(store, clock, "w"))
        gateway = make_real_gateway(context)
        chooser = Chooser(seed, TEXTS, GOOD)
        answers: Counter[tuple[str, int]] = Counter()
        for _ in range(STEPS):
            name = chooser.chance.choice(OPERATIONS)
            asked = chooser.request(name, service("monitoring").operation(name).input_shape)
            answer = await asyncio.wait_for(send(gateway, "monitoring", name, asked), 20)
            assert answer.status in (200, 400), (seed, name, asked, answer.text)
            answers[name, answer.status] += 1
        assert {name for name, status in answers if status == 200} == set(OPERATIONS)
    finally:
        await store.close()
