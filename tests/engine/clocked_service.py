"""A service whose clock the test sets, and maintenance windows as seen from that clock."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cachefleet.reference.windows import WEEK_MINUTES, WeeklyWindow
from tests.faults import jumping_service
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for

HOUR_S = 3600
PROGRAM = (sys.executable, str(Path(jumping_service.__file__)))


@contextmanager
def clocked_service(**settings: str) -> Iterator[Service]:
    """It takes signatures of any time. settings: names of variables without CACHEFLEET_, in lower case."""
    environment = {f"CACHEFLEET_{name.upper()}": value for name, value in settings.items()}
    with data_folder() as data, running_service(data, program=PROGRAM, start=False) as made:
        made.start(environment={"CACHEFLEET_API_CLOCK_SKEW_S": str(14 * 24 * HOUR_S), **environment})
        yield made


def ahead_s(service: Service) -> float:
    jump = service.data / "jump"
    return float(jump.read_text()) if jump.exists() else 0.0


def move_clock(service: Service, by_s: float) -> None:
    (service.data / "jump").write_text(str(ahead_s(service) + by_s))


def window_in(service: Service, hours: float) -> str:
    """A maintenance window of one hour that begins in so many hours; with a negative number, that began so long ago."""
    at_s = time.time() + ahead_s(service) + hours * HOUR_S
    return str(WeeklyWindow(int(at_s // 60 + 3 * 24 * 60) % WEEK_MINUTES, 60))


def pending(client: Any, cluster: str) -> dict[str, Any]:
    (found,) = client.describe_cache_clusters(CacheClusterId=cluster)["CacheClusters"]
    return dict(found["PendingModifiedValues"])


def stays(what: str, probe: Any, for_s: float = 5.0) -> None:
    """It is true all the time; long enough for a quiet group to be looked at more than once."""
    deadline = time.monotonic() + for_s

    def over() -> bool:
        assert probe(), what
        return time.monotonic() > deadline

    wait_for(what, over, for_s + 5, every_s=0.2)
