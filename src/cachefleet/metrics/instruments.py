"""What this process counts of itself, by the names that Prometheus reads (docs/metrics.md). Plain numbers in memory.

Made once, by app, and handed to whatever counts; telemetry.own_metrics reads it. A part that is handed none has its own, which
nobody reads. Every label is one of few words: nothing that a client chooses becomes one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

Labels = tuple[str, ...]  # values, in the order of a family's label names
Reader = Callable[[], Iterable[tuple[Labels, float]]]

_LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PASS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Counter:
    """name: without _total."""

    def __init__(self, name: str, help_: str, labels: Labels = ()) -> None:
        self.name, self.help, self.labels = name, help_, labels
        self.counts: dict[Labels, float] = {} if labels else {(): 0.0}

    def add(self, *labels: str, by: float = 1.0) -> None:
        self.counts[labels] = self.counts.get(labels, 0.0) + by


class Histogram:
    """bounds: upper ends of all buckets but the last, rising."""

    def __init__(self, name: str, help_: str, bounds: tuple[float, ...], labels: Labels = ()) -> None:
        self.name, self.help, self.labels, self.bounds = name, help_, labels, bounds
        self.buckets: dict[Labels, list[int]] = {}
        self.sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        if labels not in self.buckets:
            self.buckets[labels] = [0] * (len(self.bounds) + 1)
            self.sums[labels] = 0.0
        self.buckets[labels][bisect_left(self.bounds, value)] += 1
        self.sums[labels] += value


class Gauge:
    """read: asked when somebody looks; in the event loop, so it must be quick."""

    def __init__(self, name: str, help_: str, read: Reader, labels: Labels = ()) -> None:
        self.name, self.help, self.labels, self.read = name, help_, labels, read


class Instruments:
    def __init__(self) -> None:
        self.loop_lag = Histogram(
            "cachefleet_event_loop_lag_seconds", "How much later than asked for the event loop woke a sleeper.", _LAG_S
        )
        self.requests = Counter("cachefleet_api_requests", "Requests that were answered.", ("service", "operation", "code"))
        self.request_times = Histogram(
            "cachefleet_api_request_duration_seconds",
            "Time from a request's head to its answer.",
            _REQUEST_S,
            ("service", "operation"),
        )
        self.passes = Histogram(
            "cachefleet_controller_pass_duration_seconds", "Time of one pass over a group.", _PASS_S, ("outcome",)
        )
        self.transactions = Counter("cachefleet_store_transactions", "Write transactions by how they ended.", ("outcome",))
        self.measured = Counter("cachefleet_collector_nodes", "Nodes whose turn it was to be measured.", ("outcome",))
        self.alarms = Counter("cachefleet_alarm_evaluations", "Alarms that were evaluated.")
        self.values_lost = Counter("cachefleet_metric_values_lost", "Measured values for which there was no room.")
        self.snapshots = Counter("cachefleet_snapshots", "Snapshots and copies by how they ended.", ("outcome",))
        self.proofs = Counter("cachefleet_snapshot_proofs", "Snapshots that were restored as a proof.", ("outcome",))
        self.notices = Counter("cachefleet_notices", "Messages for subscribers of topics by how they ended.", ("outcome",))
        self.spans = Counter("cachefleet_spans", "Spans by what became of them; none without a collector.", ("outcome",))
        self._gauges: list[Gauge] = []

    def gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        self._gauges.append(Gauge(name, help_, lambda: [((), read())]))

    def families(self) -> Iterator[Counter | Histogram | Gauge]:
        yield from (one for one in vars(self).values() if isinstance(one, Counter | Histogram))
        yield from self._gauges
