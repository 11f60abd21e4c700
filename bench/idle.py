"""What the control plane costs while nothing happens: 10 groups 1+1 (20 nodes), some seconds after the last one was made; its
share of a core and its resident memory. The engines' own share is shown beside it: they have timers, and replicas talk.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from pathlib import Path

from bench.creation import PAIR, available, create
from bench.row import Row
from bench.spending import resident_mb, spent_s
from tests.fixtures.service import running_service, wait_for

NOTE = __doc__
GROUPS = 10
SETTLE_S = 15.0
SPANS = 3
SPAN_S = 30.0


def measure(data: Path) -> Iterator[Row]:
    with running_service(data) as service:
        assert service.process is not None
        pid = service.process.pid
        client = service.client()
        alone_mb = resident_mb(pid)
        for number in range(GROUPS):
            create(client, f"idle{number}", PAIR)
        wait_for("all are available", lambda: available(client) == GROUPS, 60)
        pause(SETTLE_S)
        engines = list(service.engine_pids())
        shares = [_shares([pid], engines) for _ in range(SPANS)]
        yield Row(figure="20 nodes: control plane's share of a core", unit="%", values=[own for own, _ in shares], target=2)
        yield Row(figure="20 nodes: control plane's resident memory", unit="MB", values=[resident_mb(pid)], target=150,
                  reference=f"{alone_mb:.0f} MB before the first group")  # fmt: skip
        yield Row(figure="20 nodes: share of a core of all engines", unit="%", values=[other for _, other in shares])
        yield Row(
            figure="20 nodes: resident memory of an engine", unit="MB", values=[resident_mb(engine) for engine in engines]
        )


def pause(seconds: float) -> None:
    select.select([], [], [], seconds)


def _shares(*crowds: list[int]) -> tuple[float, ...]:
    """Percent of a core that each crowd of processes used over SPAN_S."""
    before = [sum(map(spent_s, pids)) for pids in crowds]
    begun = time.perf_counter()
    pause(SPAN_S)
    span_s = time.perf_counter() - begun
    return tuple(100 * (sum(map(spent_s, pids)) - spent) / span_s for pids, spent in zip(crowds, before, strict=True))
