"""A real service and a collector: its spans arrive, the last ones when it ends; without the collector it runs all the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.component.telemetry.test_traces import CALLER, attributes, collecting
from tests.fixtures.ports import free_port
from tests.fixtures.service import running_service, wait_for


def test_spans_of_a_service_arrive_and_a_collector_that_is_gone_is_no_matter() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder,
        collecting() as (collector, url),
        running_service(Path(folder), start=False) as service,
    ):
        service.start(environment={"CACHEFLEET_TRACES_ENDPOINT": url})
        api = service.client()
        api.meta.events.register("before-send.*", lambda request, **_: request.headers.__setitem__("traceparent", CALLER))
        told = api.describe_replication_groups()
        service.kill(15)
        span = wait_for("its last words arrive", lambda: collector.spans.get("elasticache/DescribeReplicationGroups"))
        assert span.trace_id.hex() == CALLER.split("-")[1]
        about = attributes(span)
        assert about["aws.request_id"] == told["ResponseMetadata"]["RequestId"]
        assert (about["rpc.system"], about["cloud.region"], about["http.response.status_code"]) == ("aws-api", "local-1", 200)

        service.start(environment={"CACHEFLEET_TRACES_ENDPOINT": f"http://127.0.0.1:{free_port()}"})
        api = service.client()
        for _ in range(20):
            api.describe_replication_groups()
        log = service.data / "service.log"
        wait_for("it is said that they are lost", lambda: "traces are lost" in log.read_text())
        service.kill(15)
        assert "Traceback" not in (service.data / "up.log").read_text()
