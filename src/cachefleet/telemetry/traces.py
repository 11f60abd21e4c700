"""Sends spans to an OpenTelemetry collector (OTLP over HTTP, protobuf), in batches from a thread of its own.

Imported only where a collector is configured: the libraries take a quarter of a second to load. A collector that is down or
slow costs nobody time: at most MOST_WAITING spans are kept, and older ones are lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from importlib.metadata import version

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cachefleet.metrics.instruments import Counter
from cachefleet.model.span import Span
from cachefleet.settings import TraceSettings

MOST_WAITING = 2048
AT_ONCE = 512
EVERY_MS = 2000.0
TIMEOUT_S = 5.0
LAST_WORDS_S = 5.0  # so long the end of the service waits for spans to be sent, at most
NS = 1_000_000_000

log = structlog.get_logger()


class Traces:
    """trace is a model.span.Trace; close once, at the end. counts: spans by outcome: sent, lost."""

    def __init__(self, settings: TraceSettings, instance: str, counts: Counter, exporter: SpanExporter | None = None) -> None:
        """instance: names this service among several. exporter: in place of the collector of the settings."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what it complains of is said here, once
        made = exporter or OTLPSpanExporter(settings.traces_url, headers=settings.headers, timeout=TIMEOUT_S)
        resource = {"service.name": "cachefleet", "service.version": version("cachefleet"), "service.instance.id": instance}
        self._provider = TracerProvider(resource=Resource(resource), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Watched(made, counts),
                max_queue_size=MOST_WAITING,
                schedule_delay_millis=EVERY_MS,
                max_export_batch_size=AT_ONCE,
            )
        )
        self._tracer = self._provider.get_tracer("cachefleet")
        self._callers = TraceContextTextMapPropagator()

    def trace(self, span: Span) -> None:
        """Follows the caller's trace, also in whether it is recorded; else begins one."""
        began_ns = int(span.began_at * NS)
        made = self._tracer.start_span(
            span.name,
            context=self._callers.extract(span.caller or {}),
            kind=SpanKind.INTERNAL if span.caller is None else SpanKind.SERVER,
            attributes=span.attributes,
            start_time=began_ns,
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(end_time=began_ns + int(span.took_s * NS))

    def close(self) -> None:
        """Waits LAST_WORDS_S at most: a collector that hangs keeps no service from ending."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces end", daemon=True)
        ending.start()
        ending.join(LAST_WORDS_S)


class _Watched(SpanExporter):
    """Says once that the collector cannot be reached, and once that it can again. In the thread that sends."""

    def __init__(self, exporter: SpanExporter, counts: Counter) -> None:
        self._exporter = exporter
        self._counts = counts
        self._unwell = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        self._counts.add("lost" if failed else "sent", by=len(spans))
        if failed and not self._unwell:
            log.warning("traces are lost: the collector does not take them", spans=len(spans))
        elif self._unwell and not failed:
            log.info("traces are sent again")
        self._unwell = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
