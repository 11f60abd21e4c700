"""The database of metrics fails before the start and while the service runs: the API and caches go on, and the log says why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service, wait_for


def put(service: Service) -> None:
    service.client("cloudwatch").put_metric_data(Namespace="Own", MetricData=[{"MetricName": "Orders", "Value": 1}])


def orders(service: Service) -> float:
    now = datetime.now(UTC)
    found: dict[str, Any] = service.client("cloudwatch").get_metric_statistics(
        Namespace="Own",
        MetricName="Orders",
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in found["Datapoints"]))


def test_the_service_starts_and_goes_on_without_its_metrics() -> None:
    with data_folder() as data, running_service(data, start=False) as service:
        database, log = data / "metrics.db", data / "up.log"
        database.write_text("no database " * 1000)
        service.start()
        put(service)
        wait_for("it is written", lambda: b"metrics begin anew" in log.read_bytes(), 30)
        assert orders(service) == 1 and service.client().describe_cache_clusters()["CacheClusters"] == []

        for part in data.glob("metrics.db*"):
            part.unlink()
        put(service)
        wait_for("it says so", lambda: b"deleted or replaced" in log.read_bytes(), 30)
        wait_for("it is written", lambda: orders(service) == 2, 30)

        service.kill()
        for part in data.glob("metrics.db*"):
            part.unlink()
        database.mkdir()
        service.start()
        put(service)
        wait_for("it says so", lambda: b"metrics wait for the database" in log.read_bytes(), 30)
        assert service.client().describe_cache_clusters()["CacheClusters"] == []
        database.rmdir()
        wait_for("what waited is there", lambda: database.exists(), 30)
        assert orders(service) == 1
