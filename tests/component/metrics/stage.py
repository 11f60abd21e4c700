"""The metrics API through the gateway, over a real recorder and its database, with virtual time.

Requests are written and replies read by botocore, in each of its wire forms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

import cachefleet.api.operations  # noqa: F401  (registers them)
from cachefleet.api.context import Caller, Context
from cachefleet.api.registry import dispatch
from cachefleet.gateway.gateway import Gateway
from cachefleet.metrics.values import single
from cachefleet.model.metric import NODES, MetricName, Series
from cachefleet.policies.credential import Credential
from cachefleet.protocol.service import service
from cachefleet.settings import Settings
from cachefleet.store import open_metric_store
from cachefleet.telemetry.recorder import Recorder
from tests.fakes.api import ACCOUNT, REGION, make_context
from tests.fakes.clock import ManualClock
from tests.fakes.entropy import SeededEntropy
from tests.fixtures.gateway import KEY, URL, ask_async, sign

QUERY, JSON, CBOR = "query", "json", "smithy-rpc-v2-cbor"
NOW = 1_700_000_100.0  # 22:15:00, so that whole five minutes are easy to see


class Refused(Exception):
    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Stage:
    def __init__(self, recorder: Recorder, clock: ManualClock) -> None:
        self.recorder = recorder
        self.clock = clock
        self.context = make_context(clock=clock, account=ACCOUNT, region=REGION)
        self.context = msgspec.structs.replace(self.context, metrics=recorder)
        self.caller: Credential = KEY
        self.wire = QUERY
        self._gateway = Gateway(self._authenticate, self._context, dispatch, clock, SeededEntropy(1), Settings())

    async def _authenticate(self, access_key_id: str) -> Credential | None:
        return self.caller

    def _context(self, caller: Caller) -> Context:
        return msgspec.structs.replace(self.context, caller=caller)

    async def call(self, name: str, /, **request: Any) -> dict[str, Any]:
        """Times are epoch seconds. Raises Refused."""
        operation = service("monitoring").operation(name)
        made = create_serializer(self.wire, include_validation=False).serialize_to_request(_sent(request), operation)
        body = urlencode(made["body"]).encode() if isinstance(made["body"], Mapping) else made["body"]
        signed = sign(
            body, url=URL.rstrip("/") + made["url_path"], at=self.clock.now(), service="monitoring", headers=made["headers"]
        )
        answer = await ask_async(self._gateway, signed)
        read = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
        parsed = create_parser(self.wire).parse(read, operation.output_shape)
        if answer.status >= 300:
            raise Refused(parsed["Error"]["Code"], parsed["Error"]["Message"], answer.status)
        parsed.pop("ResponseMetadata", None)
        plain: dict[str, Any] = _plain(parsed)
        return plain

    async def refused(self, code: str, rule: str, name: str, /, **request: Any) -> None:
        with pytest.raises(Refused, match=rule) as refusal:
            await self.call(name, **request)
        assert (refusal.value.code, refusal.value.status) == (code, 503 if code == "ServiceUnavailable" else 400)

    def measure(self, name: str, number: float, at: float, cluster: str = "demo-001", node: str = "0001") -> None:
        """As the collector records a metric of a node."""
        series = Series(ACCOUNT, REGION, NODES, (("CacheClusterId", cluster), ("CacheNodeId", node)))
        self.recorder.record(series, at, {MetricName(name, "Count"): single(number)})

    async def put(self, name: str, /, namespace: str = "mine", **datum: Any) -> None:
        await self.call("PutMetricData", Namespace=namespace, MetricData=[{"MetricName": name, **datum}])

    async def data(
        self, *queries: Mapping[str, Any], start: float = NOW - 3600, end: float = NOW + 60, **more: Any
    ) -> dict[str, Any]:
        return await self.call("GetMetricData", MetricDataQueries=list(queries), StartTime=start, EndTime=end, **more)

    async def values(self, *queries: Mapping[str, Any], **more: Any) -> dict[str, dict[int, float]]:
        """Label -> time after NOW -> value."""
        results = (await self.data(*queries, **more))["MetricDataResults"]
        assert len({one["Label"] for one in results}) == len(results)
        return {
            one["Label"]: {int(time - NOW): number for time, number in zip(one["Timestamps"], one["Values"], strict=True)}
            for one in results
        }


def metric(
    query_id: str, name: str, stat: str = "Sum", period: int = 60, /, namespace: str = "mine", unit: str = "", **dimensions: str
) -> dict[str, Any]:
    """A query of a metric."""
    found: dict[str, Any] = {
        "Metric": {"Namespace": namespace, "MetricName": name, "Dimensions": pairs(**dimensions)},
        "Period": period,
        "Stat": stat,
    }
    return {"Id": query_id, "MetricStat": {**found, "Unit": unit} if unit else found}


def math(query_id: str, expression: str, **more: Any) -> dict[str, Any]:
    return {"Id": query_id, "Expression": expression, **more}


def pairs(**dimensions: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


def hidden(query: Mapping[str, Any]) -> dict[str, Any]:
    return {**query, "ReturnData": False}


def on_stage(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    @wraps(test)
    def run(tmp_path: Path) -> None:
        async def body() -> None:
            store = await open_metric_store(f"sqlite+aiosqlite:///{tmp_path}/metrics.db")
            try:
                clock = ManualClock(NOW)
                await test(Stage(Recorder(store, clock, "w"), clock))
            finally:
                await store.close()

        asyncio.run(body())

    del run.__wrapped__
    return run


_TIMES = frozenset(("StartTime", "EndTime", "Timestamp"))


def _sent(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _sent(below, key) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_sent(item) for item in value]
    return datetime.fromtimestamp(value, UTC) if name in _TIMES else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.timestamp() if isinstance(value, datetime) else value
