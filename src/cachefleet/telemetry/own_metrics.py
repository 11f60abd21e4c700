"""This process's own numbers in Prometheus' words: from metrics.instruments to families that can be exposed. And the lag of
the event loop, which has to be looked for. Decides nothing; called by telemetry.exposition and app."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector as Source

from cachefleet.clock import Clock
from cachefleet.metrics.instruments import Counter, Gauge, Histogram, Instruments

LAG_LOOK_S = 0.25


class OwnMetrics(Source):
    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    def collect(self) -> Iterable[Metric]:
        return [_family(one) for one in self._instruments.families()]


def _family(instrument: Counter | Histogram | Gauge) -> Metric:
    name, about, labels = instrument.name, instrument.help, instrument.labels
    if isinstance(instrument, Counter):
        counter = CounterMetricFamily(name, about, labels=labels)
        for values, count in instrument.counts.items():
            counter.add_metric(values, count)
        return counter
    if isinstance(instrument, Gauge):
        gauge = GaugeMetricFamily(name, about, labels=labels)
        for values, number in instrument.read():
            gauge.add_metric(values, number)
        return gauge
    histogram = HistogramMetricFamily(name, about, labels=labels)
    ends = [*map(str, instrument.bounds), "+Inf"]
    for values, buckets in instrument.buckets.items():
        histogram.add_metric(values, list(zip(ends, accumulate(buckets), strict=True)), instrument.sums[values])
    return histogram


async def watch_lag(instruments: Instruments, clock: Clock) -> None:
    """Until cancelled."""
    while True:
        asleep = clock.monotonic()
        await clock.sleep(LAG_LOOK_S)
        instruments.loop_lag.observe(max(0.0, clock.monotonic() - asleep - LAG_LOOK_S))
