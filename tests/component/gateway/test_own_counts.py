"""What the gateway counts of requests, and what it tells probes: in memory, without a service behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from cachefleet.gateway.health import Readiness
from cachefleet.gateway.pages import Pages
from cachefleet.metrics.instruments import Instruments
from cachefleet.model.errors import AwsError
from cachefleet.protocol.message import HttpRequest
from tests.fixtures.gateway import KEY, URL, Call, ask, make_gateway, sign


def form(action: str) -> bytes:
    return urlencode({"Action": action, "Version": "2015-02-02"}).encode()


def test_requests_are_counted_by_what_they_ask_and_how_they_end() -> None:
    async def operate(call: Call) -> Mapping[str, Any]:
        if call[2] == "DescribeEvents":
            raise AwsError("InvalidParameterValue", "no")
        return {}

    def admit(service: str, operation: str) -> None:
        if operation == "PurchaseReservedCacheNodesOffering":
            raise AwsError("InvalidAction", "not built")

    instruments = Instruments()
    gateway = make_gateway(operate, instruments=instruments, admit=admit)
    for action in ("DescribeCacheClusters", "DescribeCacheClusters", "DescribeEvents", "PurchaseReservedCacheNodesOffering"):
        ask(gateway, sign(form(action)))
    for number in range(20):  # whatever clients make up becomes no label
        ask(gateway, sign(form(f"Nonsense{number}")))
        ask(gateway, sign(form("DescribeEvents"), service=f"nonsense-{number}"))
        ask(gateway, HttpRequest("GET", f"/nonsense-{number}", "", {}, b""))
    ask(gateway, sign(form("DescribeEvents"), secret=KEY.secret_access_key[::-1]))
    ask(gateway, sign(url=f"{URL}status", method="GET"))
    assert instruments.requests.counts == {
        ("elasticache", "DescribeCacheClusters", "OK"): 2,
        ("elasticache", "DescribeEvents", "InvalidParameterValue"): 1,
        ("elasticache", "unknown", "InvalidAction"): 21,
        ("elasticache", "unknown", "SignatureDoesNotMatch"): 21,
        ("cachefleet", "GetStatus", "OK"): 1,
    }
    assert sum(map(sum, instruments.request_times.buckets.values())) == 46


def test_who_is_not_ready_says_why_to_anybody() -> None:
    async def ready() -> Readiness:
        return Readiness({"database": "it cannot be used", "control_loop": "leads"}, ("database",))

    gateway = make_gateway(pages=Pages(ready=ready), instruments=(instruments := Instruments()))
    answer = ask(gateway, HttpRequest("GET", "/readyz", "", {}, b""))
    assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
    assert json.loads(answer.body) == {
        "ready": False,
        "checks": {"database": "it cannot be used", "control_loop": "leads"},
        "failed": ["database"],
    }
    assert ask(gateway, HttpRequest("GET", "/healthz", "", {}, b"")).status == 200
    assert instruments.requests.counts == {}
