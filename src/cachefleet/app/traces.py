"""Whether what this service does is traced: only where the settings name a collector. Called by service."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from cachefleet.metrics.instruments import Instruments
from cachefleet.model.span import Trace, untraced
from cachefleet.settings import Settings


def open_traces(settings: Settings, instance: str, instruments: Instruments, stack: AsyncExitStack) -> Trace:
    """instance: names this service among several. Spans are sent until the stack ends."""
    if not settings.traces.endpoint:
        return untraced
    from cachefleet.telemetry.traces import Traces  # takes time that nobody else shall wait for

    traces = Traces(settings.traces, instance, instruments.spans)
    stack.push_async_callback(asyncio.to_thread, traces.close)
    return traces.trace
