"""Spans on their way to a collector: what it gets, whose trace they are of, and what they cost when it does not take them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from cachefleet.app.traces import open_traces
from cachefleet.interfaces import StoreError
from cachefleet.metrics.instruments import Instruments
from cachefleet.model.errors import AwsError
from cachefleet.model.span import Span, untraced
from cachefleet.settings import Settings, SettingsError, TraceSettings, load
from cachefleet.telemetry.traces import AT_ONCE, MOST_WAITING, Traces
from tests.component.control.stage import KEY, Stage
from tests.fixtures.gateway import NOW, Call, ask, make_gateway, sign
from tests.fixtures.service import wait_for

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = f"{CALLER[:-2]}00"
SPAN = Span(name="act", began_at=NOW, took_s=0.25, attributes={"cachefleet.actions": ("Launch", "Promote")})


class Collector:
    """Where OTLP is sent to: path and headers of the requests, spans by name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.spans: dict[str, Any] = {}
        self.resources: list[dict[str, str]] = []
        self.status = 200

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.asked.append((path, {name.lower(): value for name, value in headers.items()}))
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            self.resources.append({one.key: one.value.string_value for one in resource.resource.attributes})
            for scope in resource.scope_spans:
                self.spans.update({span.name: span for span in scope.spans})


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Refusing(SpanExporter):
    """Takes spans when it is let to, and then does or does not."""

    def __init__(self, *, well: bool) -> None:
        self.well = well
        self.go = threading.Event()
        self.taken: list[str] = []
        self.over = threading.Event()

    def shutdown(self) -> None:
        """When all that waited was tried."""
        self.over.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go.wait(30)
        self.taken += [span.name for span in spans]
        return SpanExportResult.SUCCESS if self.well else SpanExportResult.FAILURE


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_collector_gets_them_with_their_caller() -> None:
    with collecting() as (collector, url):
        counts = Instruments().spans
        traces = Traces(TraceSettings(url, {"x-tenant": "caches"}), "me", counts)
        traces.trace(SPAN)
        traces.trace(Span(name="called", began_at=NOW, took_s=1.0, attributes={}, error="no", caller={"traceparent": CALLER}))
        traces.trace(Span(name="unsampled", began_at=NOW, took_s=1.0, attributes={}, caller={"traceparent": UNSAMPLED}))
        traces.trace(Span(name="strange", began_at=NOW, took_s=1.0, attributes={}, caller={"traceparent": "nonsense"}))
        traces.close()
        wait_for("the collector has them, and has said so", lambda: counts.counts == {("sent",): 3})
    assert collector.asked[0][0] == "/v1/traces" and collector.asked[0][1]["x-tenant"] == "caches"
    assert collector.resources[0].items() >= {"service.name": "cachefleet", "service.instance.id": "me"}.items()
    ours, called = collector.spans["act"], collector.spans["called"]
    assert (ours.start_time_unix_nano, ours.end_time_unix_nano) == (int(NOW) * 10**9, int(NOW) * 10**9 + 250_000_000)
    assert [value.string_value for value in ours.attributes[0].value.array_value.values] == ["Launch", "Promote"]
    assert (ours.kind, called.kind, called.status.message) == (1, 2, "no")
    assert called.trace_id.hex() == CALLER.split("-")[1] and called.parent_span_id.hex() == CALLER.split("-")[2]
    assert collector.spans["strange"].parent_span_id == b"" and ours.trace_id != called.trace_id


def test_a_collector_that_takes_none_costs_no_memory() -> None:
    counts, exporter = Instruments().spans, Refusing(well=False)
    traces = Traces(TraceSettings(), "me", counts, exporter)
    for _ in range(10_000):
        traces.trace(SPAN)
    exporter.go.set()
    traces.close()
    assert exporter.over.wait(30)
    assert 0 < len(exporter.taken) <= MOST_WAITING + 2 * AT_ONCE
    assert counts.counts == {("lost",): len(exporter.taken)}


def test_a_collector_that_hangs_keeps_no_service_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachefleet.telemetry.traces.LAST_WORDS_S", 0.2)
    exporter = Refusing(well=True)
    traces = Traces(TraceSettings(), "me", Instruments().spans, exporter)
    traces.trace(SPAN)
    traces.close()
    assert exporter.taken == []
    exporter.go.set()


def test_without_a_collector_nothing_is_loaded() -> None:
    async def body() -> None:
        async with AsyncExitStack() as stack:
            assert open_traces(Settings(), "me", Instruments(), stack) is untraced

    asyncio.run(body())
    asked = "import sys, cachefleet.app.service; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("given", ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces"])
def test_the_path_of_otlp_need_not_be_said(given: str) -> None:
    assert load({"CACHEFLEET_TRACES_ENDPOINT": given}).traces.traces_url == "http://h:4318/v1/traces"


@pytest.mark.parametrize("given", ["h:4318", "http://", "ftp://h", "http://user:secret@h/"])
def test_what_is_no_collector_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match=r"traces\.endpoint"):
        load({"CACHEFLEET_TRACES_ENDPOINT": given})


def test_each_request_is_a_span() -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        if call[2] == "DescribeEvents":
            raise StoreError("away")
        if call[2] == "DescribeCacheClusters":
            raise AwsError("CacheClusterNotFound", "no")
        return {}

    spans: list[Span] = []
    gateway = make_gateway(operate, trace=spans.append)
    for action in ("DescribeEvents", "DescribeCacheClusters", "DescribeReplicationGroups", "Nonsense"):
        form = urlencode({"Action": action, "Version": "2015-02-02"}).encode()
        answer = ask(gateway, sign(form, headers={"traceparent": CALLER}))
        assert spans[-1].attributes["aws.request_id"] == answer.headers["x-amzn-requestid"]
        assert spans[-1].attributes["http.response.status_code"] == answer.status
    told = [(span.name, span.attributes.get("error.type", ""), span.error) for span in spans]
    assert told == [
        ("elasticache/DescribeEvents", "ServiceUnavailable", "ServiceUnavailable"),
        ("elasticache/DescribeCacheClusters", "CacheClusterNotFound", ""),
        ("elasticache/DescribeReplicationGroups", "", ""),
        ("elasticache/unknown", "InvalidAction", ""),
    ]
    assert all(span.caller is not None and span.caller["traceparent"] == CALLER for span in spans)


def test_each_pass_that_acts_is_a_span() -> None:
    async def body() -> None:
        spans: list[Span] = []
        stage = Stage(trace=spans.append)
        await stage.create()
        await stage.leadership.obtain()
        await stage.settle()
        assert spans and {span.name for span in spans} == {"act"}
        assert {span.attributes["cachefleet.group"] for span in spans} == {str(KEY)}
        actions = [action for span in spans for action in span.attributes["cachefleet.actions"]]  # type: ignore[union-attr]
        assert actions.count("Launch") == 2
        acted = len(spans)
        await stage.controller.step(KEY)
        assert len(spans) == acted  # a look is none

    asyncio.run(body())
